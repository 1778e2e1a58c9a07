"""The reading connections of an index, one for each reader at a time."""

from __future__ import annotations

import contextlib
import itertools
import queue
from collections.abc import Iterator
from typing import Final

import apsw

from chatkeep.store.files.index.databases import IndexLostError, Medium
from chatkeep.store.files.index.rows import Database

_CACHE_KB: Final = 32_768  # KiB of pages, for each connection but the first
_FIRST_CACHE_KB: Final = 262_144  # KiB of pages; the first one serves most reads


class ReadingConnections:
    """Connections that nobody writes through. A reader borrows one; there are as many as readers at one time."""

    def __init__(self, medium: Medium) -> None:
        """Begin without a connection to the medium."""
        self._medium = medium
        self._idle: queue.PriorityQueue[tuple[int, Database | None]] = queue.PriorityQueue()
        self._count = itertools.count()
        self.is_closed = False

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[Database]:
        """Lend a connection: the lowest free one, as it has the most pages in memory, or a new one.

        Raises:
            IndexLostError: when the connections are closed, or another database took the place.
        """
        if self.is_closed:
            raise IndexLostError("closed")
        try:
            place, db = self._idle.get_nowait()
        except queue.Empty:
            place, db = next(self._count), None
        lent = None  # after an error the connection is dropped
        try:
            if db is None:
                db = self.connected(_CACHE_KB if place else _FIRST_CACHE_KB)
            yield db
            lent = db
        finally:
            self._idle.put((place, lent))
            if self.is_closed:
                self.close()

    def connected(self, cache_kb: int) -> Database:
        """Return a new reading connection.

        Raises:
            IndexLostError: when another database took the place.
        """
        if not self._medium.is_in_place():
            raise IndexLostError("replaced")
        return self._medium.connected(read_only=True, cache_kb=cache_kb)

    def close(self) -> None:
        """Close the idle connections; a reader with a connection closes it at the end of the read."""
        self.is_closed = True
        with contextlib.suppress(queue.Empty, apsw.Error):
            while True:
                if (reader := self._idle.get_nowait()[1]) is not None:
                    reader.close()
