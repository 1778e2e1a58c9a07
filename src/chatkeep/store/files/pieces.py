"""Pieces of many files, read one after the other while the disk works on the next ones.

A search shows messages of as many sessions as it answers. Where their files are not in memory, to wait for
one after the other takes as long as all of them together; the disk does several at once.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Generator, Iterable
from typing import Final

from msgspec import Struct

from chatkeep.errors import StorageError
from chatkeep.store.files.disk import Stamp, read_at, stamp_of, told, will_read
from chatkeep.store.files.tree import NotRegularError, Tree

_AHEAD_MAX: Final = 20
_room = threading.BoundedSemaphore(_AHEAD_MAX)  # for files that are open ahead, whoever wants them: descriptors are few


class Piece(Struct, frozen=True):
    """So many bytes of a file from a place on."""

    name: str
    start: int
    size: int


class Reading:
    """A piece on its way: its file is open and the disk has been asked, if there is room for that."""

    def __init__(self, tree: Tree, piece: Piece) -> None:
        """Begin; what stands in the way is told when it is read."""
        self.piece = piece
        self._tree = tree
        self._fd: int | None = None
        self._has_room = _room.acquire(blocking=False)
        if self._has_room:
            with contextlib.suppress(OSError, NotRegularError, StorageError):
                self._fd = tree.open(piece.name)
                will_read(self._fd, piece.start, piece.size)

    @property
    def is_open(self) -> bool:
        """Whether the disk has been asked."""
        return self._fd is not None

    def read(self) -> tuple[bytes, Stamp]:
        """Return the bytes, fewer at the end of the file, and the file's state after that. Takes no lock.

        Raises:
            FileNotFoundError: when there is no such file.
            NotRegularError: when the name stands for something that is no file.
            StorageError: when the disk refuses.
        """
        if self._fd is None:
            self._fd = self._tree.open(self.piece.name)
        with told():
            return read_at(self._fd, self.piece.start, self.piece.size), stamp_of(os.fstat(self._fd))

    def close(self) -> None:
        """Close the file and give back its room."""
        if self._fd is not None:
            os.close(self._fd)
        if self._has_room:
            _room.release()


def readings(tree: Tree, pieces: Iterable[Piece]) -> Generator[Reading]:
    """Yield pieces on their way; each can be read until the next one is asked for.

    Where one could not be opened ahead, no later one is: it may need the descriptor itself when it is read.
    """
    left = iter(pieces)
    begun: deque[Reading] = deque()
    try:
        while True:
            while (not begun or begun[-1].is_open) and (piece := next(left, None)) is not None:
                begun.append(Reading(tree, piece))
            if not begun:
                return
            with contextlib.closing(begun.popleft()) as reading:
                yield reading
    finally:
        for reading in begun:
            reading.close()
