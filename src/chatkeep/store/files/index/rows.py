"""The rows of the index, written and read as typed values.

The functions here change the database inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import apsw
import msgspec
from msgspec import Struct

from chatkeep.core.digest import Digest, summary
from chatkeep.core.feed import CHANGES_KEPT, ROUND, ChangeKind
from chatkeep.core.model import Header, Message, Summary
from chatkeep.core.paging import Place
from chatkeep.core.search.search import names_of
from chatkeep.core.standing import EVENT, Drops, holds, reach
from chatkeep.disk.files import Stamp
from chatkeep.store.files.index.columns import Value, digest_values, hash_of, header_values, time_at
from chatkeep.store.files.index.lines import charges, naming
from chatkeep.store.files.index.lines.runs import put_runs
from chatkeep.store.files.index.sets import sealing
from chatkeep.store.files.index.sets.names import drop_names, put_names
from chatkeep.store.files.index.sets.postings import Postings, put_fresh, withdraw
from chatkeep.store.files.index.sets.selections import Selections
from chatkeep.store.files.index.sql import QUERIES
from chatkeep.store.files.tree.format import places
from chatkeep.store.sets.containers import UnreadableRowError
from chatkeep.store.sets.tail import FreshMessage, Tail
from chatkeep.store.sets.terms import (
    NAMED,
    ROLE_NUMBERS,
    Indexed,
    labels_of,
    labels_of_names,
)
from chatkeep.store.sets.times import EPOCH_US, microseconds

ZONE_DOCS: Final = 256  # documents in a zone
_PLACE_MAX: Final = 1 << 32  # bytes, twice the size of the largest readable file
_FORGOTTEN_AT_ONCE: Final = 1000  # changes; one delete for so many is cheaper than one for each
_NEVER_REVISED: Final = frozenset(("key", "channel", "created_at"))


class Database(apsw.Connection):
    """A connection to the index.

    One that searches keeps its sets in `postings` and `selections`. During a build, `bulk` has the labels of the last
    messages.
    """

    postings: Postings | None = None
    selections: Selections | None = None
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

    def after(self, grown: Entry) -> Row:
        """Return the row after an append: the same session, with the digest and the file of this entry."""
        return Row(
            sid=self.sid,
            name=self.name,
            header=self.header,
            digest=grown.digest,
            stamp=grown.stamp,
            body=self.body,
            tail=grown.tail,
            checksum=grown.checksum,
            damage=None,
        )

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
        count = row.digest.line_count
        return (
            row.damage is None
            and self.damage is None
            and row.stamp != self.stamp  # the same stamp again means that the row is in doubt
            and (row.header.channel, row.header.created_at) == (self.header.channel, self.header.created_at)
            and 0 < count <= len(self.checksums)
            and row.checksum == self.checksums[count - 1]
        )


class FoundMessage(Struct, frozen=True):
    """A found message, and the number of matching messages in its session; no spot for a session without messages."""

    row: Row
    spot: Spot | None
    match_count: int


def with_lines(entry: Entry, lines: Sequence[bytes], first: int, checksum: int = 0) -> Entry:
    """Return the entry with the places of its messages, as `format.places` computes them from offset `first` on."""
    starts, ends, checksums = places(lines, first, checksum)
    return msgspec.structs.replace(entry, starts=starts, ends=ends, checksums=checksums)


def put(db: Database, entry: Entry, doc: int | None = None) -> int:
    """Insert a new session; return the next free document, for the next call."""
    values = {
        **header_values(entry.header),
        **digest_values(entry.header, entry.digest),
        **msgspec.structs.asdict(entry.stamp),
    }
    places = {"name": entry.name, "body": entry.body, "tail": entry.tail, "damage": entry.damage}
    ((sid,),) = db.execute(QUERIES["put_session"], {**values, **places, "checksum": entry.checksum})
    return _put_lines(db, entry, sid, _put_names_of(db, entry.header, sid, doc))


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
    grow_row(db, row, entry)
    doc = _revise(db, row, entry.header, entry.stamp, body=entry.body, tail=entry.tail, doc=doc)
    count = row.digest.line_count
    new = msgspec.structs.replace(
        entry,
        messages=entry.messages[count:],
        starts=entry.starts[count:],
        ends=entry.ends[count:],
        indexed=entry.indexed[count:],
    )
    return _put_lines(db, new, row.sid, doc)


def grow(db: Database, row: Row, entry: Entry) -> bool:
    """Add appended messages to a session; tell whether the index is up to date now.

    `entry` has only the new messages, and all other fields as they are now. Another thread may have read the
    whole file since the caller read `row`. If the index then has the append, nothing is left to do. If it has
    another state, nothing is done and the result is False: the caller has to read the file.
    """
    found = grow_row(db, row, entry)
    if found is None:
        return known_stamp(db, row.name) == entry.stamp
    _put_lines(db, entry, found.sid, found.next_doc)
    seqs = (entry.messages[0].seq, entry.messages[-1].seq)
    note_change(db, "appended", row.header.key, seqs, reach(entry.messages))
    return True


class GrownRow(NamedTuple):
    """The row of a session after an update: its sid, and the number of the next document."""

    sid: int
    next_doc: int


def grow_row(db: Database, row: Row, entry: Entry) -> GrownRow | None:
    """Update the row of a session; return None if the index has another state of the file than `row`."""
    was = row.stamp
    values = {
        **digest_values(entry.header, entry.digest),
        **msgspec.structs.asdict(entry.stamp),
        "was_size": was.size,
        "was_modified_ns": was.modified_ns,
        "was_changed_ns": was.changed_ns,
        "was_inode": was.inode,
        "name": row.name,
        "tail": entry.tail,
        "checksum": entry.checksum,
    }
    for found in list(db.execute(QUERIES["grow_session"], values)):
        return GrownRow(*map(int, found))
    return None


def revise_row(db: Database, row: Row, header: Header, stamp: Stamp, *, body: int, tail: int) -> None:
    """Update a session's row to a new header and its new file, unless the index has that file already."""
    if known_stamp(db, row.name) == stamp:
        return
    _revise(db, row, header, stamp, body=body, tail=tail)
    note_change(db, "revised", row.header.key)


def _revise(
    db: Database, row: Row, header: Header, stamp: Stamp, *, body: int, tail: int, doc: int | None = None
) -> int | None:
    """Update a session's row, and its names if they are others; return the next free document, if it was given."""
    values = {**header_values(header), **msgspec.structs.asdict(stamp), "name": row.name, "body": body, "tail": tail}
    db.execute(QUERIES["revise_session"], {name: values[name] for name in values if name not in _NEVER_REVISED})
    if names_of(header) == names_of(row.header):
        return doc
    ((sid,),) = db.execute(QUERIES["sid"], {"name": row.name})
    db.execute(QUERIES["keep_mark"])
    drop_names(db, sid)
    free = _put_names_of(db, header, sid, doc)
    return None if doc is None else free


def _put_names_of(db: Database, header: Header, sid: int, doc: int | None) -> int:
    """Add the names of a session as a document; return the next free one."""
    free = next_doc(db) if doc is None else doc
    labels, at_us = labels_of_names(*names_of(header)), microseconds(header.created_at)
    put_names(db, FreshMessage(free, labels, sid, NAMED, at_us, header.key, header.channel), db.bulk)
    return free + 1


def drop(db: Database, name: str) -> None:
    """Delete everything about a name; its documents leave every set."""
    for (sid,) in list(db.execute(QUERIES["sid"], {"name": name})):
        db.execute(QUERIES["keep_mark"])
        drop_names(db, sid)
        for _, doc, count in list(db.execute(QUERIES["runs"], {"sid": sid})):
            withdraw(db, doc, count)
            db.execute(QUERIES["drop_messages"], (doc, doc + count - 1))
        _withdraw_events(db, sid, 1, 1 << 62)
        for query in ("drop_runs", "drop_asides", "drop_calls", "drop_blobs", "drop_session"):
            db.execute(QUERIES[query], {"sid": sid})
    db.execute(QUERIES["drop_problem"], {"name": name})


def unsay(db: Database, sid: int, gone: Drops) -> None:
    """Note that these lines of a session no longer stand: searches, windows and counts have them no more.

    Their documents leave every set. Cost: by what is dropped, not by the session.
    """
    db.execute(QUERIES["keep_mark"])
    for one in gone:
        values = {"sid": sid, "first": one.first, "last": one.last}
        for seq, doc, count in list(db.execute(QUERIES["runs_in"], values)):
            low, high, end = max(seq, one.first), min(seq + count - 1, one.last), seq + count
            docs = (doc + low - seq, doc + high - seq)
            withdraw(db, docs[0], docs[1] - docs[0] + 1)
            db.execute(QUERIES["set_aside"], docs)
            db.execute(QUERIES["drop_messages"], docs)
            db.execute(QUERIES["drop_run"], (sid, seq))
            kept = ((sid, seq, doc, low - seq), (sid, high + 1, docs[1] + 1, end - high - 1))
            db.executemany(QUERIES["put_run"], [run for run in kept if run[-1]])
        _withdraw_events(db, sid, one.first, one.last)
        db.execute(QUERIES["forget_documents"], values)


def _withdraw_events(db: Database, sid: int, first: int, last: int) -> None:
    """Take the standing events of a session in a range of seqs out of the messages and of every set."""
    for (doc,) in list(db.execute(QUERIES["event_docs"], {"sid": sid, "first": first, "last": last})):
        withdraw(db, doc)
        db.execute(QUERIES["drop_messages"], (doc, doc))


def put_problem(db: Database, name: str, reason: str, stamp: Stamp) -> None:
    """Store the reason why the store cannot serve a name."""
    db.execute(QUERIES["put_problem"], {"name": name, "reason": reason, **msgspec.structs.asdict(stamp)})


def note_change(
    db: Database,
    kind: ChangeKind,
    key: str,
    seqs: tuple[int, int] | tuple[None, None] = (None, None),
    gone: Drops = (),
) -> None:
    """Append a change of a session to the feed: the first and last seq of new lines, and the seqs dropped by them.

    Changes too old for any view are dropped (see `core.feed`).
    """
    told = msgspec.json.encode(gone).decode() if gone else None
    ((number,),) = db.execute(QUERIES["put_change"], (kind, key, *seqs, told))
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


class _Placed(NamedTuple):
    """A line with the place of its JSON in the file, and its document, None for a dropped line or a mark."""

    line: Message
    start: int
    end: int
    doc: int | None

    def row(self, key: str, body: int) -> tuple[int, int, int, int, int, int]:
        """Return the common columns of messages and asides, from `seq` on."""
        line = self.line
        place = (line.seq, self.start - body, self.end - self.start)
        return *place, hash_of(key, line.id), ROLE_NUMBERS[line.role], microseconds(line.sent_at)


def _put_lines(db: Database, entry: Entry, sid: int, doc: int | None) -> int:
    """Insert the lines of an entry, and unsay what they drop of the lines before; return the next free document."""
    first = next_doc(db) if doc is None else doc
    if not entry.messages:
        return first
    gone, free = reach(entry.messages), first
    placed: list[_Placed] = []
    for line, start, end in zip(entry.messages, entry.starts, entry.ends, strict=True):
        is_gone = holds(gone, line.seq) or line.is_mark
        placed.append(_Placed(line, start, end, None if is_gone else free))
        free += not is_gone
    _put_rows(db, entry, sid, placed)
    charges.put_calls(db, sid, entry.messages)
    naming.put_blobs(db, sid, entry.messages)
    if any(one.doc is not None for one in placed):
        kept = [place for place, one in enumerate(placed) if one.doc is not None]
        _put_labels(db, entry, sid, kept, first)
        _widen_zones(db, first, [microseconds(entry.messages[place].sent_at) for place in kept])
    earlier = reach(entry.messages, entry.messages[0].seq - 1)
    if earlier:
        unsay(db, sid, earlier)
    return free


def _put_rows(db: Database, entry: Entry, sid: int, placed: Sequence[_Placed]) -> None:
    key, body = entry.header.key, entry.body
    standing = [one for one in placed if one.doc is not None]
    asides = [one for one in placed if one.doc is None or one.line.role == EVENT]
    db.executemany(QUERIES["put_message"], [(one.doc, sid, *one.row(key, body)) for one in standing])
    if asides:
        db.executemany(QUERIES["put_aside"], [(sid, *one.row(key, body), one.doc) for one in asides])
    put_runs(db, sid, [(one.line.seq, one.doc or 0) for one in standing if one.line.role != EVENT])


def _put_labels(db: Database, entry: Entry, sid: int, kept: Sequence[int], first: int) -> None:
    """Add the labels of the lines at the places `kept`, as documents from `first` on."""
    lines = [entry.messages[place] for place in kept]
    given = [entry.indexed[place] for place in kept] if entry.indexed else list(map(labels_of, lines))
    if db.bulk is None:
        put_fresh(db, given, first)
        return
    key, channel = entry.header.key, entry.header.channel
    for doc, (line, one) in enumerate(zip(lines, given, strict=True), first):
        role, at_us = ROLE_NUMBERS[line.role], microseconds(line.sent_at)
        db.bulk.add_exploded(FreshMessage(doc, one, sid, role, at_us, key, channel))
    if db.bulk.label_count >= sealing.BULK_LABELS:
        put_bulk(db)


def put_bulk(db: Database) -> None:
    """Put the labels in memory into rows, during a build."""
    if db.bulk is not None:
        sealing.put_at_once(db, db.bulk)
        db.bulk = Tail()


def _widen_zones(db: Database, first: int, times: Sequence[int]) -> None:
    """Widen the times of the zones to those of the documents from `first` on."""
    for zone in range(first // ZONE_DOCS, (first + len(times) - 1) // ZONE_DOCS + 1):
        inside = times[max(0, zone * ZONE_DOCS - first) : (zone + 1) * ZONE_DOCS - first]
        db.execute(QUERIES["put_zone"], (zone, min(inside), max(inside)))


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
        sid, name, key, channel, user_title, created_at, metadata, archived, pinned, tags, held,
        line_count, message_count, talk_count, auto_title, title_hint, title_seq,
        preview, preview_hint, preview_seq, latest_at, _,
        size, modified_ns, changed_ns, inode, body, tail, checksum, damage,
    ) = values  # fmt: skip
    return Row(
        sid=sid,
        name=name,
        header=Header(
            key=key,
            channel=channel,
            title=user_title,
            created_at=time_at(created_at),
            metadata={} if metadata == "{}" else msgspec.json.decode(metadata),
            archived=bool(archived),
            pinned=bool(pinned),
            tags=() if tags == "[]" else tuple(msgspec.json.decode(tags)),
            held=bool(held),
        ),
        digest=Digest(
            line_count=line_count,
            message_count=message_count,
            talk_count=talk_count,
            auto_title=auto_title,
            title_hint=title_hint,
            title_seq=title_seq,
            preview=preview,
            preview_hint=preview_hint,
            preview_seq=preview_seq,
            latest_at=None if latest_at is None else time_at(latest_at),
        ),
        stamp=Stamp(size, modified_ns, changed_ns, inode),
        body=body,
        tail=tail,
        checksum=checksum,
        damage=damage,
    )
