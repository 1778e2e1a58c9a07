"""The disk: durable writes, and its refusals as sentences."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from chatkeep.errors import StorageError, storage_error

Durability = Literal["full", "os", "none"]
"""How far a write gets before it is answered. `full`: through the disk's cache. `os`: into the
operating system. It then survives a crash of this process but not a power cut; new and rewritten
files are flushed all the same. `none`: nothing is ever flushed.
"""


_FLUSHES_AT_ONCE: Final = 8  # files; a disk takes so many flushes in the time of one or two
_UNFLUSHED_BYTES: Final = 1 << 20  # the most for one write call; a flush of any file waits for what others wrote before
_IN_MEMORY: Final = "/dev/shm"  # noqa: S108 - the parent of a new folder, private to its owner


class Stamp(Struct, frozen=True, array_like=True):
    """The state of a file, to tell it from another without reading: size in bytes, times in nanoseconds, inode."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int


class _Told:
    """A block whose errors of the system become sentences for people: no generator, as writes enter many of them."""

    __slots__ = ("_passing",)

    def __init__(self, passing: tuple[type[OSError], ...]) -> None:
        self._passing = passing

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise a StorageError in place of an error that does not pass."""
        if isinstance(error, OSError) and not isinstance(error, self._passing):
            raise storage_error(error) from error


_TOLD: Final = _Told(())


def told(*passing: type[OSError]) -> _Told:
    """Turn an OSError into a StorageError with a sentence for people, except the errors `passing`."""
    return _Told(passing) if passing else _TOLD


def has_room(path: Path, size_bytes: int) -> bool:
    """Tell whether a file system takes writes and has so much space, by its own account."""
    try:
        found = os.statvfs(path)
    except OSError:
        return False
    return not found.f_flag & os.ST_RDONLY and found.f_bavail * found.f_frsize >= size_bytes


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents: private to their owner, their names durable."""
    if not path.parent.is_dir():
        make_folder(path.parent)
    try:
        path.mkdir(mode=0o700)
    except OSError:
        if not path.is_dir():
            raise
    else:
        with contextlib.suppress(PermissionError):  # a writable folder need not be readable
            flush_folder(path.parent)


def flush_folder(path: Path) -> None:
    """Return when the names in a folder are durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_folder(path: Path) -> int:
    """Open a folder; a missing one is made, private to its owner.

    Raises:
        StorageError: when the name stands for something else; links are never followed.
    """
    if os.path.lexists(path) and not is_folder(path):
        raise StorageError(f"'{path.name}' has to be a folder, and no link to one: move it away.")
    make_folder(path)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def open_if_can_be(path: Path) -> int:
    """Open a folder needed by writes only; make it if it is missing, or open a deleted folder in its place.

    Raises:
        StorageError: when the name stands for something else.
        OSError: when the name stands for a folder, and it cannot be opened.
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
        StorageError: when the disk does not say, as in a folder closed to this user.
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
        with told(FileNotFoundError, NotADirectoryError):
            return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def open_nowhere() -> int:
    """Open a folder already deleted: it has no files, and takes none.

    It is made for a moment among the system's temporary files. If that disk is full, it is made in memory.
    """
    try:
        brief = tempfile.TemporaryDirectory()
    except OSError:
        brief = tempfile.TemporaryDirectory(dir=_IN_MEMORY)
    with brief:
        return os.open(brief.name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def is_nowhere(fd: int) -> bool:
    """Tell whether an open folder is deleted."""
    return os.fstat(fd).st_nlink == 0


def is_at(fd: int, path: Path) -> bool:
    """Tell whether a path still stands for the open folder."""
    held = os.fstat(fd)
    try:
        named = os.lstat(path)  # half of the time of Path.lstat, at each write
    except FileNotFoundError:
        return False
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)


def read_at(fd: int, start: int, size: int) -> bytes:
    """Return so many bytes from an offset, fewer at the end of the file."""
    pieces = []
    while size > 0 and (piece := os.pread(fd, min(size, 1 << 30), start)):
        pieces.append(piece)
        start += len(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def write_whole(fd: int, content: bytes) -> None:
    """Write all bytes at the place of a descriptor."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view[:_UNFLUSHED_BYTES]) :]


def write_drained(fd: int, start: int, content: bytes, flush: Callable[[], None]) -> None:
    """Write all bytes at an offset. Flush after each MiB but the last piece, so that no flush of others waits long.

    A disk flushes all it was given before. Behind 16 MiB, the flush of a short append takes twice as long or more.
    """
    view = memoryview(content)
    unflushed = 0
    while view:
        if unflushed >= _UNFLUSHED_BYTES:
            flush()
            unflushed = 0
        written = os.pwrite(fd, view[: _UNFLUSHED_BYTES - unflushed], start)
        start, unflushed, view = start + written, unflushed + written, view[written:]


def will_read(fd: int, start: int, size: int) -> None:
    """Ask the system to read a part of a file ahead, without waiting; does nothing where it takes no such hints."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(fd, start, size, os.POSIX_FADV_WILLNEED)


def names_in(folder: int, held: os.stat_result) -> list[str]:
    """Return the names of a file in an open folder, found by its inode."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(entry.stat(follow_symlinks=False), held):
                    names.append(entry.name)
    return names


_FULL_FLUSH: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)  # macOS; its fsync leaves the disk's cache alone


def to_disk(fd: int) -> None:
    """Return when everything written to a file has reached the disk itself."""
    if _FULL_FLUSH is not None:
        fcntl.fcntl(fd, _FULL_FLUSH)
    else:
        os.fdatasync(fd)


def to_disk_together(fds: Sequence[int]) -> None:
    """Flush several files side by side; return when everything written to them has reached the disk itself.

    Raises:
        OSError: the first of their errors, after all flushes.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only imports of many sessions need it

    with ThreadPoolExecutor(_FLUSHES_AT_ONCE) as threads:
        for flush in [threads.submit(to_disk, fd) for fd in fds]:
            flush.result()


def stamp_of(found: os.stat_result) -> Stamp:
    """Return the stamp in the result of a stat call."""
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
