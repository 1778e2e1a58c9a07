"""Erasing dropped messages for good from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chatkeep.store.files.tree.tree import file_name

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture
def dropped(run: Run) -> Run:
    """Return the runner of a workspace with two sessions, each without its last message."""
    for key in ("a", "b"):
        for number in (1, 2):
            run("append", key, f"canary {number}", "--role", "user", "--id", f"m{number}")
        run("drop", key, "--last", "1")
    return run


def test_compact_a_key(dropped: Run, workspace: Path) -> None:
    """The words leave the file; what stands, and the other session, stay."""
    assert "Would erase 1 line of 1 session, 7 bytes.\n" == dropped("compact", "a", "--dry-run").out
    assert "Erased 1 line of 1 session, 7 bytes.\n" == dropped("compact", "a").out
    assert "Nothing to erase.\n" == dropped("compact", "a").out
    for key, is_left in (("a", False), ("b", True)):
        content = (workspace / "sessions" / file_name(key)).read_text()
        assert (True, is_left) == ("canary 1" in content, "canary 2" in content)
    assert "m2" in dropped("show", "a", "--log", "--json").out


def test_compact_everything(dropped: Run) -> None:
    """Filters choose as elsewhere, and `--all` chooses every session."""
    assert 1 == dropped("compact", "--prefix", "b", "--json").json["erased_count"]
    told = dropped("compact", "--all", "--json").json
    assert (["a"], 1, False) == ([one["key"] for one in told["sessions"]], told["erased_count"], told["dry_run"])


def test_compact_nothing(dropped: Run) -> None:
    """One way to choose is needed, and something that it chooses."""
    assert "give keys" in dropped("compact", code=2).err
    assert "give keys" in dropped("compact", "a", "--all", code=2).err
    assert "nothing was erased" in dropped("compact", "a", "none", code=3).err
    assert "No session matches" in dropped("compact", "--prefix", "x", code=3).err
    assert "canary 2" in dropped("show", "a", "--log").out
