"""The words of the index: which there are, in how many messages each is, and which are forms of one.

The full-text index knows the words too, but not how many messages have one without walking through
all of them, and not which belong to one stem. So they stand in a table of their own (`terms`). It is
made from the full-text index when that is built, and kept up as messages come. A new word is put there
at once; counts, which only weigh words against each other, are put there every thousand messages,
and are not taken back when a session is deleted.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import nsmallest
from itertools import accumulate, islice
from typing import Final

import apsw
from msgspec import Struct
from msgspec.json import Decoder, encode

from chatkeep.core.model import Role
from chatkeep.core.search.query import Term
from chatkeep.core.search.stems import stem
from chatkeep.core.search.words import GAP, indexed, is_unspaced, pairs_of, rows_of, spaced, stretches
from chatkeep.store.files.index.sql import QUERIES, Begun, IndexConnection, one_row

_FORMS: Final = 32
_FORMS_MOST: Final = 400  # when they are rare
_RARE: Final = 20_000  # messages that have one of them
_FORMS_LEAST: Final = 8  # when they are common
_COMMON: Final = 5  # a part of all messages, which have one of them
_LASTING: Final = 5  # messages that have the last of very many words: a new word is not soon among these
_REMEMBERED_S: Final = 60
_BEGUN_MAX: Final = 500
_LONGEST: Final = 1000
_KNOWN_MAX: Final = 200_000
_TALLIED_MAX: Final = 1000
_TALLIED_WORDS_MAX: Final = 50_000
_COUNTED_MAX: Final = 4000  # words of a message: one that has more counts little for any of them
_PUT_AT_ONCE: Final = 1000
_TWO: Final = 2
_ROW_MAX: Final = 8  # words of a phrase that are looked up one by one
_WORDS: Final = Decoder(list[tuple[str, int]])
_ASCII_WORD: Final = re.compile(r"[a-z0-9]+")
_NO_SIGNS: Final = {code: " " for code in range(0x80) if not chr(code).isalnum()}
_LAST: Final = chr(0x10FFFF)
_SCOPE: Final = "\ue002"
_THOUGHT: Final = "\ue003"  # stands before each word of what a model thought
NOTHING: Final = f'"{GAP}{GAP}"'


class Sought(Struct, frozen=True):
    """What the full-text index is asked for one term, and about how many messages have it at most.

    A term that is a beginning of more words than these tells which were `asked` for by now. Of a phrase of words, not
    of a piece of text, `words` are these, and `others` tells in how many messages each is but the rarest; if they are
    three to eight, `rarest` finds the two rarest as near each other as they are in it.
    """

    match: str
    count: int
    asked: tuple[str, ...] = ()
    is_phrase: bool = False
    words: tuple[str, ...] = ()
    others: tuple[int, ...] = ()
    rarest: str = ""


class Indexed(Struct, frozen=True):
    """What the index is given of a message: its tokens and its rows of parts, and the words that are in these.

    Of a message with very many words, `more` has those that need not be counted.
    """

    tokens: str
    rows: str
    words: frozenset[str]
    more: Sequence[str] = ()


def indexed_of(text: str, thought: str = "") -> Indexed:
    """Return what the index is given of a message. Takes long for a long one: best done before one's turn to write.

    What a model thought is found by those alone who ask for it: its words are others than those of the answer.
    """
    tokens, rows = spaced(text), rows_of(text)
    words: set[str] = set()
    for piece in stretches(tokens):
        words.update(_ASCII_WORD.findall(piece.lower()) if tokens.isascii() else piece.split())
    if thought:
        rows = f" {GAP} ".join(filter(None, (rows, _marked(spaced(thought)), _marked(rows_of(thought)))))
    for piece in stretches(rows):
        words.update(part for part in piece.split() if not is_mark(part))
    if len(words) <= _COUNTED_MAX:
        return Indexed(tokens, rows, frozenset(words))
    counted = frozenset(islice(words, _COUNTED_MAX))
    return Indexed(tokens, rows, counted, [word for word in words if word not in counted and not _is_pair(word)])


def _marked(tokens: str) -> str:
    """Return tokens as those of what a model thought; the gaps between rows stay."""
    if tokens.isascii():
        return _ASCII_WORD.sub(rf"{_THOUGHT}\g<0>", tokens.lower().translate(_NO_SIGNS))
    return " ".join(token if token == GAP else f"{_THOUGHT}{token}" for token in tokens.split())


def with_stems(words: Sequence[str]) -> Iterator[list[tuple[str, str | None]]]:
    """Yield words with their stems, as many at a time as are put into the table in no time."""
    for first in range(0, len(words), _PUT_AT_ONCE):
        some = words[first : first + _PUT_AT_ONCE]
        yield [(word, _stem_of(word)) for word in some if len(word) <= _LONGEST]


def put_words(db: apsw.Connection, words: Iterable[tuple[str, str | None]]) -> None:
    """Put words into the table that are not there. Words that no message has do no harm there."""
    db.executemany(QUERIES["put_term"], words)


class Tally:
    """The words of new messages, on their way into the table."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._known: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._message_count = 0

    def add(self, db: apsw.Connection, messages: Iterable[Indexed]) -> None:
        """Take in messages, by what the index was given of each; the words that need not be counted are not put."""
        fresh: dict[str, str | None] = {}
        for message in messages:
            self._counts.update(message.words)
            self._message_count += 1
            fresh.update((word, _stem_of(word)) for word in message.words - self._known if len(word) <= _LONGEST)
        put_words(db, fresh.items())
        if len(self._known) > _KNOWN_MAX:
            self._known.clear()
        self._known.update(fresh)
        if self._message_count >= _TALLIED_MAX or len(self._counts) >= _TALLIED_WORDS_MAX:
            self.flush(db)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to put into the table."""
        return not self._counts

    def flush(self, db: apsw.Connection) -> None:
        """Put the counts into the table."""
        db.executemany(QUERIES["count_term"], [(count, word) for word, count in self._counts.items()])
        self._counts.clear()
        self._message_count = 0

    def forget(self) -> None:
        """Believe nothing of what was put in a transaction that failed."""
        self._known.clear()


def fill(db: apsw.Connection) -> None:
    """Make the table from a full-text index that is complete."""
    db.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, words, row)")
    found = ((word, _stem_of(word), count) for word, count in db.execute("SELECT term, doc FROM temp.vocabulary"))
    db.executemany(QUERIES["fill_term"], (row for row in found if _is_to_be_known(row[0], row[2])))
    db.execute("DROP TABLE temp.vocabulary")


def _is_to_be_known(word: str, count: int) -> bool:
    return not is_mark(word) and len(word) <= _LONGEST and (count > 1 or not _is_pair(word))


def _is_pair(word: str) -> bool:
    plain = word.removeprefix(_THOUGHT)
    return len(plain) > 1 and is_unspaced(plain) is not None


def is_mark(word: str) -> bool:
    """Tell whether this is no word but a mark of the index: the gap between rows, or the scope of a session."""
    return GAP <= word[0] <= _SCOPE


def scope_word(sid: object) -> str:
    """Return the word that every message of a session has in the index, and nobody can type."""
    return f"{_SCOPE}{sid}"


def role_word(role: Role) -> str:
    """Return the word of the messages of a role that is rare; user and assistant have none."""
    return f"{_SCOPE}{role}"


def sought(db: IndexConnection, term: Term, asked: tuple[str, ...] = (), *, with_thoughts: bool = False) -> Sought:
    """Return what to ask for a term; of a beginning of many words, of which some were `asked` for, the next ones.

    `with_thoughts` what models thought is asked, too.
    """
    said = _sought(db, term, asked, "")
    if not with_thoughts:
        return said
    thought = _sought(db, term, asked, _THOUGHT)
    by_now = tuple(dict.fromkeys((*said.asked, *thought.asked)))
    match = f"({said.match}) OR ({thought.match})"
    return Sought(match, said.count + thought.count, by_now, said.is_phrase, others=said.others)


def _sought(db: IndexConnection, term: Term, asked: tuple[str, ...], mark: str) -> Sought:
    if term.run:
        pairs = [mark + indexed(pair) for pair in pairs_of("".join(term.tokens))]
        count = max(1, min(count for _, count in _counted(db, pairs)))  # a pair of one message need not be known
        return Sought(f'"{" ".join(pairs)}"', count, is_phrase=len(pairs) > 1)
    tokens = [mark + indexed(token) for token in term.tokens]
    if len(tokens) > 1:
        return _phrase(db, term, tokens, asked)
    if is_unspaced(term.tokens[0]):
        return Sought(f'"{tokens[0]}"', _sum(_counted(db, tokens)))
    forms = dict(_counted(db, tokens) if term.exact else _forms(db, tokens[0]))
    by_now: tuple[str, ...] = ()
    if term.prefix:
        begun, by_now = _begun(db, tokens[0], asked)
        forms = {**({} if asked else forms), **dict(begun)}
    return Sought(_any(f'"{form}"' for form in forms), _sum(forms.items()), by_now)


def _phrase(db: IndexConnection, term: Term, tokens: Sequence[str], asked: tuple[str, ...]) -> Sought:
    counts = [count for _, count in _counted(db, tokens)]
    if not term.prefix:
        match, others, rarest = f'"{" ".join(tokens)}"', tuple(sorted(counts)[1:]), _rarest(tokens, counts)
        return Sought(match, min(counts), is_phrase=True, words=tuple(tokens), others=others, rarest=rarest)
    begun, by_now = _begun(db, tokens[-1], asked)
    last = dict.fromkeys((*(() if asked else tokens[-1:]), *(word for word, _ in begun)))
    match = _any(f'"{" ".join((*tokens[:-1], word))}"' for word in last)
    return Sought(match, min(*counts[:-1], _sum(begun)), by_now, is_phrase=True)


def _rarest(words: Sequence[str], counts: Sequence[int]) -> str:
    """Return what finds the two rarest words as `Sought` says, by how many messages have each; else nothing."""
    if not _TWO < len(words) <= _ROW_MAX:
        return ""
    first, second = sorted(nsmallest(_TWO, range(len(words)), key=counts.__getitem__))
    between = second - first - 1
    return f'NEAR("{words[first]}" "{words[second]}", {between})' if between else f'"{words[first]} {words[second]}"'


def every(sought: Iterable[Sought]) -> str:
    """Return what finds the messages that have all terms."""
    return " AND ".join(f"({one.match})" for one in sought)


def either(sought: Sequence[Sought]) -> Sought:
    """Return what is asked for any of the terms."""
    return Sought(_any(f"({one.match})" for one in sought), sum(one.count for one in sought))


def asked(sought: Sequence[Sought]) -> tuple[str, ...]:
    """Return the words that were asked for by now, of a term that is a beginning of more."""
    return next((one.asked for one in sought if one.asked), ())


def _any(phrases: Iterable[str]) -> str:
    """Return what finds any of the phrases; of none, a phrase that nothing has."""
    return f"({' OR '.join(phrases) or NOTHING})"


def _forms(db: IndexConnection, word: str) -> list[tuple[str, int]]:
    """Return the words of the index that are forms of one, itself first, and in how many messages each is."""
    of_stem = _marked_stem(word)
    found = one_row(db, QUERIES["forms"], {"word": word, "stem": of_stem, "limit": _FORMS}, _WORDS)
    forms = {form: count for form, count in found if _marked_stem(form) == of_stem}
    return list({word: 0, **forms}.items())


def _begun(db: IndexConnection, beginning: str, asked: tuple[str, ...]) -> Begun:
    """Return the commonest words with a beginning besides some, and if there are more, all that are asked for then.

    There are more of them when they are rare: then all are needed, and cost little; and fewer when they are common.
    Which are the commonest of very many does not change soon, and all have to be looked at to tell: it is remembered.
    """
    now = time.monotonic()
    until, begun = db.begun.get(beginning, (now, None))
    if begun is not None and now < until and not asked:
        return begun
    values = {"first": beginning, "after": beginning + _LAST, "limit": _FORMS_MOST + 1, "asked": encode(asked).decode()}
    found = one_row(db, QUERIES["begun"], values, _WORDS)
    totals = list(accumulate(count for _, count in found))
    ((message_count,),) = db.execute(QUERIES["message_count"])
    rare, uncommon = bisect_left(totals, _RARE), bisect_left(totals, message_count // _COMMON)
    shown = found[: min(max(rare, _FORMS_LEAST, min(uncommon, _FORMS)), _FORMS_MOST)]
    begun = shown, (*asked, *(word for word, _ in shown)) if len(shown) < len(found) else ()
    if not asked and len(found) > _FORMS_MOST and found[-1][1] >= _LASTING:
        if len(db.begun) >= _BEGUN_MAX:
            db.begun.clear()
        db.begun[beginning] = now + _REMEMBERED_S, begun
    return begun


def _counted(db: IndexConnection, words: Iterable[str]) -> list[tuple[str, int]]:
    """Return in how many messages each word is, 0 for one that is not in the table."""
    return [(word, next(iter(db.execute(QUERIES["term"], (word,))), (0,))[0]) for word in words]


def _sum(counted: Iterable[tuple[str, int]]) -> int:
    return sum(count for _, count in counted)


def _stem_of(word: str) -> str | None:
    """Return the stem of a word, None when that is the word itself."""
    of_word = _marked_stem(word)
    return None if of_word == word else of_word


def _marked_stem(word: str) -> str:
    """Return the stem of a word, of a thought one as a thought one."""
    plain = word.removeprefix(_THOUGHT)
    return stem(plain) if plain == word else f"{_THOUGHT}{stem(plain)}"
