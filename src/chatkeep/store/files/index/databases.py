"""What an index lies on: a database beside the session files, or one in memory over what can only be read of that.

The one in memory is for when the disk is full, or may only be read. It begins as the one on the disk is, and what
changes in it is seen by this process alone. Where there is none to begin with, it begins empty.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

import apsw

from chatkeep.disk.files import told
from chatkeep.disk.own import is_linked
from chatkeep.store.files.index.overlay import Overlay
from chatkeep.store.files.index.rows import Database
from chatkeep.store.files.index.search.documents import FUNCTIONS
from chatkeep.store.files.index.sql import SCHEMA, UnreadableRowError

_BUSY_S: Final = 3.0
_SETTLING_S: Final = 0.01
_LOST: Final = (
    apsw.CorruptError,
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
"""Errors of the disk that concern writes alone. (Extended result codes of SQLite.)"""


class IndexLostError(Exception):
    """The database is damaged or gone; it has to be built again."""


class IndexBehindError(Exception):
    """The database could not be written now: somebody keeps it. The files say more than it."""


class IndexRefusedError(Exception):
    """The disk takes no writes to the database. The files say more than it."""

    def __init__(self, *, is_full: bool = False, is_closed: bool = False) -> None:
        """Say whether there is no space, or whether SQLite may not write, for whatever reason."""
        super().__init__("full" if is_full else "read-only" if is_closed else "failed")
        self.is_full = is_full
        self.is_closed = is_closed


class Medium(Protocol):
    """What an index lies on."""

    path: Path
    identity: str
    """What stands for this database, and for no other one that there ever was."""
    is_shared: bool
    """Whether other processes see what is written."""

    def connected(self, *, read_only: bool = False, cache_kb: int) -> Database:
        """Return a new connection."""

    def is_in_place(self) -> bool:
        """Tell whether the name still stands for the database that is open."""

    def is_replaced(self) -> bool:
        """Tell whether the name stands for another database now."""

    def close(self) -> None:
        """Let go of it, when all connections are closed."""


class OnDisk:
    """A database beside the session files."""

    is_shared = True

    def __init__(self, path: Path) -> None:
        """Take the database of this name, which must exist."""
        self.path = path
        with lost_as_such(), told():
            _check_regular(path)
            _check_one_name(path)
            self._inode = path.stat().st_ino
        self.identity = str(self._inode)

    @staticmethod
    def make(path: Path) -> None:
        """Make an empty database. Nobody else may know the name yet."""
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
        """Tell whether the name still stands for the database that is open."""
        return self._inode_in_place() == self._inode

    def is_replaced(self) -> bool:
        """Tell whether the name stands for another database now."""
        return self._inode_in_place() not in {None, self._inode}

    def close(self) -> None:
        """Do nothing: a name is not open."""

    def _inode_in_place(self) -> int | None:
        try:
            return self.path.lstat().st_ino
        except OSError:
            return None


class InMemory:
    """A database that only this process has, over the one that the disk has, if that can be read.

    Others may still write that one. Then this one is lost, and the next one begins with what there is by then.
    """

    is_shared = False

    def __init__(self, path: Path, *, is_empty: bool = False) -> None:
        """Take the database of this name to begin with, or an empty one."""
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
        """Say yes: nobody else can remove it."""
        return True

    def is_replaced(self) -> bool:
        """Say no: nobody else can replace it."""
        return False

    def close(self) -> None:
        """Give the memory back."""
        self._overlay.close()

    @property
    def written_bytes(self) -> int:
        """How much of it is in memory."""
        return self._overlay.written_bytes

    def _begin(self, *, is_empty: bool) -> None:
        """Make what is empty an index, and take what is in the write-ahead log of another into it.

        With that log many connections would need memory that they share in a file. One alone does without.
        """
        with contextlib.closing(Database(*self._overlay.connected())) as db:
            db.pragma("locking_mode", "exclusive")
            if is_empty:
                db.execute(SCHEMA)
            db.pragma("journal_mode", "delete")


def _check_regular(path: Path) -> None:
    if not path.is_file() or path.is_symlink():
        raise IndexLostError("no file")  # a link would lead SQLite to a database of somebody else


def _check_one_name(path: Path) -> None:
    if any(is_linked(path.with_name(path.name + ending)) for ending in ("", "-wal", "-shm", "-journal")):
        raise IndexLostError("linked")  # what SQLite writes would change something else as well


def _overlay(path: Path | None) -> Overlay:
    """Return an overlay of which every later change of what is below it shows."""
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
    db.set_busy_handler(_waits())
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute(f"PRAGMA cache_size = -{cache_kb}")
    for name, function in FUNCTIONS.items():
        db.register_fts5_function(name, function)
    return db


def _waits() -> Callable[[int], bool]:
    """Return a busy handler that asks again often, so that no process starves, and gives up in the end."""
    began_s = 0.0

    def wait(attempt: int) -> bool:
        nonlocal began_s
        if attempt == 0:
            began_s = time.monotonic()
        time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311 - spreads the waiting, guards nothing
        return time.monotonic() - began_s < _BUSY_S

    return wait


@contextlib.contextmanager
def lost_as_such() -> Iterator[None]:
    """Tell of what SQLite says in three words: lost, behind, refused.

    Raises:
        IndexLostError, IndexBehindError, IndexRefusedError: as they say.
    """
    try:
        yield
    except apsw.Error as error:
        if _refuses(error):
            is_closed = isinstance(error, apsw.ReadOnlyError)
            raise IndexRefusedError(is_full=isinstance(error, apsw.FullError), is_closed=is_closed) from error
        if isinstance(error, apsw.BusyError):
            raise IndexBehindError from error
        if not isinstance(error, _LOST) or (isinstance(error, apsw.SQLError) and "no such" not in str(error)):
            raise
        raise IndexLostError(type(error).__name__) from error
    except (UnreadableRowError, UnicodeDecodeError) as error:
        raise IndexLostError(type(error).__name__) from error


def _refuses(error: apsw.Error) -> bool:
    """Tell whether the disk took no write; the database itself may be well."""
    code = getattr(error, "extendedresult", 0)
    if isinstance(error, apsw.ReadOnlyError):
        return code != apsw.SQLITE_READONLY_DBMOVED
    return isinstance(error, apsw.FullError) or code in _UNWRITTEN
