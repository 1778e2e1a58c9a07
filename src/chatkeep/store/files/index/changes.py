"""The feed of changes, written with the rows in one transaction: a reader by number misses nothing.

A verb of the store records its own change. After a change from outside, or if the index was behind, the store
compares the file with the row. So no change enters the feed twice, and a late one enters then.

Numbers are valid for one index on one boot of one machine. A new index starts its numbers again, and a copy of an
index may be the past of another. A power cut loses the last commits, and later changes would reuse their numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core.feed import Change, ChangeKind, Changes, number_of, position_of, resting_number
from chatkeep.core.model import Message
from chatkeep.core.standing import Drops, reach
from chatkeep.store.files.index import rows
from chatkeep.store.files.index.columns import Value, hash_of
from chatkeep.store.files.index.lines import naming
from chatkeep.store.files.index.rows import Database, Entry, Row, row_of
from chatkeep.store.files.index.sql import QUERIES
from chatkeep.store.sets.terms import ROLE_NUMBERS
from chatkeep.store.sets.times import microseconds

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")  # a random id for each boot of Linux
_FIELDS: Final = 6  # columns of `changes`; those of a session follow

_decode_drops: Final = msgspec.json.Decoder(Drops).decode

_Marks = list[tuple[int, int, int]]


class _Known(Struct, frozen=True):
    """A session as the index has it: its row, and for each message the hash of its id, its role and its time."""

    row: Row
    messages: _Marks


def take(db: Database, name: str, found: Entry | None, doc: int | None = None) -> int:
    """Replace the index's content for a name with a file's entry, None for a missing file; record the changes.

    Returns the next free document; `doc` is the result of the call before, None to ask the database.
    A build records no changes, as everything is new.
    """
    before = None if db.is_building else _known(db, name)
    if found is None:
        rows.drop(db, name)
        free = rows.next_doc(db) if doc is None else doc
    else:
        free = rows.replace(db, found, doc)
    if not db.is_building:
        for kind, fresh in _differences(before, found):
            key = found.header.key if found else before.row.header.key if before else ""
            rows.note_change(db, kind, key, _seqs(fresh), reach(fresh))
    return free


def take_all(db: Database, entries: Sequence[Entry]) -> None:
    """Replace the index's content for the names of these entries, in order; record the changes."""
    doc: int | None = None
    for entry in entries:
        doc = take(db, entry.name, entry, doc)


def put_compacted(db: Database, row: Row, entry: Entry, erased: Collection[int]) -> bool:
    """Update a session to its compacted file; `erased` are the seqs of the erased lines.

    Returns False, and does nothing, where the index has another state of the file than `row`. Cost: by the lines from
    the first erased one on.
    """
    grown = rows.grow_row(db, row, entry)
    if grown is None:
        return rows.known_stamp(db, row.name) == entry.stamp
    sid = grown.sid
    moved = list(_places(entry, min(erased)))
    docs = _documents(db, sid)
    db.executemany(QUERIES["move_message"], [(docs[seq], *place) for seq, *place in moved if seq in docs])
    asides = [place for place in moved if place[0] not in docs]
    db.executemany(QUERIES["move_event"], [(sid, *place) for place in asides])
    roles = {line.seq: ROLE_NUMBERS[line.role] for line in entry.messages}
    db.executemany(QUERIES["move_aside"], [(sid, *place, roles[place[0]]) for place in asides])
    db.executemany(QUERIES["drop_call"], [(sid, seq) for seq in erased])
    naming.put_blobs_anew(db, sid, entry.messages)
    rows.note_change(db, "revised", row.header.key)
    return True


def changes(db: Database, identity: str, after: str | None, *, limit: int, prefix: str) -> Changes:
    """Return the answer of `Store.changes`; `identity` is that of the medium."""
    ((secret,),) = db.execute(QUERIES["epoch"])
    epoch = blake2b(f"{identity} {_boot()}".encode(), key=secret, digest_size=16).digest()
    number = None if after is None else number_of(after, epoch)
    found = [] if number is None else list(db.execute(QUERIES["changes"], {"after": number, "limit": limit}))
    ((oldest, newest),) = db.execute(QUERIES["kept"])  # read last: a drop meanwhile may have left a gap in `found`
    if number is None or not oldest - 1 <= number <= newest:
        rested = position_of(_resting(db, newest, prefix), epoch)
        return Changes(changes=(), position=position_of(newest, epoch), is_known=after is None, resting=rested)
    looked_at = [_change(values, epoch) for values in found]
    behind = found[-1][0] if found else number
    resting = behind if len(found) == limit else _resting(db, behind, prefix)  # a full batch has more to follow
    return Changes(
        changes=tuple(change for change in looked_at if change.key.startswith(prefix)),
        position=position_of(behind, epoch),
        resting=position_of(resting, epoch),
    )


def _resting(db: Database, behind: int, prefix: str) -> int:
    """Return the resting number of a view after a change; reads no more changes than one round has."""
    if not prefix:
        return behind
    floor = resting_number(behind, None)
    seen = db.execute(QUERIES["last_seen"], {"floor": floor, "prefix": prefix, "behind": behind})
    return resting_number(behind, next((number for (number,) in seen), None))


def _known(db: Database, name: str) -> _Known | None:
    found = list(db.execute(QUERIES["session"], {"name": name}))
    if not found:
        return None
    row = row_of(found[0])
    return _Known(row, list(db.execute(QUERIES["identities"], {"sid": row.sid})))


def _differences(before: _Known | None, after: Entry | None) -> Iterator[tuple[ChangeKind, Sequence[Message]]]:
    """Yield the changes between two states of a session: the kind, and the new lines."""
    if after is None:
        if before is not None:
            yield "deleted", ()
        return
    if before is None or not _goes_on(before, after):
        if before is not None:
            yield "deleted", ()
        yield "created", after.messages
        return
    has_more = len(after.messages) > len(before.messages)
    if has_more:
        yield "appended", after.messages[len(before.messages) :]
    is_touched = before.row.stamp.modified_ns != after.stamp.modified_ns
    is_other = (before.row.header, before.row.damage) != (after.header, after.damage)
    if is_other or (is_touched and not has_more):
        yield "revised", ()


def _seqs(messages: Sequence[Message]) -> tuple[int, int] | tuple[None, None]:
    """Return the first and the last seq; a damaged file may lack some of the messages between."""
    return (messages[0].seq, messages[-1].seq) if messages else (None, None)


def _goes_on(before: _Known, after: Entry) -> bool:
    """Tell whether this is the same session, with all its earlier lines; some of them may be erased by now."""
    first = after.messages[: len(before.messages)]
    marks = [
        (hash_of(after.header.key, said.id), ROLE_NUMBERS[said.role], microseconds(said.sent_at)) for said in first
    ]
    if before.row.header.created_at != after.header.created_at or len(marks) != len(before.messages):
        return False
    return all(
        was == now or (was[0] == now[0] and was[2] == now[2] and line.is_erased)
        for was, now, line in zip(before.messages, marks, first, strict=True)
    )


def _places(entry: Entry, first: int) -> Iterator[tuple[int, int, int]]:
    """Yield the seq, the start and the size of each line from a seq on, as the index has them."""
    placed: Sequence[tuple[int, int]] = list(zip(entry.starts, entry.ends, strict=True))
    for seq, (start, end) in enumerate(placed[first - 1 :], start=first):
        yield seq, start - entry.body, end - start


def _documents(db: Database, sid: int) -> dict[int, int]:
    """Return the document of each message of a session, by its seq."""
    runs = list(db.execute(QUERIES["all_runs"], {"sid": sid}))
    return {seq + place: doc + place for seq, doc, count in runs for place in range(count)}


def _change(values: Sequence[Value], epoch: bytes) -> Change:
    number, kind, key, first, last, drops = values[:_FIELDS]
    row = values[_FIELDS:]
    return Change(
        position=position_of(number, epoch),
        kind=kind,
        key=key,
        first_seq=first,
        last_seq=last,
        drops=_decode_drops(drops) if drops else None,
        summary=None if row[0] is None else row_of(row).summary,
    )


@cache
def _boot() -> str:
    """Return the id of this boot of the machine; empty on a system without one."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""
