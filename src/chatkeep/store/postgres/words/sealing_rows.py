"""Sealing: the labels of the newest messages become rows of sets, all in one transaction.

One process seals at a time, under an advisory lock. Readers and writers go on meanwhile: a reader sees the documents
in `fresh` until the commit, and in the rows from then on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Final

from pyroaring import BitMap

from chatkeep.errors import ChatkeepError
from chatkeep.store.postgres.tables.postgres_pool import PgConnection, Postgres, asked_rows, run
from chatkeep.store.postgres.words.stored_sets import GONE, fresh_in, label_text
from chatkeep.store.sets.blocks import PairPosting, Posting, postings_of
from chatkeep.store.sets.containers import BLOCK_BITS, docs_in, row_with
from chatkeep.store.sets.pairs import MARK_BITS
from chatkeep.store.sets.tail import Tail

SEALING_LOCK: Final = 0x5365616C
"""The advisory lock of those who seal or erase."""
SEALED_AT: Final = 2048  # documents
_AT_ONCE: Final = 8192  # documents sealed in a transaction
_ROWS: Final = 2000  # of a statement
_PAUSE_S: Final = 1.0  # seconds between two looks
_log = logging.getLogger("chatkeep.store.postgres")


class Sealer:
    """A thread that seals when enough documents are fresh."""

    def __init__(self, database: Postgres) -> None:
        """Take the database; `start` begins."""
        self._database = database
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look from time to time."""
        self._thread = threading.Thread(target=self._work, name="chatkeep-seal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after the transaction under way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(_PAUSE_S):
            try:
                while seal(self._database, SEALED_AT) and not self._stop.is_set():
                    pass
            except ChatkeepError:
                continue  # the database is away: the next look may find it
            except Exception as error:  # noqa: BLE001 - searches are exact without a sealing; the next look tries again
                _log.warning("the sealing of new messages waits: %s", type(error).__name__)


def seal(database: Postgres, least: int = 1) -> int:
    """Seal the first fresh documents, if there are at least so many and nobody else seals; return how many went."""
    with database.borrowed() as db:
        ((waiting,),) = asked_rows(db, "waiting", {"limit": least})
    if waiting < least:
        return 0
    with database.writing() as db:
        ((is_ours,),) = asked_rows(db, "try_seal", {"lock": SEALING_LOCK})
        return _sealed(db) if is_ours else 0


def _sealed(db: PgConnection) -> int:
    """Seal within the caller's transaction; return how many documents and withdrawals went."""
    run(db, "patient", {})
    found = fresh_in(asked_rows(db, "fresh_first", {"limit": _AT_ONCE}))
    gone = BitMap()
    withdrawn = asked_rows(db, "take_gone")
    for first, last in withdrawn:
        gone.add_range(first, last + 1)
    tail = Tail()
    for message in found:
        tail.add_exploded(message)
    postings = chain(
        chain.from_iterable(postings_of(label, docs, PairPosting, MARK_BITS) for label, docs in tail.pairs()),
        chain.from_iterable(postings_of(label, docs) for label, docs in tail.postings()),
        postings_of(GONE, gone.to_array()),
    )
    for batch in _batches(postings):
        _put(db, batch)
    run(db, "drop_fresh", {"docs": [message.doc for message in found]})
    run(db, "sealed_once", {})
    return len(found) + len(withdrawn)


def put_set(db: PgConnection, label: str, docs: BitMap) -> None:
    """Put the documents of a label in place of those in its rows."""
    run(db, "drop_labels", {"labels": [label]})
    blocks = {doc >> BLOCK_BITS for doc in docs}
    first = sorted(blocks)
    parts = [(block, docs & BitMap(range(block << BLOCK_BITS, (block + 1) << BLOCK_BITS))) for block in first]
    values = {
        "labels": [label] * len(parts),
        "blocks": first,
        "docs": [row_with(part) for _, part in parts],
    }
    run(db, "put_rows", values)


def settled_docs(db: PgConnection, label: str) -> BitMap:
    """Return the documents in the rows of a label."""
    return docs_in([(block, docs) for block, docs in asked_rows(db, "rows_of_label", {"label": label})])


def _batches(postings: Iterable[Posting]) -> Iterator[list[Posting]]:
    left = iter(postings)
    while batch := list(islice(left, _ROWS)):
        yield batch


def _put(db: PgConnection, batch: list[Posting]) -> None:
    labels, blocks = [label_text(one.label) for one in batch], [one.block for one in batch]
    found = asked_rows(db, "rows_at", {"labels": labels, "blocks": blocks})
    known = {(label, block): docs for label, block, docs in found}
    docs = [one.row(known.get(place)) for one, place in zip(batch, zip(labels, blocks, strict=True), strict=True)]
    run(db, "put_rows", {"labels": labels, "blocks": blocks, "docs": docs})
