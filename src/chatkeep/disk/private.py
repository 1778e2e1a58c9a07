"""A small file of a workspace for its owner alone: tokens, and sessions of the page.

A change takes the lock, writes a new file beside it and renames. So any number of commands and servers share
it. Nobody sees half of a change, and a crash leaves the old file or the new one. Links, pipes and devices
are neither followed nor waited for, and a file with other names is refused.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from chatkeep.disk.locks import file_locked
from chatkeep.disk.own import opened_own
from chatkeep.disk.replacing import replace_file
from chatkeep.errors import storage_error

_LOCK_WAIT_S: Final = 5.0  # time-out; a change is one small write and its flush

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
            replace_file(self._path, encoded)
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
        except OSError as error:
            raise storage_error(error, lock.name) from error
        with file_locked(lock, time.monotonic() + _LOCK_WAIT_S, guarded="token file"):
            yield


def _file_bytes(path: Path) -> bytes:
    with open(opened_own(path, os.O_RDONLY), "rb") as file:  # noqa: PTH123 - it is open
        return file.read()
