"""The answers of the files index to the questions of a search."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec
from pyroaring import BitMap

from chatkeep.core.model import Message, Selection
from chatkeep.core.search.ranker import Match
from chatkeep.core.search.search import Search, searched_text
from chatkeep.store.files.index.rows import Database, FoundMessage, row_of, spot_of
from chatkeep.store.files.index.search.port import Matches
from chatkeep.store.files.index.search.searching import RankedDocs, find
from chatkeep.store.files.index.search.tuning import BOUNDS
from chatkeep.store.files.index.selecting import conditions
from chatkeep.store.files.index.sets.postings import Postings
from chatkeep.store.files.index.sets.terms import DocLabel, session_label
from chatkeep.store.files.index.sql import QUERIES, one_number, one_row, reading_rows

Reader = Callable[[Sequence[FoundMessage]], Sequence[Message | None]]
"""A function that reads messages from their files, None for one that cannot be read now."""

_FOUND: Final = msgspec.json.Decoder(list[tuple[int, int, int, int, int]])


class FoundMessages(msgspec.Struct, frozen=True):
    """The found messages, best first; `partial` if the bound on proofs was reached."""

    found: Sequence[FoundMessage]
    outcome: RankedDocs


def found_messages(db: Database, search: Search, reader: Reader) -> FoundMessages:
    """Return the messages for a search, all sets of one moment."""
    with db:
        if db.postings is None:
            db.postings = Postings(db)
        db.postings.catch_up()
        index = FilesIndex(db, db.postings, search, reader)
        outcome = find(index, search)
        places = index.places([one.doc for one in outcome.found])
    shown = [
        msgspec.structs.replace(places[one.doc], match_count=one.match_count)
        for one in outcome.found
        if one.doc in places
    ]
    return FoundMessages(shown, outcome)


class FilesIndex:
    """One moment of the files index, as `SearchIndex` says."""

    def __init__(self, db: Database, postings: Postings, search: Search, reader: Reader) -> None:
        """Take a connection inside a transaction, and its sets."""
        self._db = db
        self._postings = postings
        self._search = search
        self._reader = reader

    @property
    def gone(self) -> BitMap:
        """The documents that have left every set."""
        return self._postings.gone

    def docs(self, label: DocLabel) -> BitMap:
        """Return the documents that have a label."""
        return self._postings.docs(label)

    def any_of(self, labels: Iterable[DocLabel]) -> BitMap:
        """Return the documents that have any of some labels."""
        return self._postings.any_of(labels)

    def begun(self, letters: str) -> BitMap:
        """Return the documents with any word that begins so."""
        return self._postings.begun(letters)

    def words(self, letters: str, most: int) -> set[str] | None:
        """Return the words that begin so, None if they are more than `most`."""
        return self._postings.words(letters, most)

    def everything(self) -> BitMap:
        """Return a set with every document, and perhaps some numbers without one."""
        with reading_rows():
            return BitMap(range(1, one_number(self._db, QUERIES["last_doc"]) + 1))

    def message_count(self) -> int:
        """Return the number of all messages."""
        return one_number(self._db, QUERIES["message_count"])

    def of_sessions(self, selection: Selection, key: str | None) -> BitMap:
        """Return the documents of the selected sessions; with a key, only of the session with this key.

        The index reads the sessions inside the selection, or those outside it, if they are few.
        """
        where, values = conditions(selection)
        if key is not None:
            where, values = [*where, "key = :session"], {**values, "session": key}
        selected = " AND ".join(where) or "true"
        for condition in (selected, f"NOT ({selected})"):
            sql = QUERIES["sids_where"].replace("{where}", condition)
            sids = [sid for (sid,) in self._db.execute(sql, {**values, "limit": BOUNDS.few_sessions + 1})]
            if len(sids) <= BOUNDS.few_sessions:
                found = self.any_of(map(session_label, sids))
                return found if condition is selected else self.everything() - found
        docs = BitMap()
        with reading_rows():
            for doc, count in self._db.execute(QUERIES["runs_where"].replace("{where}", selected), values):
                docs.add_range(doc, doc + count)
        return docs

    def messages(self, docs: Iterable[int]) -> Matches:
        """Return the messages of some documents."""
        found = one_row(self._db, QUERIES["messages_of"], {"docs": _json(docs)}, _FOUND)
        return {doc: Match(sid, seq, at, size, 0) for doc, sid, seq, at, size in found}

    def session_of(self, doc: int) -> int:
        """Return the session of a document, 0 if the index has none."""
        return next((sid for (sid,) in self._db.execute(QUERIES["sid_of"], (doc,))), 0)

    def keys_of(self, sessions: Iterable[object]) -> Mapping[object, str]:
        """Return the keys of sessions."""
        return dict(self._db.execute(QUERIES["keys_of"], {"sids": _json(sessions)}))

    def texts(self, docs: Sequence[int]) -> Mapping[int, str]:
        """Return the searched texts of some documents, without those that cannot be read now."""
        places = self.places(docs)
        read = zip(places, self._reader(list(places.values())), strict=True)
        return {doc: searched_text(message, self._search) for doc, message in read if message is not None}

    def sizes(self, docs: Collection[int]) -> Mapping[int, int]:
        """Return the sizes of the messages of some documents, in bytes."""
        return {doc: match.size for doc, match in self.messages(docs).items()}

    def places(self, docs: Iterable[int]) -> dict[int, FoundMessage]:
        """Return the session's row and the spot of each document, in their order, without deleted messages."""
        rows = self._db.execute(QUERIES["places"], {"docs": _json(docs)})
        return {doc: FoundMessage(row_of(row[:-3]), spot_of(row[-3:]), 0) for doc, *row in rows}


def _json(values: Iterable[object]) -> str:
    """Return values as a JSON array, for `json_each`."""
    return msgspec.json.encode(list(values)).decode()
