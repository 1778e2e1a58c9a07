"""Statistics and changes of the sessions under some prefixes."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec

from chatkeep.core.feed import Changes
from chatkeep.core.model import Selection, Status
from chatkeep.core.stats import DAYS_SHOWN, NO_STATS, PeriodUnit, Stats
from chatkeep.store.protocol import Store


def status_within(store: Store, prefix: str | None) -> Status:
    """Return the counts of `Sessions.status`; no session has the prefix None."""
    if prefix is None:
        return Status(session_count=0, message_count=0, size_bytes=0, channels={}, problems={})
    return store.status(prefix)


def stats_within(store: Store, prefix: str | None, *, unit: PeriodUnit, since: date | None, today: date) -> Stats:
    """Return the statistics of `Sessions.stats`; no session has the prefix None."""
    if prefix is None:
        return msgspec.structs.replace(NO_STATS, unit=unit)
    if unit == "month" or since is not None:
        return store.stats(prefix, unit=unit, since=since)
    found = store.stats(prefix, unit=unit, since=today - timedelta(days=DAYS_SHOWN - 1))
    past = tuple(period for period in found.periods if period.start <= today)
    return msgspec.structs.replace(found, periods=past)


def changes_within(store: Store, after: str | None, *, limit: int, prefixes: tuple[str, str]) -> Changes:
    """Return the changes of `Sessions.changes` to keys with both prefixes; the second one is the caller's own."""
    within = Selection(prefixes=prefixes).prefix
    if within is not None:
        return store.changes(after, limit=limit, prefix=within)
    return msgspec.structs.replace(store.changes(after, limit=limit, prefix=prefixes[1]), changes=())
