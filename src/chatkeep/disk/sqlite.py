"""SQLite: statements by name from `.sql` files, and transactions that commit or roll back."""

from __future__ import annotations

import re
from contextlib import suppress
from pkgutil import get_data

import apsw


def sql_text(package: str, name: str) -> str:
    """Return the text of a file in a package."""
    text = get_data(package, name)
    if text is None:
        raise FileNotFoundError(name)
    return text.decode()


def named_statements(text: str) -> dict[str, str]:
    """Return the statements of a text, by name: the names are in the comments above them."""
    parts = re.split(r"^-- (\w+): .*$", text, flags=re.MULTILINE)
    return {name: sql.strip().rstrip(";") for name, sql in zip(parts[1::2], parts[2::2], strict=True)}


def transaction(database: apsw.Connection) -> _Begun:
    """Commit the changes of the block together, or none of them after an error; writers take turns.

    Raises:
        apsw.BusyError: when another connection holds the database past the connection's own time-out.
    """
    return _Begun(database, "BEGIN IMMEDIATE")


def read_snapshot(database: apsw.Connection) -> _Begun:
    """Let all queries of the block see one moment; an error of theirs passes unchanged.

    `with database` of apsw raises another one instead where SQLite has rolled back by itself.
    """
    return _Begun(database, "BEGIN")


class _Begun:
    """A block within a transaction: no generator, as each append enters one."""

    __slots__ = ("_begin", "_database")

    def __init__(self, database: apsw.Connection, begin: str) -> None:
        self._database = database
        self._begin = begin

    def __enter__(self) -> None:
        """Begin."""
        self._database.execute(self._begin)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Commit; after an error, roll back."""
        if error is None:
            self._database.execute("COMMIT")
            return
        with suppress(apsw.Error):  # SQLite may have rolled back by itself; the first error counts
            self._database.execute("ROLLBACK")
