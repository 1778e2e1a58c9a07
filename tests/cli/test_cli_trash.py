"""The trash from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.fixture
def two(run: Run) -> Run:
    """Return the runner of a workspace with two sessions."""
    for key in ("a", "b"):
        run("append", key, f"said in {key}", "--role", "user")
    return run


def test_delete_and_restore(two: Run) -> None:
    """A session in the trash is listed and comes back."""
    two("delete", "a", "--yes", "--trash")
    assert "Session not found" in two("show", "a", code=3).err
    assert "a" in two("trash", "list").out.split()
    assert ["a"] == [one["key"] for one in two("trash", "list", "--json").json["sessions"]]
    assert "Restored a, with 1 message.\n" == two("trash", "restore", "a").out
    assert "said in a" in two("show", "a").out
    assert "The trash is empty" in two("trash", "list").err
    assert "Session not found" in two("trash", "restore", "a", code=3).err


def test_delete_as_the_settings_say(two: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the setting a deletion is for good; with it, `--no-trash` is."""
    two("delete", "a", "--yes")
    monkeypatch.setenv("CHATKEEP_TRASH_DAYS", "30")
    two("append", "c", "said in c", "--role", "user")
    two("delete", "b", "--yes")
    two("delete", "c", "--yes", "--no-trash")
    assert ["b"] == [one["key"] for one in two("trash", "list", "--json").json["sessions"]]


def test_restore_where_there_is_one(two: Run) -> None:
    """The new session stays, and so does the trash."""
    two("delete", "a", "--yes", "--trash")
    two("append", "a", "anew", "--role", "user")
    assert "has this key already" in two("trash", "restore", "a", code=4).err
    assert 1 == two("trash", "list", "--json").json["count"]


def test_purge(two: Run) -> None:
    """A purge needs one way to choose and a yes; a dry run removes nothing."""
    two("delete", "a", "b", "--yes", "--trash")
    assert "Would remove 2 sessions for good.\n" == two("trash", "purge", "--all", "--dry-run").out
    assert "--yes" in two("trash", "purge", "--all", code=2).err
    assert "give keys" in two("trash", "purge", code=2).err
    assert "nothing was removed" in two("trash", "purge", "--older-than", "1d", "--yes", code=3).err
    assert "Removed 1 session for good.\n" == two("trash", "purge", "a", "--yes").out
    assert 1 == two("trash", "purge", "--prefix", "b", "--yes", "--json").json["count"]
