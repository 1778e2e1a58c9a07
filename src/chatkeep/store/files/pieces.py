"""Pieces of many files, read one after the other while the disk works on the next ones.

A search shows messages of as many sessions as it answers. Where their files are not in memory, to wait for
one after the other takes as long as all of them together; the disk does several at once.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import closing
from itertools import islice
from typing import Final

from msgspec import Struct

from chatkeep.errors import StorageError
from chatkeep.store.files.disk import Stamp, read_at, stamp_of, told, will_read
from chatkeep.store.files.tree import NotRegularError, Tree

_AHEAD: Final = 20


class Piece(Struct, frozen=True):
    """So many bytes of a file from a place on."""

    name: str
    start: int
    size: int


class Reading:
    """A piece on its way: the file is open, and the disk has been asked."""

    def __init__(self, tree: Tree, piece: Piece) -> None:
        """Begin; what cannot be opened is told when it is read."""
        self.piece = piece
        self._file: int | OSError | NotRegularError | StorageError
        try:
            self._file = tree.open(piece.name)
        except (OSError, NotRegularError, StorageError) as error:
            self._file = error
        else:
            will_read(self._file, piece.start, piece.size)

    def read(self) -> tuple[bytes, Stamp]:
        """Return the bytes, fewer at the end of the file, and the file's state after that. Takes no lock.

        Raises:
            FileNotFoundError: when there is no such file.
            NotRegularError: when the name stands for something that is no file.
            StorageError: when the disk refuses.
        """
        if not isinstance(self._file, int):
            raise self._file
        with told():
            return read_at(self._file, self.piece.start, self.piece.size), stamp_of(os.fstat(self._file))

    def close(self) -> None:
        """Close the file."""
        if isinstance(self._file, int):
            os.close(self._file)


def readings(tree: Tree, pieces: Iterable[Piece]) -> Generator[Reading]:
    """Yield pieces on their way; each can be read until the next one is asked for."""
    left = iter(pieces)
    begun: deque[Reading] = deque()
    try:
        while True:
            begun.extend(Reading(tree, piece) for piece in islice(left, _AHEAD - len(begun)))
            if not begun:
                return
            with closing(begun.popleft()) as reading:
                yield reading
    finally:
        for reading in begun:
            reading.close()
