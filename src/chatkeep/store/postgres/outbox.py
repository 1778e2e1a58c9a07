"""The feed: numbers are given to committed changes when somebody asks, by one reader at a time.

So no change is lost and none is told twice, whoever's transaction stays open: a change without a number has not been
told to anybody, and a number once given never changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from chatkeep.core.feed import (
    CHANGES_KEPT,
    ROUND,
    Change,
    Changes,
    number_of,
    position_of,
    resting_number,
)
from chatkeep.core.standing import Drops
from chatkeep.store.postgres.tables.cells import stored_row
from chatkeep.store.postgres.tables.conditions import bounds_of
from chatkeep.store.postgres.tables.postgres_pool import DbRow, PgConnection, Postgres, asked_rows, run

_drops_in: Final = msgspec.json.Decoder(Drops).decode
_FACTS: Final = 6  # columns of a change before those of its session
_FORGOTTEN_AT_ONCE: Final = 1000  # changes; one delete for so many is cheaper than one for each


def changes_after(database: Postgres, after: str | None, *, limit: int, prefix: str) -> Changes:
    """Return the changes after a position, as `Store.changes` says."""
    with database.borrowed() as db:
        _number(db)
    with database.snapshot() as db:
        ((last, epoch, first),) = asked_rows(db, "feed")
        number = last if after is None else number_of(after, epoch)
        if number is None or not first - 1 <= number <= last:
            return Changes(
                changes=(), position=position_of(last, epoch), is_known=False, resting=_resting(db, epoch, last, prefix)
            )
        found = asked_rows(db, "changes", {"after": number, "limit": limit})
        reached = found[-1][0] if found else number
        told = tuple(_change(row, epoch) for row in found)
        return Changes(
            changes=tuple(change for change in told if change.key.startswith(prefix)),
            position=position_of(reached, epoch),
            resting=_resting(db, epoch, reached, prefix),
        )


def _number(db: PgConnection) -> None:
    """Give numbers to the changes without one, and forget those too old for any view."""
    if not asked_rows(db, "has_unnumbered"):
        return
    with db.transaction():
        ((last,),) = asked_rows(db, "lock_feed")
        run(db, "number_changes", {"last": last})
        ((now,),) = asked_rows(db, "lock_feed")
        if last // _FORGOTTEN_AT_ONCE != now // _FORGOTTEN_AT_ONCE:
            run(db, "forget_changes", {"upto": now - CHANGES_KEPT - ROUND})


def _change(row: DbRow, epoch: bytes) -> Change:
    number, kind, key, first, last, drops = row[:_FACTS]
    own: Sequence[object] = row[_FACTS:]
    return Change(
        position=position_of(number, epoch),
        kind=kind,
        key=key,
        first_seq=first,
        last_seq=last,
        drops=None if drops is None else _drops_in(drops),
        summary=None if own[0] is None else stored_row(own).listed,
    )


def _resting(db: PgConnection, epoch: bytes, reached: int, prefix: str) -> str:
    """Return the resting position of a view of a prefix, after the first `reached` changes."""
    if not prefix:
        return position_of(reached, epoch)
    values = {**bounds_of(prefix), "round": reached // ROUND * ROUND, "reached": reached}
    seen = asked_rows(db, "last_seen", values)
    return position_of(resting_number(reached, seen[0][0] if seen else None), epoch)
