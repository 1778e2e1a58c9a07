"""SQLite: named statements, and transactions that are whole or nothing."""

from __future__ import annotations

from typing import NoReturn

import apsw
import pytest

from chatkeep.disk.sqlite import named_statements, read_snapshot, transaction

_TEXT = "-- make: a table\nCREATE TABLE a(b);\n\n-- count: its rows\nSELECT count(*)\nFROM a;\n"


def test_named_statements_are_those_below_the_names() -> None:
    """A statement may have several lines, and ends without its semicolon."""
    assert {"make": "CREATE TABLE a(b)", "count": "SELECT count(*)\nFROM a"} == named_statements(_TEXT)


def test_transaction_with_an_error_changes_nothing() -> None:
    """The changes before an error are rolled back; those of the next transaction stay."""
    statements = named_statements(_TEXT)
    database = apsw.Connection(":memory:")
    database.execute(statements["make"])
    with pytest.raises(apsw.SQLError), transaction(database):
        database.execute("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)")
    with transaction(database):
        database.execute("INSERT INTO a VALUES (2)")
    assert [(2,)] == list(database.execute("SELECT b FROM a"))
    assert not database.in_transaction


def test_read_a_snapshot_that_sqlite_ends_by_itself() -> None:
    """The error of a query passes as it is, though nothing is left to roll back."""
    database = apsw.Connection(":memory:")
    with pytest.raises(apsw.IOError), read_snapshot(database):
        _fail(database)
    with read_snapshot(database):
        assert database.in_transaction
    assert not database.in_transaction


def _fail(database: apsw.Connection) -> NoReturn:
    """Do as SQLite after an error of the disk."""
    database.execute("ROLLBACK")
    raise apsw.IOError
