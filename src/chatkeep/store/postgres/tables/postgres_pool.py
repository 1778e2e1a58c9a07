"""Connections to PostgreSQL: a bounded pool, transactions, statements by name, and its refusals as our errors."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Final

import psycopg
from psycopg import conninfo, errors, sql
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

from chatkeep.errors import BusyError, InvalidError, StorageError, StorageFullError, StorageReadOnlyError
from chatkeep.store.postgres.tables.cells import COLUMNS, STORED, Cell

PgConnection = psycopg.Connection[tuple[Cell, ...]]
DbRow = tuple[Cell, ...]

_WHAT: Final = "database"
_CONNECTIONS: Final = 16  # of one process
_WAIT_S: Final = 2.0  # seconds to wait for a connection, and for the server to take one
_KEPT_S: Final = 300.0  # seconds that an idle connection is kept
_STATEMENT_MS: Final = 60_000  # milliseconds; a search has its own deadline
_LOCK_MS: Final = 10_000  # milliseconds that a writer waits for another one of its session
_NOW: Final = (
    "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"  # the clock of the database: all servers share it
)
_NAMES: Final = re.compile(r"^-- (\w+): .*$", re.MULTILINE)


def _statements() -> dict[str, str]:
    parts = _NAMES.split(resources.files(__package__).joinpath("queries.sql").read_text(encoding="utf-8"))
    found = dict(zip(parts[1::2], (text.strip() for text in parts[2::2]), strict=True))
    fixed = {"{lines}": found["lines"], "{columns}": COLUMNS, "{stored}": STORED, "{now}": _NOW}
    for name, text in found.items():
        for mark, meant in fixed.items():
            text = text.replace(mark, meant)  # noqa: PLW2901 - step by step
        found[name] = text
    return found


logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # whoever asked is told that the database is away

STATEMENTS: Final[Mapping[str, str]] = _statements()
"""The statements of `queries.sql`, by name."""


class Postgres:
    """A pool of connections to one database. Each borrows one for a block, and gives it back."""

    def __init__(self, url: str) -> None:
        """Take the address; nothing connects yet.

        Raises:
            InvalidError: when it is none. The error never repeats it, as it may have a password in it.
        """
        try:
            conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise InvalidError("store", "must be like postgresql://user@host:5432/database") from error
        self._pool = ConnectionPool(
            url,
            min_size=0,
            max_size=_CONNECTIONS,
            open=False,
            timeout=_WAIT_S,
            max_idle=_KEPT_S,
            reconnect_timeout=_WAIT_S / 4,  # a failed attempt is not repeated: the next question tries again
            check=ConnectionPool.check_connection,
            configure=_configure,
            kwargs={
                "autocommit": True,
                "client_encoding": "UTF8",  # whatever the environment or the role say
                "connect_timeout": 2,
                "application_name": "chatkeep",
                "prepare_threshold": 2,
            },
        )

    def open(self) -> None:
        """Begin to connect."""
        self._pool.open()

    def close(self) -> None:
        """Close all connections; a second call does no harm."""
        self._pool.close()

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[PgConnection]:
        """Lend a connection for the block; each statement is a transaction of its own.

        Raises:
            BusyError: when the database cannot be reached.
            StorageError: when it refuses a write.
        """
        with told_as_ours(), self._pool.connection() as db:
            yield db

    @contextlib.contextmanager
    def writing(self) -> Iterator[PgConnection]:
        """Lend a connection for the block, and commit all of its changes together, or none after an error."""
        with self.borrowed() as db, db.transaction():
            yield db

    @contextlib.contextmanager
    def snapshot(self, deadline_s: float | None = None) -> Iterator[PgConnection]:
        """Lend a connection for the block; all of its questions see one moment. A statement may have a deadline."""
        with self.borrowed() as db, db.transaction():
            db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if deadline_s is not None:
                db.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(max(1, round(deadline_s * 1000))))
            yield db


def asked_rows(
    db: PgConnection, name: str, values: Mapping[str, Cell] | None = None, where: str = ""
) -> Sequence[DbRow]:
    """Return the rows of a statement by its name; `where` stands for its condition."""
    return asked(db, STATEMENTS[name].replace("{where}", where), values)


def asked(db: PgConnection, statement: str, values: Mapping[str, Cell] | None = None) -> Sequence[DbRow]:
    """Return the rows of a statement of ours; its values never stand in its text."""
    cursor = db.execute(statement, values, binary=True)
    return cursor.fetchall() if cursor.description is not None else ()


def run(db: PgConnection, name: str, values: Mapping[str, Cell]) -> None:
    """Run a statement by its name."""
    db.execute(STATEMENTS[name], values)


@contextlib.contextmanager
def told_as_ours() -> Iterator[None]:
    """Raise the errors of the database in the block as those of Chatkeep.

    Raises:
        BusyError: when the database cannot be reached, or ended the connection.
        StorageError: when it refuses for want of space, or of a right to write.
    """
    try:
        yield
    except (PoolTimeout, TooManyRequests) as error:
        raise BusyError(_WHAT, "cannot be reached") from error
    except errors.DiskFull as error:
        raise StorageFullError from error
    except errors.ReadOnlySqlTransaction as error:
        raise StorageReadOnlyError from error
    except (errors.QueryCanceled, errors.LockNotAvailable, errors.DeadlockDetected) as error:
        raise BusyError(_WHAT) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise BusyError(_WHAT, "cannot be reached") from error
    except (errors.InsufficientPrivilege, errors.UndefinedTable, errors.UndefinedColumn) as error:
        raise StorageError(f"The database refused: {told_by(error)}. Run `chatkeep db migrate`.") from error


def told_by(error: psycopg.Error) -> str:
    """Return the database's own words for an error, without the values of the statement."""
    return (error.diag.message_primary or type(error).__name__).partition("\n")[0]


def _configure(db: psycopg.Connection[DbRow]) -> None:
    db.execute(
        sql.SQL("SELECT set_config('statement_timeout', {}, false), set_config('lock_timeout', {}, false)").format(
            str(_STATEMENT_MS), str(_LOCK_MS)
        )
    )
