"""The promises of `Store.stats`."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec

from chatkeep.core.model import Draft, Revision, Selection
from chatkeep.core.stats import NO_STATS, Period, TagCount
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import START, draft, session

_TIMES = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2023, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2024, 1, 1, tzinfo=UTC),
    datetime(2024, 1, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2024, 2, 29, 12, tzinfo=UTC),
    datetime(2024, 3, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
]


class StatsContract:
    """Statistics count every session and message once, in the right period, in their present state."""

    def test_stats_of_nothing(self, store: Store) -> None:
        """An empty store has empty statistics, and so has a prefix without keys."""
        assert store.stats() == NO_STATS
        store.append("a:1", [draft()])
        assert store.stats("b:") == NO_STATS

    def test_stats_over_time(self, store: Store) -> None:
        """Sessions count by their creation, messages by their time, in months and days of UTC."""
        store.merge(session("many", [_said(time) for time in reversed(_TIMES)], created_at=_TIMES[4]))
        store.merge(session("two", [_said(_TIMES[4]), _said(_TIMES[7])], created_at=_TIMES[3]))
        days = {time.date(): 1 for time in _TIMES}
        days[date(2024, 1, 1)] = days[date(2024, 3, 1)] = 2
        expected = [
            _period(day, int(day in {date(2024, 1, 1), date(2023, 12, 31)}), count) for day, count in days.items()
        ]
        assert expected == list(store.stats(unit="day", since=date.min).periods)
        months = {(1, 1): 1, (1969, 12): 1, (1970, 1): 1, (2023, 12): 1, (2024, 1): 3, (2024, 2): 1, (2024, 3): 2}
        expected = [
            _period(date(year, month, 1), int((year, month) in {(2024, 1), (2023, 12)}), count)
            for (year, month), count in {**months, (9999, 12): 1}.items()
        ]
        assert expected == list(store.stats().periods)
        alone = [_period(date(year, month, 1), int((year, month) == (2024, 1)), 1) for year, month in months]
        alone[4] = _period(date(2024, 1, 1), 1, 2)
        assert alone == list(store.stats("many").periods)[:-1]

    def test_stats_since_a_day(self, store: Store) -> None:
        """`since` excludes periods with an earlier first day, and nothing else."""
        store.merge(session("many", [_said(time) for time in _TIMES], created_at=_TIMES[6]))
        for prefix in ("", "many"):
            everything = store.stats(prefix, since=date.min)
            for since in (date(1970, 1, 1), date(2024, 1, 1), date(2024, 1, 2), date(2024, 2, 29), date.max):
                found = store.stats(prefix, since=since)
                assert [one for one in everything.periods if one.start >= since] == list(found.periods)
                assert msgspec.structs.replace(everything, periods=found.periods) == found
            found = store.stats(prefix, unit="day", since=date(2024, 2, 29))
            assert [date(2024, 2, 29), date(2024, 3, 1), date(9999, 12, 31)] == [one.start for one in found.periods]

    def test_stats_agree_with_the_status(self, store: Store) -> None:
        """Counts and sizes equal the status, archived sessions included; channels and periods add up to them."""
        _furnish(store)
        for prefix in ("", "a:", "b"):
            status, found = store.status(prefix), store.stats(prefix)
            assert (status.session_count, status.message_count, status.size_bytes) == (
                found.session_count,
                found.message_count,
                found.size_bytes,
            )
            assert status.channels == {one.channel: one.session_count for one in found.channels}
            for name in ("session_count", "message_count"):
                assert getattr(found, name) == sum(getattr(one, name) for one in found.channels)
                assert getattr(found, name) == sum(getattr(one, name) for one in found.periods)
            assert found.size_bytes == sum(one.size_bytes for one in found.channels)

    def test_stats_by_channel_and_tag(self, store: Store) -> None:
        """Channels and tags are ordered by sessions, most first, ties by name; a tag counts once for a session."""
        _furnish(store)
        found = store.stats()
        assert [("api", 2, 4), ("fax", 2, 4), ("telex", 1, 0)] == [
            (one.channel, one.session_count, one.message_count) for one in found.channels
        ]
        assert _tags(("x", 3), ("Y", 1), ("a, b", 1), ("y", 1), ("工作", 1)) == found.tags
        assert _tags(("Y", 1), ("a, b", 1), ("x", 1)) == store.stats("a:").tags

    def test_stats_of_the_largest(self, store: Store) -> None:
        """The ten largest and ten longest sessions have their present titles; ties are ordered by key."""
        for n in range(12):
            said = [draft("x" * 40_000 * (n % 3), n) for _ in range(1 + n % 4)]
            store.merge(session(f"k:{n:02}", said))
        store.revise("k:11", Revision(title="Mine"))
        found = store.stats()
        longest = sorted(range(12), key=lambda n: (-(1 + n % 4), n))[:10]
        assert [(f"k:{n:02}", 1 + n % 4) for n in longest] == [(one.key, one.message_count) for one in found.longest]
        assert "Mine" == next(one.title for one in found.longest if one.key == "k:11")
        sizes = [(-one.size_bytes, one.key) for one in found.largest]
        assert sorted(sizes) == sizes
        assert ["k:11", "k:02"] == [one.key for one in found.largest][:2]
        assert 10 == len(sizes)
        assert all(store.status(one.key).size_bytes == one.size_bytes for one in found.largest)

    def test_stats_follow_every_change(self, store: Store) -> None:
        """The statistics include an append, a revision or a delete as soon as it returns."""
        _furnish(store)
        before = store.stats()
        store.append("a:1", [draft("Hello", 5)])
        store.revise("b:1", Revision(tags=("new",), archived=True))
        changed = store.stats()
        assert (before.message_count + 1, before.session_count) == (changed.message_count, changed.session_count)
        assert _tags(("x", 2), ("Y", 1), ("a, b", 1), ("new", 1), ("y", 1)) == changed.tags
        for key in store.keys(Selection(archived=None)).keys:
            store.delete(key)
        assert store.stats() == NO_STATS


def _furnish(store: Store) -> None:
    store.merge(session("a:1", [draft("Hello", 5), draft("Hello", 6)], tags=("x", "Y", "a, b")))
    store.merge(session("a:2", [draft("Hello", 86_400 * 40)], channel="fax", archived=True))
    store.merge(session("b:1", [draft("Hello", 3), draft("Hello", -86_400 * 20)], tags=("x", "工作", "x")))
    store.merge(session("b:2", [draft("Hello", n) for n in range(3)], channel="fax", tags=("y", "x"), pinned=True))
    store.merge(session("c", channel="telex", created_at=START.replace(year=2020)))


def _said(at: datetime) -> Draft:
    return msgspec.structs.replace(draft(), sent_at=at)


def _period(start: date, session_count: int, message_count: int) -> Period:
    return Period(start=start, session_count=session_count, message_count=message_count)


def _tags(*counts: tuple[str, int]) -> tuple[TagCount, ...]:
    return tuple(TagCount(tag=tag, session_count=count) for tag, count in counts)
