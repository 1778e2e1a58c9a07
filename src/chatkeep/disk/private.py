"""A small file of a workspace for its owner alone: tokens, and sessions of the page.

A change takes the lock, writes a new file beside it and renames. So any number of commands and servers share
it. Nobody sees half of a change, and a crash leaves the old file or the new one. Links, pipes and devices
are neither followed nor waited for, and a file with other names is refused.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from chatkeep.disk.own import opened_own
from chatkeep.errors import BusyError, storage_error

_LOCK_WAIT_S: Final = 5.0  # time-out; a change is one small write and its flush
_LOCK_POLL_S: Final = 0.01  # between attempts; flock has no time-out

FileState = tuple[int, int, int]
"""The state of a file, different after every change: modification time in nanoseconds, size in bytes, inode."""


class PrivateFile:
    """A file readable for its owner alone. Safe to use from many threads and processes."""

    def __init__(self, path: Path) -> None:
        """Take the path; neither the file nor its folder need exist."""
        self._path = path

    def stamp(self) -> FileState | None:
        """Return the state of the file, None when it does not exist.

        Raises:
            StorageError: when the disk does not say. An unreadable list never counts as an empty one.
        """
        try:
            found = self._path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise storage_error(error, self._path.name) from error
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def read(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            FileNotFoundError: when it does not exist.
            StorageError: when it cannot be read, or is no regular file.
        """
        try:
            return _file_bytes(self._path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise storage_error(error, self._path.name) from error

    def replace(self, encoded: bytes) -> None:
        """Replace the contents atomically and durably; the caller holds the lock.

        Raises:
            StorageError: when the disk refuses; the old file stays.
        """
        try:
            _replace(self._path, encoded)
        except OSError as error:
            raise storage_error(error, self._path.name) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes and threads from changing the file.

        Raises:
            BusyError: when another process holds it for more than five seconds.
            StorageError: when the lock cannot be made.
        """
        lock = self._path.with_suffix(".lock")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = opened_own(lock, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise storage_error(error, lock.name) from error
        try:
            _wait_for(descriptor)
            yield
        finally:
            os.close(descriptor)


def _file_bytes(path: Path) -> bytes:
    with open(opened_own(path, os.O_RDONLY), "rb") as file:  # noqa: PTH123 - it is open
        return file.read()


def _replace(path: Path, encoded: bytes) -> None:
    """Replace a file by a new one; a crash leaves one of the two, whole."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a path cannot say the mode
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _wait_for(descriptor: int) -> None:
    give_up_at = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > give_up_at:
                raise BusyError("token file") from error
            time.sleep(_LOCK_POLL_S)
        else:
            return
