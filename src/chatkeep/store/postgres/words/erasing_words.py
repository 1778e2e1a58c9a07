"""Compaction: dropped lines become empty events, and words that no other message has leave the sets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from pyroaring import BitMap

from chatkeep.core.life.compacting import Compacted, compacted
from chatkeep.core.model import Message, erased
from chatkeep.core.standing import EVENT
from chatkeep.store.postgres.row_writing import existing_row, messages_in, note
from chatkeep.store.postgres.tables.cells import StoredRow, body_and_size
from chatkeep.store.postgres.tables.postgres_pool import PgConnection, Postgres, asked_rows, run
from chatkeep.store.postgres.words.sealing_rows import SEALING_LOCK, settled_docs
from chatkeep.store.postgres.words.stored_sets import GONE, label_text
from chatkeep.store.sets.terms import ROLE_NUMBERS, beginnings_of_all, labels_of

_AT_ONCE: Final = 500  # labels deleted by a statement


def compact_session(database: Postgres, key: str) -> Compacted:
    """Erase the dropped lines of a session, as `Store.compact` says."""
    with database.writing() as db:
        asked_rows(db, "wait_seal", {"lock": SEALING_LOCK})
        row = existing_row(db, key)
        lines = [line for line in messages_in(asked_rows(db, "dropped_lines", row.place)) if not line.is_erased]
        if lines:
            told = compacted(key, lines)
            _erase(db, row, lines, told.freed_bytes)
            _erase_words(db, lines)
            note(db, "revised", key)
    return compacted(key, lines)


def _erase(db: PgConnection, row: StoredRow, lines: Sequence[Message], freed: int) -> None:
    seqs = [line.seq for line in lines]
    left = [body_and_size(erased(line)) for line in lines]
    values = {
        "seqs": seqs,
        "bodies": [body for body, _ in left],
        "sizes": [size + len('"seq":,') + len(str(seq)) for seq, (_, size) in zip(seqs, left, strict=True)],
        "role": ROLE_NUMBERS[EVENT],
    }
    run(db, "erase_lines", {**row.place, **values})
    run(db, "erase_calls", {**row.place, "seqs": seqs})
    run(db, "shrink", {**row.place, "freed": freed})


def _erase_words(db: PgConnection, lines: Sequence[Message]) -> None:
    """Delete the labels that only withdrawn documents have."""
    run(db, "patient", {})
    gone = settled_docs(db, GONE)
    for first, last in asked_rows(db, "gone_after", {"xid": 0}):
        gone.add_range(first, last + 1)
    waiting = BitMap(doc for (doc,) in asked_rows(db, "fresh_docs"))
    run(db, "drop_fresh", {"docs": (waiting & gone).to_array().tolist()})
    words = {word for line in lines for word in labels_of(line).texts.split()}
    labels = map(label_text, sorted(words | beginnings_of_all(words)))
    while some := list(islice(labels, _AT_ONCE)):
        orphans = [label for label in some if settled_docs(db, label) <= gone]
        run(db, "drop_labels", {"labels": orphans})
    run(db, "sealed_once", {})
