"""Erasing words: a label without any document leaves the lexicon, and its rows with it.

A set still has the documents of dropped messages, and a search subtracts them (see `postings`). So the words of such a
message stay in the lexicon, also those that no other message has. An erasure looks at each of its labels, and deletes
those without a document that is alive. A label of a message not yet sealed comes back with the sealing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import apsw
from msgspec.json import encode

from chatkeep.core.model import Message
from chatkeep.store.files.index.sets import lexicon
from chatkeep.store.files.index.sql import QUERIES, one_number
from chatkeep.store.sets.containers import docs_in
from chatkeep.store.sets.terms import beginning, beginnings_of_all, is_word, labels_of

_LABELS: Final = 500  # labels looked at in a transaction: some milliseconds
_DOCS: Final = 256  # documents looked up at once; nearly always one of the first is alive


def label_batches(lines: Iterable[Message]) -> Iterator[Sequence[str]]:
    """Yield the labels with text of some lines, each once, some hundred at a time."""
    words = {label for line in lines for label in labels_of(line).texts.split()}
    begun = {beginning(letters) for word in filter(is_word, words) for letters in lexicon.longer_than_short(word)}
    labels = sorted(words | begun | beginnings_of_all(words))
    yield from (labels[start : start + _LABELS] for start in range(0, len(labels), _LABELS))


def begin_erasure(db: apsw.Connection) -> None:
    """Count an erasure, so that every sealing under way ends; delete the unsealed labels of documents that are gone."""
    db.execute(QUERIES["begin_erasure"])
    db.execute(QUERIES["drop_fresh_orphans"])
    db.execute(QUERIES["drop_long_orphans"])


def erase_labels(db: apsw.Connection, labels: Sequence[str]) -> None:
    """Delete those labels that only documents have that are gone."""
    for label, entry in zip(labels, lexicon.label_entries(db, labels), strict=True):
        if entry is not None and not _is_alive(db, entry):
            if isinstance(entry, int):
                db.execute(QUERIES["drop_rows_of_label"], (entry,))
            db.execute(QUERIES["drop_label"], (label,))


def _is_alive(db: apsw.Connection, entry: lexicon.LabelEntry) -> bool:
    docs = docs_in(lexicon.label_rows(db, entry)).to_array()
    some = (encode(docs[start : start + _DOCS].tolist()).decode() for start in range(0, len(docs), _DOCS))
    return any(one_number(db, QUERIES["any_alive"], (wanted,)) for wanted in some)
