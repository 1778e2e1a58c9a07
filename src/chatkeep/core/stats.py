"""What is counted of sessions: over time, by channel and tag, and which are the largest.

Sessions count in the period of their `created_at`, messages in that of their own time; both are of UTC, so
a message may stand in another period than its session, and one that is dated ahead in one to come.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final, Literal

from msgspec import Struct

PeriodUnit = Literal["month", "day"]

LARGEST_SHOWN: Final = 10
TAGS_SHOWN: Final = 1000
DAYS_SHOWN: Final = 60


class Period(Struct, frozen=True, kw_only=True):
    """A month or day, by its first day: how many sessions were created and messages sent in it."""

    start: date
    session_count: int
    message_count: int


class ChannelCount(Struct, frozen=True, kw_only=True):
    """What there is of a channel."""

    channel: str
    session_count: int
    message_count: int
    size_bytes: int


class TagCount(Struct, frozen=True, kw_only=True):
    """How many sessions have a tag."""

    tag: str
    session_count: int


class Measure(Struct, frozen=True, kw_only=True):
    """How large a session is."""

    key: str
    title: str
    message_count: int
    size_bytes: int


class Stats(Struct, frozen=True, kw_only=True):
    """Counts of the sessions that one may see, archived ones too; sizes are those of their files.

    `periods` are in order, without those in which nothing happened. Channels and tags come with the most
    sessions first, ties by name, and of the tags the 1000 commonest; `largest` and `longest` are the ten sessions
    of the most bytes and of the most messages, ties by key.
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
"""Those of no session."""


def start_of(day: date, unit: PeriodUnit) -> date:
    """Return the first day of the period that a day is in."""
    return day if unit == "day" else day.replace(day=1)


def periods_of(
    created: Mapping[date, int], said: Mapping[date, int], unit: PeriodUnit, since: date | None
) -> tuple[Period, ...]:
    """Return the periods with these sessions and messages by days, but those that begin before `since`."""
    counts: dict[date, list[int]] = {}
    for place, days in enumerate((created, said)):
        for day, count in days.items():
            counts.setdefault(start_of(day, unit), [0, 0])[place] += count
    return tuple(
        Period(start=start, session_count=session_count, message_count=message_count)
        for start, (session_count, message_count) in sorted(counts.items())
        if since is None or start >= since
    )
