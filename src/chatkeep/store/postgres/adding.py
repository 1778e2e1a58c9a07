"""Appends: one statement where nothing is in the way, else the same under the lock of the session's row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from psycopg import errors

from chatkeep.core.digest import Digest
from chatkeep.core.keys import channel_of
from chatkeep.core.life.batches import appended, numbered, unrepeated
from chatkeep.core.model import Appended, Draft, Header, Message
from chatkeep.errors import BusyError, CountConflictError, MessageConflictError, SessionNotFoundError
from chatkeep.store.postgres.row_writing import lines_with, locked_row, put_at_end, put_new_session
from chatkeep.store.postgres.tables.cells import (
    header_size,
    line_values,
    micros,
    named_values,
    place_of_key,
    stored_digest,
)
from chatkeep.store.postgres.tables.postgres_pool import PgConnection, Postgres, asked_rows

TRIES: Final = 10  # of a write that others overtook, each time


class AppendAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Drafts to append to a session."""

    key: str
    drafts: Sequence[Draft]
    channel: str | None
    create: bool
    expect_count: int | None

    def header(self) -> Header:
        """Return the header of a new session with these drafts."""
        times = [draft.sent_at for draft in self.drafts if draft.sent_at is not None]
        return Header(key=self.key, channel=self.channel or channel_of(self.key), title=None, created_at=min(times))


def append_lines(database: Postgres, asked: AppendAsked) -> Appended:
    """Store drafts at the end of a session, as `Store.append` says."""
    new = unrepeated(asked.drafts)
    if new and not any(draft.drops for draft in new.values()):
        done = _at_once(database, asked, list(new.values()))
        if done is not None:
            return done
    for _ in range(TRIES):
        with database.writing() as db:
            slowly = _under_lock(db, asked, new)
            if slowly is not None:
                return slowly
    raise BusyError


def _at_once(database: Postgres, asked: AppendAsked, drafts: Sequence[Draft]) -> Appended | None:
    """Store drafts that drop nothing in one statement; None if some are stored, or the session is not as expected."""
    lines = numbered(drafts, 0)
    header, digest, expect = asked.header(), Digest().plus(*lines), asked.expect_count
    told = {**line_values(lines), **stored_digest(digest), **place_of_key(asked.key)}
    values = {**told, "said": digest.message_count, "talk": digest.talk_count, "expect": expect}
    with database.borrowed() as db:
        try:
            found = asked_rows(db, "append", values)
            if not found and asked.create and not expect:
                own = {"channel": header.channel, "created_at": micros(header.created_at)}
                own["header_size"] = header_size(header)
                found = asked_rows(db, "begin", {**values, **own, **named_values(header)})
        except errors.UniqueViolation:
            return None
    if not found:
        return None
    count = found[0][0] - len(lines)
    stored = [msgspec.structs.replace(line, seq=count + line.seq) for line in lines]
    return appended(asked.key, asked.drafts, {line.id: line for line in stored}, stored, count)


def _under_lock(db: PgConnection, asked: AppendAsked, drafts: dict[str, Draft]) -> Appended | None:
    """Store drafts under the lock of the session's row; None if another writer has just begun the session."""
    row = locked_row(db, asked.key)
    if row is None and not asked.create:
        raise SessionNotFoundError(asked.key)
    stored: dict[str, Message] = {} if row is None else lines_with(db, row, drafts)
    for message_id, message in stored.items():
        if not message.says_the_same(drafts[message_id]):
            raise MessageConflictError(message_id)
    new = [draft for message_id, draft in drafts.items() if message_id not in stored]
    count = 0 if row is None else row.digest.line_count
    if new and asked.expect_count not in {None, count}:
        raise CountConflictError(asked.expect_count or 0, count)
    lines = numbered(new, count)
    own = row or put_new_session(db, asked.header())
    if own is None:
        return None
    if lines:
        put_at_end(db, own, lines, "created" if row is None else "appended")
    return appended(asked.key, asked.drafts, {**stored, **{line.id: line for line in lines}}, lines, count)
