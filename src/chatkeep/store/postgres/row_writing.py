"""Changes of one session, in the caller's transaction and under the lock of the session's row."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from chatkeep.core.digest import Digest
from chatkeep.core.feed import ChangeKind
from chatkeep.core.life.dropping import Chosen, chosen_of
from chatkeep.core.model import Header, Json, Message
from chatkeep.core.search.search import names_of
from chatkeep.core.standing import Drops, SeqRange, reach
from chatkeep.errors import SessionNotFoundError
from chatkeep.store.postgres.tables.cells import (
    Cell,
    StoredRow,
    line_values,
    message_at,
    named_values,
    place_of_key,
    stored_digest,
    stored_header,
    stored_row,
)
from chatkeep.store.postgres.tables.postgres_pool import PgConnection, asked_rows, run
from chatkeep.store.sets.terms import TALK, USER

_FIRST_LOOK: Final = 8  # messages; the first of them nearly always has words
_LOOK_MAX: Final = 512  # messages in one look
_LAST_SEQ: Final = 1 << 31


def locked_row(db: PgConnection, key: str) -> StoredRow | None:
    """Return the row of a session, None without one; nobody else changes it until the transaction ends."""
    found = asked_rows(db, "locked_row", place_of_key(key))
    return stored_row(found[0]) if found else None


def existing_row(db: PgConnection, key: str) -> StoredRow:
    """Return the locked row of a session.

    Raises:
        SessionNotFoundError: when there is none.
    """
    row = locked_row(db, key)
    if row is None:
        raise SessionNotFoundError(key)
    return row


def put_new_session(db: PgConnection, header: Header, extra: Mapping[str, Json] | None = None) -> StoredRow | None:
    """Put a session without lines, and return its row; None if there is one of its key."""
    told = msgspec.json.encode(extra or {}).decode()
    values = {**place_of_key(header.key), **stored_header(header), "extra": told}
    found = asked_rows(db, "put_session", values)
    if not found:
        return None
    row = stored_row(found[0])
    run(db, "put_names", {**row.place, **named_values(header)})
    return row


def put_at_end(db: PgConnection, row: StoredRow, lines: Sequence[Message], kind: ChangeKind = "appended") -> None:
    """Put lines at the end of a session, take out what they drop, and note the change."""
    if lines:
        values = line_values(lines)
        digest = _digest_after(db, row, lines)
        run(db, "put_lines", {**row.place, **values, "line_count": digest.line_count})
        run(db, "put_digest", {**row.place, **stored_digest(digest), "grown": values["size"]})
    note(db, kind, row.header.key, (lines[0].seq, lines[-1].seq) if lines else None, reach(lines))


def note(db: PgConnection, kind: ChangeKind, key: str, seqs: tuple[int, int] | None = None, gone: Drops = ()) -> None:
    """Note a change of a session for the feed."""
    first, last = seqs or (None, None)
    drops = msgspec.json.encode(gone).decode() if gone else None
    run(db, "note", {"kind": kind, "key": key, "first_seq": first, "last_seq": last, "drops": drops})


def put_header(db: PgConnection, row: StoredRow, header: Header) -> None:
    """Change the header of a session; another title, key or tags are found from now on."""
    values = stored_header(header)
    grown = values["header_size"] - stored_header(row.header)["header_size"]
    run(db, "revise", {**values, **row.place, "grown": grown})
    if names_of(header) != names_of(row.header):
        run(db, "put_names", {**row.place, **named_values(header)})
    note(db, "revised", header.key)


def lines_with(db: PgConnection, row: StoredRow, ids: Collection[str]) -> dict[str, Message]:
    """Return those lines of a session that have one of some ids, by id."""
    found = asked_rows(db, "by_ids", {**row.place, "ids": list(ids)})
    return {message.id: message for message in messages_in(found)}


def chosen_lines(db: PgConnection, row: StoredRow, lines: Chosen) -> Sequence[Message]:
    """Return the chosen lines of a session; of a choice of many only one, as proof that there are some.

    Raises:
        MessageNotFoundError: when nothing chosen stands.
    """
    if lines.last is not None:
        values = {**row.place, "roles": _LAST_SEQ, "before": _LAST_SEQ, "limit": min(lines.last, _LAST_SEQ)}
        found = messages_in(asked_rows(db, "talk", values))[::-1]
    elif lines.id is not None:
        known = lines_with(db, row, [lines.id]).values()
        standing = {message.seq for one in known for message in _standing_in(db, row, SeqRange(one.seq, one.seq))}
        found = [one for one in known if one.seq in standing]
    else:
        found = _standing_in(db, row, lines.seqs or SeqRange(1, row.digest.line_count))
    return chosen_of([msgspec.structs.replace(one, drops=None) for one in found], lines) and found


def lines_in(db: PgConnection, row: StoredRow, ranges: Drops) -> list[Message]:
    """Return the lines of a session in some ranges of seqs, besides marks."""
    found = asked_rows(db, "lines_in", {**row.place, **range_values(ranges)})
    return [line for line in messages_in(found) if not line.is_mark]


def standing_beginning(db: PgConnection, row: StoredRow, count: int) -> list[Message]:
    """Return the first standing lines of a session, marks left out."""
    return messages_in(asked_rows(db, "standing_from", {**row.place, "after": 0, "limit": count}))


def range_values(ranges: Drops) -> dict[str, Cell]:
    """Return ranges of seqs as two lists, for a statement."""
    return {"firsts": [one.first for one in ranges], "lasts": [one.last for one in ranges]}


def messages_in(found: Sequence[Sequence[Cell]]) -> list[Message]:
    """Return the messages in rows of seq and body."""
    return [message_at(seq, body) for seq, body in found]


def _standing_in(db: PgConnection, row: StoredRow, seqs: SeqRange) -> list[Message]:
    values = {**row.place, "first": seqs.first, "last": seqs.last, "limit": 1}
    return messages_in(asked_rows(db, "standing_in", values))


def _digest_after(db: PgConnection, row: StoredRow, lines: Sequence[Message]) -> Digest:
    """Take out what new lines drop of those before; return the digest after both. The cost goes by what is dropped."""
    gone = reach(lines, row.digest.line_count)
    if not gone:
        return row.digest.plus(*lines)
    ((said, talk),) = asked_rows(db, "unsay", {**row.place, **range_values(gone), "talk": TALK})
    digest = row.digest.less(said, talk, gone)
    if not digest.title_seq and row.digest.title_seq:
        digest = digest.titled(_asked_by_user(db, row))
    if not digest.preview_seq and row.digest.preview_seq:
        digest = digest.previewed(_talk_backwards(db, row))
    return digest.plus(*lines)


def _asked_by_user(db: PgConnection, row: StoredRow) -> Iterator[Message]:
    """Yield the user's standing messages, oldest first."""
    after, limit = 0, _FIRST_LOOK
    while found := messages_in(asked_rows(db, "users", {**row.place, "roles": USER, "after": after, "limit": limit})):
        yield from found
        after, limit = found[-1].seq, min(2 * limit, _LOOK_MAX)


def _talk_backwards(db: PgConnection, row: StoredRow) -> Iterator[Message]:
    """Yield the standing messages of user and assistant, newest first."""
    before, limit = _LAST_SEQ, _FIRST_LOOK
    while found := messages_in(asked_rows(db, "talk", {**row.place, "roles": TALK, "before": before, "limit": limit})):
        yield from found
        before, limit = found[-1].seq, min(2 * limit, _LOOK_MAX)
