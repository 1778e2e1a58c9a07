"""Statistics from the index: the same as by looking at everything, in whatever order the messages came."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from datetime import date
from itertools import product
from pathlib import Path

import apsw
import msgspec
import pytest

from chatkeep.core.stats import PeriodUnit, Stats
from chatkeep.store.files.index import rows
from chatkeep.store.files.index.figures import counting
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name
from chatkeep.store.memory import MemoryStore
from chatkeep.testing import draft, session

DAY_S = 86_400


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesStore]:
    """Yield a store in an empty workspace."""
    store = FilesStore.open(tmp_path, durability="none")
    yield store
    store.close()


@pytest.fixture
def small_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let three documents be a zone."""
    for module in (rows, counting):
        monkeypatch.setattr(module, "ZONE_DOCS", 3)


@pytest.mark.usefixtures("small_zones")
@pytest.mark.parametrize("step_s", [DAY_S // 50, DAY_S // 3, 11 * DAY_S, -7 * DAY_S, 0])
@pytest.mark.parametrize("disorder", [0, 4, 40])
def test_count_in_whatever_order_they_came(
    store: FilesStore, monkeypatch: pytest.MonkeyPatch, step_s: int, disorder: int
) -> None:
    """Zones that lie in one period, in several, and that are mostly of what is gone: nothing is missed or doubled."""
    chance = random.Random(f"{step_s} {disorder}")  # noqa: S311 - a test that is the same every time
    model = MemoryStore()
    for n in range(60):
        key = f"{chance.choice('ab')}:{chance.randrange(8)}"
        said = [draft("Hi", (n + chance.randint(-disorder, disorder)) * step_s) for _ in range(chance.randint(1, 3))]
        for one in (store, model):
            one.append(key, said)
            if n % 9 == 8:
                one.delete(key)
    units: tuple[PeriodUnit, ...] = ("month", "day")
    days = (None, date.min, date(2024, 1, 15), date(2024, 1, 17), date(2024, 4, 1))
    for unit, prefix, since in product(units, ("", "a:"), days):
        expected = model.stats(prefix, unit=unit, since=since)
        for few in (0, 1000):
            monkeypatch.setattr(counting, "_FEW", few)
            assert _unsized(expected) == _unsized(found := store.stats(prefix, unit=unit, since=since))
            assert store.status(prefix).size_bytes == found.size_bytes


@pytest.mark.usefixtures("small_zones")
def test_count_around_a_zone_that_is_left_out(store: FilesStore) -> None:
    """What was sent before the first period does not count with its neighbours of that."""
    for count, days in ((2, 20), (3, 0), (3, 20), (1, 0), (3, 21)):  # documents begin at 1: the first zone has two
        store.append("k", [draft("Hi", days * DAY_S) for _ in range(count)])
    (february,) = store.stats(since=date(2024, 2, 1)).periods
    assert (date(2024, 2, 1), 8) == (february.start, february.message_count)


def test_count_only_a_zone_in_one_period(store: FilesStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where messages come in order, the time of nearly none is looked at."""
    for n in range(4):
        store.append(f"k:{n}", [draft("Hi", (n * 500 + m) * DAY_S / 20) for m in range(500)])
    asked: list[str] = []
    days = counting._Counting._days

    def noted(self: object, query: str, values: dict[str, str]) -> object:
        if query == "said":
            asked.extend("." for low, high in json.loads(values["ranges"]) for _ in range(low, high + 1))
        return days(self, query, values)  # type: ignore[arg-type]

    monkeypatch.setattr(counting._Counting, "_days", noted)
    found = store.stats()
    assert [332, 580, 620, 468] == [one.message_count for one in found.periods]
    assert len(asked) <= 4 * rows.ZONE_DOCS


def test_count_never_half_a_write(store: FilesStore) -> None:
    """While sessions come and go, all the numbers of an answer are of one moment."""
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            store.append(f"k:{n % 7}", [draft("Hi", n * DAY_S), draft("Hi", 0), draft("Hi", n)])
            if n % 5 == 0:
                store.delete(f"k:{n % 7}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(60):
            for prefix in ("", "k"):
                found = store.stats(prefix)
                for name in ("session_count", "message_count"):
                    assert getattr(found, name) == sum(getattr(one, name) for one in found.periods)
                    assert getattr(found, name) == sum(getattr(one, name) for one in found.channels)
                assert found.message_count == sum(one.message_count for one in found.longest)
                assert found.size_bytes == sum(one.size_bytes for one in found.largest)
    finally:
        stop.set()
        writer.join()


def test_count_what_was_changed_from_outside(store: FilesStore, tmp_path: Path) -> None:
    """A session whose channel was edited, and one that is damaged and read-only, count as what they are now."""
    store.merge(session("a", [draft("one"), draft("two")], channel="fax", tags=("x",)))
    store.merge(session("b", [draft("one"), draft("two"), draft("three")], channel="fax"))
    store.close()
    folder = tmp_path / "sessions"
    edited, damaged = folder / file_name("a"), folder / file_name("b")
    edited.write_bytes(edited.read_bytes().replace(b'"fax"', b'"web"').replace(b'["x"]', b'["x","x"]'))
    damaged.write_bytes(damaged.read_bytes().replace(b'{"seq":2,', b'{"seq":x,'))
    again = FilesStore.open(tmp_path, durability="none")
    found, status = again.stats(), again.status()
    again.close()
    assert [("fax", 1), ("web", 1)] == [(one.channel, one.session_count) for one in found.channels]
    assert [("x", 1)] == [(one.tag, one.session_count) for one in found.tags]
    assert status.message_count == found.message_count == sum(one.message_count for one in found.periods)
    assert status.size_bytes == found.size_bytes


def test_count_by_a_damaged_index(store: FilesStore, tmp_path: Path) -> None:
    """Rows that nobody can have put there are no answer: the index is built anew."""
    store.append("a", [draft("one"), draft("two")])
    expected = store.stats()
    db = apsw.Connection(str(Index.path_in(tmp_path)))
    for damage in ("UPDATE messages SET at = 1 << 62", "UPDATE zones SET oldest = -(1 << 62)"):
        db.execute("UPDATE zones SET newest = newest + 86400000000 * 40")  # so that the times are looked at
        db.execute(damage)
    db.close()
    assert expected == store.stats()


def _unsized(found: Stats) -> Stats:
    """Return what stores of different sizes count alike."""
    channels = tuple(msgspec.structs.replace(one, size_bytes=0) for one in found.channels)
    longest = tuple(msgspec.structs.replace(one, size_bytes=0) for one in found.longest)
    return msgspec.structs.replace(found, size_bytes=0, channels=channels, longest=longest, largest=())
