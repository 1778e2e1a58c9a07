"""Followed files: what was ever complete is stored once, whatever their program does to them."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from chatkeep.core.model import Merged, Revision, Session
from chatkeep.errors import ChatkeepError
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from tests.syncing.following import (
    PATIENCE_S,
    Followed,
    Home,
    append,
    count_of,
    follower,
    following,
    key_of,
    line,
    said_in,
    until,
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home of Claude Code."""
    return Home(tmp_path / "home")


@pytest.fixture
def sessions() -> Sessions:
    """Return an empty store."""
    return Sessions(MemoryStore())


@pytest.fixture
def positions(tmp_path: Path) -> Path:
    """Return the place of the positions."""
    return tmp_path / "workspace" / "positions.jsonl"


def test_follow_what_programs_do_to_files(home: Home, sessions: Sessions, positions: Path) -> None:
    """New files and lines come in; a torn line waits; truncated, replaced, rotated and deleted files lose nothing."""
    one, two = home.transcript(1), home.transcript(2)
    append(one, line("before"))
    with following(home.synced, sessions, positions) as told:
        until(lambda: said_in(sessions, key_of(1)) == ["before"])
        append(one, line("appended"))
        until(lambda: said_in(sessions, key_of(1)) == ["before", "appended"])
        torn = line("torn")
        append(one, torn[:40])
        append(two, line("other", session=2))
        until(lambda: said_in(sessions, key_of(2)) == ["other"])
        append(one, torn[40:])
        until(lambda: said_in(sessions, key_of(1))[-1] == "torn")
        one.write_text(line("truncated"))
        until(lambda: said_in(sessions, key_of(1))[-1] == "truncated")
        fresh = home.project / ".fresh"
        fresh.write_text(line("truncated") + line("replaced"))
        fresh.replace(one)
        until(lambda: said_in(sessions, key_of(1))[-1] == "replaced")
        append(one, line("rotated"))
        one.rename(f"{one}.1")
        append(one, line("anew"))
        until(lambda: {"rotated", "anew"} <= {*said_in(sessions, key_of(1))})
        one.unlink()
        append(two, line("last", session=2))
        until(lambda: said_in(sessions, key_of(2)) == ["other", "last"])
    texts = ["before", "appended", "torn", "truncated", "replaced", "anew", "rotated"]
    assert sorted(texts) == sorted(said_in(sessions, key_of(1)))
    assert [] == told.problems


def test_follow_folders_that_come_later(home: Home, sessions: Sessions, positions: Path, tmp_path: Path) -> None:
    """A project made or moved there while we follow is followed with all that is in it."""
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / home.transcript(3).name).write_text(line("moved", session=3))
    with following(home.synced, sessions, positions):
        append(home.transcript(1), line("first"))
        until(lambda: count_of(sessions) == 1)
        moved.rename(home.folder / "projects" / "-moved")
        until(lambda: count_of(sessions) == 2)


def test_read_no_file_again_that_did_not_change(home: Home, sessions: Sessions, positions: Path) -> None:
    """A second sync reads only the files that changed; a deletion here stays, even if its file goes on."""
    for number in (1, 2):
        append(home.transcript(number), line(f"text {number}", session=number))
        os.utime(home.transcript(number), (1, 1))
    for count in (2, 0):
        told = Followed()
        with follower(home.synced, sessions, positions, told) as one:
            one.catch_up()
        assert count == len(told.taken)
    sessions.delete(key_of(1))
    append(home.transcript(1), line("more"))
    os.utime(home.transcript(1), (2, 2))
    told = Followed()
    with follower(home.synced, sessions, positions, told) as one:
        one.catch_up()
    assert [1] == [taken.report.sessions_left_out for taken in told.taken]
    assert [key_of(2)] == [key for key in (key_of(1), key_of(2)) if said_in(sessions, key)]


def test_never_write_to_a_source(home: Home, sessions: Sessions, positions: Path, tmp_path: Path) -> None:
    """Bytes, names and times of the files and folders stay, also where nothing may be written."""
    append(home.transcript(1), line("text") + line("torn")[:30])
    shutil.copytree(home.folder, tmp_path / "before")
    before = _facts(home.folder)
    with follower(home.synced, sessions, positions) as one:
        one.catch_up()
    assert before == _facts(home.folder)
    assert ["text"] == said_in(sessions, key_of(1))


def test_tell_what_is_wrong_once_a_file_keeps_still(home: Home, sessions: Sessions, positions: Path) -> None:
    """A line that is no JSON is told with its place; an empty file is nothing wrong."""
    append(home.transcript(1), line("good") + "{broken}\n" + line("also good"))
    home.transcript(2).touch()
    told = Followed()
    with follower(home.synced, sessions, positions, told) as one:
        one.catch_up()
    assert ["good", "also good"] == said_in(sessions, key_of(1))
    (problem,) = told.problems
    assert problem.startswith(f"{home.transcript(1).name}: line 2: ")


def test_take_titles_that_come_later(home: Home, sessions: Sessions, positions: Path) -> None:
    """A title found by a program comes in with its file; one given here stays."""
    titles = []
    for number, told in enumerate(("", "ai-title", "custom-title", "custom-title")):
        append(home.transcript(1), line(f"text {number}"))
        if told:
            name = "aiTitle" if told == "ai-title" else "customTitle"
            append(home.transcript(1), json.dumps({"type": told, "sessionId": "s", name: f"Title {number}"}) + "\n")
        if number == 3:
            sessions.revise(key_of(1), Revision(title="Mine"))
        with follower(home.synced, sessions, positions) as one:
            one.catch_up()
        titles.append(sessions.get(key_of(1)).title)
    assert ["text 0", "Title 1", "Title 2", "Mine"] == titles


def test_read_a_file_with_a_time_to_come_once(home: Home, sessions: Sessions, positions: Path) -> None:
    """A file changed in the future, as a wrong clock says, does not keep a sync from its end."""
    append(home.transcript(1), line("tomorrow"))
    ahead_s = time.time() + 86400
    os.utime(home.transcript(1), (ahead_s, ahead_s))
    for count in (1, 0):
        told, stop = Followed(), threading.Event()
        ending = threading.Timer(PATIENCE_S, stop.set)
        ending.start()
        with follower(home.synced, sessions, positions, told) as one:
            one.catch_up(stop)
        ending.cancel()
        assert (count, False) == (len(told.taken), stop.is_set())
    assert ["tomorrow"] == said_in(sessions, key_of(1))


def test_read_again_what_changed_during_a_failed_reading(home: Home, positions: Path) -> None:
    """A line written while a reading fails is no part of the state that counts as read."""
    append(home.transcript(1), line("first"))
    sessions = Sessions(_FailingOnce(lambda: append(home.transcript(1), line("meanwhile"))))
    with follower(home.synced, sessions, positions) as one:
        one.catch_up()
        one.catch_up()
    assert ["first", "meanwhile"] == said_in(sessions, key_of(1))


def test_find_changes_where_the_system_tells_of_none(
    home: Home, sessions: Sessions, positions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without events, as on some file systems, looks at all files find the changes."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "no watches are left")

    monkeypatch.setattr("watchfiles.watch", fail)
    with following(home.synced, sessions, positions):
        append(home.transcript(1), line("seen"))
        until(lambda: said_in(sessions, key_of(1)) == ["seen"])
        append(home.transcript(1), line("seen too"))
        until(lambda: said_in(sessions, key_of(1)) == ["seen", "seen too"])


class _FailingOnce(MemoryStore):
    """A store whose first import fails as none should, after something else has happened."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self._meanwhile: Callable[[], None] | None = meanwhile

    def merge_all(
        self, sessions: Sequence[Session], *, unless_deleted: bool = False
    ) -> tuple[Merged | ChatkeepError, ...]:
        if (meanwhile := self._meanwhile) is not None:
            self._meanwhile = None
            meanwhile()
            raise RuntimeError
        return super().merge_all(sessions, unless_deleted=unless_deleted)


def _facts(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in [folder, *folder.rglob("*")]:
        stat = path.stat()
        found[str(path)] = (stat.st_mtime_ns, stat.st_ctime_ns, path.read_bytes() if path.is_file() else b"")
    return found
