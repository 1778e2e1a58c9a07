"""Copies of changed files, made as soon as a change is seen.

A program may truncate, replace or delete a file before its turn to be read comes. So its content is copied at once, if
it is a log of a common size. The copies lie in a private folder until they are read, so one that a killed sync left is
read by the next. Only content that the file no longer begins with is read from its copy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.disk.files import make_folder, told

_FILE_BYTES_MAX: Final = 1 << 20  # bytes of a file to copy; a larger one is read from the disk alone
_ALL_BYTES_MAX: Final = 256 << 20  # bytes of all copies
_DATABASES: Final = (".db", ".sqlite", ".sqlite3")  # read with the logs beside them, never from a copy


class FileCopy(Struct, frozen=True):
    """A copy on the disk: where it lies, and the bytes of the content that it has."""

    path: Path
    size_bytes: int

    def content(self) -> bytes:
        """Return the content; nothing for a copy that was not finished."""
        try:
            first, _, content = self.path.read_bytes().partition(b"\n")
            return content if msgspec.json.decode(first, type=_Origin).size_bytes == len(content) else b""
        except (OSError, msgspec.MsgspecError, UnicodeError):
            return b""

    def drop(self) -> None:
        """Remove the copy: its content is stored."""
        with suppress(OSError):
            self.path.unlink()


class _Origin(Struct, frozen=True):
    """The first line of a copy: its file, the format, and how long the content is."""

    file: str
    format: str
    size_bytes: int


class LeftCopy(Struct, frozen=True):
    """A file whose copies an earlier sync left, and its format."""

    file: Path
    format: str


class Copies:
    """The contents of files waiting to be read, oldest first."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, and the copies that a killed sync left there.

        Raises:
            StorageError: when the disk refuses.
        """
        self._folder = folder
        self._kept: dict[Path, list[FileCopy]] = {}
        self._size_bytes = self._count = 0
        self.left: list[LeftCopy] = []
        with told():
            make_folder(folder)
            for path in sorted(folder.iterdir(), key=lambda one: (len(one.name), one.name)):
                self._take_over(path)

    def make(self, file: Path, fmt: str, size_bytes: int) -> None:
        """Copy a file of this size, unless that takes too much room; drop a copy that the new one goes on with.

        A disk that refuses has no copy.
        """
        is_small = 0 < size_bytes <= _FILE_BYTES_MAX and self._size_bytes + size_bytes <= _ALL_BYTES_MAX
        if not is_small or file.name.endswith(_DATABASES):
            return
        with suppress(OSError, UnicodeEncodeError):
            with file.open("rb") as stream:
                content = stream.read(_FILE_BYTES_MAX)
            self._count += 1
            copy = FileCopy(self._folder / f"{self._count}", len(content))
            first = msgspec.json.encode(_Origin(os.fspath(file), fmt, len(content)))
            descriptor = os.open(copy.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as out:  # noqa: PTH123 - it is open
                out.write(first + b"\n" + content)
            kept = self._kept.setdefault(file, [])
            if kept and content.startswith(kept[-1].content()):
                self._drop(kept.pop())
            kept.append(copy)
            self._size_bytes += copy.size_bytes

    def take(self, file: Path) -> Sequence[FileCopy]:
        """Return the copies with content that is no longer at the beginning of the file; drop the others.

        The caller drops a copy once its content is stored, and puts back the others.
        """
        kept = self._kept.pop(file, [])
        self._size_bytes -= sum(copy.size_bytes for copy in kept)
        if not kept:
            return ()
        try:
            with file.open("rb") as stream:
                now = stream.read(_FILE_BYTES_MAX)
        except OSError:
            now = b""
        needed = [copy for copy in kept if not now.startswith(copy.content())]
        for copy in kept:
            if copy not in needed:
                copy.drop()
        return needed

    def put_back(self, file: Path, copies: Sequence[FileCopy]) -> None:
        """Keep copies that could not be read in."""
        if copies:
            self._kept[file] = [*copies, *self._kept.get(file, ())]
            self._size_bytes += sum(copy.size_bytes for copy in copies)

    def _drop(self, copy: FileCopy) -> None:
        copy.drop()
        self._size_bytes -= copy.size_bytes

    def _take_over(self, path: Path) -> None:
        with path.open("rb") as stream:
            first = stream.readline(_FILE_BYTES_MAX)
        try:
            origin = msgspec.json.decode(first, type=_Origin)
        except (msgspec.MsgspecError, UnicodeError):
            path.unlink()
            return
        file = Path(origin.file)
        self._kept.setdefault(file, []).append(FileCopy(path, origin.size_bytes))
        self._size_bytes += origin.size_bytes
        self._count = max(self._count, int(path.name) if path.name.isdecimal() else 0)
        self.left.append(LeftCopy(file, origin.format))
