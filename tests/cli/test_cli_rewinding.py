"""Taking messages back, replacing all of them, beginning and forking sessions from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.fixture
def talk(run: Run) -> Run:
    """Return the runner of a workspace with a session of three messages."""
    for number in (1, 2, 3):
        run("append", "a", f"line {number}", "--role", "user", "--id", f"m{number}")
    return run


def window(run: Run, *options: str) -> list[str]:
    """Return the messages of the session."""
    return [message["content"] for message in run("show", "a", "--json", *options).json["messages"]]


@pytest.mark.parametrize(
    "chosen,left,told",
    [
        (("--last", "1"), ["line 1", "line 2"], "Dropped message 3 of a."),
        (("--seq", "1-2"), ["line 3"], "Dropped messages 1 to 2 of a."),
        (("--id", "m2"), ["line 1", "line 3"], "Dropped message 2 of a."),
        (("--all",), [], "Dropped messages 1 to 3 of a."),
    ],
)
def test_drop_what_is_chosen(talk: Run, chosen: tuple[str, ...], left: list[str], told: str) -> None:
    """Each way to choose leaves the others; the log keeps everything."""
    assert f"{told}\n" == talk("drop", "a", *chosen).out
    assert (left, 4) == (window(talk), len(window(talk, "--log")))
    assert "drops" in talk("show", "a", "--log").out


def test_drop_nothing(talk: Run) -> None:
    """What does not stand cannot be taken back, and a choice must be one."""
    assert "No such message" in talk("drop", "a", "--seq", "9", code=3).err
    assert "exactly one" in talk("drop", "a", code=2).err
    assert "exactly one" in talk("drop", "a", "--last", "1", "--all", code=2).err
    assert "Session not found" in talk("drop", "b", "--all", code=3).err
    assert 3 == len(window(talk, "--log"))


def test_drop_again_with_a_mark(talk: Run) -> None:
    """A repetition with the same mark has the same answer."""
    first, again = (talk("drop", "a", "--last", "1", "--mark", "undo", "--json").json for _ in range(2))
    assert first == again
    assert ([[3, 3]], "undo", ["line 3"]) == (
        first["drops"],
        first["mark"]["id"],
        [message["content"] for message in first["messages"]],
    )
    assert "has 4" in talk("drop", "a", "--last", "1", "--expect-count", "3", code=4).err


def test_replace_by_a_file(talk: Run, tmp_path: Path) -> None:
    """A list in a file takes the place of all messages; what begins alike stays."""
    path = tmp_path / "list.json"
    path.write_text(json.dumps([{"role": "user", "content": text} for text in ("line 1", "new")]))
    assert "Stored 1 new message in a, dropped messages 2 to 3.\n" == talk("replace", "a", str(path)).out
    assert "Nothing to change: a has these messages.\n" == talk("replace", "a", str(path)).out
    assert ["line 1", "new"] == window(talk)
    assert 0 == talk("replace", "a", "-", "--json", stdin=path.read_bytes()).json["stored_count"]
    assert "Stored 0 new messages in a, dropped messages 1 to 4.\n" == talk("replace", "a", "-", stdin=b"[]").out


def test_replace_by_something_else(talk: Run, tmp_path: Path) -> None:
    """A file that is no list of messages, or not there, changes nothing."""
    assert "Expected `array`" in talk("replace", "a", "-", stdin=b"{}", code=2).err
    assert "not valid JSON" in talk("replace", "a", "-", stdin=b"[", code=2).err
    assert "No such file" in talk("replace", "a", str(tmp_path / "none"), code=3).err
    assert "Session not found" in talk("replace", "b", "-", "--no-create", stdin=b"[]", code=3).err
    assert 3 == len(window(talk, "--log"))


def test_create_a_session(run: Run) -> None:
    """A session begins with a header; a second time its key is taken."""
    told = ("--title", "Mine", "--tag", "x", "--meta", "user=alice", "--meta", "n=a=b", "--channel", "pager")
    assert "Began a, with 0 messages.\n" == run("create", "a", *told).out
    session = run("show", "a", "--json").json["session"]
    assert ("Mine", ["x"], {"user": "alice", "n": "a=b"}, "pager") == (
        *(session[name] for name in ("title", "tags", "metadata", "channel")),
    )
    assert "has this key already" in run("create", "a", code=4).err
    assert "NAME=VALUE" in run("create", "b", "--meta", "x", code=2).err
    assert run("create", "--json").json["key"].startswith("api:")


def test_list_by_metadata(run: Run) -> None:
    """Sessions are chosen by entries of their metadata, which JSON may show."""
    run("create", "a", "--meta", "user=alice")
    run("create", "b", "--meta", "user=bob")
    (found,) = run("list", "--meta", "user=alice", "--metadata", "--json").json["sessions"]
    assert ("a", {"user": "alice"}) == (found["key"], found["metadata"])
    assert "metadata" not in run("list", "--meta", "user=alice", "--json").json["sessions"][0]
    assert "NAME=VALUE" in run("list", "--meta", "user", code=2).err


def test_fork_a_session(talk: Run) -> None:
    """A fork has the first messages; beyond the end there is nothing to fork."""
    assert "Forked to b, with 2 messages.\n" == talk("fork", "a", "b", "--seq", "2").out
    forked = talk("show", "b", "--json").json
    assert {"forked_from": {"session": "a", "seq": 2}} == forked["session"]["metadata"]
    assert 3 == talk("fork", "a", "--json").json["message_count"]
    assert "has this key already" in talk("fork", "a", "b", code=4).err
    assert "No such message" in talk("fork", "a", "c", "--seq", "9", code=3).err
