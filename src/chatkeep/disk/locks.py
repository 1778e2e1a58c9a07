"""Locks on files: threads of one process queue, processes use flock, and every wait can have an end.

`Turns` is the queue of threads, `flock` locks an open file, and `file_locked` a file by its path.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from chatkeep.disk.own import opened_own
from chatkeep.errors import BusyError, storage_error

_UNBORN_GRACE_S: Final = 10  # between the creation of a file and its lock, generously


class Turns:
    """A queue for each file: of all threads in this process, one at a time asks for the flock."""

    def __init__(self) -> None:
        """Begin with empty queues."""
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    def is_taken(self, name: str) -> bool:
        """Tell whether a thread of this process has the file or waits for it."""
        return name in self._locks

    def turn(self, name: str, timeout_s: float) -> _Turn:
        """Wait in the queue of a name, then have it for the length of the block.

        Raises:
            BusyError: when the turn does not come before the time-out.
        """
        return _Turn(self, name, timeout_s)

    def enter(self, name: str, timeout_s: float) -> None:
        """Take a turn, as `turn` says; `leave` ends it."""
        with self._guard:
            lock, waiting = self._locks.get(name) or (threading.Lock(), 0)
            self._locks[name] = (lock, waiting + 1)
        has_turn = False
        try:
            has_turn = lock.acquire(timeout=timeout_s)
        finally:
            if not has_turn:
                self._go(name)
        if not has_turn:
            raise BusyError

    def leave(self, name: str) -> None:
        """End a turn."""
        self._locks[name][0].release()
        self._go(name)

    def _go(self, name: str) -> None:
        """Leave the queue of a name."""
        with self._guard:
            lock, waiting = self._locks[name]
            if waiting == 1:
                del self._locks[name]
            else:
                self._locks[name] = (lock, waiting - 1)


class _Turn:
    """A block with a turn: no generator, as each write enters one."""

    __slots__ = ("_name", "_timeout_s", "_turns")

    def __init__(self, turns: Turns, name: str, timeout_s: float) -> None:
        self._turns = turns
        self._name = name
        self._timeout_s = timeout_s

    def __enter__(self) -> None:
        """Wait for the turn."""
        self._turns.enter(self._name, self._timeout_s)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """End it."""
        self._turns.leave(self._name)


@contextlib.contextmanager
def file_locked(path: Path, deadline: float | None = None, *, guarded: str = "session") -> Iterator[None]:
    """Hold the lock of a file for the length of the block; make the file if it is missing.

    Raises:
        BusyError: naming the `guarded` thing, when another process keeps the lock past the deadline, if there is one.
        StorageError: when the file cannot be opened or locked.
    """
    try:
        fd = opened_own(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise storage_error(error, path.name) from error
    try:
        flock(fd, deadline, guarded=guarded)
        yield
    finally:
        os.close(fd)


def flock(fd: int, deadline: float | None = None, *, guarded: str = "session", operation: int = fcntl.LOCK_EX) -> None:
    """Lock a descriptor, by the monotonic clock before the deadline: alone, or with `LOCK_SH` shared.

    Poll with a back-off of 0.2 to 5 ms, since a blocking call has no time-out. Without a deadline, block.

    Raises:
        BusyError: naming the `guarded` thing, when another process keeps the lock past the deadline.
        StorageError: when the file system refuses.
    """
    poll = 0 if deadline is None else fcntl.LOCK_NB
    pause_s = 0.0002
    while True:
        try:
            fcntl.flock(fd, operation | poll)
        except BlockingIOError:
            if deadline is not None and time.monotonic() > deadline:
                raise BusyError(guarded) from None
            time.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - spreads the waiting, guards nothing
            pause_s = min(pause_s * 1.5, 0.005)
        except OSError as error:
            raise storage_error(error) from error
        else:
            return


def is_held(unborn: str, folder: int) -> bool:
    """Tell whether a process still works on an unborn file: it is locked, or younger than ten seconds."""
    try:
        found = os.stat(unborn, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return True  # perhaps gone already
    return time.time() - found.st_mtime < _UNBORN_GRACE_S or is_locked(unborn, folder)


def is_locked(name: str, folder: int) -> bool:
    """Tell whether a file is locked, or cannot be opened."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)
