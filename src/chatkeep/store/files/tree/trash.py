"""The trash of a workspace: the files of deleted sessions, each under a name of its own.

    <workspace>/trash/1764500000000000-1a2b3c4d-telegram-1-abc.json    the time in microseconds since 1970, a random
                                                                       number, the name of the file

A deletion renames the file, so it is here or there, whole, at any moment. To come back it is copied to a new file.
If the session names blobs, a list of them lies beside it, with `.blobs` behind the name.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct

from chatkeep.core.life.trashing import Trashed
from chatkeep.core.model import Header
from chatkeep.disk.files import open_folder, read_at, to_disk, told, write_whole
from chatkeep.errors import BusyError, StorageError
from chatkeep.store.files.tree.format import header_in, scan
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.tree import Tree, is_file_name

_ENTRY: Final = re.compile(r"([0-9]{16})-([0-9a-f]{8})-(.+\.json)")
_READING: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LIST: Final = ".blobs"  # behind the name of a file, for the list of its blobs
_LISTING: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HEAD_BYTES: Final = 1 << 16  # of a file, enough for most headers; metadata alone may have 256 KiB


class TrashFile(Struct, frozen=True):
    """A file in the trash, and the name it had among the sessions."""

    id: str
    name: str
    deleted_at: datetime


class _Look(NamedTuple):
    """A file in the trash as found there; without a readable header it is damaged."""

    file: TrashFile
    header: Header | None
    size_bytes: int


class Trash:
    """The files of deleted sessions."""

    def __init__(self, tree: Tree) -> None:
        """Take the tree. The first deletion makes the folder."""
        self._tree = tree
        self._path = tree.workspace / "trash"

    def put(self, name: str, blobs: Collection[str] = ()) -> None:
        """Move the file of a session here, durably, with the hashes of its blobs; its writers have it locked.

        Raises:
            FileNotFoundError: when there is none.
            StorageError: when the disk refuses; the file stays where it was.
        """
        with self._opened() as folder:
            kept = f"{time.time_ns() // 1000:016d}-{os.urandom(4).hex()}-{name}"
            if blobs:
                self._list(folder, kept, blobs)
            self._tree.move_out(name, folder, kept)

    @contextlib.contextmanager
    def brought_back(self, name: str, trash_id: str | None) -> Iterator[LockedFile]:
        """Copy the file last deleted of a session's name, or that of an id, back under the name, locked.

        Then it leaves the trash. If the caller fails, the copy goes.

        Raises:
            FileNotFoundError: when there is none; it may have been purged or restored meanwhile.
            FileExistsError: when the name is taken.
            StorageError: when the disk refuses.
        """
        found = self._file(name, trash_id)
        with self._tree.created(name, self._read(found)) as file:
            try:
                yield file
            except (BusyError, StorageError):
                self._tree.remove(name)
                raise
        self.remove([found.id])

    def sessions(self, prefix: str) -> Iterator[Trashed]:
        """Yield the sessions whose keys begin so, the last deleted first. A file without a readable header has none."""
        for look in self._looks():
            if look.header is not None and look.header.key.startswith(prefix):
                yield _trashed(look.file, look.header, look.size_bytes)

    def remove(self, ids: Iterable[str]) -> None:
        """Remove files for good, durably; one that is gone does no harm."""
        with self._opened() as folder, told():
            for name in ids:
                for gone in (name, name + _LIST):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(gone, dir_fd=folder)
            self._tree.flush_folder(folder)

    def blobs(self, ids: Collection[str] | None = None) -> frozenset[str]:
        """Return the hashes of the blobs of these files, or of all that are there."""
        found: set[str] = set()
        if not self._path.is_dir():
            return frozenset()
        with told(), os.scandir(self._path) as entries:
            lists = [Path(entry.path) for entry in entries if entry.name.endswith(_LIST) and not entry.is_symlink()]
            for path in lists:
                name = path.name.removesuffix(_LIST)
                if name in ids if ids is not None else path.with_name(name).exists():
                    with contextlib.suppress(FileNotFoundError):
                        found.update(path.read_text("ascii", errors="replace").split())
        return frozenset(found)

    def blobs_of(self, name: str) -> frozenset[str]:
        """Return the hashes of the blobs of the files under a session's name."""
        return self.blobs({file.id for file in self._files() if file.name == name})

    def _list(self, folder: int, kept: str, blobs: Iterable[str]) -> None:
        """Write the list of the blobs of a file to come, durably."""
        with told():
            fd = os.open(kept + _LIST, _LISTING, 0o600, dir_fd=folder)
            try:
                write_whole(fd, "".join(f"{one}\n" for one in blobs).encode())
                if self._tree.is_flushed:
                    to_disk(fd)
            finally:
                os.close(fd)

    def _file(self, name: str, trash_id: str | None) -> TrashFile:
        for file in self._files():
            if file.name == name and trash_id in {None, file.id}:
                return file
        raise FileNotFoundError(name)

    def _read(self, file: TrashFile) -> bytes:
        with self._opened() as folder, told(FileNotFoundError):
            fd = os.open(file.id, _READING, dir_fd=folder)
            try:
                state = os.fstat(fd)
                if not stat.S_ISREG(state.st_mode):
                    raise FileNotFoundError(file.id)
                return read_at(fd, 0, state.st_size)
            finally:
                os.close(fd)

    def _files(self) -> Sequence[TrashFile]:
        """Return the files, the last deleted first."""
        if not self._path.is_dir():
            return []
        with told():
            found = filter(None, [_file_of(entry.name) for entry in self._path.iterdir()])
        return sorted(found, key=lambda one: (one.deleted_at, one.id), reverse=True)

    def unreadable(self, before: datetime | None) -> Sequence[str]:
        """Return the ids of the files without a readable header, deleted before a time; None means any."""
        damaged = (look.file for look in self._looks() if look.header is None and is_file_name(look.file.name))
        return [file.id for file in damaged if before is None or file.deleted_at < before]

    def _looks(self) -> Iterator[_Look]:
        files = self._files()
        if not files:
            return
        with self._opened() as folder:
            yield from filter(None, (_look(folder, file) for file in files))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        with told():
            fd = open_folder(self._path)
        try:
            yield fd
        finally:
            os.close(fd)


def _file_of(entry: str) -> TrashFile | None:
    found = _ENTRY.fullmatch(entry)
    return None if found is None else TrashFile(entry, found[3], datetime.fromtimestamp(int(found[1]) / 1e6, UTC))


def _look(folder: int, file: TrashFile) -> _Look | None:
    try:
        fd = os.open(file.id, _READING, dir_fd=folder)
    except OSError:  # purged meanwhile, or a link
        return None
    try:
        with told():
            state = os.fstat(fd)
            return _Look(file, _header(fd, state.st_size), state.st_size) if stat.S_ISREG(state.st_mode) else None
    finally:
        os.close(fd)


def _header(fd: int, size: int) -> Header | None:
    """Return the header of a file; nearly always the first bytes have it, else the whole file is read."""
    return header_in(read_at(fd, 0, _HEAD_BYTES)) or scan(read_at(fd, 0, size)).header


def _trashed(file: TrashFile, header: Header, size_bytes: int) -> Trashed:
    return Trashed(
        id=file.id,
        key=header.key,
        title=header.title,
        channel=header.channel,
        deleted_at=file.deleted_at,
        size_bytes=size_bytes,
    )
