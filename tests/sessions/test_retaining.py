"""Sessions go by retention rules, and what changed meanwhile stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from chatkeep.core.life.retention import RetentionRule
from chatkeep.core.model import Revision, Selection
from chatkeep.sessions.retaining import due, let_go
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from chatkeep.testing import at, draft

DAY_S = 86_400
OLD = RetentionRule(action="delete", older_than="30d")


@pytest.fixture(params=["files", "memory"])
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sessions]:
    """Yield six sessions of a store, `k:5` the newest, one every ten days."""
    with closing(FilesStore.open(tmp_path) if request.param == "files" else MemoryStore()) as store:
        sessions = Sessions(store, now=lambda: _day(60))
        for number in range(6):
            sessions.append(f"k:{number}", [draft("said", number * 10 * DAY_S)])
        yield sessions


def _day(number: int) -> datetime:
    return at(number * DAY_S)


def _prune(sessions: Sessions, *rules: RetentionRule) -> list[str]:
    return [one.key for one in due(sessions, rules) if let_go(sessions, one, rules)]


def _left(sessions: Sessions, *, archived: bool | None = None) -> list[str]:
    return list(sessions.keys(Selection(archived=archived)).keys)


def test_prune_by_age_rank_and_room(sessions: Sessions) -> None:
    """Each bound takes the oldest; each action does its own; a second run finds nothing."""
    rules = (
        RetentionRule(action="delete", older_than="55d"),
        RetentionRule(action="trash", keep_newest=4),
        RetentionRule(action="archive", max_bytes=3 * sessions.size_of("k:5")),
    )
    expected = [one.key for one in due(sessions, rules)]
    assert ["k:0", "k:1", "k:2"] == expected
    assert expected == _prune(sessions, *rules)
    assert ["k:1"] == [one.key for one in sessions.trash.sessions()]
    assert (["k:2"], ["k:3", "k:4", "k:5"]) == (_left(sessions, archived=True), _left(sessions, archived=False))
    assert () == due(sessions, (rules[0], rules[2]))


def test_spare_what_is_pinned_or_held(sessions: Sessions) -> None:
    """Pinned and held sessions stay, and count neither as newer ones nor as room."""
    sessions.revise("k:0", Revision(pinned=True))
    sessions.revise("k:5", Revision(held=True))
    assert ["k:1", "k:2"] == sorted(_prune(sessions, OLD))
    assert ["k:3"] == _prune(sessions, RetentionRule(action="delete", keep_newest=1))
    assert ["k:0", "k:4", "k:5"] == _left(sessions)


@pytest.mark.parametrize("change", ["pin", "hold", "use", "delete"])
def test_spare_what_changed_meanwhile(sessions: Sessions, change: str) -> None:
    """A session that was due stays if somebody pins, holds or uses it before it goes; one that is gone is no error."""
    (one,) = [one for one in due(sessions, [OLD]) if one.key == "k:1"]
    if change == "use":
        sessions.append("k:1", [draft("again", 59 * DAY_S)])
    elif change == "delete":
        sessions.delete("k:1")
    else:
        sessions.revise("k:1", Revision(pinned=True) if change == "pin" else Revision(held=True))
    assert not let_go(sessions, one, [OLD])
    assert (change != "delete") == ("k:1" in _left(sessions))


def test_prune_within_a_filter(sessions: Sessions) -> None:
    """A rule looks at the sessions of its filter alone, on every page of the list."""
    for number in range(501):
        sessions.append(f"other:{number}", [draft("said", number)], channel="other")
    sessions.revise("other:7", Revision(tags=("x",)))
    assert ["other:7"] == _prune(sessions, RetentionRule(action="delete", prefix="other:", tag="x", older_than="1d"))
    assert 500 == len(_prune(sessions, RetentionRule(action="archive", channel="other", older_than="1d")))
    assert 6 == len(_left(sessions, archived=False))
