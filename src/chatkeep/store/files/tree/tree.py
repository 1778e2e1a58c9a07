"""The folder of session files: names, locks, durable writes.

    <workspace>/sessions/    one file per session, written by every process with the workspace open
    <workspace>/tmp/         unborn files; those of ended processes are removed
    <workspace>/trash/       deleted sessions that can come back: see `trash`
    <workspace>/quarantine/  bytes cut off by repairs (.cut), and files set aside by them (.old)

A writer holds `flock` on its file. A lock belongs to an inode, not to a name. So a writer compares the
locked inode with the inode of the name. After a deletion or replacement in between, it releases the lock
and opens the name anew.

A new inode (a new session, a changed header) is locked before it gets its name, until the folder
is flushed. So no client hears of a message in a file whose name may not survive.

Other programs know no lock, and may change or replace a file at any moment. So a write checks twice.
Before it, the file must be as last seen. After it, the file under the name must have the new bytes.
Assumed of the file system: it is local, honours flock and flush; a power cut leaves other bytes alone.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import time
import unicodedata
from base64 import b32encode
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, Literal

from chatkeep.disk.files import (
    Durability,
    Stamp,
    names_in,
    read_at,
    stamp_of,
    to_disk,
    told,
    write_drained,
)
from chatkeep.disk.locks import Turns, flock, is_held, is_locked
from chatkeep.errors import BusyError, StorageError, storage_error
from chatkeep.store.files.tree.births import born_together, forget_unborn, take_back
from chatkeep.store.files.tree.folders import Folders
from chatkeep.store.files.tree.held import LockedFile

SUFFIX: Final = ".json"
KEPT: Final = re.compile(r"(?s)(.+)-[0-9]{10,}-[0-9a-f]{8}\.(cut|old)")
"""A name in quarantine: file name, nanoseconds since 1970, a random number in hex, `cut` or `old`."""

_A_FILE_NAME: Final = re.compile(r"[a-z0-9-]{1,60}-[a-z2-7]{20}\.json")
_READABLE_CHARS: Final = 60  # of the key, for people in a folder listing
_HASH_CHARS: Final = 20  # 100 bits: nobody finds two keys with one name
_KEPT_BYTES: Final = 150  # of the original name; a session file's own has at most 86


class NotRegularError(Exception):
    """A name in the folder is a link, a device, a pipe or a folder. It is never opened."""


@lru_cache(maxsize=1024)
def file_name(key: str) -> str:
    """Return the file name of a key: a readable part, and a hash of the key.

    Lower case, at most 86 ASCII characters, safe on file systems with folded case or reserved names.
    """
    plain = unicodedata.normalize("NFKD", key).encode("ascii", "ignore").decode().lower()
    readable = re.sub(r"[^a-z0-9]+", "-", plain)[:_READABLE_CHARS].strip("-") or "session"
    digest = b32encode(hashlib.sha256(key.encode()).digest()).decode().lower()
    return f"{readable}-{digest[:_HASH_CHARS]}{SUFFIX}"


def is_file_name(name: str) -> bool:
    """Tell whether a name has the form of a key's file name."""
    return _A_FILE_NAME.fullmatch(name) is not None


def digest_in(name: str) -> str:
    """Return the hash in the file name of a key."""
    return name[-_HASH_CHARS - len(SUFFIX) : -len(SUFFIX)]


def kept_name(name: str, way: Literal["cut", "old"]) -> str:
    """Return an unused name in quarantine, in the form of `KEPT`, of at most 190 bytes: file systems take 255."""
    readable = os.fsdecode(os.fsencode(name)[:_KEPT_BYTES])
    return f"{readable}-{time.time_ns()}-{os.urandom(4).hex()}.{way}"


class Tree:
    """The folders of a workspace with session files."""

    def __init__(self, workspace: Path, *, durability: Durability = "full", lock_timeout_s: float = 5.0) -> None:
        """Open the folders; make missing ones, private to their owner.

        On a disk without writes, a workspace with sessions opens as it is; a later write makes the missing folders.

        Raises:
            StorageError: when a folder cannot be used, or the one of the sessions cannot be made.
        """
        self.workspace = workspace
        self._durability = durability
        self._lock_timeout_s = lock_timeout_s
        self._turns = Turns()
        self._folders = Folders(workspace, is_durable=durability != "none")

    @property
    def is_flushed(self) -> bool:
        """Whether every write reaches the disk itself before it is answered."""
        return self._durability == "full"

    @property
    def sessions_path(self) -> Path:
        """The folder of the session files."""
        return self._folders.sessions_path

    @property
    def moves(self) -> int:
        """The number of folders found replaced by others."""
        return self._folders.moves

    def close(self) -> None:
        """Close the folders; a second call does no harm."""
        self._folders.close()

    def find_place(self) -> None:
        """Follow every folder that was replaced or removed on the disk."""
        self._folders.follow()

    def stamps(self) -> Iterator[tuple[str, Stamp | None]]:
        """Yield every name in the folder with the state of its file, None for anything but a regular file."""
        with told(), os.scandir(self._folders.sessions) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not is_text(entry.name):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    yield entry.name, stamp_of(found) if stat.S_ISREG(found.st_mode) else None

    def unreadable_names(self) -> list[str]:
        """Return the names in the folder that are not text, with their bytes escaped."""
        with told(), os.scandir(self._folders.sessions) as entries:
            names = [entry.name for entry in entries if not is_text(entry.name)]
        return [os.fsencode(name).decode(errors="backslashreplace") for name in names]

    def stamp(self, name: str) -> Stamp | None:
        """Return the state of a file, None when there is none.

        Raises:
            NotRegularError: when the name stands for something else than a file.
        """
        try:
            with told(FileNotFoundError):
                found = os.stat(name, dir_fd=self._folders.sessions, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise NotRegularError(name)
        return stamp_of(found)

    def read(self, name: str) -> tuple[bytes, Stamp]:
        """Return a file's bytes, and its state from before the read. Takes no lock.

        Raises:
            FileNotFoundError: when there is none.
            NotRegularError: when the name stands for something else than a file.
        """
        fd = self.open(name)
        try:
            with told():
                stamp = stamp_of(os.fstat(fd))
                return read_at(fd, 0, stamp.size), stamp
        finally:
            os.close(fd)

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Return a descriptor of a file; the caller closes it.

        Raises:
            FileNotFoundError: when there is none.
            NotRegularError: when the name stands for something else than a file.
            StorageError: when the disk refuses.
        """
        fd = self._opened(name, flags)
        try:
            is_regular = stat.S_ISREG(os.fstat(fd).st_mode)
        except OSError as error:
            os.close(fd)
            raise storage_error(error) from error
        if not is_regular:
            os.close(fd)
            raise NotRegularError(name)
        return fd

    def _opened(self, name: str, flags: int) -> int:
        """Return a descriptor of whatever has a name; the caller looks whether it is a file, and closes it."""
        try:
            return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._folders.sessions)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENXIO}:
                raise NotRegularError(name) from error
            if error.errno == errno.ENOENT:
                raise
            raise storage_error(error) from error

    def is_linked(self, name: str) -> bool:
        """Tell whether a file has other names than its own and the one it was born with in `tmp`."""
        held = os.stat(name, dir_fd=self._folders.sessions, follow_symlinks=False)
        if held.st_nlink == 1:
            return False
        own_count = 1 + len(names_in(self._folders.tmp, held))
        return os.stat(name, dir_fd=self._folders.sessions, follow_symlinks=False).st_nlink > own_count

    def is_held(self, name: str) -> bool:
        """Tell whether a thread or process has the file locked now."""
        return self._turns.is_taken(name) or is_locked(name, self._folders.sessions)

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[LockedFile]:
        """Lock a file for this thread alone.

        Raises:
            FileNotFoundError: when there is none.
            NotRegularError: when the name stands for something else than a file.
            BusyError: when somebody else keeps it longer than the time-out.
        """
        deadline = time.monotonic() + self._lock_timeout_s
        self._folders.follow_sessions()
        with self._turns.turn(name, self._lock_timeout_s):
            fd, found = self._lock(name, deadline)
            try:
                yield LockedFile(fd, name, self._durability, found)
            finally:
                os.close(fd)

    def created(self, name: str, content: bytes) -> contextlib.AbstractContextManager[LockedFile]:
        """Make a new file under a name, durably, locked for this thread alone.

        Raises:
            FileExistsError: when the name is taken.
            StorageError: when the disk refuses; then there is no such file.
        """
        return self._born(name, content, self._claim)

    def created_together(
        self, contents: Mapping[str, bytes]
    ) -> contextlib.AbstractContextManager[dict[str, LockedFile]]:
        """Make new files durably, locked for this thread alone; a name that is taken is left out.

        All are written, then flushed side by side, then named, with one flush of the folder.

        Raises:
            StorageError: when the disk refuses; then there is none of these files.
        """
        return born_together(self._folders, contents, self._durability)

    def replace(self, file: LockedFile, content: bytes) -> None:
        """Replace a locked file by a new one, atomically and durably; afterwards `file` is the new one.

        Raises:
            BusyError: when somebody else has changed or replaced the old file since this thread saw it; theirs stays.
            StorageError: when the disk refuses. The old file stays, unless only the flush of the new name failed.
        """
        with self._born(file.name, content, partial(self._take_over, file)) as new, told():
            os.dup2(new.fd, file.fd, inheritable=False)  # the lock goes with it
            file.became(new)

    def kept_stamp(self, file: LockedFile, start: int, content: bytes) -> Stamp | None:
        """Return the state that a locked file was left in, None if it lacks its name or these bytes at `start` by now.

        If the disk does not say, the file counts as it was left: the write itself has succeeded.
        """
        try:
            with told(FileNotFoundError):
                named = os.stat(file.name, dir_fd=self._folders.sessions, follow_symlinks=False)
            is_kept = named.st_ino == file.seen.inode and file.read_at(start, len(content)) == content
        except FileNotFoundError:
            return None
        except StorageError:
            return file.seen
        return file.stamp_by(named) if is_kept else None

    def flush_names(self) -> None:
        """Return when all names in the folder are durable."""
        with told():
            self._flush_folder(self._folders.sessions)

    def remove(self, name: str) -> None:
        """Remove a name, durably. Every writer of the file must have it locked first.

        Raises:
            FileNotFoundError: when there is none.
        """
        with told(FileNotFoundError):
            os.unlink(name, dir_fd=self._folders.sessions)
            self._flush_folder(self._folders.sessions)

    def move_out(self, name: str, folder: int, other: str) -> None:
        """Move a file out of the sessions to another name in an open folder, durably; writers have it locked first.

        Raises:
            FileNotFoundError: when there is none.
        """
        with told(FileNotFoundError):
            os.rename(name, other, src_dir_fd=self._folders.sessions, dst_dir_fd=folder)
            self._flush_folder(folder)
            self._flush_folder(self._folders.sessions)

    def flush_folder(self, folder: int) -> None:
        """Return when the names in an open folder are durable, as far as the durability asks for it."""
        self._flush_folder(folder)

    def quarantine(self, name: str, content: bytes) -> None:
        """Store bytes in quarantine, durably, before a repair cuts them off a file."""
        self._folders.make()
        kept = kept_name(name, "cut")
        with told():
            fd = os.open(
                kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self._folders.quarantine
            )
            try:
                self._write(fd, content)
            finally:
                os.close(fd)
            self._flush_folder(self._folders.quarantine)

    def drop_quarantined(self, name: str) -> None:
        """Delete everything cut off a file by repairs, durably."""
        self.find_place()
        with told():
            with os.scandir(self._folders.quarantine) as entries:
                names = [
                    entry.name
                    for entry in entries
                    if entry.name.startswith(f"{name}-") and not entry.is_dir(follow_symlinks=False)
                ]
            for kept in names:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(kept, dir_fd=self._folders.quarantine)
            if names:
                self._flush_folder(self._folders.quarantine)

    @contextlib.contextmanager
    def _born(self, name: str, content: bytes, give_name: Callable[[str, str], None]) -> Iterator[LockedFile]:
        self._folders.make()
        unborn = f"{os.getpid()}-{os.urandom(8).hex()}"
        with told():
            fd = os.open(unborn, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self._folders.tmp)
        try:
            with told(FileExistsError):
                flock(fd)
                try:
                    self._write(fd, content)
                    file = LockedFile(fd, name, self._durability, os.fstat(fd))
                    give_name(unborn, name)
                finally:
                    forget_unborn(self._folders, unborn)
            yield file
        finally:
            os.close(fd)

    def _claim(self, unborn: str, name: str) -> None:
        os.link(unborn, name, src_dir_fd=self._folders.tmp, dst_dir_fd=self._folders.sessions, follow_symlinks=False)
        try:
            self._flush_folder(self._folders.sessions)
        except OSError:
            take_back(self._folders, [name])
            raise

    def _take_over(self, old: LockedFile, unborn: str, name: str) -> None:
        if not (old.is_as_seen() and self._named(old.fd, name)):
            raise BusyError
        os.rename(unborn, name, src_dir_fd=self._folders.tmp, dst_dir_fd=self._folders.sessions)
        self._flush_folder(self._folders.sessions)

    def _write(self, fd: int, content: bytes) -> None:
        flush = partial(self._flush_to_disk, fd)
        write_drained(fd, 0, content, flush)
        flush()

    def _flush_to_disk(self, fd: int) -> None:
        if self._durability != "none":
            to_disk(fd)

    def _flush_folder(self, fd: int) -> None:
        if self._durability != "none":
            os.fsync(fd)

    def _lock(self, name: str, deadline: float) -> tuple[int, os.stat_result]:
        """Return a locked descriptor of the file with a name, and the state of the file."""
        while True:
            fd = self._opened(name, os.O_RDWR)
            try:
                flock(fd, deadline)
                found = self._named(fd, name)
                if found is not None:
                    return fd, self._with_one_name(fd, found)
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _with_one_name(self, fd: int, found: os.stat_result) -> os.stat_result:
        """Return the state of a locked file without its name in `tmp`; its maker may have died before removing it."""
        if found.st_nlink == 1:
            return found
        with contextlib.suppress(OSError):
            for name in names_in(self._folders.tmp, found):
                os.unlink(name, dir_fd=self._folders.tmp)
        with told():
            return os.fstat(fd)

    def _named(self, fd: int, name: str) -> os.stat_result | None:
        """Return the state of an open file, None if the name does not stand for it.

        Raises:
            NotRegularError: when it is no regular file.
        """
        try:
            with told(FileNotFoundError):
                held = os.fstat(fd)
                if not stat.S_ISREG(held.st_mode):
                    raise NotRegularError(name)
                named = os.stat(name, dir_fd=self._folders.sessions, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return held if (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino) else None

    def sweep(self) -> None:
        """Remove unborn files without a living process, where possible: nothing depends on it."""
        with contextlib.suppress(OSError), os.scandir(self._folders.tmp) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False) and not is_held(entry.name, self._folders.tmp):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(entry.name, dir_fd=self._folders.tmp)


def is_text(name: str) -> bool:
    """Tell whether a name is text, and not other bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
