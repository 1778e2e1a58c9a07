"""The commands about people."""

from __future__ import annotations

import json

from tests.cli.conftest import Run


def test_link_list_and_unlink(run: Run) -> None:
    """Sessions of several channels are linked, found by person, shown merged, and unlinked."""
    for key in ("telegram:1", "discord:2", "slack:3"):
        run("append", key, f"needle in {key}", "--role", "user")
    assert "alice" in run("link", "telegram:1", "discord:2", "--person", "alice").out
    assert [{"person": "alice", "keys": ["discord:2", "telegram:1"]}] == json.loads(run("people", "--json").out)[
        "people"
    ]
    listed = json.loads(run("list", "--person", "alice", "--json").out)
    assert 2 == listed["total"]
    hits = json.loads(run("search", "needle", "--person", "alice", "--json").out)
    assert 2 == len(hits["sessions"])
    shown = run("people", "alice").out
    assert shown.index("needle in telegram:1") < shown.index("needle in discord:2")
    assert "slack" not in shown
    page = json.loads(run("people", "alice", "-n", "1", "--json").out)
    earlier = run("people", "alice", "--cursor", page["next_cursor"]).out
    assert ("telegram:1" in earlier, "discord:2" in earlier) == (True, False)
    assert "Unlinked 2 sessions." in run("unlink", "telegram:1", "discord:2").out
    assert "Nobody" in run("people").err


def test_link_refused(run: Run) -> None:
    """A missing session ends with 3, one of another person with 4, an unknown person with 3."""
    run("append", "a", "hello", "--role", "user")
    run("link", "a", "--person", "alice")
    assert [3, 4, 3, 3] == [
        run("link", "b", "--person", "alice", code=3).code,
        run("link", "a", "--person", "bob", code=4).code,
        run("unlink", "b", code=3).code,
        run("people", "bob", code=3).code,
    ]
