"""The commands over a store in PostgreSQL, and those for its tables."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run
from tests.store.postgres.cluster import Cluster


def test_use_commands_on_a_database(run: Run, postgres: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands work on a store in a database; those for files say that it has none."""
    monkeypatch.setenv("CHATKEEP_STORE", postgres.make("commands"))
    assert "no tables" in run("db", "check", code=3).err
    assert "Made the tables" in run("db", "init").out
    assert "already" in run("db", "init", code=4).err
    assert {"version": 1, "newest": 1} == run("db", "migrate", "--json").json
    assert {"version": 1, "newest": 1} == run("db", "check", "--json").json
    run("append", "cli:a", "Hello zebra", "--role", "user")
    run("demo")
    assert ["cli:a"] == [one["key"] for one in run("search", "zebra", "--json").json["sessions"]]
    assert 11 == run("list", "--json").json["total"]
    for name in ("doctor", "reindex"):
        assert "cannot be checked" in run(name, code=2).err


def test_refuse_tables_for_files(run: Run) -> None:
    """The commands for tables name the kind of store that has some."""
    for name in ("init", "migrate", "check"):
        assert "postgresql://" in run("db", name, code=2).err
