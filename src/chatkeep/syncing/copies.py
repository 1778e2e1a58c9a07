"""Copies of changed files, made as soon as a change is seen.

A program may truncate, replace or delete a file before its turn to be read comes. So its content is copied at once, if
it is a log of a common size; the copies wait in memory. Only content that the file no longer begins with is read from
its copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

_FILE_BYTES_MAX: Final = 1 << 20  # bytes of a file to copy; a larger one is read from the disk alone
_ALL_BYTES_MAX: Final = 64 << 20  # bytes of all copies
_DATABASES: Final = (".db", ".sqlite", ".sqlite3")  # read with the logs beside them, never from a copy


class Copies:
    """The contents of files waiting to be read, oldest first."""

    def __init__(self) -> None:
        """Begin empty."""
        self._kept: dict[Path, list[bytes]] = {}
        self._size_bytes = 0

    def make(self, file: Path, size_bytes: int) -> None:
        """Copy a file of this size, unless that takes too much memory; drop a copy that the new one goes on with."""
        is_small = 0 < size_bytes <= _FILE_BYTES_MAX and self._size_bytes + size_bytes <= _ALL_BYTES_MAX
        if not is_small or file.name.endswith(_DATABASES):
            return
        with suppress(OSError), file.open("rb") as stream:
            content = stream.read(_FILE_BYTES_MAX)
            kept = self._kept.setdefault(file, [])
            if kept and content.startswith(kept[-1]):
                self._size_bytes -= len(kept.pop())
            kept.append(content)
            self._size_bytes += len(content)

    def take(self, file: Path) -> Sequence[bytes]:
        """Return the copies with content that is no longer at the beginning of the file, and drop all of the file."""
        kept = self._kept.pop(file, [])
        self._size_bytes -= sum(map(len, kept))
        if not kept:
            return ()
        try:
            with file.open("rb") as stream:
                now = stream.read(_FILE_BYTES_MAX)
        except OSError:
            now = b""
        return [content for content in kept if not now.startswith(content)]

    def put_back(self, file: Path, copies: Sequence[bytes]) -> None:
        """Keep copies that could not be read in."""
        if copies:
            self._kept[file] = [*copies, *self._kept.get(file, ())]
            self._size_bytes += sum(map(len, copies))
