"""The cost of the hot operations, in calls: of Python, of the system, and of statements of the index.

Counts do not depend on the machine or its load. A bound has a tenth of room above the present count. If a change needs
more, first look for the call that it added to every operation.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import FrameType

import apsw
import pytest

from chatkeep.core.model import Draft, Selection
from chatkeep.store.files.store import FilesStore

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SESSIONS = 100
LONG = 2000  # messages


def say(number: int) -> Draft:
    """Return a message of a user."""
    text = f"message {number} about the weather in Tromsø and about the tides, as long as messages often are"
    return Draft(role="user", content=text, id=f"m{number}", sent_at=T0 + timedelta(seconds=number))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilesStore]:
    """Yield a store with many short sessions and a long one."""
    opened = FilesStore.open(tmp_path_factory.mktemp("costs"))
    for number in range(SESSIONS):
        opened.append(f"cli:s{number}", [say(number * 10 + place) for place in range(10)])
    opened.append("cli:long", [say(number) for number in range(LONG)])
    yield opened
    opened.close()


def calls_in(work: Callable[[], object], between: Callable[[], object] = lambda: None) -> Counter[str]:
    """Return the number of calls of a second run: `python`, `c`, and among the latter `system` and `statements`."""
    found: Counter[str] = Counter()

    def note(_frame: FrameType, event: str, called: object) -> None:
        if event == "call":
            found["python"] += 1
        elif event == "c_call":
            found["c"] += 1
            found["system"] += getattr(called, "__module__", "") in {"posix", "fcntl"}
            found["statements"] += getattr(called, "__name__", "") in {"execute", "executemany"}

    work()  # what is made once, as the statements
    between()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


def test_append_makes_few_calls(store: FilesStore) -> None:
    """An append of one message: each system call lets another thread have the interpreter, so there are few."""
    numbers = iter(range(LONG * 10, LONG * 11))

    def append() -> None:
        store.append("cli:s7", [say(next(numbers))])

    found = calls_in(append, append)  # the first two read what the others then have in memory
    assert found["system"] <= 15
    assert found["statements"] <= 10
    assert found["python"] + found["c"] <= 600


def test_list_makes_few_calls(store: FilesStore) -> None:
    """A page of 50 sessions is made once, and what did not change in it is not made again."""
    numbers = iter(range(LONG * 30, LONG * 31))
    again = calls_in(lambda: store.list(Selection(), limit=50))
    assert again["system"] <= 1
    assert again["statements"] <= 1
    assert again["python"] + again["c"] <= 60
    changed = calls_in(lambda: store.list(Selection(), limit=50), lambda: store.append("cli:s1", [say(next(numbers))]))
    assert changed["statements"] <= 3
    assert changed["python"] + changed["c"] <= 230


def test_window_makes_few_calls(store: FilesStore) -> None:
    """The last 50 messages of a long session come in one read of its file, and from memory while it is the same."""
    numbers = iter(range(LONG * 40, LONG * 41))
    again = calls_in(lambda: store.window("cli:long", limit=50))
    assert again["system"] <= 2
    assert again["statements"] <= 1
    assert again["python"] + again["c"] <= 95
    grown = calls_in(lambda: store.window("cli:long", limit=50), lambda: store.append("cli:long", [say(next(numbers))]))
    assert grown["system"] <= 7
    assert grown["statements"] <= 2
    assert grown["python"] + grown["c"] <= 1120


def test_no_statement_is_planned_for_each_value(store: FilesStore) -> None:
    """A statement keeps its plan when the values change: to plan takes SQLite ten times as long as to answer."""
    plans: list[int] = []

    def note(event: dict[str, dict[str, int]]) -> None:
        plans.append(event["stmt_status"]["SQLITE_STMTSTATUS_REPREPARE"])

    index = store._upkeep.index
    with index._readers.borrowed() as db:
        db.trace_v2(apsw.SQLITE_TRACE_PROFILE, note)
    index._committer._db.trace_v2(apsw.SQLITE_TRACE_PROFILE, note)
    for number in range(LONG * 20, LONG * 20 + 3):
        store.append(f"cli:s{number % 7}", [say(number)])
        store.window("cli:long", limit=number % 5 + 1, before=number % 100 + 5)
        store.list(Selection(updated_after=T0 + timedelta(seconds=number % 9)), limit=3)
    assert len(plans) > 30
    assert sum(plans) == 0
