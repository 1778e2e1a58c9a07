"""The files of the blobs: each has its hash for a name, and is whole and durable before it has it.

    <workspace>/blobs/<sha256>   the bytes, written once
    <workspace>/pending/<...>    notes of writes and deletions under way: the sessions and the blobs they are about

The folder of the blobs is a lock. Writers of messages that name blobs share it. Whoever removes blobs has it alone: no
message can come in between that names one. A note found then belongs to a process that died, or could not tell the
index.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from chatkeep.core.blobs.blob_names import BLOB_BYTES_MAX, BlobName, is_sha256
from chatkeep.disk.files import Durability, Stamp, is_folder, open_folder, stamp_of, to_disk, told, write_whole
from chatkeep.disk.locks import flock
from chatkeep.errors import BlobNotFoundError, BrokenInputError, StorageError, TooLargeError

_READING: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAKING: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE_BYTES: Final = 1 << 20  # read at a time
_KNOWN_MAX: Final = 4096  # blobs known to be whole and durable
_NOTE_BYTES_MAX: Final = 1 << 24
_ALONE_S: Final = 0.2  # wait of a removal: a backup shares the lock to its end, and a later removal takes all


class PendingNote(Struct, frozen=True):
    """A write or a deletion under way: the files of its sessions, and the hashes of its blobs."""

    sessions: tuple[str, ...]
    blobs: tuple[str, ...]


class BlobRoom:
    """The folder of blobs. The first blob makes it."""

    def __init__(self, workspace: Path, *, durability: Durability = "full", lock_timeout_s: float = 5.0) -> None:
        """Take the workspace, and how far a blob gets before a message may name it."""
        self.path = workspace / "blobs"
        self._pending = workspace / "pending"
        self._is_durable = durability != "none"
        self._lock_timeout_s = lock_timeout_s
        self._known: dict[str, Stamp] = {}

    @property
    def is_there(self) -> bool:
        """Whether there may be blobs."""
        return is_folder(self.path)

    @contextlib.contextmanager
    def shared(self) -> Iterator[int]:
        """Open the folder, made if it is missing, and share its lock: no blob goes meanwhile.

        Raises:
            BusyError: when another process keeps it too long.
        """
        with self._opened(fcntl.LOCK_SH, self._lock_timeout_s) as folder:
            yield folder

    @contextlib.contextmanager
    def alone(self) -> Iterator[int]:
        """Open the folder, and have its lock alone: no message that names a blob is written meanwhile.

        Raises:
            BusyError: when others keep it, after a short wait.
        """
        with self._opened(fcntl.LOCK_EX, min(_ALONE_S, self._lock_timeout_s)) as folder:
            yield folder

    def put(self, folder: int, sha256: str, content: bytes) -> None:
        """Store a blob durably, unless it is there and whole.

        Raises:
            StorageError: when the disk refuses; then there is no such blob, or the one there was.
        """
        with told():
            if self.is_sure(folder, sha256):
                return
            if _stamp(folder, sha256) is not None and _is_whole(folder, sha256, content):
                self._flush(folder, sha256)  # its writer may have died before its flush
            else:
                with self._unnamed(folder) as (fd, unnamed):
                    write_whole(fd, content)
                    self._name(folder, fd, unnamed, sha256)
            self._remember(folder, sha256)

    def put_stream(self, source: BinaryIO, expected: str | None = None) -> BlobName:
        """Store what a stream has as a blob, durably; return its name. Nothing names it yet.

        Raises:
            BrokenInputError: when it has other bytes than the hash `expected` says.
            TooLargeError: when it has more than a blob may have.
            StorageError: when the disk refuses.
        """
        digest, size_bytes = hashlib.sha256(), 0
        with self.shared() as folder, told(), self._unnamed(folder) as (fd, unnamed):
            while piece := source.read(_PIECE_BYTES):
                digest.update(piece)
                size_bytes += len(piece)
                if size_bytes > BLOB_BYTES_MAX:
                    raise TooLargeError("attachment", BLOB_BYTES_MAX)
                write_whole(fd, piece)
            if expected not in {None, digest.hexdigest()}:
                raise BrokenInputError(f"The attachment {expected} has other bytes than its name says.")
            self._name(folder, fd, unnamed, digest.hexdigest())
            self._remember(folder, digest.hexdigest())
        return BlobName(digest.hexdigest(), size_bytes)

    def opened(self, sha256: str) -> BinaryIO:
        """Return an open blob; the caller closes it.

        Raises:
            BlobNotFoundError: when there is none, or something else has its name.
            StorageError: when the disk refuses.
        """
        try:
            with told(FileNotFoundError, NotADirectoryError):
                if not stat.S_ISREG(os.lstat(self.path / sha256).st_mode):  # a link cannot be opened to look at it
                    raise BlobNotFoundError
                return os.fdopen(os.open(self.path / sha256, _READING), "rb")
        except (FileNotFoundError, NotADirectoryError):
            raise BlobNotFoundError from None

    def has(self, folder: int, sha256: str) -> bool:
        """Tell whether there is a blob; its bytes are not read."""
        with told():
            return _stamp(folder, sha256) is not None

    def is_sure(self, folder: int, sha256: str) -> bool:
        """Tell whether a blob is as this object stored it."""
        with told():
            stamp = _stamp(folder, sha256)
        return stamp is not None and stamp == self._known.get(sha256)

    def names(self) -> Iterator[tuple[str, int]]:
        """Yield the hash and the size of each blob."""
        if self.is_there:
            with told(), os.scandir(self.path) as entries:
                for entry in entries:
                    if is_sha256(entry.name) and entry.is_file(follow_symlinks=False):
                        yield entry.name, entry.stat(follow_symlinks=False).st_size

    def unfinished(self, older_than_s: float = 0) -> Iterator[str]:
        """Yield the names of blobs without a hash: their writers died, or write them still."""
        if self.is_there:
            with told(), os.scandir(self.path) as entries:
                for entry in entries:
                    if entry.name.endswith(".new") and entry.is_file(follow_symlinks=False):
                        age_s = time.time() - entry.stat(follow_symlinks=False).st_mtime
                        if age_s >= older_than_s:
                            yield entry.name

    def remove(self, folder: int, names: Iterable[str]) -> None:
        """Remove files for good, durably."""
        gone = False
        with told():
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
                    gone = True
                self._known.pop(name, None)
            if gone and self._is_durable:
                os.fsync(folder)

    def note(self, sessions: Iterable[str], blobs: Iterable[str]) -> Path:
        """Leave a note of what is under way, to `drop` at its end; it need not outlast a power cut."""
        with told():
            os.close(open_folder(self._pending))
            path = self._pending / f"{time.time_ns()}-{os.urandom(8).hex()}"
            fd = os.open(path, _MAKING, 0o600)
            try:
                write_whole(fd, msgspec.json.encode(PendingNote(tuple(sessions), tuple(blobs))))
            finally:
                os.close(fd)
        return path

    def drop(self, note: Path) -> None:
        """Remove a note."""
        with told():
            note.unlink(missing_ok=True)

    def notes(self) -> dict[Path, PendingNote]:
        """Return the notes; one that was not written to its end is about nothing yet."""
        found: dict[Path, PendingNote] = {}
        if not is_folder(self._pending):
            return found
        with told():
            for path in sorted(self._pending.iterdir()):
                with contextlib.suppress(FileNotFoundError):
                    if path.is_symlink() or not path.is_file() or path.stat().st_size > _NOTE_BYTES_MAX:
                        continue
                    try:
                        found[path] = msgspec.json.decode(path.read_bytes(), type=PendingNote)
                    except msgspec.MsgspecError:
                        found[path] = PendingNote((), ())
        return found

    @contextlib.contextmanager
    def _opened(self, operation: int, patience_s: float) -> Iterator[int]:
        with told():
            folder = open_folder(self.path)
        try:
            flock(folder, time.monotonic() + patience_s, guarded="folder of attachments", operation=operation)
            yield folder
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def _unnamed(self, folder: int) -> Iterator[tuple[int, str]]:
        """Make a file without a hash for a name; it goes, unless it got one."""
        unnamed = f".{os.getpid()}-{os.urandom(8).hex()}.new"
        fd = os.open(unnamed, _MAKING, 0o600, dir_fd=folder)
        try:
            yield fd, unnamed
        finally:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(unnamed, dir_fd=folder)

    def _name(self, folder: int, fd: int, unnamed: str, sha256: str) -> None:
        if self._is_durable:
            to_disk(fd)
        os.rename(unnamed, sha256, src_dir_fd=folder, dst_dir_fd=folder)
        if self._is_durable:
            os.fsync(folder)

    def _flush(self, folder: int, sha256: str) -> None:
        if not self._is_durable:
            return
        fd = os.open(sha256, _READING, dir_fd=folder)
        try:
            to_disk(fd)
        finally:
            os.close(fd)
        os.fsync(folder)

    def _remember(self, folder: int, sha256: str) -> None:
        stamp = _stamp(folder, sha256)
        if stamp is None:
            raise StorageError("Another program has removed an attachment while it was written.")
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known[sha256] = stamp


def _stamp(folder: int, name: str) -> Stamp | None:
    """Return the state of a blob's file, None where there is none of ours alone."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return stamp_of(found) if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 else None


def _is_whole(folder: int, name: str, content: bytes) -> bool:
    fd = os.open(name, _READING, dir_fd=folder)
    with os.fdopen(fd, "rb") as file:
        return os.fstat(fd).st_size == len(content) and file.read() == content
