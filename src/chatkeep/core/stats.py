"""Statistics of sessions: counts over time, by channel and by tag, and the largest sessions.

Sessions count in the period of their `created_at`, messages in the period of their own time; both are of UTC. So a
message may stand in another period than its session, and a message dated ahead stands in a future one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final, Literal

from msgspec import Struct

PeriodUnit = Literal["month", "day"]

LARGEST_SHOWN: Final = 10  # sessions
TAGS_SHOWN: Final = 1000  # the commonest
DAYS_SHOWN: Final = 60


class Period(Struct, frozen=True, kw_only=True):
    """A month or day, by its first day, with the numbers of sessions created and messages sent in it."""

    start: date
    session_count: int
    message_count: int


class ChannelCount(Struct, frozen=True, kw_only=True):
    """Counts and size of a channel."""

    channel: str
    session_count: int
    message_count: int
    size_bytes: int


class TagCount(Struct, frozen=True, kw_only=True):
    """The number of sessions with a tag."""

    tag: str
    session_count: int


class Measure(Struct, frozen=True, kw_only=True):
    """The size of a session."""

    key: str
    title: str
    message_count: int
    size_bytes: int


class Stats(Struct, frozen=True, kw_only=True):
    """Counts of the visible sessions, archived ones too; sizes are those in the store.

    `periods` are in order, without empty ones. Channels and tags come with the most sessions first, ties by name, and
    only the 1000 commonest tags. `largest` and `longest` are the ten sessions with the most bytes and with the most
    messages, ties by key.
    """

    session_count: int
    message_count: int
    size_bytes: int
    unit: PeriodUnit
    periods: tuple[Period, ...]
    channels: tuple[ChannelCount, ...]
    tags: tuple[TagCount, ...]
    largest: tuple[Measure, ...]
    longest: tuple[Measure, ...]


NO_STATS: Final = Stats(
    session_count=0,
    message_count=0,
    size_bytes=0,
    unit="month",
    periods=(),
    channels=(),
    tags=(),
    largest=(),
    longest=(),
)
"""The statistics of no sessions."""


def start_of(day: date, unit: PeriodUnit) -> date:
    """Return the first day of a day's period."""
    return day if unit == "day" else day.replace(day=1)


def periods_of(
    created: Mapping[date, int], said: Mapping[date, int], unit: PeriodUnit, since: date | None
) -> tuple[Period, ...]:
    """Return the periods of these counts by day, without periods that begin before `since`."""
    counts: dict[date, list[int]] = {}
    for place, days in enumerate((created, said)):
        for day, count in days.items():
            counts.setdefault(start_of(day, unit), [0, 0])[place] += count
    return tuple(
        Period(start=start, session_count=session_count, message_count=message_count)
        for start, (session_count, message_count) in sorted(counts.items())
        if since is None or start >= since
    )
