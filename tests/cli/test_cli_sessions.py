"""Reading and changing sessions from the command line."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.cli.screen import ago, safe_text, size, visible_json
from chatkeep.core.bounds import MESSAGE_BYTES_MAX
from chatkeep.sessions.message_ids import now_utc

if TYPE_CHECKING:
    from tests.cli.conftest import Run

HOSTILE = "\x1b[31mred\x1b]0;owned\x07 \u202egnp.exe\u2066 [bold]x[/bold] \x9b31m \u200b\U000e0041 :smile:"


@pytest.fixture
def talk(run: Run) -> Run:
    """Return the runner of a workspace with two sessions."""
    run("append", "telegram:1", "How do I bake bread?", "--role", "user")
    run("append", "telegram:1", "With flour and patience.", "--role", "assistant")
    run("append", "plain key", "Something else", "--role", "user", "--channel", "cli")
    return run


def test_append_and_show(talk: Run) -> None:
    """What was appended is shown, oldest first, and as JSON with all facts."""
    shown = talk("show", "telegram:1")
    assert shown.out.index("How do I bake bread?") < shown.out.index("With flour and patience.")
    facts = talk("show", "telegram:1", "--last", "1", "--json").json
    for option in ("--limit", "-n"):
        assert facts["messages"] == talk("show", "telegram:1", option, "1", "--json").json["messages"]
    assert ("telegram:1", True) == (facts["session"]["key"], facts["has_more"])
    assert ["With flour and patience."] == [message["content"] for message in facts["messages"]]
    assert [1] == [one["seq"] for one in talk("show", "telegram:1", "--before", "2", "--json").json["messages"]]


@pytest.mark.parametrize(
    "stdin,content",
    [(b"hello\n", "hello"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), ("é\ta".encode(), "é\ta")],
)
def test_append_from_stdin(run: Run, stdin: bytes, content: str) -> None:
    """A dash reads stdin; one line end at its end is left out."""
    run("append", "a", "-", "--role", "user", stdin=stdin)
    assert content == run("show", "a", "--json").json["messages"][0]["content"]


@pytest.mark.parametrize("stdin", [b"", b"\n"])
@pytest.mark.usefixtures("empty")
def test_append_nothing(run: Run, stdin: bytes) -> None:
    """An empty stdin is no message."""
    assert "nothing to append" in run("append", "a", "-", "--role", "user", stdin=stdin, code=2).err
    assert "not found" in run("show", "a", code=3).err


def test_append_a_second_time(run: Run) -> None:
    """The same id with the same content stores nothing twice; with other content it is a conflict."""
    first = run("append", "a", "x", "--role", "user", "--id", "m1", "--json").json
    again = run("append", "a", "x", "--role", "user", "--id", "m1", "--expect-count", "0")
    assert (1, 1) == (first["message_count"], first["stored_count"])
    assert "Nothing new" in again.out
    assert "m1" in run("append", "a", "y", "--role", "user", "--id", "m1", code=4).err
    assert "Expected 7" in run("append", "a", "y", "--role", "user", "--expect-count", "7", code=4).err


@pytest.mark.parametrize(
    "args,stdin,code",
    [
        (("a", "x", "--role", "bot"), b"", 2),
        (("a", "x"), b"", 2),
        ((" a ", "x", "--role", "user"), b"", 2),
        (("k" * 129, "x", "--role", "user"), b"", 2),
        (("a", "-", "--role", "user"), b"\xff\xfe", 2),
        (("a", "-", "--role", "user"), b"\0", 2),
        (("a", "-", "--role", "user"), b"x" * MESSAGE_BYTES_MAX, 2),
        (("a", "-", "--role", "user"), b"\xff" * (2 * MESSAGE_BYTES_MAX), 2),
        (("a", "x", "--role", "user", "--channel", ""), b"", 2),
        (("a", "x", "--role", "user", "--id", ""), b"", 2),
        (("missing", "x", "--role", "user", "--no-create"), b"", 3),
    ],
)
@pytest.mark.usefixtures("empty")
def test_append_refused(run: Run, args: tuple[str, ...], stdin: bytes, code: int) -> None:
    """Bad input is refused with a sentence on stderr, and nothing is stored."""
    refused = run("append", *args, stdin=stdin, code=code)
    assert "" == refused.out
    assert refused.err.strip()
    assert [] == run("list", "--json").json["sessions"]


def test_list_sessions(talk: Run) -> None:
    """Sessions are listed by latest activity with their facts; filters and cursors narrow the list."""
    listed = talk("list")
    assert ["KEY", "plain key", "telegram:1"] == [line.split("  ")[0] for line in listed.out.splitlines()]
    assert "just now" in listed.out
    assert ["plain key"] == [one["id"] for one in talk("list", "--channel", "cli", "--json").json["sessions"]]
    assert ["telegram:1"] == [one["id"] for one in talk("list", "--prefix", "tele", "--json").json["sessions"]]
    page = talk("list", "--limit", "1", "--json").json
    rest = talk("list", "--cursor", page["next_cursor"], "--json").json
    assert (["plain key"], ["telegram:1"]) == tuple([one["id"] for one in part["sessions"]] for part in (page, rest))
    assert page["next_cursor"] in talk("list", "--limit", "1").out
    assert [] == talk("list", "--archived", "--json").json["sessions"]
    assert 2 == talk("list", "--all", "--json").json["total"]


def test_count_the_same_everywhere(talk: Run) -> None:
    """JSON names a session as `id` and `key`, and counts all messages and those of user and assistant."""
    talk("append", "telegram:1", "42", "--role", "tool")
    shown = talk("show", "telegram:1", "--json").json["session"]
    (listed,) = talk("list", "--prefix", "telegram", "--json").json["sessions"]
    renamed = talk("rename", "telegram:1", "x", "--json").json
    for facts in (shown, listed, renamed):
        assert ("telegram:1", "telegram:1", 3, 2) == tuple(
            facts[name] for name in ("id", "key", "message_count", "talk_count")
        )


def test_list_on_a_narrow_terminal(talk: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where room is short, titles are cut and keys are not."""
    talk("rename", "telegram:1", "A long title " * 10)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = talk("list").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "telegram:1" in lines[2]
    assert "…" in lines[2]


def test_list_of_a_tag_or_of_pins(talk: Run, tmp_path: Path) -> None:
    """Lists and searches can be narrowed to tags, of which a session must have all, and to pins or what has none."""
    tagged = {
        "messages": [{"seq": 1, "role": "user", "content": "bread", "timestamp": "2024-01-15T10:30:00Z", "id": "1"}]
    }
    for key, tags, pinned in (("a", ["x"], True), ("b", ["x", "y"], False)):
        (tmp_path / f"{key}.json").write_text(json.dumps({**tagged, "key": key, "tags": tags, "pinned": pinned}))
        talk("import", str(tmp_path / f"{key}.json"))
    for options, expected in (
        (["--tag", "x"], ["a", "b"]),
        (["--tag", "x", "--tag", "y"], ["b"]),
        (["--tag", "x", "--pinned"], ["a"]),
        (["--tag", "x", "--no-pinned"], ["b"]),
        (["--pinned"], ["a"]),
        (["--tag", ""], []),
    ):
        for command in (["list"], ["search", "bread"]):
            page = talk(*command, *options, "--json").json
            assert expected == sorted(session["id"] for session in page["sessions"])


@pytest.mark.usefixtures("empty")
def test_list_nothing(run: Run) -> None:
    """An empty workspace says so."""
    assert run("list").out.startswith("No sessions.")
    assert run("search", "x").out.startswith("Nothing found: there are no sessions.")
    assert {"sessions": [], "total": 0, "next_cursor": None} == run("list", "--json").json


@pytest.mark.parametrize(
    "args",
    [("list", "--limit", "0"), ("list", "--limit", "501"), ("list", "--cursor", "x"), ("list", "--what"), ("no",)],
)
@pytest.mark.usefixtures("empty")
def test_use_wrongly(run: Run, args: tuple[str, ...]) -> None:
    """Bad usage ends with exit code 2 and words on stderr."""
    refused = run(*args, code=2)
    assert "" == refused.out
    assert refused.err


def test_search_sessions(talk: Run) -> None:
    """Hits show their place; JSON has the shape of the HTTP API."""
    assert "telegram:1#1" in talk("search", "baking").out
    facts = talk("search", "flour", "--json").json
    (hit,) = facts["sessions"]
    assert ("telegram:1", 2, "all") == (hit["id"], hit["seq"], facts["mode"])
    assert ["flour"] == [hit["match"][first:last] for first, last in hit["highlights"]]
    assert [] == talk("search", "flour", "--role", "user", "--json").json["sessions"]
    assert 2 == len(talk("search", "bread flour", "--unit", "message", "--json").json["sessions"])
    assert talk("search", "zebra").out.startswith("Nothing found in 2 sessions.")
    assert "search for" in talk("search", "", code=2).err


def test_search_opens_a_hit(talk: Run) -> None:
    """`--open` shows what was said around a hit."""
    assert "With flour" in talk("search", "--open", "telegram:1#1").out
    assert "#" in talk("search", "--open", "telegram:1", code=2).err
    talk("search", "--open", "missing#1", code=3)


@pytest.mark.parametrize(
    "args", [("--sort", "best"), ("--unit", "word"), ("--role", "bot"), ("--since", "someday"), ("--limit", "201")]
)
@pytest.mark.usefixtures("empty")
def test_search_refused(run: Run, args: tuple[str, ...]) -> None:
    """A filter with a bad value is named."""
    assert args[0] in run("search", "x", *args, code=2).err


def test_rename_session(talk: Run) -> None:
    """The new title is shown from then on; a bad one changes nothing."""
    assert "Bread" == talk("rename", "telegram:1", " Bread ", "--json").json["title"]
    talk("rename", "telegram:1", "x" * 201, code=2)
    talk("rename", "missing", "x", code=3)
    assert "Bread" == talk("show", "telegram:1", "--json").json["session"]["title"]


def test_delete_needs_a_yes(talk: Run) -> None:
    """Where nobody can be asked, `--yes` is needed; a dry run deletes nothing."""
    assert "--yes" in talk("delete", "telegram:1", code=2).err
    assert "telegram:1" in talk("delete", "telegram:1", "--dry-run").out
    assert 2 == talk("list", "--json").json["total"]
    assert "Deleted 1 session." in talk("delete", "telegram:1", "--yes").out
    talk("show", "telegram:1", code=3)


def test_delete_by_filter(talk: Run) -> None:
    """Filters delete all that match every one of them."""
    foretold = talk("delete", "--channel", "telegram", "--prefix", "tele", "--dry-run", "--json").json
    assert {"keys": ["telegram:1"], "count": 1, "dry_run": True} == foretold
    talk("delete", "--older-than", "1d", "--yes", code=3)
    assert ["plain key"] == talk("delete", "--older-than", "0s", "--channel", "cli", "--yes", "--json").json["keys"]
    assert ["telegram:1"] == [one["id"] for one in talk("list", "--json").json["sessions"]]


def test_delete_refused(talk: Run) -> None:
    """Without a choice, with two, or with a key that does not exist nothing is deleted."""
    talk("delete", "--yes", code=2)
    talk("delete", "telegram:1", "--prefix", "t", "--yes", code=2)
    assert "missing" in talk("delete", "telegram:1", "missing", "--yes", code=3).err
    talk("delete", "--older-than", "soon", "--yes", code=2)
    assert 2 == talk("list", "--json").json["total"]


def test_show_hostile_text(run: Run) -> None:
    """Nothing that is stored acts on a terminal, and nothing is taken for the terminal's own markup."""
    run("append", "evil", "-", "--role", "user", stdin=HOSTILE.encode())
    run("append", "evil", "-", "--role", "tool", "--id", "[red]", stdin=HOSTILE.encode())
    run("rename", "evil", "[blink]t\u200b[/blink]")
    printed = [run(*args).out for args in (("show", "evil"), ("list",), ("search", "owned"), ("stats",))]
    printed += [run("show", "evil", "--json").out, run("search", "owned", "--json").out]
    for text in printed:
        assert not set(text) & set("\x1b\x07\x9b\u202e\u2066\u200b\U000e0041")
    assert "\\x1b[31mred" in printed[0]
    assert "[bold]x[/bold]" in printed[0]
    assert ":smile:" in printed[0]
    assert "[blink]t\\u200b[/blink]" in printed[1]
    assert HOSTILE == run("show", "evil", "--json").json["messages"][0]["content"]


@given(st.text(st.characters(codec="utf-8")))
def test_make_any_text_visible(text: str) -> None:
    """No control but tab and line feed is left, plain text stays as it is, and JSON keeps its meaning."""
    safe = safe_text(text)
    assert not set(safe) & set("\x1b\x9b\x07\r\u202e\u2067")
    assert text == json.loads(visible_json(json.dumps(text, ensure_ascii=False).encode()))
    if text.isascii() and text.isprintable():
        assert text == safe


def test_say_times_and_sizes() -> None:
    """Times and sizes are words."""
    now = now_utc()
    told = [ago(now - timedelta(seconds=seconds), now) for seconds in (0, 59, 60, 7200, 86400 * 3, 86400 * 800)]
    assert ["just now", "just now", "1 minute ago", "2 hours ago", "3 days ago", "2 years ago"] == told
    assert ["0 bytes", "1.0 KiB", "1.5 MiB", "2.0 GiB"] == [size(n) for n in (0, 1024, 3 << 19, 2 << 30)]


def test_start_quickly_and_help(run: Run) -> None:
    """Help lists every command, and the version is printed."""
    printed = run("--help").out
    commands = (
        "serve list show search append rename delete export import token stats doctor backup restore reindex demo"
    )
    for command in commands.split():
        assert command in printed
    assert run("--version").out.startswith("chatkeep 0.")


def test_use_workspace_that_is_a_file(run: Run, tmp_path: Path) -> None:
    """A workspace must be a folder; the error is a sentence."""
    (tmp_path / "file").touch()
    assert "not a folder" in run("list", "--workspace", str(tmp_path / "file"), code=2).err
    inner = str(tmp_path / "file" / "x")
    assert f"workspace: {inner} cannot be used: Not a directory\n" == run("list", "-w", inner, code=2).err


def test_use_workspace_without_a_name(run: Run) -> None:
    """An empty path is no workspace, and not the current folder either."""
    assert "empty" in run("list", "--workspace", "", code=2).err
    assert "empty" in run("token", "list", "-w", "", code=2).err


def test_use_workspace_that_cannot_be_made(run: Run) -> None:
    """The workspace is named."""
    assert run("demo", "-w", "/proc/nowhere", code=1).err.startswith("/proc/nowhere: ")
    assert run("token", "create", "-w", "/proc/nowhere", code=1).err.startswith("/proc/nowhere: ")
