"""Lines chosen under the lock of a file: what it costs, and who drops what beside others."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from chatkeep.core.life.dropping import Chosen, Mark
from chatkeep.core.model import Draft
from chatkeep.errors import MessageNotFoundError
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.care.checkup import examined
from chatkeep.store.files.store import FilesStore
from chatkeep.testing import at, draft, search_for, talk
from tests.store.files.writing.test_digesting import calls_of

KEY = "telegram:1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesStore]:
    """Yield an open store."""
    with closing(FilesStore.open(tmp_path, durability="none")) as opened:
        yield opened


def test_pop_costs_at_most_two_appends(store: FilesStore) -> None:
    """The last message of a long session is taken back at the price of two appends, and of no more in a longer one."""
    costs = []
    for count in (30, 3000):
        store.append(f"long:{count}", talk(count))
        for turn in range(3):  # the first of each fills caches
            added = calls_of(partial(store.append, f"long:{count}", [draft(f"more {turn}")]))
            mark = Mark(id=f"pop {turn}", sent_at=at(turn))
            popped = calls_of(partial(store.drop, f"long:{count}", Chosen(last=1), mark=mark))
        costs.append((added, popped))
    (_, short), (added, long) = costs
    assert long <= 2 * added
    assert long <= 1.1 * short


def test_drop_beside_an_appender(tmp_path: Path) -> None:
    """Two writers, one popping, one appending: everything acknowledged is there once, dropped once or standing."""
    rounds = 150
    with (
        closing(FilesStore.open(tmp_path, durability="none")) as one,
        closing(FilesStore.open(tmp_path, durability="none")) as other,
    ):
        appender, popper = Sessions(one), Sessions(other)
        appender.append(KEY, [Draft(role="user", content="begin")])
        popped: list[str] = []
        misses = 0

        def append() -> None:
            for number in range(rounds):
                appender.append(KEY, [Draft(role="user", content=f"line {number}")])

        thread = threading.Thread(target=append)
        thread.start()
        for _ in range(rounds):
            try:
                popped += [str(message.content) for message in popper.drop(KEY, Chosen(last=1)).messages]
            except MessageNotFoundError:
                misses += 1
        thread.join()
        standing = [str(message.content) for message in appender.read(KEY).messages]
        assert Counter(["begin", *(f"line {number}" for number in range(rounds))]) == Counter([*popped, *standing])
        assert rounds == len(popped) + misses
        assert 1 + rounds + len(popped) == popper.get(KEY).line_count
    assert [] == list(examined(tmp_path))


def test_index_built_anew_has_no_marks(tmp_path: Path) -> None:
    """With an index built from the files the same can be dropped, and marks are nothing to find."""
    with closing(FilesStore.open(tmp_path)) as store:
        store.append(KEY, [*talk(3), draft("state", 4, role="event", id="e")])
        store.drop(KEY, Chosen(last=1), mark=Mark(id="a", sent_at=at(5)))
    for path in tmp_path.glob("index*"):
        path.unlink()
    with closing(FilesStore.open(tmp_path)) as store:
        assert [] == list(examined(tmp_path))
        assert () == store.search(search_for("a", roles=("event",))).hits
        assert [4] == [line.seq for line in store.drop(KEY, Chosen(id="e"), mark=Mark(id="b", sent_at=at(6))).messages]
        assert [2] == [line.seq for line in store.drop(KEY, Chosen(last=1), mark=Mark(id="c", sent_at=at(7))).messages]
        store.drop(KEY, Chosen(everything=True), mark=Mark(id="d", sent_at=at(8)))
        with pytest.raises(MessageNotFoundError):
            store.drop(KEY, Chosen(everything=True), mark=Mark(id="f", sent_at=at(8)))
