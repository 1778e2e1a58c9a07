"""Pieces of many files, read one after the other while the disk works on the next ones.

A search shows messages of as many sessions as it answers. Where their files are not in memory, to wait for
one after the other takes as long as all of them together; the disk does several at once.
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

_AHEAD_MAX: Final = 20


class FilePiece(Struct, frozen=True):
    """So many bytes of a file from a place on."""

    name: str
    start: int
    size: int


class _Room:
    """How many more files may be open ahead, whoever wants them: descriptors are few."""

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
    """A piece of a file that is to be read."""

    __slots__ = ("_fd", "_has_room", "_tree", "piece")

    def __init__(self, tree: Tree, piece: FilePiece) -> None:
        """Take the piece; nothing is opened yet."""
        self.piece = piece
        self._tree = tree
        self._fd: int | None = None
        self._has_room = False

    def begin(self) -> bool:
        """Open the file and ask the disk ahead, if there is room for that, and tell whether that was done.

        What stands in the way is told when the piece is read.
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
        """Return the bytes, fewer at the end of the file, and the file's state after that. Takes no lock.

        Raises:
            FileNotFoundError: when there is no such file.
            NotRegularError: when the name stands for something that is no file.
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
    """Yield pieces on their way; each can be read until the next one is asked for.

    Where one could not be opened ahead, no later one is: it may need the descriptor itself when it is read.
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
