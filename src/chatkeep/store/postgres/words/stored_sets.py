"""The sets of one moment: for each label the documents that have it, exact in every process.

Settled documents stand in rows, one for each label and block of 65,536 documents; the newest stand in `fresh`, one row
each, and each process knows their labels by itself. All is read in one snapshot. So every process finds a message once
its append is answered, and no answer changes while documents are sealed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from typing import Final

from pyroaring import BitMap

from chatkeep.store.postgres.tables.cells import Cell
from chatkeep.store.postgres.tables.postgres_pool import DbRow, PgConnection, asked_rows
from chatkeep.store.sets.containers import docs_in
from chatkeep.store.sets.known_sets import KnownSets
from chatkeep.store.sets.pairs import docs_with
from chatkeep.store.sets.tail import FreshMessage, Tail
from chatkeep.store.sets.terms import (
    CODES_OF_ROW,
    FIRST_PAIR,
    SHORT,
    DocLabel,
    Indexed,
    bare,
    beginning,
)
from chatkeep.store.sets.times import EPOCH_US

GONE: Final = "\x02"
"""The label of the documents that have left every set."""
_NUMBER: Final = "\x01"  # begins the labels that are numbers
_LAST: Final = "\U0010ffff"
_LABEL_CHARS: Final = (
    500  # characters; of a longer word the rest is a hash, as a key has to fit into a page of an index
)


class StoredSets(KnownSets):
    """The sets that a process has read. `catch_up` brings them to the moment of a snapshot.

    The returned sets are shared: never change one in place.
    """

    def __init__(self) -> None:
        """Begin without any set."""
        super().__init__()
        self._db: PgConnection | None = None
        self._known = BitMap()
        self._moment = (-1, 0)
        self._has_rows = False
        self._gone = BitMap()

    def catch_up(self, db: PgConnection) -> bytes:
        """Take in all changes since the last call, in the snapshot of a connection; return the mark of the sets."""
        self._db = db
        ((sealed, first_open, epoch, self._has_rows),) = asked_rows(db, "moment")
        if sealed != self._moment[0]:
            self._tail, self._known, self._gone, self._moment = Tail(), BitMap(), BitMap(), (sealed, 0)
            self._forget()
        values = {"xid": self._moment[1], "known": self._known.to_array().tolist()}
        found = fresh_in(asked_rows(db, "fresh_after", values))
        self._tail.catch_up(found)
        self._known.update(message.doc for message in found)
        if found:
            self._whole.clear()
        for first, last in asked_rows(db, "gone_after", {"xid": self._moment[1]}):
            self._gone.add_range(first, last + 1)
        self._moment = (sealed, first_open)
        return bytes(epoch)

    @property
    def fresh_count(self) -> int:
        """The number of documents that are not sealed."""
        return len(self._known)

    @property
    def gone(self) -> BitMap:
        """The documents that have left every set."""
        settled = self._settled_docs(GONE)
        return settled | self._gone if self._gone else settled

    def words(self, letters: str, most: int) -> set[str] | None:
        """Return the words that begin so, None if they are more than `most`."""
        values = {**_beginning_with(letters), "limit": most + 1}
        found = {*(word for (word,) in self._asked("words_begun", values)), *self._tail.words(letters)}
        return found if len(found) <= most else None

    def _settled_docs(self, label: DocLabel) -> BitMap:
        if label not in self._settled:
            if isinstance(label, int) and label >= FIRST_PAIR:
                row, mark = divmod(label - FIRST_PAIR, CODES_OF_ROW)
                docs = docs_with(mark, self._rows_of(row))
                self._count(2 * len(docs))
                self._settled[label] = docs
            else:
                self._settled[label] = self._kept(self._rows_of(label))
        return self._settled[label]

    def _settled_begun(self, letters: str) -> BitMap:
        label = beginning(letters)
        if len(bare(letters)) <= SHORT:
            return self._settled_docs(label)
        if label not in self._settled:
            found = self._asked("rows_begun", _beginning_with(letters))
            sets = [self._kept([row[1:] for row in of_word]) for _, of_word in groupby(found, key=itemgetter(0))]
            self._settled[label] = BitMap.union(BitMap(), *sets)
        return self._settled[label]

    def _rows_of(self, label: DocLabel) -> list[tuple[int, bytes]]:
        return [(block, docs) for block, docs in self._asked("rows_of_label", {"label": label_text(label)})]

    def _asked(self, statement: str, values: dict[str, Cell]) -> Sequence[DbRow]:
        return asked_rows(self._db, statement, values) if self._db is not None and self._has_rows else ()

    def _kept(self, rows: Sequence[tuple[int, bytes]]) -> BitMap:
        """Return the set in some rows, and count its bytes."""
        self._count(2 * sum(len(docs) for _, docs in rows))
        return docs_in(rows)


def label_text(label: DocLabel) -> str:
    """Return a label as a row of sets has it."""
    if isinstance(label, int):
        return f"{_NUMBER}{label}"
    if len(label) <= _LABEL_CHARS:
        return label
    return label[:_LABEL_CHARS] + blake2b(label.encode(), digest_size=8).hexdigest()


def fresh_in(rows: Iterable[DbRow]) -> list[FreshMessage]:
    """Return the messages in rows of `fresh`."""
    return [
        FreshMessage(doc, Indexed(texts, pairs), sid, role, at - EPOCH_US, key, channel)
        for doc, texts, pairs, sid, role, at, key, channel in rows
    ]


def _beginning_with(letters: str) -> dict[str, Cell]:
    return {"first": letters, "after": letters + _LAST}
