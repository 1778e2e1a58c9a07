"""Statistics from the index. Most of the cost is one read of each session's row.

Two million rows have the times of messages; a zone has the earliest and the latest time of 256 at once. Messages
arrive nearly in the order of their times. So almost every zone lies within one month, and a count of its messages
is enough. A query counts the messages of the other zones by day. For a few sessions under a prefix, it reads each
of their messages instead.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final

import msgspec

from chatkeep.core.model import Selection
from chatkeep.core.standing import Drops
from chatkeep.core.stats import (
    LARGEST_SHOWN,
    TAGS_SHOWN,
    ChannelCount,
    Measure,
    PeriodUnit,
    Stats,
    TagCount,
    periods_of,
    start_of,
)
from chatkeep.store.files.index.columns import DAY_US, EPOCH_DAY, Value
from chatkeep.store.files.index.rows import ZONE_DOCS, Database, row_of
from chatkeep.store.files.index.selecting import conditions, key_bounds, unindexed
from chatkeep.store.files.index.sql import QUERIES, one_number, reading_rows

_Row = tuple[Value, ...]
_EVER: Final = -1 << 62  # microseconds; earlier than any message
_FEW: Final = 2000  # sessions under a prefix; below this the key index finds them, else SQLite reads all sessions


def counted_in(db: Database, sid: int, ranges: Drops) -> tuple[int, int]:
    """Return the number of a session's messages in ranges of seqs, and of those by user and assistant."""
    docs: list[tuple[int, int]] = []
    for one in ranges:
        for seq, doc, count in db.execute(QUERIES["runs_in"], {"sid": sid, "first": one.first, "last": one.last}):
            docs.append((doc + max(0, one.first - seq), doc + min(count - 1, one.last - seq)))
    ((messages, talk),) = db.execute(QUERIES["counted_in"], {"ranges": msgspec.json.encode(docs).decode()})
    return int(messages), int(talk)


def standing_in(db: Database, sid: int, ranges: Drops) -> tuple[int, int]:
    """Return the number of a session's messages in ranges of seqs, and of its standing events besides marks."""
    values = ({"sid": sid, "first": one.first, "last": one.last} for one in ranges)
    events = sum(int(count) for one in values for (count,) in db.execute(QUERIES["events_in"], one))
    return counted_in(db, sid, ranges)[0], events


def counted_stats(db: Database, prefix: str, unit: PeriodUnit, since: date | None) -> Stats:
    """Return the answer of `Store.stats`.

    Raises:
        UnreadableRowError: when the rows have impossible values: the database is damaged.
    """
    with reading_rows(), db:  # one snapshot for all statements
        found = _Counting(db, prefix).stats(unit, since)
    return found  # noqa: RET504 - mypy takes a connection for a context that swallows errors


class _Counting:
    """One answer in the making."""

    def __init__(self, db: Database, prefix: str) -> None:
        self._db = db
        self._prefix = prefix
        where, self._values = conditions(Selection(prefixes=(prefix,), archived=None))
        self._is_few = bool(prefix) and self._has_few()
        self._where = " AND ".join(where if self._is_few else (unindexed(one, keep="time") for one in where)) or "true"

    def stats(self, unit: PeriodUnit, since: date | None) -> Stats:
        since_us = _EVER if since is None else (since.toordinal() - EPOCH_DAY) * DAY_US
        created = self._days("created", {**self._values, "since": since_us})
        if self._is_few:
            said = self._days("said_under", {**key_bounds(self._prefix), "since": since_us})
        else:
            said = self._said(unit, since_us)
        channels = self._channels()
        return Stats(
            session_count=sum(one.session_count for one in channels),
            message_count=sum(one.message_count for one in channels),
            size_bytes=sum(one.size_bytes for one in channels),
            unit=unit,
            periods=periods_of(created, said, unit, since),
            channels=channels,
            tags=self._tags(),
            largest=self._most("size"),
            longest=self._most("message_count"),
        )

    def _has_few(self) -> bool:
        return one_number(self._db, QUERIES["count_few"], {**key_bounds(self._prefix), "few": _FEW}) < _FEW

    def _channels(self) -> tuple[ChannelCount, ...]:
        rows = self._rows("totals_where", self._values) if self._prefix else self._rows("totals")
        counts = (
            ChannelCount(channel=channel, session_count=sessions, message_count=messages, size_bytes=size)
            for channel, sessions, messages, size in rows
        )
        return tuple(sorted(counts, key=lambda one: (-one.session_count, one.channel)))

    def _tags(self) -> tuple[TagCount, ...]:
        rows = self._rows("tags", {**self._values, "limit": TAGS_SHOWN})
        return tuple(TagCount(tag=tag, session_count=count) for tag, count in rows)

    def _most(self, column: str) -> tuple[Measure, ...]:
        values = {**self._values, "limit": LARGEST_SHOWN}
        found = map(row_of, self._rows("most", values, column=column))
        return tuple(
            Measure(
                key=row.header.key,
                title=row.summary.title,
                message_count=row.digest.message_count,
                size_bytes=row.stamp.size,
            )
            for row in found
        )

    def _said(self, unit: PeriodUnit, since_us: int) -> Mapping[date, int]:
        """Return the number of messages of each day; a zone within one period counts at its first day."""
        whole: list[tuple[int, int]] = []
        starts: list[date] = []
        mixed: list[tuple[int, int]] = []
        for low, high, start in self._runs(unit, since_us):
            if start is None:
                mixed.append((low, high))
            else:
                whole.append((low, high))
                starts.append(start)
        values = {**self._values, "since": since_us, "everywhere": not self._prefix}
        counts = Counter(self._days("said", {**values, "ranges": json.dumps(mixed)}))
        for place, count in self._rows("said_between", {**values, "ranges": json.dumps(whole)}):
            counts[starts[place]] += count
        return +counts

    def _runs(self, unit: PeriodUnit, since_us: int) -> Iterator[tuple[int, int, date | None]]:
        """Yield the first and last document of neighbouring zones, and their common period, None without one."""
        first, after, known = 0, 0, None
        for zone, oldest, newest in self._rows("zones_since", {"since": since_us}):
            start, last = start_of(_day(oldest), unit), start_of(_day(newest), unit)
            period = start if start == last else None
            if (zone, period) != (after, known):
                yield first * ZONE_DOCS, after * ZONE_DOCS - 1, known
                first, known = zone, period
            after = zone + 1
        yield first * ZONE_DOCS, after * ZONE_DOCS - 1, known

    def _days(self, query: str, values: Mapping[str, Value]) -> Mapping[date, int]:
        return {date.fromordinal(day): count for day, count in self._rows(query, values)}

    def _rows(self, query: str, values: Mapping[str, Value] | None = None, *, column: str = "") -> list[_Row]:
        sql = QUERIES[query].replace("{where}", self._where).replace("{column}", column)
        return list(self._db.execute(sql, values))


def _day(at: int) -> date:
    return date.fromordinal(at // DAY_US + EPOCH_DAY)
