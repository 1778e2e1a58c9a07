"""Answers about sessions: their lines, lists of them, and figures. Each is of one moment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final

import msgspec

from chatkeep.core.history.windows import Window
from chatkeep.core.model import KeyPage, Message, Page, Selection, Session, Status
from chatkeep.core.paging import Place, cursor_at, place_of, scope_of
from chatkeep.core.stats import (
    LARGEST_SHOWN,
    TAGS_SHOWN,
    ChannelCount,
    Measure,
    PeriodUnit,
    Stats,
    TagCount,
    periods_of,
)
from chatkeep.core.usage.spending import ModelCall, UsageQuery, UsageReport, usage_of_calls
from chatkeep.errors import MessageNotFoundError, SessionNotFoundError
from chatkeep.store.postgres.row_writing import messages_in
from chatkeep.store.postgres.tables.cells import (
    SAID,
    Cell,
    StoredRow,
    message_at,
    micros,
    place_of_key,
    stored_row,
)
from chatkeep.store.postgres.tables.conditions import selected_by
from chatkeep.store.postgres.tables.postgres_pool import DbRow, PgConnection, Postgres, asked_rows

_SEQ_MAX: Final = 1 << 31  # no session has so many lines
_FIRST_DAY: Final = date(1970, 1, 1).toordinal()
_decode_call: Final = msgspec.json.Decoder(ModelCall).decode


class SessionReader:
    """Reads sessions from a database."""

    def __init__(self, database: Postgres) -> None:
        """Take the database."""
        self._database = database

    def row(self, key: str) -> StoredRow:
        """Return the row of a session.

        Raises:
            SessionNotFoundError: when there is none.
        """
        with self._database.borrowed() as db:
            found = asked_rows(db, "row", place_of_key(key))
        if not found:
            raise SessionNotFoundError(key)
        return stored_row(found[0])

    def whole(self, key: str) -> Session:
        """Return a session with every line of its log."""
        with self._database.snapshot() as db:
            found = asked_rows(db, "row", place_of_key(key))
            if not found:
                raise SessionNotFoundError(key)
            row = stored_row(found[0])
            lines = messages_in(asked_rows(db, "every_line", row.place))
        return Session(header=row.header, messages=tuple(lines), extra=row.extra)

    def window(self, key: str, *, limit: int, before: int | None, after: int | None, log: bool) -> Window:
        """Return neighbouring messages, as `Store.window` says."""
        follows = after is not None and before is None
        values = {
            **place_of_key(key),
            "limit": limit + 1,
            "before": _SEQ_MAX if before is None else min(before, _SEQ_MAX),
            "after": -1 if after is None else min(after, _SEQ_MAX),
        }
        where = "true" if log else "state = 0"
        with self._database.borrowed() as db:
            found = asked_rows(db, "following" if follows else "newest", values, where)
        if not found:
            raise SessionNotFoundError(key)
        lines = messages_in([row for row in found if row[0] is not None])
        shown = lines[:limit]
        return Window(messages=tuple(shown if follows else shown[::-1]), has_more=len(lines) > limit)

    def message(self, key: str, message_id: str, *, log: bool) -> Message:
        """Return one message by its id, as `Store.message` says."""
        with self._database.borrowed() as db:
            found = asked_rows(db, "by_id", {**place_of_key(key), "id": message_id.replace("\0", "")})
        if not found:
            raise SessionNotFoundError(key)
        state, seq, body = found[0]
        if seq is None or "\0" in message_id or not (log or state == SAID):
            raise MessageNotFoundError
        return message_at(seq, body)

    def page(self, selection: Selection, *, limit: int, cursor: str | None, metadata: bool) -> Page:
        """Return a page of sessions, as `Store.list` says."""
        scope = scope_of("sessions", selection)
        place = None if cursor is None else place_of(cursor, scope)
        where, values = selected_by(selection)
        beyond, values_beyond = where, dict(values)
        if place is not None:
            beyond = f"{where} AND updated_at <= %(at)s AND (updated_at < %(at)s OR key > %(past)s)"
            values_beyond |= {"at": place.at_us, "past": place.key}
        with self._database.snapshot() as db:
            found = asked_rows(db, "page", {**values_beyond, "limit": limit + 1}, beyond)
            ((total,),) = asked_rows(db, "count", values, where)
        shown = [stored_row(row) for row in found[:limit]]
        return Page(
            sessions=tuple(row.summary if metadata else row.listed for row in shown),
            total=total,
            next_cursor=cursor_at(_place(shown[-1]), scope) if len(found) > limit else None,
        )

    def keys(self, selection: Selection, *, limit: int | None, cursor: str | None) -> KeyPage:
        """Return a page of keys, as `Store.keys` says."""
        scope = scope_of("keys", selection)
        place = None if cursor is None else place_of(cursor, scope)
        where, values = selected_by(selection)
        beyond, values_beyond = where, dict(values)
        if place is not None:
            beyond, values_beyond = f"{where} AND key > %(past)s", {**values, "past": place.key}
        with self._database.snapshot() as db:
            one_more = None if limit is None else limit + 1
            found = asked_rows(db, "keys", {**values_beyond, "limit": one_more}, beyond)
            ((total,),) = asked_rows(db, "count", values, where)
        shown = tuple(key for (key,) in found[:limit])
        has_more = len(found) > len(shown)
        return KeyPage(keys=shown, total=total, next_cursor=cursor_at(Place(shown[-1]), scope) if has_more else None)

    def status(self, prefix: str) -> Status:
        """Return counts and sizes, as `Store.status` says."""
        with self._database.borrowed() as db:
            found = sorted(asked_rows(db, "channels", *_under(prefix)))
        return Status(
            session_count=sum(count for _, count, _, _ in found),
            message_count=sum(messages for _, _, messages, _ in found),
            size_bytes=sum(size for _, _, _, size in found),
            channels={channel: count for channel, count, _, _ in found},
            problems={},
        )

    def stats(self, prefix: str, unit: PeriodUnit, since: date | None) -> Stats:
        """Return statistics, as `Store.stats` says."""
        values, where = _under(prefix)
        with self._database.snapshot() as db:
            channels = sorted(asked_rows(db, "channels", values, where), key=lambda row: (-row[1], row[0]))
            created = _by_day(asked_rows(db, "days_created", values, where))
            said = _by_day(asked_rows(db, "days_said", values, where))
            tags = asked_rows(db, "tags", {**values, "limit": TAGS_SHOWN}, where)
            largest, longest = (_most(db, column, values, where) for column in ("size", "message_count"))
        return Stats(
            session_count=sum(count for _, count, _, _ in channels),
            message_count=sum(messages for _, _, messages, _ in channels),
            size_bytes=sum(size for _, _, _, size in channels),
            unit=unit,
            periods=periods_of(created, said, unit, since),
            channels=tuple(
                ChannelCount(channel=channel, session_count=count, message_count=messages, size_bytes=size)
                for channel, count, messages, size in channels
            ),
            tags=tuple(TagCount(tag=tag, session_count=count) for tag, count in tags),
            largest=largest,
            longest=longest,
        )

    def usage(self, asked: UsageQuery) -> UsageReport:
        """Return the usage of models, as `Store.usage` says. No message is read."""
        where, values = selected_by(asked.selection)
        if asked.session is not None:
            where, values = f"{where} AND key = %(session)s", {**values, "session": asked.session}
        with self._database.borrowed() as db:
            found = asked_rows(db, "calls", values, where)
        return usage_of_calls(
            ((stored_row(told).summary, [_decode_call(call) for call in calls]) for calls, *told in found), asked
        )


def _under(prefix: str) -> tuple[dict[str, Cell], str]:
    """Return the values and the condition of the sessions under a prefix."""
    where, values = selected_by(Selection(prefixes=(prefix,), archived=None))
    return values, where


def _by_day(found: Iterable[DbRow]) -> dict[date, int]:
    return {date.fromordinal(_FIRST_DAY + day): count for day, count in found}


def _most(db: PgConnection, column: str, values: dict[str, Cell], where: str) -> tuple[Measure, ...]:
    found = asked_rows(db, f"most_{column}", {**values, "limit": LARGEST_SHOWN}, where)
    return tuple(
        Measure(
            key=row.header.key,
            title=row.summary.title,
            message_count=row.digest.message_count,
            size_bytes=row.size,
        )
        for row in map(stored_row, found)
    )


def _place(row: StoredRow) -> Place:
    return Place(row.header.key, micros(row.summary.updated_at))
