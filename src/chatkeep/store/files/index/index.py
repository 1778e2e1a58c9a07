"""The index over the session files: fast answers, and no data beyond the files.

It is one SQLite database beside the files (see schema.sql), and it is disposable. If it is missing,
damaged or of another version, the store builds it again from the files. The name of the database
has a hash of all inputs to its content. So a new version never opens an old database.

A row describes one *state* of a file, identified by a stamp. A writer of a file holds the file's lock
until the row is up to date. So a row is behind its file only for a moment, after a crash, or after a
change from outside; the stamps differ then.

Changes run one after the other. If no other thread writes, the caller commits its change at once.
Otherwise one thread commits all waiting changes in one transaction (group commit, in `committing`).
Readers have connections of their own, one for each reader at a time, and never wait.
"""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from concurrent.futures import Future
from datetime import date
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import apsw
import msgspec
import Stemmer

from chatkeep.core.feed import Changes
from chatkeep.core.model import Selection, Summary
from chatkeep.core.paging import Place
from chatkeep.core.search.search import Search
from chatkeep.core.standing import Drops
from chatkeep.core.stats import PeriodUnit, Stats
from chatkeep.core.unknown import FORMAT
from chatkeep.core.usage.spending import UsageQuery, UsageReport
from chatkeep.disk.files import Stamp, told
from chatkeep.disk.sqlite import read_snapshot
from chatkeep.store.files.index import changes, rows
from chatkeep.store.files.index.columns import Value, hash_of
from chatkeep.store.files.index.databases import IndexLostError, Medium, lost_as_such
from chatkeep.store.files.index.figures import costing, counting
from chatkeep.store.files.index.lines import naming
from chatkeep.store.files.index.rows import Database, Row, Spot, row_of, spot_of
from chatkeep.store.files.index.search.lookups import FoundMessages, Reader, found_messages
from chatkeep.store.files.index.selecting import conditions, key_bounds, unindexed
from chatkeep.store.files.index.sql import LATE_INDEXES, QUERIES, SCHEMA, reading_rows
from chatkeep.store.files.index.turns.committing import Committer, Write
from chatkeep.store.files.index.turns.kept import KeptAnswers
from chatkeep.store.files.index.turns.reading_connections import ReadingConnections
from chatkeep.store.sets.tail import Tail
from chatkeep.store.sets.terms import EVERY_ROLE, ROLE_NUMBERS
from chatkeep.store.sets.times import EPOCH_US

_T = TypeVar("_T")

_REVISION: Final = 14  # to raise when the content of the index changes, but no text in the hash of the version
_FEW: Final = 2000  # sessions; below this, sorting a page of a list is cheaper than walking by time
_CACHE_KB: Final = 32_768  # KiB of pages, for the writing connection
_MOMENT_CACHE_KB: Final = 64  # KiB of pages, for the connection that only asks whether anybody has written
_WARM_MESSAGES: Final = 2_000_000  # messages; their rows and those of their sessions fill half of that cache
_LISTED_KEPT: Final = 4096  # sessions in lists: about 8 MB
_WASTE_MIN: Final = 10_000  # documents; a smaller index is never worth a rebuild


_BY_ONE: Final = QUERIES["session_and_spots"].replace("{that}", "= :that")
_BY_MANY: Final = QUERIES["session_and_spots"].replace("{that}", "IN (SELECT value FROM json_each(:that))")
_decode_spots: Final = msgspec.json.Decoder(list[tuple[int, int, int]]).decode


class RowAndSpots(NamedTuple):
    """A session's row, and the spots of some of its lines."""

    row: Row
    spots: list[Spot]


class Index:
    """An open index.

    Every verb may raise `IndexLostError`, and `IndexBehindError` or `IndexRefusedError` from `databases`.
    """

    def __init__(self, medium: Medium, *, is_building: bool = False) -> None:
        """Open the database of a medium; after a build (`is_building`), call `finish`."""
        self.medium = medium
        with lost_as_such(), told():
            writer = medium.connected(cache_kb=_CACHE_KB)
        writer.bulk = Tail() if is_building else None
        self._readers = ReadingConnections(medium)
        self._kept = KeptAnswers(partial(self._readers.connected, _MOMENT_CACHE_KB))
        self._committer = Committer(writer, medium)

    @staticmethod
    def path_in(workspace: Path) -> Path:
        """Return the path of a workspace's index, for this version of the index."""
        return workspace / f"index-{_version()}.sqlite3"

    def finish(self) -> None:
        """Finish a build: put the last labels into rows, and create the late indexes, as that is cheaper now."""

        def change(db: Database) -> None:
            rows.put_bulk(db)
            db.execute(LATE_INDEXES)
            db.bulk = None

        self.write(change)

    def close(self) -> None:
        """Commit the changes sent and close the database; a second call does no harm."""
        self._readers.close()
        with contextlib.suppress(apsw.Error):
            self._kept.close()
        self._committer.close()  # last: a reading connection cannot empty the write-ahead log
        self.medium.close()

    def is_wasteful(self) -> bool:
        """Tell whether more than half of the documents are gone; False below 10,000 documents.

        Events are counted only where the rest is too little: nobody keeps their number.
        """
        ((made, kept),) = self._rows(QUERIES["wasted"])
        if made <= _WASTE_MIN or kept >= made / 2:
            return False
        return bool(kept + _number(self._rows(QUERIES["event_count"])) < made / 2)

    # Reading

    def row(self, name: str) -> Row | None:
        """Return the index row of a session, by the name of its file."""
        rows = self._rows(QUERIES["session"], {"name": name})
        with lost_as_such():
            return row_of(rows[0]) if rows else None

    def problem(self, name: str) -> str | None:
        """Return the reason why the store cannot serve a name, None if it can."""
        rows = self._rows(QUERIES["problem"], {"name": name})
        return str(rows[0][0]) if rows else None

    def stamp(self, name: str) -> Stamp | None:
        """Return the stamp of a file as the index has it."""
        rows = self._rows(QUERIES["stamp"], {"name": name})
        return Stamp(*rows[0]) if rows else None

    def stamps(self) -> dict[str, Stamp]:
        """Return the stamps of all files as the index has them, by name."""
        return {row[0]: Stamp(*row[1:]) for row in self._rows(QUERIES["stamps"])}

    def problems(self, prefix: str = "") -> dict[str, str]:
        """Return the reasons by name, for names the store cannot serve and for read-only sessions.

        With a prefix, only the read-only sessions under it.
        """
        rows = self._rows(QUERIES["damaged"], key_bounds(prefix)) if prefix else self._rows(QUERIES["problems"])
        return {str(name): str(reason) for name, reason in rows}

    def spots(
        self, name: str, *, limit: int, before: int | None, after: int | None, roles: int | None = EVERY_ROLE
    ) -> tuple[list[Spot], Stamp | None]:
        """Return the spots of neighbouring messages as for `Store.window`, oldest first, and the stamp of their file.

        Only messages whose role has a number below `roles` count; with None, every line does. The stamp is None if
        there are no such messages.
        """
        order = "following" if after is not None and before is None else "newest"
        values = {"name": name, "before": _or(before, 1 << 60), "after": _or(after, -1), "limit": limit}
        found = self._log(order, values) if roles is None else self._rows(QUERIES[order], {**values, "roles": roles})
        if order == "newest":
            found.reverse()
        with lost_as_such():
            return [spot_of(row[:3]) for row in found], Stamp(*found[0][3:]) if found else None

    def _log(self, order: str, values: dict[str, Value]) -> list[tuple[Value, ...]]:
        """Return the rows of lines of every kind, in the order of a query for messages."""
        return self._joined(order, f"asides_{order}", values)

    def _joined(self, order: str, others: str, values: dict[str, Value]) -> list[tuple[Value, ...]]:
        """Return the rows of two queries in one snapshot, by seq: those for messages, and for other lines."""

        def rows(db: Database) -> list[tuple[Value, ...]]:
            said = {**values, "roles": EVERY_ROLE}
            with read_snapshot(db):  # one snapshot for both
                found = [*db.execute(QUERIES[order], said), *db.execute(QUERIES[others], values)]
            return sorted(found, key=lambda row: int(row[0]), reverse=order == "newest")

        return self._read(rows)[: values["limit"]]

    def standing_after(self, row: Row, seq: int, *, limit: int) -> list[Spot]:
        """Return the spots of a session's first standing lines after a seq: messages, and events besides marks."""
        found = self._joined("following", "events_following", {"name": row.name, "after": seq, "limit": limit})
        with lost_as_such():
            return [spot_of(values[:3]) for values in found]

    def standing_in(self, row: Row, ranges: Drops) -> tuple[int, int]:
        """Return the number of messages in these ranges of seqs, and of standing events besides marks."""
        return self._read(lambda db: counting.standing_in(db, row.sid, ranges))

    def counted_in(self, row: Row, ranges: Drops) -> tuple[int, int]:
        """Return the number of messages in these ranges of seqs, and of those by user and assistant."""
        return self._read(lambda db: counting.counted_in(db, row.sid, ranges))

    def row_and_spots(self, name: str, key: str, message_ids: Collection[str]) -> RowAndSpots | None:
        """Return a session's row, and the spots of the lines with the hashes of these ids, of one moment.

        Another id may have the same hash.
        """
        hashes = [hash_of(key, message_id) for message_id in message_ids]
        is_one = len(hashes) == 1  # the common case
        wanted = {"name": name, "that": hashes[0] if is_one else msgspec.json.encode(hashes).decode()}
        rows = self._rows(_BY_ONE if is_one else _BY_MANY, wanted)
        with lost_as_such(), reading_rows():
            for *values, spots in rows:
                return RowAndSpots(row_of(values), [spot_of(one) for one in _decode_spots(spots)])
            return None

    def hashes(self, name: str) -> tuple[Stamp | None, list[int]]:
        """Return the stamp of a session's file, None without one, and the hashes of the ids of its lines."""

        def read(db: Database) -> tuple[Stamp | None, list[int]]:
            with read_snapshot(db):
                found = [row_of(values) for values in db.execute(QUERIES["session"], {"name": name})]
                if not found:
                    return None, []
                return found[0].stamp, [one for one, _, _ in db.execute(QUERIES["identities"], {"sid": found[0].sid})]

        return self._read(read)

    def page(
        self, selection: Selection, *, limit: int, after: Place | None, metadata: bool = False
    ) -> tuple[list[Summary], int]:
        """Return a page of sessions by latest activity after a place, and the total of the selection."""
        where, values = conditions(selection)
        total = self._total(selection, where, values)
        few = total < _FEW if selection.is_by_marks else self._has_few(selection.prefix)
        if after is not None:
            where = [*where, "updated_at <= :at", "(updated_at < :at OR key > :past)"]
            values = {**values, "at": after.at_us - EPOCH_US, "past": after.key}
        where = [unindexed(condition, keep="key" if few else "time") for condition in where]
        sql = QUERIES["page_of_few" if few else "page"].replace("{where}", " AND ".join(where) or "true")
        if metadata:
            sql = QUERIES["with_metadata"].replace("{page}", sql)
        found = self._rows(sql, {**values, "limit": limit})
        with lost_as_such():
            return [row_of(row).summary if metadata else _listed(row) for row in found], total

    def kept(self, asked: Hashable, make: Callable[[], _T]) -> _T:
        """Return the answer that `make` gave to a question, if nobody has written to the index since."""
        if self._readers.is_closed:
            raise IndexLostError("closed")
        with lost_as_such():
            return self._kept.get(asked, make)

    def keys(self, selection: Selection, *, limit: int | None, after: Place | None) -> tuple[list[str], int]:
        """Return keys by code point after a place, and the total of the selection."""
        where, values = conditions(selection)
        total = self._total(selection, where, values)
        if after is not None:
            where, values = [*where, "key > :past"], {**values, "past": after.key}
        sql = QUERIES["keys"].replace("{where}", " AND ".join(where) or "true")
        return [str(row[0]) for row in self._rows(sql, {**values, "limit": _or(limit, -1)})], total

    def totals(self, prefix: str = "") -> list[tuple[str, int, int, int]]:
        """Return name, sessions, messages and bytes of each channel."""
        rows = self._rows(QUERIES["totals_under"], key_bounds(prefix)) if prefix else self._rows(QUERIES["totals"])
        return [(str(channel), int(count), int(messages), int(size)) for channel, count, messages, size in rows]

    def find(self, search: Search, reader: Reader) -> FoundMessages:
        """Return the messages for a search; the reader reads messages from their files."""
        return self._read(lambda db: found_messages(db, search, reader))

    def stats(self, prefix: str, unit: PeriodUnit, since: date | None) -> Stats:
        """Return the figures of `Store.stats`."""
        return self._read(lambda db: counting.counted_stats(db, prefix, unit, since))

    def usage(self, asked: UsageQuery) -> UsageReport:
        """Return the figures of `Store.usage`."""
        return self._read(lambda db: costing.usage_report(db, asked))

    def warm_up(self) -> None:
        """Read the rows of the newest 2,000,000 messages, of all sessions, names and runs into memory.

        A search looks these rows up in random order. From a disk this takes longer than everything else.
        """
        self._rows(QUERIES["warm_up"], {"most": _WARM_MESSAGES})

    def blobs_of(self, name: str) -> frozenset[str]:
        """Return the hashes of the blobs that a session names, by the name of its file."""
        return self._read(lambda db: naming.blobs_of(db, name))

    def names_blob(self, sha256: str, prefix: str = "") -> bool:
        """Tell whether a session under a prefix names a blob."""
        return self._read(lambda db: naming.is_named(db, sha256, prefix))

    def blob_sizes(self, prefix: str) -> tuple[int, int]:
        """Return the number of the blobs named under a prefix, and their bytes."""
        return self._read(lambda db: naming.sizes(db, prefix))

    def changes(self, after: str | None, *, limit: int, prefix: str) -> Changes:
        """Return the changes after a position, as for `Store.changes`."""
        return self._read(lambda db: changes.changes(db, self.medium.identity, after, limit=limit, prefix=prefix))

    # Writing

    def write(self, change: Write[_T]) -> _T:
        """Run a change in a transaction, and return its result after the commit."""
        return self._committer.write(change)

    def touch(self) -> None:
        """Write an unchanged value, to test whether the disk takes writes."""
        self.write(lambda db: db.pragma("user_version", db.pragma("user_version")))

    def send(self, change: Write[_T]) -> Future[_T]:
        """Hand a change to the thread of the index; the future has its result after the commit.

        Raises:
            IndexLostError: when the index is closed.
        """
        return self._committer.send(change)

    def _rows(self, sql: str, values: Mapping[str, Value] | None = None) -> list[tuple[Value, ...]]:
        return self._read(lambda db: list(db.execute(sql, values)))

    def _read(self, question: Callable[[Database], _T]) -> _T:
        """Return the answer of a reading connection to a question."""
        with lost_as_such(), self._readers.borrowed() as db:
            return question(db)

    def _has_few(self, prefix: str | None) -> bool:
        return (
            bool(prefix) and _number(self._rows(QUERIES["count_few"], {**key_bounds(prefix or ""), "few": _FEW})) < _FEW
        )

    def _total(self, selection: Selection, where: Sequence[str], values: Mapping[str, Value]) -> int:
        times = (selection.updated_after, selection.updated_before)
        if selection.prefix == "" and times == (None, None) and not selection.is_by_marks:
            wanted = {"archived": selection.archived, "channel": selection.channel}
            return _number(self._rows(QUERIES["total"], wanted))
        return _number(self._rows(QUERIES["count"].replace("{where}", " AND ".join(where) or "true"), values))


@lru_cache(maxsize=_LISTED_KEPT)
def _listed(row: tuple[Value, ...]) -> Summary:
    """Return a row of `listed` as a session; the same row is the same session."""
    return row_of(row).summary


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


def _number(rows: Sequence[Sequence[Value]]) -> int:
    return int(rows[0][0] or 0)


def _version() -> str:
    parts = [
        SCHEMA,
        LATE_INDEXES,
        str(FORMAT),
        str(_REVISION),
        " ".join(ROLE_NUMBERS),
        Stemmer.version(),
        unicodedata.unidata_version,
    ]
    return blake2b("\n".join(parts).encode(), digest_size=5).hexdigest()
