"""The answers of the files index to the questions of a search."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from itertools import chain
from typing import Final

import msgspec
from pyroaring import BitMap

from chatkeep.core.model import Hits, Message, Selection
from chatkeep.core.search.pages import cursor_of
from chatkeep.core.search.ranker import Match
from chatkeep.core.search.search import Search, elsewhere_of, names_of, searched_texts
from chatkeep.disk.sqlite import read_snapshot
from chatkeep.store.engine.port import Matches
from chatkeep.store.engine.searching import find, match_total
from chatkeep.store.files.index.rows import Database, FoundMessage, Row, row_of, spot_of
from chatkeep.store.files.index.selecting import conditions
from chatkeep.store.files.index.sets.postings import Postings
from chatkeep.store.files.index.sets.selections import Selections
from chatkeep.store.files.index.sql import QUERIES, one_number, one_row
from chatkeep.store.sets.terms import NAMED, DocLabel, role_label

Reader = Callable[[Sequence[FoundMessage]], Sequence[Message | None]]
"""A function that reads messages from their files, None for one that cannot be read now."""

_ORIGIN_BYTES: Final = 4
_FOUND: Final = msgspec.json.Decoder(list[tuple[int, int, int, int, int]])


class FoundMessages(msgspec.Struct, frozen=True):
    """The found messages, best first, and the answer without them."""

    found: Sequence[FoundMessage]
    answer: Hits


def found_messages(db: Database, search: Search, reader: Reader) -> FoundMessages:
    """Return the messages for a search, all sets of one moment."""
    with read_snapshot(db):
        if db.postings is None:
            db.postings = Postings(db)
        db.postings.catch_up()
        index = FilesIndex(db, db.postings, search, reader)
        outcome = find(index, search)
        places = index.places_shown([one.doc for one in outcome.found])
        is_empty = not outcome.found and search.cursor is None
        elsewhere = elsewhere_of(search, partial(_count, db, db.postings, reader)) if is_empty else None
    shown = [
        msgspec.structs.replace(places[one.doc], match_count=one.match_count)
        for one in outcome.found
        if one.doc in places
    ]
    cursor = None if outcome.following is None else cursor_of(search, outcome.following)
    is_cut = outcome.partial or (outcome.following is not None and cursor is None)
    return FoundMessages(
        shown, Hits(hits=(), mode=outcome.mode, partial=is_cut, elsewhere=elsewhere, next_cursor=cursor)
    )


def _count(db: Database, postings: Postings, reader: Reader, search: Search) -> int:
    return match_total(FilesIndex(db, postings, search, reader), search)


class FilesIndex:
    """One moment of the files index, as `SearchIndex` says."""

    def __init__(self, db: Database, postings: Postings, search: Search, reader: Reader) -> None:
        """Take a connection inside a transaction, and its sets."""
        self._db = db
        self._postings = postings
        self._search = search
        self._reader = reader

    @property
    def origin(self) -> bytes:
        """The mark of this index: numbers of its documents and sessions mean nothing to another."""
        ((secret,),) = self._db.execute(QUERIES["epoch"])
        return blake2b(secret, digest_size=_ORIGIN_BYTES).digest()

    @property
    def gone(self) -> BitMap:
        """The documents that have left every set."""
        return self._postings.gone

    @property
    def named(self) -> BitMap:
        """The documents with the names of sessions; all others are messages."""
        return self._postings.docs(role_label(NAMED))

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
        return self._postings.everything()

    def message_count(self) -> int:
        """Return the number of all messages."""
        return one_number(self._db, QUERIES["message_count"])

    def of_sessions(self, selection: Selection, key: str | None) -> BitMap:
        """Return the documents of the selected sessions; with a key, only of the session with this key."""
        if self._db.selections is None:
            self._db.selections = Selections(self._db, self._postings)
        where, values = conditions(selection)
        if key is not None:
            return self._db.selections.look_up(" AND ".join([*where, "key = :session"]), {**values, "session": key})
        return self._db.selections.docs(" AND ".join(where) or "true", values)

    def messages(self, docs: Iterable[int]) -> Matches:
        """Return the messages of some documents; the names of a session as one with the seq 0."""
        wanted = BitMap(docs)
        named = wanted & self.named
        found = one_row(self._db, QUERIES["messages_of"], {"docs": _json(wanted)}, _FOUND)
        names = one_row(self._db, QUERIES["names_of"], {"docs": _json(named)}, _FOUND) if named else []
        return {doc: Match(sid, seq, at, size, 0) for doc, sid, seq, at, size in chain(found, names)}

    def session_of(self, doc: int) -> int:
        """Return the session of a document, 0 if the index has none."""
        return next((int(sid) for (sid,) in self._db.execute(QUERIES["sid_of"], (doc,))), 0)

    def keys_of(self, sessions: Iterable[object]) -> Mapping[object, str]:
        """Return the keys of sessions."""
        return dict(self._db.execute(QUERIES["keys_of"], {"sids": _json(sessions)}))

    def texts(self, docs: Sequence[int]) -> Mapping[int, Sequence[str]]:
        """Return the searched texts of each of some documents, without documents that cannot be read now."""
        places = self.places(docs)
        read = zip(places, self._reader(list(places.values())), strict=True)
        found = {doc: searched_texts(message, self._search) for doc, message in read if message is not None}
        named = BitMap(docs) & self.named
        return {**found, **{doc: names_of(row.header) for doc, row in self._rows_of(named).items()}} if named else found

    def sizes(self, docs: Collection[int]) -> Mapping[int, int]:
        """Return the sizes of the messages of some documents, in bytes."""
        return {doc: match.size for doc, match in self.messages(docs).items()}

    def places(self, docs: Iterable[int]) -> dict[int, FoundMessage]:
        """Return the session's row and the spot of each document, in their order, without deleted messages."""
        rows = self._db.execute(QUERIES["places"], {"docs": _json(docs)})
        return {doc: FoundMessage(row_of(row[:-3]), spot_of(row[-3:]), 0) for doc, *row in rows}

    def places_shown(self, docs: Sequence[int]) -> dict[int, FoundMessage]:
        """Return the places of documents; for the names of a session, that of the message which it shows, if any."""
        places = self.places(docs)
        for doc, row in self._rows_of(BitMap(docs) & self.named).items():
            spots = [spot_of(spot) for spot in self._db.execute(QUERIES["spot_shown"], (row.sid,))]
            places[doc] = FoundMessage(row, spots[0] if spots else None, 0)
        return places

    def _rows_of(self, named: BitMap) -> dict[int, Row]:
        """Return the sessions of documents with names."""
        rows = self._db.execute(QUERIES["rows_of_names"], {"docs": _json(named)}) if named else ()
        return {doc: row_of(row) for doc, *row in rows}


def _json(values: Iterable[object]) -> str:
    """Return values as a JSON array, for `json_each`."""
    return msgspec.json.encode(list(values)).decode()
