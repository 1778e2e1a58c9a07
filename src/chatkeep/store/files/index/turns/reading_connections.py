"""The reading connections of an index, one for each reader at a time."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from heapq import heappop, heappush
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
        self._idle: list[tuple[int, Database | None]] = []  # a heap; a queue takes ten calls more for each read
        self._lock = threading.Lock()
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
        with self._lock:
            place, db = heappop(self._idle) if self._idle else (next(self._count), None)
        lent = None  # after an error the connection is dropped
        try:
            if db is None:
                db = self.connected(_CACHE_KB if place else _FIRST_CACHE_KB)
            yield db
            lent = db
        finally:
            with self._lock:
                heappush(self._idle, (place, lent))
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
        with self._lock:
            idle, self._idle = self._idle, []
        for _, reader in idle:
            if reader is not None:
                with contextlib.suppress(apsw.Error):
                    reader.close()
