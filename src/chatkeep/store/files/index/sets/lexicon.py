"""The lexicon: what the index has under each label with text, and the words of a beginning.

A label of at most four documents has them in the lexicon itself, four bytes each. Most words are so rare, and a row of
their own would take more. Any other label has a number, under which its rows stand.

A beginning of one or two letters always has a set of its own. A longer one gets its set once more than 128 words begin
so; until then, a search unites the sets of these words. So a beginning stands for all of its words, at the cost of at
most 128 sets.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import apsw
from msgspec.json import encode

from chatkeep.store.files.index.sql import QUERIES
from chatkeep.store.sets.blocks import in_blocks
from chatkeep.store.sets.containers import BLOCK_BITS, UnreadableRowError, short_row
from chatkeep.store.sets.terms import BEGINNING, SHORT, bare, beginning

WORDS_MAX: Final = 128  # words; uniting the sets of so many takes about 2 ms
FEW: Final = 4  # documents of a label without rows; a row takes about as much as they
LETTERS_MAX: Final = 16  # letters; hardly anything longer begins more than 128 words
_FEW_SIZES: Final = range(4, 4 * FEW + 1, 4)
_LAST: Final = "\U0010ffff"


LabelEntry = int | bytes
"""What the lexicon has for a label: the number of its rows, or its few documents."""


def label_entry(db: apsw.Connection, label: str) -> LabelEntry | None:
    """Return the entry of a label, None for one that is in no row."""
    return next((_checked(entry) for (entry,) in db.execute(QUERIES["label"], (label,))), None)


def label_entries(db: apsw.Connection, labels: Sequence[str]) -> list[LabelEntry | None]:
    """Return the entry of each label, None for one that is in no row."""
    found = db.execute(QUERIES["labels"], (encode(labels).decode(),))
    return [None if entry is None else _checked(entry) for (entry,) in found]


def few_docs(entry: LabelEntry | None) -> array[int]:
    """Return the documents in an entry, in order."""
    return array("I", entry if isinstance(entry, bytes) else b"")


def label_rows(db: apsw.Connection, entry: LabelEntry | None) -> list[tuple[int, bytes]]:
    """Return the rows behind an entry, in order of the blocks: number of the block, bytes of the set."""
    if isinstance(entry, int):
        return list(db.execute(QUERIES["rows_of_label"], (entry,)))
    return [(docs[0] >> BLOCK_BITS, short_row(docs)) for docs in in_blocks(few_docs(entry))]


def words_begun(db: apsw.Connection, letters: str, most: int) -> list[str]:
    """Return the words in rows that begin so, at most so many."""
    return [word for (word,) in db.execute(QUERIES["words_begun"], (letters, letters + _LAST, most))]


def has_own_set(letters: str) -> bool:
    """Tell whether a beginning is so short that it always has a set of its own."""
    return len(bare(letters)) <= SHORT


def sets_begun(db: apsw.Connection, letters: str) -> Iterator[list[tuple[int, bytes]]]:
    """Yield the rows of each word that begins so."""
    for (entry,) in db.execute(QUERIES["labels_begun"], (letters, letters + _LAST)):
        yield label_rows(db, _checked(entry))


def longer_beginnings(db: apsw.Connection) -> set[str]:
    """Return the beginnings of more than two letters that have a set."""
    found = (label.removeprefix(BEGINNING) for label in words_begun(db, BEGINNING, -1))
    return {letters for letters in found if not has_own_set(letters)}


def beginnings_in(word: str, known: set[str]) -> list[str]:
    """Return those of some beginnings that a word has."""
    return [letters for letters in longer_than_short(word) if letters in known]


def new_beginnings(db: apsw.Connection, words: Iterable[str], known: set[str]) -> Iterator[str]:
    """Yield the beginnings that have too many words now that these, in order, are new; add them to the known ones."""
    few: set[str] = set()
    for word in words:
        for letters in longer_than_short(word):
            if letters in known:
                continue
            if letters in few or len(words_begun(db, letters, WORDS_MAX + 1)) <= WORDS_MAX:
                few.add(letters)
                break
            known.add(letters)
            yield beginning(letters)


def longer_than_short(word: str) -> Iterator[str]:
    """Yield the beginnings of a word that may get a set of their own: longer than two letters, at most 16."""
    mark_size = len(word) - len(bare(word))
    return (word[:length] for length in range(SHORT + mark_size + 1, min(len(word), LETTERS_MAX + mark_size) + 1))


def _checked(entry: object) -> LabelEntry:
    """Return an entry as the lexicon has it.

    Raises:
        UnreadableRowError: when it is none: the database is damaged.
    """
    if isinstance(entry, bytes) and len(entry) in _FEW_SIZES:
        return entry
    if isinstance(entry, int):
        return entry
    raise UnreadableRowError
