"""SQLite: statements by name from `.sql` files, and transactions that commit or roll back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources

import apsw


def sql_text(package: str, name: str) -> str:
    """Return the text of a file in a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def named_statements(text: str) -> dict[str, str]:
    """Return the statements of a text, by name: the names are in the comments above them."""
    parts = re.split(r"^-- (\w+): .*$", text, flags=re.MULTILINE)
    return {name: sql.strip().rstrip(";") for name, sql in zip(parts[1::2], parts[2::2], strict=True)}


@contextmanager
def transaction(database: apsw.Connection) -> Iterator[None]:
    """Commit the changes of the block together, or none of them after an error; writers take turns.

    Raises:
        apsw.BusyError: when another connection holds the database past the connection's own time-out.
    """
    with _begun(database, "BEGIN IMMEDIATE"):
        yield


@contextmanager
def read_snapshot(database: apsw.Connection) -> Iterator[None]:
    """Let all queries of the block see one moment; an error of theirs passes unchanged.

    `with database` of apsw raises another one instead where SQLite has rolled back by itself.
    """
    with _begun(database, "BEGIN"):
        yield


@contextmanager
def _begun(database: apsw.Connection, begin: str) -> Iterator[None]:
    database.execute(begin)
    try:
        yield
    except BaseException:
        with suppress(apsw.Error):  # SQLite may have rolled back by itself; the first error counts
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
