"""Rate limits: requests a minute for each bucket, counted by all processes together.

A bucket (an address, a token) has the times of its requests in the last 60 seconds. A request passes
when there are fewer times than the limit. This is an exact sliding window: no 60 seconds, wherever they
begin, see more requests than the limit. Refused requests do not count.

The times live in a small SQLite database beside the sessions, because processes share it without a
server. Its rows are worthless after a minute. So it is never synced to disk, and a database with damage or
another layout is deleted. While the disk fails, each process counts alone, in memory, for 60 seconds at a time.
So a full disk does not stop anybody from deleting sessions. Times come from CLOCK_MONOTONIC, shared by all
processes of a Linux system. Rows in the future are from before a reboot, and are dropped.
"""

from __future__ import annotations

import math
import os
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import apsw
from msgspec import Struct

from chatkeep.disk.own import is_linked, opened_own
from chatkeep.disk.sqlite import named_statements, sql_text, transaction
from chatkeep.errors import BusyError, RateLimitedError

WINDOW_S: Final = 60
_BUSY_WAIT_MS: Final = 1000  # time-out for the transactions of other processes
_PRIVATE_S: Final = 60  # how long to count alone before trying the file again
_FORGET_AT_ONCE: Final = 8  # old rows deleted at each request, so that idle buckets vanish at little cost
_SQL: Final = named_statements(sql_text(__package__, "limits.sql"))
_US: Final = 1_000_000  # microseconds in a second


class _LinkedError(Exception):
    """A database file has more than one hard link: writing to it would change a file under another name."""


_DAMAGE: Final = (_LinkedError, apsw.CorruptError, apsw.NotADBError, apsw.SQLError, apsw.MismatchError)


class Standing(Struct, frozen=True):
    """The state of the tightest bucket; its oldest request leaves the window in `reset_s` seconds."""

    limit: int
    remaining: int
    reset_s: int


class Limits:
    """The sliding windows of one workspace, or of this process alone when there is no path. Thread-safe."""

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the path of the database (it may not exist yet), and a clock shared by all its processes."""
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._database: apsw.Connection | None = None
        self._inode = 0
        self._private_until = -math.inf

    def take(self, buckets: Sequence[tuple[str, int]], *, hidden: str = "") -> Standing | None:
        """Count a request in all of the buckets, or in none, and return the standing of the tightest one.

        Each bucket comes with its limit; its name begins with its kind and a colon. A limit of 0 means no limit.
        Return None when no bucket has a limit. The standing ignores buckets of the kind `hidden`, if there are others.

        Raises:
            RateLimitedError: when a bucket is full; it has the kind, and the seconds until all buckets have room.
            BusyError: when another process holds the database for more than a second.
        """
        limited = [bucket for bucket in buckets if bucket[1] > 0]
        if not limited:
            return None
        with self._lock:
            try:
                return self._taken_anew(limited, hidden)
            except apsw.BusyError as error:
                raise BusyError("rate limit") from error
            except (apsw.Error, OSError):
                self._private_until = self._clock() + _PRIVATE_S
            return self._taken(limited, hidden)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._disconnect()

    def _taken_anew(self, buckets: Sequence[tuple[str, int]], hidden: str) -> Standing:
        """Count in the database; replace a damaged one."""
        try:
            return self._taken(buckets, hidden)
        except _DAMAGE:
            self._discard()
        return self._taken(buckets, hidden)

    def _taken(self, buckets: Sequence[tuple[str, int]], hidden: str) -> Standing:
        database = self._connected()
        with transaction(database):
            now = int(self._clock() * _US)
            windows = [_Window(database, name, limit, now) for name, limit in buckets]
            waits = [(window.wait_us(), window.limit, window.kind) for window in windows]
            if max(waits)[0] <= 0:
                for window in windows:
                    window.count()
            database.execute(_SQL["forget_others"], (now - WINDOW_S * _US, _FORGET_AT_ONCE))
        wait_us, limit, kind = max(waits)
        if wait_us > 0:
            raise RateLimitedError(limit, _seconds(wait_us), kind)
        shown = [window for window in windows if window.kind != hidden] or windows
        return min((window.standing() for window in shown), key=lambda standing: standing.remaining)

    def _connected(self) -> apsw.Connection:
        """Return the connection; reconnect when the path has another file by now."""
        path = None if self._clock() < self._private_until else self._path
        inode = _inode(path)
        if self._database is None or inode != self._inode:
            self._disconnect()
            self._database = _opened(path, self._clock)
            self._inode = _inode(path)
        return self._database

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _discard(self) -> None:
        self._disconnect()
        if self._path is not None:
            for file in _files_of(self._path):
                file.unlink(missing_ok=True)


class _Window:
    """The requests of one bucket in the last 60 seconds, within one transaction."""

    def __init__(self, database: apsw.Connection, name: str, limit: int, now: int) -> None:
        self.limit = limit
        self.kind = name.partition(":")[0]
        self._database = database
        self._name = name
        self._now = now
        database.execute(_SQL["forget_bucket"], (name, now - WINDOW_S * _US))
        self._oldest_at, first = self._row("oldest", 0) or (now, 1)
        self._last = (self._row("newest") or (now, 0))[1]
        self._size = self._last - first + 1

    def wait_us(self) -> int:
        """Return the microseconds until a request may pass; 0 when it may now."""
        if self._size < self.limit:
            return 0
        row = self._row("oldest", self._size - self.limit)
        return max(1, row[0] + WINDOW_S * _US - self._now) if row else 0

    def count(self) -> None:
        """Add a request at the present time."""
        self._last += 1
        self._size += 1
        self._database.execute(_SQL["count"], (self._name, self._now, self._last))

    def standing(self) -> Standing:
        """Return the limit, the remaining requests and the reset time."""
        reset_s = _seconds(self._oldest_at + WINDOW_S * _US - self._now)
        return Standing(limit=self.limit, remaining=self.limit - self._size, reset_s=reset_s)

    def _row(self, statement: str, *more: int) -> tuple[int, int] | None:
        for at, n in self._database.execute(_SQL[statement], (self._name, *more)):
            return int(at), int(n)
        return None


def _opened(path: Path | None, clock: Callable[[], float]) -> apsw.Connection:
    if path is not None:  # created here, so that others can never read it; -wal and -shm copy its mode
        if any(map(is_linked, _files_of(path))):
            raise _LinkedError
        os.close(opened_own(path, os.O_RDWR | os.O_CREAT))
    database = apsw.Connection(":memory:" if path is None else str(path))
    try:
        database.set_busy_timeout(_BUSY_WAIT_MS)
        database.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")
        with transaction(database):
            if database.pragma("user_version") != _layout():
                # Fails when there are tables of another layout; the caller then discards the file
                database.execute(_SQL["layout"])
                database.pragma("user_version", _layout())
            # The clock is read within the transaction: no other process can add a later row meanwhile
            database.execute(_SQL["forget_future"], (int(clock() * _US),))
    except BaseException:
        database.close()
        raise
    return database


def _files_of(path: Path) -> list[Path]:
    return [path.with_name(path.name + ending) for ending in ("", "-wal", "-shm")]


def _inode(path: Path | None) -> int:
    try:
        return path.stat().st_ino if path else 0
    except FileNotFoundError:
        return -1


def _seconds(wait_us: int) -> int:
    return max(1, math.ceil(wait_us / _US))


def _layout() -> int:
    return zlib.crc32(_SQL["layout"].encode()) >> 1
