"""Waiting for a file: threads of this process take turns, processes use flock."""

from __future__ import annotations

import contextlib
import fcntl
import random
import threading
import time
from collections.abc import Iterator

from chatkeep.errors import BusyError
from chatkeep.store.files.disk import storage_error


class Turns:
    """Threads of this process waiting for one file queue here, so that flock is asked by one at a time."""

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextlib.contextmanager
    def turn(self, name: str, timeout_s: float) -> Iterator[None]:
        """Wait for a name's turn.

        Raises:
            BusyError: when it does not come in time.
        """
        with self._guard:
            lock, waiting = self._locks.get(name, (threading.Lock(), 0))
            self._locks[name] = (lock, waiting + 1)
        try:
            if not lock.acquire(timeout=timeout_s):
                raise BusyError
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._guard:
                lock, waiting = self._locks[name]
                if waiting == 1:
                    del self._locks[name]
                else:
                    self._locks[name] = (lock, waiting - 1)


def flock(fd: int, deadline: float) -> None:
    """Lock a descriptor, asking again and again: a blocking call would have no time-out.

    Raises:
        BusyError: when it is not free by the deadline.
    """
    pause_s = 0.0002
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise BusyError from None
            time.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - spreads the waiting, guards nothing
            pause_s = min(pause_s * 1.5, 0.005)
        except OSError as error:
            raise storage_error(error) from error
        else:
            return
