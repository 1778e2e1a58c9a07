"""The disk: what a write needs to last, and what its refusals are called."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from chatkeep.errors import StorageError, storage_error

Durability = Literal["full", "os", "none"]
"""How far a write gets before it is answered. `full`: through the disk's cache. `os`: into the
operating system, so that it survives this process but not a power cut; new and rewritten files are
flushed all the same. `none`: nothing is ever flushed."""


_IN_MEMORY: Final = "/dev/shm"  # noqa: S108 - of a folder that is made, private to its owner


class Stamp(Struct, frozen=True, array_like=True):
    """What tells one state of a file from another without reading it: bytes, nanoseconds, inode."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int


@contextlib.contextmanager
def told(*passing: type[OSError]) -> Iterator[None]:
    """Turn what the operating system refuses into a sentence for people, except what somebody waits for."""
    try:
        yield
    except OSError as error:
        if isinstance(error, passing):
            raise
        raise storage_error(error) from error


def has_room(path: Path, size_bytes: int) -> bool:
    """Tell whether a file system may be written, and has so much space, as far as it says."""
    try:
        found = os.statvfs(path)
    except OSError:
        return False
    return not found.f_flag & os.ST_RDONLY and found.f_bavail * found.f_frsize >= size_bytes


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are missing: private to their owner, their names durable."""
    if not path.parent.is_dir():
        make_folder(path.parent)
    try:
        path.mkdir(mode=0o700)
    except OSError:
        if not path.is_dir():
            raise
    else:
        with contextlib.suppress(PermissionError):  # a folder that may be written need not be readable
            flush_folder(path.parent)


def flush_folder(path: Path) -> None:
    """Return when the names in a folder are durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_folder(path: Path) -> int:
    """Open a folder, making it, private to its owner, if it is missing.

    Raises:
        StorageError: when the name stands for something else, which is never followed.
    """
    if os.path.lexists(path) and not is_folder(path):
        raise StorageError(f"'{path.name}' has to be a folder, and no link to one: move it away.")
    make_folder(path)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def open_if_can_be(path: Path) -> int:
    """Open a folder that only writes need, making it if it is missing; one that cannot be made is as one that is gone.

    Raises:
        StorageError: when the name stands for something else.
    """
    try:
        return open_folder(path)
    except OSError:
        if os.path.lexists(path):
            raise
        return open_nowhere()


def is_there(path: Path) -> bool:
    """Tell whether a name stands for anything.

    Raises:
        StorageError: when that cannot be told, as in a folder that is closed to this user.
    """
    try:
        with told(FileNotFoundError, NotADirectoryError):
            path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_folder(path: Path) -> bool:
    """Tell whether a path stands for a folder, and not for a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def open_nowhere() -> int:
    """Open a folder that is gone: nothing is in it, and nothing can be put there.

    One is made for a moment: where all files are made, else in memory, for that disk may be the one that is full.
    """
    try:
        brief = tempfile.TemporaryDirectory()
    except OSError:
        brief = tempfile.TemporaryDirectory(dir=_IN_MEMORY)
    with brief:
        return os.open(brief.name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def is_nowhere(fd: int) -> bool:
    """Tell whether an open folder is gone."""
    return os.fstat(fd).st_nlink == 0


def is_at(fd: int, path: Path) -> bool:
    """Tell whether a path still stands for the folder that is open."""
    held = os.fstat(fd)
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)


def read_at(fd: int, start: int, size: int) -> bytes:
    """Return so many bytes from a place, fewer at the end of the file."""
    pieces = []
    while size > 0 and (piece := os.pread(fd, min(size, 1 << 30), start)):
        pieces.append(piece)
        start += len(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def will_read(fd: int, start: int, size: int) -> None:
    """Have the system read a part of a file that is wanted soon, without waiting for it; where it takes such hints."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(fd, start, size, os.POSIX_FADV_WILLNEED)


def names_in(folder: int, held: os.stat_result) -> list[str]:
    """Return the names in an open folder that stand for that very file."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(entry.stat(follow_symlinks=False), held):
                    names.append(entry.name)
    return names


def to_disk(fd: int) -> None:
    """Return when what was written to a file has reached the disk itself."""
    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS, whose fsync leaves the disk's cache alone
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(fd)


def stamp_of(found: os.stat_result) -> Stamp:
    """Return the state that a look at a file found."""
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
