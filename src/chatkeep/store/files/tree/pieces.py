"""Pieces of many files, read one after the other while the disk works on the next ones.

A search shows messages from many sessions. Without the files in memory, reads in sequence take the sum
of their times; the disk serves several at once.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Generator, Iterable
from typing import Final

from msgspec import Struct

from chatkeep.disk.files import Stamp, read_at, stamp_of, will_read
from chatkeep.errors import StorageError, storage_error
from chatkeep.store.files.tree.tree import NotRegularError, Tree

_AHEAD_MAX: Final = 20  # open files in this process, for all searches together; descriptors are few


class FilePiece(Struct, frozen=True):
    """A number of bytes in a file, from an offset on."""

    name: str
    start: int
    size: int


class _Room:
    """The count of files still free to be opened ahead, shared by all threads: descriptors are few."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._count = count

    def take(self) -> bool:
        """Take room for one file, if there is any."""
        with self._lock:
            is_there = self._count > 0
            self._count -= is_there
        return is_there

    def give_back(self) -> None:
        """Give back the room of one file."""
        with self._lock:
            self._count += 1


_room = _Room(_AHEAD_MAX)


class PendingRead:
    """A piece of a file, to be read soon."""

    __slots__ = ("_fd", "_has_room", "_tree", "piece")

    def __init__(self, tree: Tree, piece: FilePiece) -> None:
        """Take the piece; nothing is opened yet."""
        self.piece = piece
        self._tree = tree
        self._fd: int | None = None
        self._has_room = False

    def begin(self) -> bool:
        """Open the file and hint the read to the disk; return whether there was room and the file opened.

        `read` raises the errors of opening.
        """
        self._has_room = _room.take()
        if self._has_room:
            try:
                self._fd = self._tree.open(self.piece.name)
            except (OSError, NotRegularError, StorageError):
                return False
            will_read(self._fd, self.piece.start, self.piece.size)
        return self._has_room

    def read(self) -> tuple[bytes, Stamp]:
        """Return the bytes, fewer at the end of the file, and the state of the file after the read. Takes no lock.

        Raises:
            FileNotFoundError: when there is no such file.
            NotRegularError: when the name stands for something else than a file.
            StorageError: when the disk refuses.
        """
        if self._fd is None:
            self._fd = self._tree.open(self.piece.name)
        try:
            return read_at(self._fd, self.piece.start, self.piece.size), stamp_of(os.fstat(self._fd))
        except OSError as error:
            raise storage_error(error) from error

    def close(self) -> None:
        """Close the file and give back its room."""
        if self._fd is not None:
            os.close(self._fd)
        if self._has_room:
            _room.give_back()


def readings(tree: Tree, pieces: Iterable[FilePiece]) -> Generator[PendingRead]:
    """Yield pending reads in order; each is open until the next one is asked for.

    After a piece not opened ahead, no later one is opened ahead: the first may need the descriptor itself.
    """
    left = iter(pieces)
    begun: deque[PendingRead] = deque()
    is_ahead = True
    try:
        while True:
            while (is_ahead or not begun) and (piece := next(left, None)) is not None:
                begun.append(PendingRead(tree, piece))
                is_ahead = begun[-1].begin()
            if not begun:
                return
            yield begun[0]
            begun.popleft().close()
    finally:
        for reading in begun:
            reading.close()
