"""The sets of one moment: for each label the documents that have it, exact in every process.

Settled documents stand in rows, one for each label and block of 65,536 documents. The rows of one block are neighbours,
so new messages change one stretch of the database. The newest messages stand in `fresh`, one row each, written with the
message; each process knows their labels by itself (`tail`). `sealing` makes rows of them. All sets are unions. So it
changes no answer when a document stands in both places: while it is sealed, or after a sealing that broke off.

Nothing is taken out of a set. Documents of deleted messages stand in `gone`, and a search subtracts these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import apsw
from pyroaring import BitMap

from chatkeep.store.files.index.sets import lexicon
from chatkeep.store.files.index.sql import QUERIES, one_number, reading_rows
from chatkeep.store.sets.containers import UnreadableRowError, docs_in
from chatkeep.store.sets.known_sets import KnownSets
from chatkeep.store.sets.pairs import docs_with
from chatkeep.store.sets.tail import FreshMessage, Tail
from chatkeep.store.sets.terms import (
    CODES_OF_ROW,
    FIRST_PAIR,
    PAIR_BYTES,
    DocLabel,
    Indexed,
    beginning,
)


class Postings(KnownSets):
    """The sets of one connection to the index. `catch_up` brings them to the present moment.

    The returned sets are shared: never change one in place.
    """

    def __init__(self, db: apsw.Connection) -> None:
        """Begin without any set."""
        super().__init__()
        self._db = db
        self._sealed = -1
        self._gone_number = 0
        self.gone = BitMap()

    def catch_up(self) -> None:
        """Take in all changes since the last call. Call it inside a transaction: then all sets are of one moment."""
        sealed = one_number(self._db, QUERIES["sealed"])
        if sealed != self._sealed:
            self._sealed, self._tail = sealed, Tail()
            self._forget()
        before = self._tail.last
        self._tail.catch_up(list(fresh_messages(self._db, max(sealed, before))))
        if self._tail.last != before:
            self._whole.clear()
        with reading_rows():
            for number, doc, count in self._db.execute(QUERIES["gone_after"], (self._gone_number,)):
                self.gone.add_range(doc, doc + count)
                self._gone_number = number

    def everything(self) -> BitMap:
        """Return a set with every document, and perhaps some numbers without one."""
        with reading_rows():
            return BitMap(range(1, one_number(self._db, QUERIES["last_doc"]) + 1))

    def words(self, letters: str, most: int) -> set[str] | None:
        """Return the words that begin so, None if they are more than `most`."""
        found = {*lexicon.words_begun(self._db, letters, most + 1), *self._tail.words(letters)}
        return found if len(found) <= most else None

    def _settled_docs(self, label: DocLabel) -> BitMap:
        if label not in self._settled:
            if isinstance(label, int) and label >= FIRST_PAIR:
                self._settled[label] = self._settled_pair(label)
            else:
                self._settled[label] = self._kept(self._rows_of(label))
        return self._settled[label]

    def _settled_pair(self, label: int) -> BitMap:
        row, mark = divmod(label - FIRST_PAIR, CODES_OF_ROW)
        with reading_rows():
            docs = docs_with(mark, self._rows_of(row))
        self._count(2 * len(docs))
        return docs

    def _rows_of(self, label: DocLabel) -> list[tuple[int, bytes]]:
        return lexicon.label_rows(self._db, lexicon.label_entry(self._db, label) if isinstance(label, str) else label)

    def _settled_begun(self, letters: str) -> BitMap:
        label = beginning(letters)
        if lexicon.has_own_set(letters) or lexicon.label_entry(self._db, label) is not None:
            return self._settled_docs(label)
        if label not in self._settled:
            sets = [self._kept(rows) for rows in lexicon.sets_begun(self._db, letters)]
            self._settled[label] = BitMap.union(BitMap(), *sets)
        return self._settled[label]

    def _kept(self, rows: list[tuple[int, bytes]]) -> BitMap:
        """Return the set in some rows, and count its bytes."""
        with reading_rows():
            self._count(2 * sum(len(docs) for _, docs in rows))
        return docs_in(rows)


def fresh_messages(db: apsw.Connection, after: int, upto: int = 1 << 62, most: int = -1) -> Iterator[FreshMessage]:
    """Yield the messages not yet in rows, in a range of documents, at most so many.

    Raises:
        UnreadableRowError: when a row has impossible values: the database is damaged.
    """
    for doc, texts, pairs, sid, role, at_us, key, channel in db.execute(QUERIES["fresh_messages"], (after, upto, most)):
        is_right = isinstance(texts, str) and isinstance(pairs, bytes) and len(pairs) % PAIR_BYTES == 0
        if not (is_right and all(isinstance(fact, int) for fact in (role, at_us))):
            raise UnreadableRowError
        yield FreshMessage(doc, Indexed(texts, pairs), sid, role, at_us, key, channel)


def put_fresh(db: apsw.Connection, given: Sequence[Indexed], first: int) -> None:
    """Add the labels of messages, as documents from `first` on."""
    short = [(doc, one) for doc, one in enumerate(given, first) if not _refers(db, doc, one)]
    db.executemany(QUERIES["put_fresh"], [(doc, one.texts, one.pairs) for doc, one in short])


def put_long(db: apsw.Connection, one: Indexed) -> None:
    """Add the labels of a long message, before its append."""
    db.execute(QUERIES["put_long"], (one.long, one.texts, one.pairs))


def _refers(db: apsw.Connection, doc: int, one: Indexed) -> bool:
    """Add a message as a reference to its long text; tell whether the index has that."""
    return one.long is not None and bool(list(db.execute(QUERIES["put_fresh_long"], (doc, one.long))))


def withdraw(db: apsw.Connection, doc: int, count: int = 1) -> None:
    """Take some neighbouring documents out of every set at once, for every later search of any process."""
    db.execute(QUERIES["put_gone"], (doc, count))
