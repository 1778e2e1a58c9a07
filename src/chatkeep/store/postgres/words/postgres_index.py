"""The answers of a database to the questions of a search, and the search itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Final

from pyroaring import BitMap

from chatkeep.core.model import Hit, Hits, Message, Selection, Summary
from chatkeep.core.search.highlighter import hit_of
from chatkeep.core.search.pages import cursor_of
from chatkeep.core.search.ranker import Match
from chatkeep.core.search.search import Search, elsewhere_of, names_of, searched_texts
from chatkeep.core.standing import SAID_ROLES
from chatkeep.store.engine.port import Matches
from chatkeep.store.engine.searching import RankedDocs, find, match_total
from chatkeep.store.postgres.tables.cells import Cell, StoredRow, message_at, micros, stored_row
from chatkeep.store.postgres.tables.conditions import selected_by
from chatkeep.store.postgres.tables.postgres_pool import PgConnection, asked_rows
from chatkeep.store.postgres.words.stored_sets import StoredSets
from chatkeep.store.sets.terms import NAMED, ROLE_NUMBERS, DocLabel, role_label, session_label
from chatkeep.store.sets.times import EPOCH_US

_ORIGIN_BYTES: Final = 4
_FEW: Final = 200  # sessions; the sets of so few are united, of more the documents are read


def found_hits(db: PgConnection, sets: StoredSets, search: Search) -> Hits:
    """Return the hits of a search, in the snapshot of a connection."""
    epoch = sets.catch_up(db)
    index = PostgresIndex(db, sets, epoch, search)
    outcome = find(index, search)
    is_empty = not outcome.found and search.cursor is None
    elsewhere = elsewhere_of(search, partial(_count, db, sets, epoch)) if is_empty else None
    cursor = None if outcome.following is None else cursor_of(search, outcome.following)
    return Hits(
        hits=tuple(_shown(index, outcome, search)),
        mode=outcome.mode,
        partial=outcome.partial or (outcome.following is not None and cursor is None),
        elsewhere=elsewhere,
        next_cursor=cursor,
    )


def _count(db: PgConnection, sets: StoredSets, epoch: bytes, search: Search) -> int:
    return match_total(PostgresIndex(db, sets, epoch, search), search)


def _shown(index: PostgresIndex, outcome: RankedDocs, search: Search) -> Iterable[Hit]:
    places = index.places([one.doc for one in outcome.found])
    for one in outcome.found:
        if one.doc in places:
            known, message = places[one.doc]
            yield hit_of(known, message, search, one.match_count)


class PostgresIndex:
    """One moment of a database, as `SearchIndex` says."""

    def __init__(self, db: PgConnection, sets: StoredSets, epoch: bytes, search: Search) -> None:
        """Take a connection in a snapshot, and the sets of its moment."""
        self._db = db
        self._sets = sets
        self._epoch = epoch
        self._search = search

    @property
    def origin(self) -> bytes:
        """The mark of this index: numbers of its documents and sessions mean nothing to another."""
        return blake2b(self._epoch, digest_size=_ORIGIN_BYTES).digest()

    @property
    def gone(self) -> BitMap:
        """The documents that have left every set."""
        return self._sets.gone

    @property
    def named(self) -> BitMap:
        """The documents with the names of sessions; all others are messages."""
        return self._sets.docs(role_label(NAMED))

    def docs(self, label: DocLabel) -> BitMap:
        """Return the documents that have a label."""
        return self._sets.docs(label)

    def any_of(self, labels: Iterable[DocLabel]) -> BitMap:
        """Return the documents that have any of some labels."""
        return self._sets.any_of(labels)

    def begun(self, letters: str) -> BitMap:
        """Return the documents with any word that begins so."""
        return self._sets.begun(letters)

    def words(self, letters: str, most: int) -> set[str] | None:
        """Return the words that begin so, None if they are more than `most`."""
        return self._sets.words(letters, most)

    def everything(self) -> BitMap:
        """Return a set with every document."""
        return self._sets.any_of(map(role_label, (*ROLE_NUMBERS.values(), NAMED)))

    def message_count(self) -> int:
        """Return the number of all messages."""
        said = self._sets.any_of(role_label(ROLE_NUMBERS[role]) for role in SAID_ROLES)
        return len(said) - said.intersection_cardinality(self.gone)

    def of_sessions(self, selection: Selection, key: str | None) -> BitMap:
        """Return the documents of the selected sessions; with a key, only of the session with this key."""
        where, values = selected_by(selection)
        if key is not None:
            where, values = f"{where} AND sessions.key = %(session)s", {**values, "session": key}
        for condition in (where, f"NOT ({where})"):
            found = asked_rows(self._db, "sids", {**values, "limit": _FEW + 1}, condition)
            if len(found) <= _FEW:
                docs = self._sets.any_of(session_label(sid) for (sid,) in found)
                return docs if condition is where else self.everything() - docs
        return BitMap([doc for (doc,) in asked_rows(self._db, "docs_of", values, where)])

    def messages(self, docs: Iterable[int]) -> Matches:
        """Return the messages of some documents; the names of a session as one with the seq 0."""
        wanted = BitMap(docs)
        found = {
            doc: Match(sid, seq, at - EPOCH_US, size, 0)
            for doc, sid, seq, at, size in asked_rows(self._db, "messages_of", _docs(wanted))
        }
        for doc, row in self._named_rows(wanted).items():
            at_us = micros(row.header.created_at) - EPOCH_US
            found[doc] = Match(row.sid, 0, at_us, sum(map(len, names_of(row.header))), 0)
        return found

    def session_of(self, doc: int) -> int:
        """Return the session of a document, 0 if the index has none."""
        return next((int(str(match.session)) for match in self.messages([doc]).values()), 0)

    def keys_of(self, sessions: Iterable[object]) -> Mapping[object, str]:
        """Return the keys of sessions."""
        return dict(asked_rows(self._db, "keys_of", {"sids": list(sessions)}))

    def texts(self, docs: Sequence[int]) -> Mapping[int, Sequence[str]]:
        """Return the searched texts of each of some documents."""
        wanted = BitMap(docs)
        found: dict[int, Sequence[str]] = {
            doc: searched_texts(message_at(seq, body), self._search)
            for doc, seq, body in asked_rows(self._db, "bodies", _docs(wanted))
        }
        return {**found, **{doc: names_of(row.header) for doc, row in self._named_rows(wanted).items()}}

    def sizes(self, docs: Collection[int]) -> Mapping[int, int]:
        """Return the sizes of the messages of some documents, in bytes."""
        return {doc: match.size for doc, match in self.messages(docs).items()}

    def places(self, docs: Sequence[int]) -> dict[int, tuple[Summary, Message | None]]:
        """Return the session and the message of each document; for names the message that their session shows."""
        wanted = BitMap(docs)
        found: dict[int, tuple[Summary, Message | None]] = {}
        for doc, seq, body, *told in asked_rows(self._db, "places", _docs(wanted)):
            found[doc] = (stored_row(told).summary, message_at(seq, body))
        for doc, row in self._named_rows(wanted).items():
            shown = [message_at(*one) for one in asked_rows(self._db, "shown_of", {"sid": row.sid})]
            found[doc] = (row.summary, shown[0] if shown else None)
        return found

    def _named_rows(self, wanted: BitMap) -> dict[int, StoredRow]:
        """Return the sessions whose names are among some documents."""
        named = wanted & self.named
        found = asked_rows(self._db, "names_of", _docs(named)) if named else ()
        return {doc: stored_row(told) for doc, *told in found}


def _docs(docs: BitMap) -> dict[str, Cell]:
    return {"docs": docs.to_array().tolist()}
