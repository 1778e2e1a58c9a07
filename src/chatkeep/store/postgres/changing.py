"""The verbs that change one session, each in a transaction under the lock of its row."""

from __future__ import annotations

from chatkeep.core.life.batches import numbered
from chatkeep.core.life.dropping import (
    Chosen,
    Created,
    Dropped,
    Mark,
    NewSession,
    begun,
    created,
    dropped,
    dropping_of,
    drops_of,
    kept_of,
    replaced,
    replacing,
)
from chatkeep.core.model import Appended, Merged, Revision, Session, Summary
from chatkeep.core.standing import SeqRange
from chatkeep.errors import (
    BusyError,
    CountConflictError,
    MessageConflictError,
    SessionDeletedError,
    SessionExistsError,
    SessionNotFoundError,
)
from chatkeep.store.merging import merging
from chatkeep.store.postgres.adding import TRIES, AppendAsked
from chatkeep.store.postgres.removing import forget_deletion, is_deleted_key
from chatkeep.store.postgres.row_writing import (
    chosen_lines,
    existing_row,
    lines_in,
    lines_with,
    locked_row,
    put_at_end,
    put_header,
    put_new_session,
    standing_beginning,
)
from chatkeep.store.postgres.tables.postgres_pool import PgConnection, Postgres


def drop_by_mark(database: Postgres, key: str, lines: Chosen, mark: Mark, expect_count: int | None) -> Dropped:
    """Take back the chosen lines, as `Store.drop` says."""
    with database.writing() as db:
        row = existing_row(db, key)
        count = row.digest.line_count
        known = lines_with(db, row, [mark.id or ""]).get(mark.id or "")
        if known is not None:
            gone = dropping_of(known)
            return dropped(key, known, count, lines_in(db, row, gone) if lines.is_few else ())
        if expect_count not in {None, count}:
            raise CountConflictError(expect_count or 0, count)
        found = chosen_lines(db, row, lines)
        (line,) = numbered([mark.dropping(drops_of(lines, found, count))], count)
        put_at_end(db, row, [line])
    return dropped(key, line, count + 1, found if lines.is_few else ())


def replace_lines(database: Postgres, asked: AppendAsked, mark: Mark) -> Appended:
    """Replace everything that stands by some drafts, as `Store.replace` says."""
    for _ in range(TRIES):
        with database.writing() as db:
            done = _replaced(db, asked, mark)
            if done is not None:
                return done
    raise BusyError


def _replaced(db: PgConnection, asked: AppendAsked, mark: Mark) -> Appended | None:
    """Replace within the caller's transaction; None if another writer has just begun the session."""
    row = locked_row(db, asked.key)
    if row is None and not (asked.create and asked.drafts):
        raise SessionNotFoundError(asked.key)
    count = 0 if row is None else row.digest.line_count
    standing = [] if row is None else standing_beginning(db, row, len(asked.drafts) + 1)
    kept = kept_of(standing, asked.drafts)
    first = kept[-1].seq + 1 if kept else 1
    gone = (SeqRange(first, count),) if standing[len(kept) :] else ()
    new = replacing(asked.drafts[len(kept) :], mark, gone)
    if new and asked.expect_count not in {None, count}:
        raise CountConflictError(asked.expect_count or 0, count)
    if row is not None and (taken := lines_with(db, row, {draft.id or "" for draft in new})):
        raise MessageConflictError(min(taken))
    lines = numbered(new, count)
    own = row or put_new_session(db, asked.header())
    if own is None:
        return None
    if lines:
        put_at_end(db, own, lines, "created" if row is None else "appended")
    return replaced(asked.key, asked.drafts, kept, lines, count)


def begin_whole(database: Postgres, new: NewSession) -> Created:
    """Begin a session with its header and first messages, as `Store.create` says."""
    header, messages = begun(new)
    with database.writing() as db:
        row = put_new_session(db, header)
        if row is None:
            raise SessionExistsError(header.key)
        put_at_end(db, row, messages, "created")
    return created(header, messages)


def merge_session(database: Postgres, session: Session, *, unless_deleted: bool) -> Merged:
    """Add a session from elsewhere, as `Store.merge` says."""
    key = session.header.key
    with database.writing() as db:
        row = locked_row(db, key)  # first, so that a deletion under way has ended
        if unless_deleted and is_deleted_key(db, key):
            raise SessionDeletedError(key)
        forget_deletion(db, key)
        begun_here = None if row else put_new_session(db, session.header, session.extra)
        own = row or begun_here or existing_row(db, key)
        stored = lines_with(db, own, [message.id for message in session.messages])
        found = merging(session.messages, stored, own.digest.line_count)
        if found.lines or begun_here is not None:
            put_at_end(db, own, found.lines, "created" if begun_here else "appended")
    return found.merged(len(session.messages), created=begun_here is not None)


def put_revision(database: Postgres, key: str, revision: Revision) -> Summary:
    """Change the header of a session, as `Store.revise` says."""
    with database.writing() as db:
        row = existing_row(db, key)
        put_header(db, row, revision.applied_to(row.header))
        return existing_row(db, key).summary
