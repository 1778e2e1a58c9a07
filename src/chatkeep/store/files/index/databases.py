"""The media of an index: a database beside the session files, or one in memory over a read-only copy of it.

The index is in memory if the disk is full or read-only. It begins with the content of the database on the disk,
or empty if there is none. Only this process sees its changes.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import apsw

from chatkeep.disk.files import told
from chatkeep.disk.own import is_linked
from chatkeep.store.files.index.overlay import Overlay
from chatkeep.store.files.index.rows import Database
from chatkeep.store.files.index.sql import QUERIES, SCHEMA, one_number
from chatkeep.store.sets.containers import UnreadableRowError

_BUSY_S: Final = 3.0  # seconds to wait for the lock of another process, and for a file to settle
_SCRUB_CACHE_KB: Final = 4096  # KiB of pages; each page is written once
_SETTLING_S: Final = 0.01  # seconds between two looks at an unsettled file
_LOST: Final = (
    apsw.CorruptError,
    apsw.ConnectionClosedError,
    apsw.NotADBError,
    apsw.IOError,
    apsw.CantOpenError,
    apsw.SQLError,
    apsw.ReadOnlyError,
    apsw.ConstraintError,
    UnreadableRowError,
    UnicodeDecodeError,
)
_UNWRITTEN: Final = frozenset(
    (
        apsw.SQLITE_IOERR_WRITE,
        apsw.SQLITE_IOERR_FSYNC,
        apsw.SQLITE_IOERR_DIR_FSYNC,
        apsw.SQLITE_IOERR_TRUNCATE,
        apsw.SQLITE_IOERR_DELETE,
        apsw.SQLITE_IOERR_SHMOPEN,
        apsw.SQLITE_IOERR_SHMSIZE,
    )
)
"""Errors of the disk in writes only. (Extended result codes of SQLite.)"""


class IndexLostError(Exception):
    """The database is damaged or gone; the store has to build it again."""


class IndexBehindError(Exception):
    """Another process keeps the database locked. The files are newer than the index."""


class IndexRefusedError(Exception):
    """The disk takes no writes to the database. The files are newer than the index."""

    def __init__(self, *, is_full: bool = False, is_closed: bool = False) -> None:
        """Take the reason: a full disk, or a database closed to writes (`is_closed`); else a failed write."""
        super().__init__("full" if is_full else "read-only" if is_closed else "failed")
        self.is_full = is_full
        self.is_closed = is_closed


class Medium(Protocol):
    """The database of an index, and how to connect to it."""

    path: Path
    identity: str
    """An identifier of this database: the inode on the disk, a random number in memory."""
    is_shared: bool
    """Whether other processes see the writes."""

    def connected(self, *, read_only: bool = False, cache_kb: int) -> Database:
        """Return a new connection."""

    def is_in_place(self) -> bool:
        """Tell whether the path still leads to the open database."""

    def is_replaced(self) -> bool:
        """Tell whether the path leads to another database now."""

    def scrub(self) -> None:
        """End the erasures begun: leave no byte of the database but those in use."""

    def close(self) -> None:
        """Release the database; call it after the last connection is closed."""


class OnDisk:
    """A database beside the session files."""

    is_shared = True

    def __init__(self, path: Path) -> None:
        """Take the existing database at this path.

        Raises:
            IndexLostError: when the path is missing or a symbolic link, or a file of the database has hard links.
        """
        self.path = path
        with lost_as_such(), told():
            _check_regular(path)
            _check_one_name(path)
            self._inode = path.stat().st_ino
        self.identity = str(self._inode)

    @staticmethod
    def make(path: Path) -> None:
        """Make an empty database. No other process may know the path yet."""
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        with lost_as_such(), contextlib.closing(apsw.Connection(str(path))) as db:
            db.execute(SCHEMA)
            db.execute("PRAGMA journal_mode = WAL")

    def connected(self, *, read_only: bool = False, cache_kb: int) -> Database:
        """Return a new connection."""
        flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
        db = _prepared(Database(str(self.path), flags), cache_kb)
        if not read_only:
            db.execute("PRAGMA journal_size_limit = 67108864")
        return db

    def is_in_place(self) -> bool:
        """Tell whether the path still leads to the open database."""
        return self._inode_in_place() == self._inode

    def is_replaced(self) -> bool:
        """Tell whether the path leads to another database now."""
        return self._inode_in_place() not in {None, self._inode}

    def scrub(self) -> None:
        """End the erasures begun: write the database anew, and empty its write-ahead log.

        SQLite leaves old bytes in pages that it splits, so overwriting what it frees is not enough. Cost: one writing
        of the database. Meanwhile others read, but do not write.

        Raises:
            IndexBehindError: when another process writes, or reads for long.
        """
        with lost_as_such(), contextlib.closing(self.connected(cache_kb=_SCRUB_CACHE_KB)) as db:
            count = one_number(db, QUERIES["erasures"])
            if not one_number(db, QUERIES["unscrubbed"]):
                return
            db.execute("PRAGMA temp_store = FILE")  # else a large index takes as much memory
            db.execute("VACUUM")
            is_busy, _, _ = next(db.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
            if is_busy:
                raise IndexBehindError
            db.execute(QUERIES["put_scrubbed"], (count,))

    def close(self) -> None:
        """Do nothing: the medium has no open file of its own."""

    def _inode_in_place(self) -> int | None:
        try:
            return os.lstat(self.path).st_ino  # half of the time of Path.lstat, at each change
        except OSError:
            return None


class InMemory:
    """A private database of this process, over the one on the disk if it is readable.

    Another process may still write the one on the disk. Then this one is lost, and the next one starts from the
    new content.
    """

    is_shared = False

    def __init__(self, path: Path, *, is_empty: bool = False) -> None:
        """Start from the database at this path, or from an empty one.

        Raises:
            IndexLostError: when the database is not readable, or damaged.
            IndexBehindError: when another process writes the database all the time.
        """
        self.path = path
        self.identity = os.urandom(16).hex()
        with lost_as_such():
            try:
                if not is_empty:
                    _check_regular(path)
                self._overlay = _overlay(None if is_empty else path)
            except OSError as error:
                raise IndexLostError("unreadable") from error
            try:
                self._begin(is_empty=is_empty)
            except BaseException:
                self._overlay.close()
                raise

    def connected(self, *, read_only: bool = False, cache_kb: int) -> Database:
        """Return a new connection."""
        flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        db = _prepared(Database(*self._overlay.connected(flags)), cache_kb)
        db.pragma("journal_mode", "memory")
        return db

    def is_in_place(self) -> bool:
        """Return True: no other process can remove it."""
        return True

    def is_replaced(self) -> bool:
        """Return False: no other process can replace it."""
        return False

    def scrub(self) -> None:
        """Do nothing: memory ends with its process."""

    def close(self) -> None:
        """Free the memory."""
        self._overlay.close()

    @property
    def written_bytes(self) -> int:
        """The size of the written pages in memory."""
        return self._overlay.written_bytes

    def _begin(self, *, is_empty: bool) -> None:
        """Create the schema of an empty index; copy the write-ahead log of another one into its pages.

        With that log, several connections need shared memory in a file. A single exclusive connection does not.
        """
        with contextlib.closing(Database(*self._overlay.connected())) as db:
            db.pragma("locking_mode", "exclusive")
            if is_empty:
                db.execute(SCHEMA)
            db.pragma("journal_mode", "delete")


def _check_regular(path: Path) -> None:
    if not path.is_file() or path.is_symlink():
        raise IndexLostError("no file")  # a link would lead SQLite to a foreign database


def _check_one_name(path: Path) -> None:
    if any(is_linked(path.with_name(path.name + ending)) for ending in ("", "-wal", "-shm", "-journal")):
        raise IndexLostError("linked")  # a write of SQLite would change the file's other name as well


def _overlay(path: Path | None) -> Overlay:
    """Return an overlay of a settled file: any later write shows in the file's times.

    Raises:
        IndexBehindError: when the file does not settle within three seconds.
    """
    deadline = time.monotonic() + _BUSY_S
    while True:
        overlay = Overlay(path)
        if overlay.is_settled():
            return overlay
        overlay.close()
        if time.monotonic() > deadline:
            raise IndexBehindError
        time.sleep(_SETTLING_S)


def _prepared(db: Database, cache_kb: int) -> Database:
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)  # else SQLite plans a statement anew for each value of a range
    db.set_busy_handler(_waits())
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute(f"PRAGMA cache_size = -{cache_kb}")
    return db


def _waits() -> Callable[[int], bool]:
    """Return a busy handler of short random waits, so that no process starves; it gives up after three seconds."""
    began_s = 0.0

    def wait(attempt: int) -> bool:
        nonlocal began_s
        if attempt == 0:
            began_s = time.monotonic()
        time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311 - spreads the waiting, guards nothing
        return time.monotonic() - began_s < _BUSY_S

    return wait


class _LostAsSuch:
    """A block with errors of SQLite: no generator, as each question enters one."""

    __slots__ = ()

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise one of the three in place of an error of SQLite."""
        if error is not None:
            _raise_as_such(error)


_LOST_AS_SUCH: Final = _LostAsSuch()


def lost_as_such() -> _LostAsSuch:
    """Raise the errors of SQLite as one of three: lost, behind or refused. Other errors pass unchanged.

    Raises:
        IndexLostError: when the database is damaged or gone.
        IndexBehindError: when another process keeps it locked.
        IndexRefusedError: when the disk takes no writes.
    """
    return _LOST_AS_SUCH


def _raise_as_such(error: BaseException) -> None:
    if isinstance(error, UnreadableRowError | UnicodeDecodeError):
        raise IndexLostError(type(error).__name__) from error
    if not isinstance(error, apsw.Error):
        return
    if _refuses(error):
        is_closed = isinstance(error, apsw.ReadOnlyError)
        raise IndexRefusedError(is_full=isinstance(error, apsw.FullError), is_closed=is_closed) from error
    if isinstance(error, apsw.BusyError):
        raise IndexBehindError from error
    if isinstance(error, _LOST) and (not isinstance(error, apsw.SQLError) or "no such" in str(error)):
        raise IndexLostError(type(error).__name__) from error


def _refuses(error: apsw.Error) -> bool:
    """Tell whether the disk refused a write; the database itself may be whole."""
    code = getattr(error, "extendedresult", 0)
    if isinstance(error, apsw.ReadOnlyError):
        return code != apsw.SQLITE_READONLY_DBMOVED
    return isinstance(error, apsw.FullError) or code in _UNWRITTEN
