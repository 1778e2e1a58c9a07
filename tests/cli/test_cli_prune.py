"""Retention rules from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run

_RULES = """
[[retention]]
prefix = "old:"
keep_newest = 1
action = "trash"

[[retention]]
channel = "cli"
max_bytes = 1
action = "archive"
"""


@pytest.fixture
def ruled(run: Run, workspace: Path) -> Run:
    """Return the runner of a workspace with rules and five sessions, one of them held and one pinned."""
    for key in ("old:1", "old:2", "old:3", "cli:1", "other:1"):
        run("append", key, "said", "--role", "user")
    run("hold", "old:1")
    run("pin", "other:1")
    (workspace / "chatkeep.toml").write_text(_RULES)
    return run


def test_prune_as_a_dry_run_says(ruled: Run) -> None:
    """A dry run changes nothing and says what the run then does, and why."""
    planned = ruled("prune", "--dry-run", "--json").json
    assert (["old:2", "cli:1"], 2, 2, True) == (
        [one["key"] for one in planned["sessions"]],
        planned["count"],
        planned["rule_count"],
        planned["dry_run"],
    )
    assert 5 == ruled("list", "--json").json["total"]
    assert "old:2: would be moved to the trash by rule 1: 1 newer\n" in ruled("prune", "--dry-run").out
    done = ruled("prune", "--json").json
    assert {**planned, "dry_run": False} == done
    assert ["old:2"] == [one["key"] for one in ruled("trash", "list", "--json").json["sessions"]]
    assert {"old:1", "old:3", "other:1"} == {one["id"] for one in ruled("list", "--json").json["sessions"]}
    assert "No session goes by the rules. Nothing was changed.\n" == ruled("prune").out


def test_prune_in_words(ruled: Run, workspace: Path) -> None:
    """Each session that goes has a line with its rule and the reason."""
    assert "cli:1: archived by rule 2: " in (out := ruled("prune").out)
    assert out.endswith("2 sessions went.\n")
    (workspace / "chatkeep.toml").write_text('[[retention]]\nolder_than = "1s"\naction = "delete"\nprefix = "pager:"\n')
    line = '{"key":"pager:1","messages":[{"role":"user","content":"Hi","timestamp":"2020-01-01T00:00:00Z"}]}'
    ruled("import", "-", stdin=line.encode())
    assert "pager:1: deleted by rule 1: no activity for " in ruled("prune").out
    ruled("show", "pager:1", code=3)


def test_prune_without_rules(run: Run) -> None:
    """Without rules nothing goes, and the answer says where they would be."""
    run("append", "a", "said", "--role", "user")
    assert "chatkeep.toml has no [[retention]] table" in run("prune").out
    assert {"sessions": [], "count": 0, "rule_count": 0, "dry_run": False, "left_out": []} == run(
        "prune", "--json"
    ).json


def test_refuse_a_bad_rule(ruled: Run, workspace: Path) -> None:
    """A bad rule stops every command that reads the settings, and nothing goes."""
    (workspace / "chatkeep.toml").write_text(_RULES.replace('"archive"', '"burn"'))
    told = ruled("prune", code=2).err
    assert "chatkeep.toml: retention 2: action: must be archive, trash or delete" in told
    (workspace / "chatkeep.toml").unlink()
    assert 5 == ruled("list", "--json").json["total"]
