"""What goes into the rows of the index, and what comes out of them.

The functions here change the database inside a transaction that somebody else began.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import chain
from typing import Any, Final

import msgspec
from msgspec import Struct

from chatkeep.core.feed import CHANGES_KEPT, ROUND, ChangeKind
from chatkeep.core.model import ROLES, Digest, Header, Message, Role, Summary, summary
from chatkeep.core.paging import Place
from chatkeep.core.search.words import GAP
from chatkeep.disk.files import Stamp
from chatkeep.store.files.index.sql import QUERIES, IndexConnection, UnreadableRowError
from chatkeep.store.files.index.vocabulary import (
    Indexed,
    Tally,
    indexed_of,
    put_words,
    role_word,
    scope_word,
    with_stems,
)
from chatkeep.store.files.tree.format import places

Value = Any
"""What SQLite keeps: text, a number or nothing; the schema says which."""

ZONE_DOCS: Final = 256
_PLACE_MAX: Final = 1 << 32  # twice the size of the largest file that is read
SPOKEN: Final[tuple[Role, ...]] = ("user", "assistant")
ROLE_NUMBERS: Final = {role: number for number, role in enumerate(sorted(ROLES, key=lambda role: role not in SPOKEN))}
_EPOCH: Final = datetime(2024, 1, 1, tzinfo=UTC)  # of which times of these years are near, and so short
_MICROSECOND: Final = timedelta(microseconds=1)
EPOCH_US: Final = (_EPOCH - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND  # since 1970
EPOCH_DAY: Final = _EPOCH.toordinal()
DAY_US: Final = 86_400_000_000
_FORGOTTEN_AT_ONCE: Final = 1000
_NEVER_REVISED: Final = frozenset(("key", "channel", "created_at"))


class Database(IndexConnection):
    """A connection that changes the index. Without a tally the table of words is to be made later."""

    tally: Tally | None = None


class Row(Struct, frozen=True, kw_only=True):
    """What the index knows of one session and its file."""

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
        """What a list shows of the session."""
        return summary(self.header, self.digest, self.damage)


class Spot(Struct, frozen=True):
    """Where in its file a message is: the place and the bytes of its JSON."""

    seq: int
    start: int
    size: int


class Entry(Struct, frozen=True, kw_only=True):
    """What a file brings into the index. `starts` and `ends` are places in the file, one for each message.

    `checksums` has that of all lines up to each message, if the file is whole.
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
    """What the index is given of each message, if that was worked out before, and the words were put."""

    @property
    def tail(self) -> int:
        """Where the trailer is."""
        return self.ends[-1] + 1 if self.ends else self.body

    @property
    def checksum(self) -> int:
        """The checksum of all lines."""
        return self.checksums[-1] if self.checksums else 0

    def continues(self, row: Row) -> bool:
        """Tell whether the file has what a row describes, byte by byte, and perhaps more messages after it."""
        count = row.digest.message_count
        return (
            row.damage is None
            and self.damage is None
            and row.stamp != self.stamp  # else it is the row that is doubted
            and (row.header.channel, row.header.created_at) == (self.header.channel, self.header.created_at)
            and 0 < count <= len(self.checksums)
            and row.checksum == self.checksums[count - 1]
        )


class FoundMessage(Struct, frozen=True):
    """A message that a search finds, and how many its session has."""

    row: Row
    spot: Spot
    match_count: int


def with_lines(entry: Entry, lines: Sequence[bytes], first: int, checksum: int = 0) -> Entry:
    """Return the entry with the places of its messages, whose lines begin at `first`, as `format.places` says."""
    starts, ends, checksums = places(lines, first, checksum)
    return msgspec.structs.replace(entry, starts=starts, ends=ends, checksums=checksums)


def put(db: Database, entry: Entry, doc: int | None = None) -> int:
    """Add a session that the index does not have; return the next free row of `words`."""
    values = {
        **_header_values(entry.header),
        **_digest_values(entry.header, entry.digest),
        **_stamp_values(entry.stamp),
    }
    places = {"name": entry.name, "body": entry.body, "tail": entry.tail, "damage": entry.damage}
    ((sid,),) = db.execute(QUERIES["put_session"], {**values, **places, "checksum": entry.checksum})
    return _put_messages(db, entry, sid, doc)


def replace(db: Database, entry: Entry, doc: int | None = None) -> int:
    """Put a session in the place of whatever the index has under its name; return the next free row of `words`.

    Messages that the index has already, of the same bytes, stay: a long session whose last append was cut is put
    right as quickly as a short one.
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
    """Add appended messages to a session; `entry` holds only these, and all else as it is now.

    Somebody may have read the whole file anew since `row` was asked for. If that included the append
    nothing is left to do; if not, nothing is done, and the answer is False: the file has to be read.
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
    """Bring a session up to a new header in a new file, unless somebody has read that file meanwhile."""
    if known_stamp(db, row.name) == stamp:
        return
    _revise(db, row, header, stamp, body=body, tail=tail)
    note_change(db, "revised", row.header.key)


def _revise(db: Database, row: Row, header: Header, stamp: Stamp, *, body: int, tail: int) -> None:
    values = {**_header_values(header), **_stamp_values(stamp), "name": row.name, "body": body, "tail": tail}
    db.execute(QUERIES["revise_session"], {name: values[name] for name in values if name not in _NEVER_REVISED})


def drop(db: Database, name: str) -> None:
    """Forget everything about a name."""
    for (sid,) in list(db.execute(QUERIES["sid"], {"name": name})):
        db.execute(QUERIES["keep_mark"])
        runs = db.execute(QUERIES["runs"], {"sid": sid})
        db.executemany(QUERIES["drop_messages"], [(doc, doc + count - 1) for _, doc, count in runs])
        for query in ("drop_runs", "drop_session"):
            db.execute(QUERIES[query], {"sid": sid})
    db.execute(QUERIES["drop_problem"], {"name": name})


def put_problem(db: Database, name: str, reason: str, stamp: Stamp) -> None:
    """Remember why a name cannot be served."""
    db.execute(QUERIES["put_problem"], {"name": name, "reason": reason, **_stamp_values(stamp)})


def note_change(
    db: Database, kind: ChangeKind, key: str, first_seq: int | None = None, last_seq: int | None = None
) -> None:
    """Remember that something happened to a session, and as many changes before it as views need (see `core.feed`)."""
    ((number,),) = db.execute(QUERIES["put_change"], (kind, key, first_seq, last_seq))
    if number % _FORGOTTEN_AT_ONCE == 0:
        db.execute(QUERIES["drop_changes"], (number - CHANGES_KEPT - ROUND,))


def known_stamp(db: Database, name: str) -> Stamp | None:
    """Return the state of a file that the index describes, inside a change."""
    rows = list(db.execute(QUERIES["stamp"], {"name": name}))
    return Stamp(*rows[0]) if rows else None


def next_doc(db: Database) -> int:
    """Return the number of the next document."""
    return int(next(db.execute(QUERIES["next_doc"]))[0])


def place_in_list(session: Summary) -> Place:
    """Return where a list goes on after a session."""
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
    given = entry.indexed or [indexed_of(message.text, message.reasoning) for message in entry.messages]
    marks = [_marks(sid, message.role) for message in entry.messages]
    db.executemany(QUERIES["put_words"], enumerate(map(_document, marks, given), first))
    _widen_zones(db, first, [microseconds(message.sent_at) for message in entry.messages])
    if db.tally is not None:
        db.tally.add(db, given)
        if not entry.indexed:
            put_words(db, chain.from_iterable(chain.from_iterable(with_stems(one.more) for one in given)))
    return first + len(entry.messages)


def _put_runs(db: Database, sid: int, seqs: Sequence[int], first: int) -> None:
    """Note which documents, from `first` on, the messages of a session are; they go on with its last run if they can.

    Raises:
        UnreadableRowError: when it has one of them already: the database is damaged.
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


def _document(marks: str, given: Indexed) -> str:
    """Return what the full-text index is given of a message: its marks, its tokens and its rows of parts."""
    return f"{marks} {given.tokens} {GAP} {given.rows}" if given.rows else f"{marks} {given.tokens}"


def _marks(sid: int, role: Role) -> str:
    return scope_word(sid) if role in SPOKEN else f"{scope_word(sid)} {role_word(role)}"


def _widen_zones(db: Database, first: int, times: Sequence[int]) -> None:
    """Note when the messages were sent that have the documents from `first` on."""
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
    """Return what a row of `sessions` or `listed` says.

    Raises:
        UnreadableRowError: when that cannot be: the database is damaged.
    """
    try:
        return _row_of(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnreadableRowError from error


def spot_of(values: Sequence[Value]) -> Spot:
    """Return the place of a message that a row tells.

    Raises:
        UnreadableRowError: when there is no such place in any file: the database is damaged.
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
    """Return 24 bits that stand for a message id of a session; another may have the same."""
    digest = blake2b(f"{key}\0{message_id}".encode(), digest_size=3).digest()
    return int.from_bytes(digest, "big", signed=True)
