"""The rows of the index, written and read as typed values.

The functions here change the database inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

import apsw
import msgspec
from msgspec import Struct

from chatkeep.core.feed import CHANGES_KEPT, ROUND, ChangeKind
from chatkeep.core.model import ROLES, Digest, Header, Message, Role, Summary, summary
from chatkeep.core.paging import Place
from chatkeep.disk.files import Stamp
from chatkeep.store.files.index.sets import sealing
from chatkeep.store.files.index.sets.postings import Postings, withdraw
from chatkeep.store.files.index.sets.tail import FreshMessage, Tail
from chatkeep.store.files.index.sets.terms import Indexed, indexed_of
from chatkeep.store.files.index.sql import QUERIES, UnreadableRowError
from chatkeep.store.files.tree.format import places

Value = Any
"""A value in SQLite: text, a number or nothing; the schema says which."""

ZONE_DOCS: Final = 256  # documents in a zone
_PLACE_MAX: Final = 1 << 32  # bytes, twice the size of the largest readable file
SPOKEN: Final[tuple[Role, ...]] = ("user", "assistant")
ROLE_NUMBERS: Final = {role: number for number, role in enumerate(sorted(ROLES, key=lambda role: role not in SPOKEN))}
_EPOCH: Final = datetime(2024, 1, 1, tzinfo=UTC)  # near the times of these years, so SQLite stores them in few bytes
_MICROSECOND: Final = timedelta(microseconds=1)
EPOCH_US: Final = (_EPOCH - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND  # microseconds since 1970
EPOCH_DAY: Final = _EPOCH.toordinal()  # days since the year 1
DAY_US: Final = 86_400_000_000  # microseconds
_FORGOTTEN_AT_ONCE: Final = 1000  # changes; one delete for so many is cheaper than one for each
_NEVER_REVISED: Final = frozenset(("key", "channel", "created_at"))


class Database(apsw.Connection):
    """A connection to the index.

    One that searches keeps its sets in `postings`. During a build, `bulk` has the labels of the last messages.
    """

    postings: Postings | None = None
    bulk: Tail | None = None

    @property
    def is_building(self) -> bool:
        """Whether the index is being built: then nobody else sees it yet."""
        return self.bulk is not None


class Row(Struct, frozen=True, kw_only=True):
    """The index row of a session: its header, its digest, and the state of its file.

    `body` and `tail` are offsets in the file: of the first message line, and of the trailer.
    `checksum` is of the bytes between them. `damage` is the reason why the session is read-only.
    """

    sid: int
    name: str
    header: Header
    digest: Digest
    stamp: Stamp
    body: int
    tail: int
    checksum: int
    damage: str | None

    @property
    def summary(self) -> Summary:
        """The session as a list shows it."""
        return summary(self.header, self.digest, self.damage)


class Spot(Struct, frozen=True):
    """The place of a message in its file: offset and size of its JSON, in bytes."""

    seq: int
    start: int
    size: int


class Entry(Struct, frozen=True, kw_only=True):
    """The content of a session file, for the index.

    `starts` and `ends` are offsets of the messages' JSON in the file, one for each message. If the file is
    whole, `checksums` has the checksum of all lines up to each message.
    """

    name: str
    header: Header
    digest: Digest
    stamp: Stamp
    body: int
    messages: Sequence[Message]
    starts: Sequence[int] = ()
    ends: Sequence[int] = ()
    checksums: Sequence[int] = ()
    damage: str | None = None
    indexed: Sequence[Indexed] = ()
    """The labels of the messages, if the caller made them before the transaction."""

    @property
    def tail(self) -> int:
        """The offset of the trailer."""
        return self.ends[-1] + 1 if self.ends else self.body

    @property
    def checksum(self) -> int:
        """The checksum of all lines."""
        return self.checksums[-1] if self.checksums else 0

    def continues(self, row: Row) -> bool:
        """Tell whether the file begins with the bytes of the row's messages; more messages may follow."""
        count = row.digest.message_count
        return (
            row.damage is None
            and self.damage is None
            and row.stamp != self.stamp  # the same stamp again means that the row is in doubt
            and (row.header.channel, row.header.created_at) == (self.header.channel, self.header.created_at)
            and 0 < count <= len(self.checksums)
            and row.checksum == self.checksums[count - 1]
        )


class FoundMessage(Struct, frozen=True):
    """A found message, and the number of matching messages in its session."""

    row: Row
    spot: Spot
    match_count: int


def with_lines(entry: Entry, lines: Sequence[bytes], first: int, checksum: int = 0) -> Entry:
    """Return the entry with the places of its messages, as `format.places` computes them from offset `first` on."""
    starts, ends, checksums = places(lines, first, checksum)
    return msgspec.structs.replace(entry, starts=starts, ends=ends, checksums=checksums)


def put(db: Database, entry: Entry, doc: int | None = None) -> int:
    """Insert a new session; return the next free document, for the next call."""
    values = {
        **_header_values(entry.header),
        **_digest_values(entry.header, entry.digest),
        **_stamp_values(entry.stamp),
    }
    places = {"name": entry.name, "body": entry.body, "tail": entry.tail, "damage": entry.damage}
    ((sid,),) = db.execute(QUERIES["put_session"], {**values, **places, "checksum": entry.checksum})
    return _put_messages(db, entry, sid, doc)


def replace(db: Database, entry: Entry, doc: int | None = None) -> int:
    """Replace everything the index has under a name; return the next free document, for the next call.

    Messages of the same bytes stay in the index. So a long session with a torn last append costs no more than a
    short one.
    """
    known = [row_of(values) for values in db.execute(QUERIES["session"], {"name": entry.name})]
    if not (known and entry.continues(known[0])):
        drop(db, entry.name)
        return put(db, entry, doc)
    row = known[0]
    _revise(db, row, entry.header, entry.stamp, body=entry.body, tail=entry.tail)
    _grow(db, row, entry)
    count = row.digest.message_count
    new = msgspec.structs.replace(
        entry,
        messages=entry.messages[count:],
        starts=entry.starts[count:],
        ends=entry.ends[count:],
        indexed=entry.indexed[count:],
    )
    return _put_messages(db, new, row.sid, doc)


def grow(db: Database, row: Row, entry: Entry) -> bool:
    """Add appended messages to a session; tell whether the index is up to date now.

    `entry` has only the new messages, and all other fields as they are now. Another thread may have read the
    whole file since the caller read `row`. If the index then has the append, nothing is left to do. If it has
    another state, nothing is done and the result is False: the caller has to read the file.
    """
    known = known_stamp(db, row.name)
    if known != row.stamp:
        return known == entry.stamp
    _grow(db, row, entry)
    ((sid,),) = db.execute(QUERIES["sid"], {"name": row.name})
    _put_messages(db, entry, sid, None)
    note_change(db, "appended", row.header.key, entry.messages[0].seq, entry.messages[-1].seq)
    return True


def _grow(db: Database, row: Row, entry: Entry) -> None:
    values = {**_digest_values(entry.header, entry.digest), **_stamp_values(entry.stamp)}
    db.execute(QUERIES["grow_session"], {**values, "name": row.name, "tail": entry.tail, "checksum": entry.checksum})


def revise_row(db: Database, row: Row, header: Header, stamp: Stamp, *, body: int, tail: int) -> None:
    """Update a session's row to a new header and its new file, unless the index has that file already."""
    if known_stamp(db, row.name) == stamp:
        return
    _revise(db, row, header, stamp, body=body, tail=tail)
    note_change(db, "revised", row.header.key)


def _revise(db: Database, row: Row, header: Header, stamp: Stamp, *, body: int, tail: int) -> None:
    values = {**_header_values(header), **_stamp_values(stamp), "name": row.name, "body": body, "tail": tail}
    db.execute(QUERIES["revise_session"], {name: values[name] for name in values if name not in _NEVER_REVISED})


def drop(db: Database, name: str) -> None:
    """Delete everything about a name; its documents leave every set."""
    for (sid,) in list(db.execute(QUERIES["sid"], {"name": name})):
        db.execute(QUERIES["keep_mark"])
        for _, doc, count in list(db.execute(QUERIES["runs"], {"sid": sid})):
            withdraw(db, doc, count)
            db.execute(QUERIES["drop_messages"], (doc, doc + count - 1))
        for query in ("drop_runs", "drop_session"):
            db.execute(QUERIES[query], {"sid": sid})
    db.execute(QUERIES["drop_problem"], {"name": name})


def put_problem(db: Database, name: str, reason: str, stamp: Stamp) -> None:
    """Store the reason why the store cannot serve a name."""
    db.execute(QUERIES["put_problem"], {"name": name, "reason": reason, **_stamp_values(stamp)})


def note_change(
    db: Database, kind: ChangeKind, key: str, first_seq: int | None = None, last_seq: int | None = None
) -> None:
    """Append a change of a session to the feed, and drop changes too old for any view (see `core.feed`)."""
    ((number,),) = db.execute(QUERIES["put_change"], (kind, key, first_seq, last_seq))
    if number % _FORGOTTEN_AT_ONCE == 0:
        db.execute(QUERIES["drop_changes"], (number - CHANGES_KEPT - ROUND,))


def known_stamp(db: Database, name: str) -> Stamp | None:
    """Return the stamp of a file as the index has it, inside the transaction of a change."""
    rows = list(db.execute(QUERIES["stamp"], {"name": name}))
    return Stamp(*rows[0]) if rows else None


def next_doc(db: Database) -> int:
    """Return the number of the next document."""
    return int(next(db.execute(QUERIES["next_doc"]))[0])


def place_in_list(session: Summary) -> Place:
    """Return the place of a session in a list, for the cursor of the next page."""
    return Place(session.header.key, microseconds(session.updated_at) + EPOCH_US)


def microseconds(at: datetime) -> int:
    """Return a time as microseconds since 2024."""
    return (at - _EPOCH) // _MICROSECOND


def _put_messages(db: Database, entry: Entry, sid: int, doc: int | None) -> int:
    if not entry.messages:
        return next_doc(db) if doc is None else doc
    first = next_doc(db) if doc is None else doc
    key, body = entry.header.key, entry.body
    db.executemany(
        QUERIES["put_message"],
        [
            (
                first + place,
                sid,
                message.seq,
                start - body,
                end - start,
                hash_of(key, message.id),
                ROLE_NUMBERS[message.role],
                microseconds(message.sent_at),
            )
            for place, (message, start, end) in enumerate(zip(entry.messages, entry.starts, entry.ends, strict=True))
        ],
    )
    _put_runs(db, sid, [message.seq for message in entry.messages], first)
    _put_labels(db, entry, sid, first)
    _widen_zones(db, first, [microseconds(message.sent_at) for message in entry.messages])
    return first + len(entry.messages)


def _put_runs(db: Database, sid: int, seqs: Sequence[int], first: int) -> None:
    """Store the documents of a session's messages as runs, from `first` on; extend its last run if possible.

    Raises:
        UnreadableRowError: when the session has one of the messages already: the database is damaged.
    """
    runs: list[list[int]] = []
    for doc, seq in enumerate(seqs, first):
        if runs and seq - runs[-1][0] == doc - runs[-1][1]:
            runs[-1][2] += 1
        else:
            runs.append([seq, doc, 1])
    for seq, doc, count in list(db.execute(QUERIES["last_run"], {"sid": sid})):
        if seqs[0] < seq + count:
            raise UnreadableRowError
        if runs[0][:2] == [seq + count, doc + count]:
            db.execute(QUERIES["grow_run"], {"sid": sid, "seq": seq, "more": runs.pop(0)[2]})
    db.executemany(QUERIES["put_run"], [(sid, *run) for run in runs])


def _put_labels(db: Database, entry: Entry, sid: int, first: int) -> None:
    """Add the labels of messages, as documents from `first` on."""
    given = entry.indexed or [indexed_of(message.text, message.reasoning) for message in entry.messages]
    if db.bulk is None:
        db.executemany(QUERIES["put_fresh"], [(doc, one.texts, one.pairs) for doc, one in enumerate(given, first)])
        return
    key, channel = entry.header.key, entry.header.channel
    for doc, (message, one) in enumerate(zip(entry.messages, given, strict=True), first):
        role, at_us = ROLE_NUMBERS[message.role], microseconds(message.sent_at)
        db.bulk.add(FreshMessage(doc, one, sid, role, at_us, key, channel))
    if db.bulk.label_count >= sealing.BULK_LABELS:
        put_bulk(db)


def put_bulk(db: Database) -> None:
    """Put the labels in memory into rows, during a build."""
    if db.bulk is not None:
        sealing.put_at_once(db, db.bulk)
        db.bulk = Tail(keeps_long=False)


def _widen_zones(db: Database, first: int, times: Sequence[int]) -> None:
    """Widen the times of the zones to those of the documents from `first` on."""
    for zone in range(first // ZONE_DOCS, (first + len(times) - 1) // ZONE_DOCS + 1):
        inside = times[max(0, zone * ZONE_DOCS - first) : (zone + 1) * ZONE_DOCS - first]
        db.execute(QUERIES["put_zone"], (zone, min(inside), max(inside)))


def _header_values(header: Header) -> dict[str, Value]:
    return {
        "key": header.key,
        "channel": header.channel,
        "user_title": header.title,
        "created_at": microseconds(header.created_at),
        "metadata": msgspec.json.encode(header.metadata).decode(),
        "archived": header.archived,
        "pinned": header.pinned,
        "tags": msgspec.json.encode(header.tags).decode(),
    }


def _digest_values(header: Header, digest: Digest) -> dict[str, Value]:
    latest_at = None if digest.latest_at is None else microseconds(digest.latest_at)
    return {
        "message_count": digest.message_count,
        "talk_count": digest.talk_count,
        "auto_title": digest.auto_title,
        "title_hint": digest.title_hint,
        "preview": digest.preview,
        "preview_hint": digest.preview_hint,
        "latest_at": latest_at,
        "updated_at": microseconds(header.created_at) if latest_at is None else latest_at,
    }


def _stamp_values(stamp: Stamp) -> dict[str, Value]:
    return msgspec.structs.asdict(stamp)


def row_of(values: Sequence[Value]) -> Row:
    """Return the typed value of a row of `sessions` or `listed`.

    Raises:
        UnreadableRowError: when the values are impossible: the database is damaged.
    """
    try:
        return _row_of(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnreadableRowError from error


def spot_of(values: Sequence[Value]) -> Spot:
    """Return the spot of a message from a row of seq, offset and size.

    Raises:
        UnreadableRowError: when no file can have such a place: the database is damaged.
    """
    if not all(isinstance(value, int) and 0 <= value < _PLACE_MAX for value in values):
        raise UnreadableRowError
    return Spot(*values)


def _row_of(values: Sequence[Value]) -> Row:
    (
        sid, name, key, channel, user_title, created_at, metadata, archived, pinned, tags,
        message_count, talk_count, auto_title, title_hint, preview, preview_hint, latest_at, _,
        size, modified_ns, changed_ns, inode, body, tail, checksum, damage,
    ) = values  # fmt: skip
    return Row(
        sid=sid,
        name=name,
        header=Header(
            key=key,
            channel=channel,
            title=user_title,
            created_at=_EPOCH + _MICROSECOND * created_at,
            metadata={} if metadata == "{}" else msgspec.json.decode(metadata),
            archived=bool(archived),
            pinned=bool(pinned),
            tags=() if tags == "[]" else tuple(msgspec.json.decode(tags)),
        ),
        digest=Digest(
            message_count=message_count,
            talk_count=talk_count,
            auto_title=auto_title,
            title_hint=title_hint,
            preview=preview,
            preview_hint=preview_hint,
            latest_at=None if latest_at is None else _EPOCH + _MICROSECOND * latest_at,
        ),
        stamp=Stamp(size, modified_ns, changed_ns, inode),
        body=body,
        tail=tail,
        checksum=checksum,
        damage=damage,
    )


def hash_of(key: str, message_id: str) -> int:
    """Return a hash of 24 bits, signed, for a message id of a session; another id may have the same."""
    digest = blake2b(f"{key}\0{message_id}".encode(), digest_size=3).digest()
    return int.from_bytes(digest, "big", signed=True)
