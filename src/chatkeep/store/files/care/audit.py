"""Whether the index tells the truth: a read-only pass compares it with the files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import apsw
from pyroaring import BitMap

from chatkeep.core import standing
from chatkeep.disk.files import Stamp
from chatkeep.disk.sqlite import read_snapshot
from chatkeep.store.files.index.columns import Value
from chatkeep.store.files.index.databases import IndexBehindError, IndexLostError, IndexRefusedError, InMemory
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.index.rows import Row, row_of
from chatkeep.store.files.index.sets.postings import Postings
from chatkeep.store.files.index.sql import AUDIT, QUERIES
from chatkeep.store.files.tree.format import Scan
from chatkeep.store.files.upkeep.intake import FileProblem, entry_of
from chatkeep.store.sets.containers import UnreadableRowError
from chatkeep.store.sets.terms import EVERY_ROLE, session_label

_BUSY_MS: Final = 3000  # time-out for a writer to release the index
_ALL: Final = 1 << 60  # messages; more than any session has
_CACHE_KB: Final = 32_768  # of SQLite's page cache
_UNREADABLE: Final = (apsw.Error, OSError)
# faults, by the name of an audit query; a count above 0 is the fault
_CLAIMS: Final = {
    "strays": "it has messages without a session",
    "strangers": "it says of messages that they are where others are",
    "misplaced": "it says of messages that they are of other times",
    "miscounts": "its totals are not those of the sessions",
}


class Audit:
    """An index under audit. After damage it is asked no more, and everything else counts as true."""

    def __init__(self, db: apsw.Connection | None, damage: str | None) -> None:
        """Take the open database, or the reason for not having one."""
        self._db = db
        self.damage = damage

    def row(self, name: str) -> Row | None:
        """Return the row of a file's session, None if there is none or it cannot be read."""
        rows = self._rows(QUERIES["session"], {"name": name})
        try:
            return row_of(rows[0]) if rows else None
        except UnreadableRowError:
            self.damage = "it holds what nobody has put there"
            return None

    def names(self) -> Sequence[str]:
        """Return every name in the index."""
        return [str(row[0]) for row in self._rows(AUDIT["names"], {})]

    def verdict(self, name: str, found: Scan | FileProblem, stamp: Stamp) -> Literal["true", "behind", "wrong"]:
        """Return how well the index knows a file.

        `behind`: it has another state of the file. `wrong`: it has other facts of the same state.
        """
        row = self.row(name)
        stamps = self._rows(QUERIES["stamp"], {"name": name})
        if self._db is None or self.damage:
            return "true"
        if isinstance(found, FileProblem):
            return "true" if stamps and row is None else "behind"
        if not stamps or Stamp(*stamps[0]) != stamp:
            return "behind"
        entry = entry_of(name, found, stamp)
        said = (row.header, row.digest, row.body, row.tail, row.checksum, row.damage is None) if row else None
        if said != (entry.header, entry.digest, entry.body, entry.tail, entry.checksum, entry.damage is None):
            return "wrong"
        places = zip(entry.messages, entry.starts, entry.ends, strict=True)
        found_places = {line.seq: (line.seq, start, end - start) for line, start, end in places}
        messages = {line.seq for line in standing.said(entry.messages)}
        values = {"name": name, "after": -1, "limit": _ALL, "roles": EVERY_ROLE}
        spots = [[row[:3] for row in self._rows(QUERIES[query], values)] for query in ("following", "asides_following")]
        expected = [place for seq, place in found_places.items() if seq in messages]
        aside = [place for seq, place in found_places.items() if seq not in messages]
        return "true" if spots == [expected, aside] else "wrong"

    def faults(self) -> Iterator[str]:
        """Yield the faults of the index in itself. Cost: one reading of all of it."""
        for (said,) in self._rows("PRAGMA integrity_check(1)", {}):
            if said != "ok":
                self.damage = f"it is damaged: {said}"
        for name, claim in _CLAIMS.items():
            for (count,) in self._rows(AUDIT[name], {}):
                if count:
                    yield claim
        if self._has_unfound():
            yield "it has messages that no search finds"
        if self.damage:
            yield self.damage

    def _has_unfound(self) -> bool:
        """Tell whether the set of a session lacks a message of it."""
        if self._db is None or self.damage:
            return False
        sids = self._rows(AUDIT["sids"], {})
        try:
            postings = Postings(self._db)
            with read_snapshot(self._db):
                postings.catch_up()
                lacking = [sid for (sid,) in sids if self._docs_of(sid) - postings.docs(session_label(sid))]
        except (apsw.Error, UnicodeDecodeError, UnreadableRowError) as error:
            self.damage = f"it cannot be read ({type(error).__name__})"
            return False
        return bool(lacking)

    def _docs_of(self, sid: int) -> BitMap:
        docs = BitMap()
        for _, doc, count in self._rows(QUERIES["runs"], {"sid": sid}):
            docs.add_range(doc, doc + count)
        return docs

    def _rows(self, sql: str, values: dict[str, Value]) -> list[tuple[Value, ...]]:
        if self._db is None or self.damage:
            return []
        try:
            return list(self._db.execute(sql, values))
        except (apsw.Error, UnicodeDecodeError) as error:
            self.damage = f"it cannot be read ({type(error).__name__})"
            return []


@contextlib.contextmanager
def opened_index(workspace: Path) -> Iterator[Audit | None]:
    """Yield this version's index of a workspace, None if there is none. It makes and changes no file.

    With no process using the index, there is no write-ahead log. SQLite then reads it as an immutable file.
    """
    path = Index.path_in(workspace)
    if not os.path.lexists(path):
        yield None
        return
    if not path.is_file() or path.is_symlink():
        yield Audit(None, "it is not a regular file")
        return
    try:
        db = _connected(path)
    except _UNREADABLE:
        with _in_memory(path) as audit:
            yield audit
        return
    try:
        yield Audit(db, None)
    finally:
        db.close()


def _connected(path: Path) -> apsw.Connection:
    """Return a connection after a first query has succeeded.

    Raises:
        apsw.Error: when the index cannot be read in place. Besides damage, the log may need a file
            beside it, and the disk may refuse to make one.
    """
    log = path.with_name(f"{path.name}-wal")
    way = "mode=ro" if log.exists() else "immutable=1"
    db = apsw.Connection(f"file:{quote(str(path))}?{way}", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    try:
        db.set_busy_timeout(_BUSY_MS)
        list(db.execute("SELECT count(*) FROM sqlite_schema"))
    except apsw.Error:
        db.close()
        raise
    return db


@contextlib.contextmanager
def _in_memory(path: Path) -> Iterator[Audit]:
    """Yield a copy in memory of an index and its log, for an index not readable where it is."""
    try:
        medium = InMemory(path)
    except (*_UNREADABLE, IndexLostError, IndexBehindError, IndexRefusedError) as error:
        yield Audit(None, f"it cannot be read ({type(error.__cause__ or error).__name__})")
        return
    with contextlib.closing(medium), contextlib.closing(medium.connected(read_only=True, cache_kb=_CACHE_KB)) as db:
        yield Audit(db, None)
