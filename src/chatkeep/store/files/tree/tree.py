"""The folder of session files: names, locks, durable writes.

    <workspace>/sessions/    one file per session, written by every process that has the workspace open
    <workspace>/tmp/         files that are not born yet; what an ended process left here is removed
    <workspace>/quarantine/  bytes that repairs cut off (.cut), and files that they set aside (.old)

Whoever writes a file holds `flock` on it. A lock belongs to an inode, not to a name, so after taking
it the inode is compared with what the name stands for now: a file that was deleted or replaced
meanwhile is let go, and the name is opened anew.

A new inode (a new session, a changed header) is locked before it gets its name and until the folder
is flushed. So nobody can be told that a message is stored in a file whose name may not survive.

Others, who know of no lock, may change or replace a file at any moment. So right before a write the
file must be as it was when it was looked at, and after it what was written must be in the file that has the name.
Assumed of the file system: it is local, honours flock and flush; a power cut leaves other bytes alone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import stat
import threading
import time
import unicodedata
from base64 import b32encode
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, Literal

from chatkeep.disk.files import (
    Durability,
    Stamp,
    flush_folder,
    is_at,
    is_folder,
    is_nowhere,
    make_folder,
    names_in,
    open_folder,
    open_if_can_be,
    open_nowhere,
    read_at,
    stamp_of,
    to_disk,
    told,
)
from chatkeep.errors import BusyError, StorageError, storage_error
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.locks import Turns, flock, is_held, is_locked

SUFFIX: Final = ".json"
KEPT: Final = re.compile(r"(?s)(.+)-[0-9]{10,}-[0-9a-f]{8}\.(cut|old)")
"""The name of what is kept in quarantine: of what, when in nanoseconds, a number drawn by lot, in which way."""

_A_FILE_NAME: Final = re.compile(r"[a-z0-9-]{1,60}-[a-z2-7]{20}\.json")
_READABLE_CHARS: Final = 60
_HASH_CHARS: Final = 20  # 100 bits: nobody finds two keys with one name
_KEPT_CHARS: Final = 150
_COPY_BYTES: Final = 1 << 20


class NotRegularError(Exception):
    """A name in the folder is a link, a device, a pipe or a folder. It is never opened."""


@lru_cache(maxsize=1024)
def file_name(key: str) -> str:
    """Return the name of a key's file: a readable part, and a hash that makes it the key's own.

    Lower case, at most 86 ASCII characters, safe on file systems that fold case or reserve names.
    """
    plain = unicodedata.normalize("NFKD", key).encode("ascii", "ignore").decode().lower()
    readable = re.sub(r"[^a-z0-9]+", "-", plain)[:_READABLE_CHARS].strip("-") or "session"
    digest = b32encode(hashlib.sha256(key.encode()).digest()).decode().lower()
    return f"{readable}-{digest[:_HASH_CHARS]}{SUFFIX}"


def is_file_name(name: str) -> bool:
    """Tell whether a name can be that of some key's file."""
    return _A_FILE_NAME.fullmatch(name) is not None


def kept_name(name: str, way: Literal["cut", "old"]) -> str:
    """Return a name for something to keep in quarantine that nothing there has, as `KEPT` says."""
    return f"{name[:_KEPT_CHARS]}-{time.time_ns()}-{os.urandom(4).hex()}.{way}"


class Tree:
    """The folders of a workspace that hold session files."""

    def __init__(self, workspace: Path, *, durability: Durability = "full", lock_timeout_s: float = 5.0) -> None:
        """Make the folders where they are missing, private to their owner, and open them.

        Where nothing can be made, a workspace that has sessions is opened as it is: a write makes what it lacks.

        Raises:
            StorageError: when a folder cannot be used, or that of the sessions cannot be made.
        """
        self.workspace = workspace
        self._durability = durability
        self._lock_timeout_s = lock_timeout_s
        self._turns = Turns()
        self.moves = 0  # how often a folder was found in the place of another one
        self._moving = threading.Lock()
        with told():
            make_folder(workspace)
            self.sessions_path = workspace / "sessions"
            self._folders = {self.sessions_path: open_folder(self.sessions_path)}
            self._folders |= {(path := workspace / name): open_if_can_be(path) for name in ("tmp", "quarantine")}
            if durability != "none":
                flush_folder(workspace)  # whoever made the folders may have died before theirs was flushed
        self._sessions, self._tmp, self._quarantine = self._folders.values()

    def close(self) -> None:
        """Close the folders; once is enough, twice does no harm."""
        with self._moving:
            while self._folders:
                os.close(self._folders.popitem()[1])
            self._sessions = self._tmp = self._quarantine = -1

    def find_place(self) -> None:
        """Follow a folder that another one was put in the place of, or nothing."""
        with told(), self._moving:
            for path, fd in self._folders.items():
                if is_at(fd, path) or (is_nowhere(fd) and not is_folder(path)):
                    continue
                new = open_folder(path) if is_folder(path) else open_nowhere()
                os.dup2(new, fd, inheritable=False)
                os.close(new)
                self.moves += 1

    def _make_place(self) -> None:
        """Make the folders that are missing, and follow them. Only a write does that: others may be at work here."""
        with told():
            for path, fd in self._folders.items():
                if not is_at(fd, path):
                    os.close(open_folder(path))
        self.find_place()

    def stamps(self) -> Iterator[tuple[str, Stamp | None]]:
        """Yield every name in the folder with the state of its file, None for what is no regular file."""
        with told(), os.scandir(self._sessions) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not is_text(entry.name):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    yield entry.name, stamp_of(found) if stat.S_ISREG(found.st_mode) else None

    def unreadable_names(self) -> list[str]:
        """Return the names in the folder that are no text, in a form that is."""
        with told(), os.scandir(self._sessions) as entries:
            names = [entry.name for entry in entries if not is_text(entry.name)]
        return [os.fsencode(name).decode(errors="backslashreplace") for name in names]

    def stamp(self, name: str) -> Stamp | None:
        """Return the state of a file, None when there is none.

        Raises:
            NotRegularError: when the name stands for something that is no file.
        """
        try:
            with told(FileNotFoundError):
                found = os.stat(name, dir_fd=self._sessions, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise NotRegularError(name)
        return stamp_of(found)

    def read(self, name: str) -> tuple[bytes, Stamp]:
        """Return a file's bytes, and its state from before they were read. Takes no lock.

        Raises:
            FileNotFoundError: when there is none.
            NotRegularError: when the name stands for something that is no file.
        """
        fd = self.open(name)
        try:
            with told():
                stamp = stamp_of(os.fstat(fd))
                return read_at(fd, 0, stamp.size), stamp
        finally:
            os.close(fd)

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Return a descriptor of a file, which somebody has to close.

        Raises:
            FileNotFoundError: when there is none.
            NotRegularError: when the name stands for something that is no file.
            StorageError: when the disk refuses.
        """
        try:
            fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._sessions)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENXIO}:
                raise NotRegularError(name) from error
            if error.errno == errno.ENOENT:
                raise
            raise storage_error(error) from error
        try:
            is_regular = stat.S_ISREG(os.fstat(fd).st_mode)
        except OSError as error:
            os.close(fd)
            raise storage_error(error) from error
        if not is_regular:
            os.close(fd)
            raise NotRegularError(name)
        return fd

    def is_linked(self, name: str) -> bool:
        """Tell whether a file has other names than here and in `tmp`, where it was born."""
        held = os.stat(name, dir_fd=self._sessions, follow_symlinks=False)
        if held.st_nlink == 1:
            return False
        own_count = 1 + len(names_in(self._tmp, held))
        return os.stat(name, dir_fd=self._sessions, follow_symlinks=False).st_nlink > own_count

    def is_held(self, name: str) -> bool:
        """Tell whether somebody has a file locked now."""
        return self._turns.is_taken(name) or is_locked(name, self._sessions)

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[LockedFile]:
        """Give a file to this thread alone.

        Raises:
            FileNotFoundError: when there is none.
            NotRegularError: when the name stands for something that is no file.
            BusyError: when somebody else keeps it longer than the time-out.
        """
        deadline = time.monotonic() + self._lock_timeout_s
        self.find_place()
        with self._turns.turn(name, self._lock_timeout_s):
            fd = self._lock(name, deadline)
            try:
                self._drop_first_name(fd)
                yield LockedFile(fd, name, self._durability)
            finally:
                os.close(fd)

    def created(self, name: str, content: bytes) -> contextlib.AbstractContextManager[LockedFile]:
        """Give a new file its name, durably, and to this thread alone.

        Raises:
            FileExistsError: when the name is taken.
            StorageError: when the disk refuses; there is no such file then.
        """
        return self._born(name, content, self._claim)

    def replace(self, file: LockedFile, content: bytes) -> None:
        """Put a new file in the place of a locked one, all at once and durably; `file` is the new one then.

        Raises:
            BusyError: when somebody else has changed or replaced the old file since it was looked at; theirs stays.
            StorageError: when the disk refuses; the old file stays then, unless it is the name that
                cannot be made durable.
        """
        with self._born(file.name, content, partial(self._take_over, file)) as new, told():
            os.dup2(new.fd, file.fd, inheritable=False)  # the lock goes with it
            file.became(new)

    def has_kept(self, file: LockedFile, start: int, content: bytes) -> bool:
        """Tell whether a locked file is still the one of its name and has these bytes there, as far as can be told."""
        try:
            return self._is_named(file.fd, file.name) and file.read_at(start, len(content)) == content
        except StorageError:
            return True  # they were flushed

    def flush_names(self) -> None:
        """Return when all names in the folder are durable."""
        with told():
            self._flush_folder(self._sessions)

    def remove(self, name: str) -> None:
        """Remove a name, durably. Whoever writes the file must have it locked.

        Raises:
            FileNotFoundError: when there is none.
        """
        with told(FileNotFoundError):
            os.unlink(name, dir_fd=self._sessions)
            self._flush_folder(self._sessions)

    def quarantine(self, name: str, content: bytes) -> None:
        """Keep bytes that a repair is about to cut off a file."""
        self._make_place()
        kept = kept_name(name, "cut")
        with told():
            fd = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self._quarantine)
            try:
                self._write(fd, content)
            finally:
                os.close(fd)
            self._flush_folder(self._quarantine)

    def drop_quarantined(self, name: str) -> None:
        """Forget what repairs have cut off a file, durably."""
        with told():
            with os.scandir(self._quarantine) as entries:
                names = [
                    entry.name
                    for entry in entries
                    if entry.name.startswith(f"{name}-") and not entry.is_dir(follow_symlinks=False)
                ]
            for kept in names:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(kept, dir_fd=self._quarantine)
            if names:
                self._flush_folder(self._quarantine)

    @contextlib.contextmanager
    def _born(self, name: str, content: bytes, give_name: Callable[[str, str], None]) -> Iterator[LockedFile]:
        self._make_place()
        unborn = f"{os.getpid()}-{os.urandom(8).hex()}"
        with told():
            fd = os.open(unborn, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self._tmp)
        try:
            with told(FileExistsError):
                fcntl.flock(fd, fcntl.LOCK_EX)
                try:
                    self._write(fd, content)
                    file = LockedFile(fd, name, self._durability)
                    give_name(unborn, name)
                finally:
                    with contextlib.suppress(OSError):  # what stays is swept when the workspace is opened next
                        os.unlink(unborn, dir_fd=self._tmp)
            yield file
        finally:
            os.close(fd)

    def _claim(self, unborn: str, name: str) -> None:
        os.link(unborn, name, src_dir_fd=self._tmp, dst_dir_fd=self._sessions, follow_symlinks=False)
        try:
            self._flush_folder(self._sessions)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._sessions)  # it is locked: nobody was told of anything in it
            raise

    def _take_over(self, old: LockedFile, unborn: str, name: str) -> None:
        if not (old.is_as_seen() and self._is_named(old.fd, name)):
            raise BusyError
        os.rename(unborn, name, src_dir_fd=self._tmp, dst_dir_fd=self._sessions)
        self._flush_folder(self._sessions)

    def _write(self, fd: int, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view[:_COPY_BYTES]) :]
        if self._durability != "none":
            to_disk(fd)

    def _flush_folder(self, fd: int) -> None:
        if self._durability != "none":
            os.fsync(fd)

    def _lock(self, name: str, deadline: float) -> int:
        while True:
            fd = self.open(name, os.O_RDWR)
            try:
                flock(fd, deadline)
                if self._is_named(fd, name):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _drop_first_name(self, fd: int) -> None:
        """Take away the name in `tmp` of a locked file, which whoever made it may have died before doing."""
        with contextlib.suppress(OSError):
            held = os.fstat(fd)
            for name in names_in(self._tmp, held) if held.st_nlink > 1 else ():
                os.unlink(name, dir_fd=self._tmp)

    def _is_named(self, fd: int, name: str) -> bool:
        try:
            with told(FileNotFoundError):
                held = os.fstat(fd)
                named = os.stat(name, dir_fd=self._sessions, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)

    def sweep(self) -> None:
        """Remove unborn files that nobody holds any more, where that can be: nothing depends on it."""
        with contextlib.suppress(OSError), os.scandir(self._tmp) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False) and not is_held(entry.name, self._tmp):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(entry.name, dir_fd=self._tmp)


def is_text(name: str) -> bool:
    """Tell whether a name is text, and not other bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
