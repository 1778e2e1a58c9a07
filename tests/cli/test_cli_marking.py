"""Commands that mark sessions, and what is said to who mistypes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chatkeep.cli.similar import similar_keys
from chatkeep.exporters import EXPORT_FORMATS
from chatkeep.importers import IMPORT_FORMATS
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from chatkeep.testing import draft

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.fixture
def keys(run: Run) -> tuple[str, str]:
    """Two sessions."""
    run("append", "cli:one", "Hello", "--role", "user")
    run("append", "cli:two", "Hello", "--role", "user")
    return "cli:one", "cli:two"


@pytest.mark.parametrize("mark,unmark,field", [("pin", "unpin", "pinned"), ("archive", "unarchive", "archived")])
def test_mark_several_sessions(run: Run, keys: tuple[str, str], mark: str, unmark: str, field: str) -> None:
    """A mark is set on all the keys, taken away again, and setting it again changes nothing."""
    for command, value in ((mark, True), (unmark, False)):
        done = run(command, *keys, "--json").json
        assert (2, [value, value]) == (done["changed_count"], [session[field] for session in done["sessions"]])
        assert 0 == run(command, *keys, "--json").json["changed_count"]
        assert "Nothing to change." in run(command, *keys).out
        assert value is run("show", keys[0], "--json").json["session"][field]


def test_hold_and_release(run: Run, keys: tuple[str, str]) -> None:
    """A hold lasts until it is taken away, and lists and details show it while it does."""
    done = run("hold", *keys, "--json").json
    assert (2, [True, True]) == (done["changed_count"], [session["held"] for session in done["sessions"]])
    assert "Nothing to change.\n  cli:one: held\n" == run("hold", keys[0]).out
    run("release", keys[1])
    listed = {session["id"]: session.get("held") for session in run("list", "--json").json["sessions"]}
    assert {"cli:one": True, "cli:two": None} == listed
    assert "held" not in run("show", keys[1], "--json").json["session"]


def test_tag_and_untag(run: Run, keys: tuple[str, str]) -> None:
    """One session gets several tags, or several sessions get one; a tag is the same in either spelling."""
    assert ["a", "\u00e9"] == run("tag", keys[0], "a", "e\u0301", "--json").json["sessions"][0]["tags"]
    assert [["a", "\u00e9", "b"], ["b"]] == [
        session["tags"] for session in run("tag", "--tag", "b", *keys, "--json").json["sessions"]
    ]
    assert [["b"], ["b"]] == [
        session["tags"] for session in run("untag", "--tag", "a", "--tag", "e\u0301", *keys, "--json").json["sessions"]
    ]
    assert "Untagged 1 session.\n  cli:two\n" == run("untag", keys[1], "b").out
    assert 1 == run("list", "--tag", "b", "--json").json["total"]


def test_mark_refused(run: Run, keys: tuple[str, str]) -> None:
    """A missing key or tag changes nothing, and the key that may have been meant is named."""
    missing = run("pin", keys[0], "cli:tow", code=3).err
    assert "No session has the key 'cli:tow'; nothing was changed. Did you mean cli:two" in missing
    assert run("show", keys[0], "--json").json["session"]["pinned"] is False
    assert "give KEY TAG..., or --tag TAG KEY..." in run("tag", keys[0], code=2).err
    assert "tags: " in run("tag", keys[0], "\t", code=2).err


@pytest.mark.parametrize(
    "args",
    [("show", "cli:ome"), ("show", "CLI:ONE"), ("show", "one"), ("rename", "cli:onee", "x"), ("export", "cli-one")],
)
def test_name_the_key_that_was_meant(run: Run, keys: tuple[str, str], args: tuple[str, ...]) -> None:
    """Who mistypes a key is told of those like it, programs too."""
    assert "Did you mean cli:one" in run(*args, code=3).err
    assert "Session not found: zebra\n" == run("show", "zebra", code=3).err


def test_name_an_old_key_in_another_case() -> None:
    """A key that differs in its case is found behind any number of newer ones."""
    sessions = Sessions(MemoryStore())
    for number, key in enumerate(("md:one", *(f"other:{number}" for number in range(201)))):
        sessions.append(key, [draft("x", number)])
    assert ("md:one",) == similar_keys(sessions, "MD:One")


def test_name_the_key_that_was_meant_to_programs(run: Run, keys: tuple[str, str]) -> None:
    """With `--json` the keys like it stand in the error."""
    assert '"similar": [\n      "cli:one"' in run("show", "cli:onee", "--json", code=3).err


@pytest.mark.parametrize(
    "args,told",
    [
        (
            ("append", "a", "b", "--role", "human"),
            "--role: must be one of system, developer, user, assistant, tool, event",
        ),
        (("search", "a", "--role", "human"), "--role: must be one of system, developer, user, assistant, tool, event"),
        (("search", "a", "--sort", "new"), "--sort: must be one of relevance, recent"),
        (("search", "a", "--unit", "word"), "--unit: must be one of session, message"),
        (("export", "--format", "pdf"), f"--format: must be one of {', '.join(EXPORT_FORMATS)}"),
        (("import", "-", "--as", "pdf"), f"--as: must be one of {', '.join(IMPORT_FORMATS)}"),
        (("token", "create", "--scope", "all"), "--scope: must be one of read, write, delete, admin"),
        (("stats", "--unit", "year"), "--unit: must be one of month, day"),
    ],
)
def test_refusals_name_what_is_allowed(run: Run, keys: tuple[str, str], args: tuple[str, ...], told: str) -> None:
    """An option with few values names them when it is given another."""
    assert f"{told}\n" == run(*args, code=2).err


def test_help_is_whole(run: Run) -> None:
    """What a list of commands says of each is a sentence, not the beginning of one."""
    assert "..." not in run("--help").out.partition("Commands:")[2]
    assert "..." not in run("token", "--help").out.partition("Commands:")[2]


def test_json_has_one_form_of_times(run: Run, keys: tuple[str, str]) -> None:
    """A session is the same wherever it is printed: id and key, RFC 3339, all messages counted."""
    listed = run("list", "--json").json["sessions"][0]
    shown = run("show", listed["key"], "--json").json["session"]
    assert listed == {name: shown[name] for name in listed}
    assert {"metadata", "age_seconds"} == set(shown) - set(listed)
    assert shown["created_at"].endswith("Z")
    found = run("search", "hello", "--json").json["sessions"][0]
    assert found["id"] == found["key"]
    assert found["last_activity"].endswith("Z")
