"""The lexicon: the number of each label with text, and the words of a beginning.

A beginning of one or two letters always has a set of its own. A longer one gets its set once more than 128 words begin
so; until then, a search unites the sets of these words. So a beginning stands for all of its words, at the cost of at
most 128 sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import apsw
from msgspec.json import encode

from chatkeep.store.files.index.sets.terms import BEGINNING, SHORT, bare, beginning
from chatkeep.store.files.index.sql import QUERIES

WORDS_MAX: Final = 128  # words; uniting the sets of so many takes about 2 ms
LETTERS_MAX: Final = 16  # letters; hardly anything longer begins more than 128 words
_LAST: Final = "\U0010ffff"


def label_number(db: apsw.Connection, label: str) -> int | None:
    """Return the number of a label, None if no row has it."""
    return next((number for (number,) in db.execute(QUERIES["label_number"], (label,))), None)


def label_numbers(db: apsw.Connection, labels: Sequence[str]) -> list[int | None]:
    """Return the number of each label, None for one without rows."""
    return [number for (number,) in db.execute(QUERIES["label_numbers"], (encode(labels).decode(),))]


def words_begun(db: apsw.Connection, letters: str, most: int) -> list[str]:
    """Return the words in rows that begin so, at most so many."""
    return [word for (word,) in db.execute(QUERIES["words_begun"], (letters, letters + _LAST, most))]


def has_own_set(letters: str) -> bool:
    """Tell whether a beginning is so short that it always has a set of its own."""
    return len(bare(letters)) <= SHORT


def rows_begun(db: apsw.Connection, letters: str) -> Iterator[tuple[int, int, bytes]]:
    """Yield the rows of all words that begin so: number of the word, block, bytes of the set."""
    return iter(db.execute(QUERIES["rows_begun"], (letters, letters + _LAST)))


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
