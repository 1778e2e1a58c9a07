"""The words of the index, the number of messages with each, and the inflections of one stem.

FTS5 has the words too. But it counts the messages of a word only by a walk through all postings, and
it knows no stems. So the table `terms` has all three. A build of the index makes the table from the
finished full-text index; later messages add to it. A new word enters the table at once. Counts enter
every thousand messages, and a deleted session leaves them as they are: they only weigh words against
each other.
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

_FORMS: Final = 32  # words in one full-text query, for a stem or a prefix of neither rare nor common words
_FORMS_MOST: Final = 400  # words of a prefix in one query, if they are rare
_RARE: Final = 20_000  # messages; words with no more in all are rare, and asking for every one costs little
_FORMS_LEAST: Final = 8  # words of a prefix in one query, however common
_COMMON: Final = 5  # words are common if they have a fifth of all messages, or more
_LASTING: Final = 5  # messages; if the last of 401 words has so many, a new word does not soon displace it
_REMEMBERED_S: Final = 60  # seconds to remember the commonest words of a prefix
_BEGUN_MAX: Final = 500  # prefixes to remember, about; then all are dropped
_LONGEST: Final = 1000  # characters; longer words stay out of the table
_KNOWN_MAX: Final = 200_000  # words a tally remembers as stored, about; a bound on memory
_TALLIED_MAX: Final = 1000  # messages between two flushes of the counts
_TALLIED_WORDS_MAX: Final = 50_000  # words between two flushes of the counts; a bound on memory
_COUNTED_MAX: Final = 4000  # words of a message to count; one with more says little about any of them
_PUT_AT_ONCE: Final = 1000  # words in one insert; other writers get their turn between two
_TWO: Final = 2
_ROW_MAX: Final = 8  # words of a phrase; a longer one is not compared word by word
_WORDS: Final = Decoder(list[tuple[str, int]])
_ASCII_WORD: Final = re.compile(r"[a-z0-9]+")
_NO_SIGNS: Final = {code: " " for code in range(0x80) if not chr(code).isalnum()}
_LAST: Final = chr(0x10FFFF)
_SCOPE: Final = "\ue002"  # private use: begins the word of a session or a role
_THOUGHT: Final = "\ue003"  # private use: begins each word of a model's reasoning
NOTHING: Final = f'"{GAP}{GAP}"'


class Sought(Struct, frozen=True):
    """The full-text query of one term, and an upper estimate of its number of messages (`count`).

    A prefix may have more words than one query asks for. Then `asked` has all words asked for by now.
    A phrase of words has its `words`, and in `others` the message counts of all but the rarest, ascending.
    A phrase of three to eight words also has `rarest`: a query for its two rarest words, as near each other as
    in the phrase. A run of a script without spaces has none of these three.
    """

    match: str
    count: int
    asked: tuple[str, ...] = ()
    is_phrase: bool = False
    words: tuple[str, ...] = ()
    others: tuple[int, ...] = ()
    rarest: str = ""


class Indexed(Struct, frozen=True):
    """A message as the index takes it: its tokens, its rows of parts, and the set of words in both.

    A message with more than 4,000 words has the rest in `more`: these enter the table uncounted.
    """

    tokens: str
    rows: str
    words: frozenset[str]
    more: Sequence[str] = ()


def indexed_of(text: str, thought: str = "") -> Indexed:
    """Return a message as the index takes it. A long message takes long: call this before the write transaction.

    The words of a model's reasoning (`thought`) carry a mark. So only a search for them finds them.
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
    """Return tokens with the mark of a model's reasoning; the gaps between rows stay."""
    if tokens.isascii():
        return _ASCII_WORD.sub(rf"{_THOUGHT}\g<0>", tokens.lower().translate(_NO_SIGNS))
    return " ".join(token if token == GAP else f"{_THOUGHT}{token}" for token in tokens.split())


def with_stems(words: Sequence[str]) -> Iterator[list[tuple[str, str | None]]]:
    """Yield words with their stems, at most 1,000 at a time, so that no insert takes long."""
    for first in range(0, len(words), _PUT_AT_ONCE):
        some = words[first : first + _PUT_AT_ONCE]
        yield [(word, _stem_of(word)) for word in some if len(word) <= _LONGEST]


def put_words(db: apsw.Connection, words: Iterable[tuple[str, str | None]]) -> None:
    """Insert the missing words into the table, with a count of 0. Words without any message do no harm there."""
    db.executemany(QUERIES["put_term"], words)


class Tally:
    """A buffer between new messages and the table: it inserts new words at once, and counts now and then."""

    def __init__(self) -> None:
        """Begin without counts."""
        self._known: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._message_count = 0

    def add(self, db: apsw.Connection, messages: Iterable[Indexed]) -> None:
        """Count the words of messages and insert the new ones; the caller inserts those in `Indexed.more`.

        Flushes the counts after 1,000 messages or 50,000 different words.
        """
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
        """Whether there are no counts to flush."""
        return not self._counts

    def flush(self, db: apsw.Connection) -> None:
        """Add the counts to the table."""
        db.executemany(QUERIES["count_term"], [(count, word) for word, count in self._counts.items()])
        self._counts.clear()
        self._message_count = 0

    def forget(self) -> None:
        """Forget the stored words, as a transaction failed: the table may not have them."""
        self._known.clear()


def fill(db: apsw.Connection) -> None:
    """Fill the table from a complete full-text index.

    Leaves out bigrams of a single message, as there are very many.
    """
    db.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, words, row)")
    found = ((word, _stem_of(word), count) for word, count in db.execute("SELECT term, doc FROM temp.vocabulary"))
    db.executemany(QUERIES["fill_term"], (row for row in found if _is_to_be_known(row[0], row[2])))
    db.execute("DROP TABLE temp.vocabulary")


def _is_to_be_known(word: str, count: int) -> bool:
    return not is_mark(word) and len(word) <= _LONGEST and (count > 1 or not _is_pair(word))


def _is_pair(word: str) -> bool:
    plain = word.removeprefix(_THOUGHT)
    return len(plain) > 1 and is_unspaced(plain)


def is_mark(word: str) -> bool:
    """Tell whether a token is a mark of the index, not a word: a gap between rows, or a session's or a role's word."""
    return GAP <= word[0] <= _SCOPE


def scope_word(sid: object) -> str:
    """Return the word of a session: every message of it has this word in the index, and nobody can type it."""
    return f"{_SCOPE}{sid}"


def role_word(role: Role) -> str:
    """Return the word of a role: messages of roles other than user and assistant have it in the index."""
    return f"{_SCOPE}{role}"


def sought(db: IndexConnection, term: Term, asked: tuple[str, ...] = (), *, with_thoughts: bool = False) -> Sought:
    """Return the full-text query of a term; of a prefix, for the next words after those already `asked` for.

    `with_thoughts` the query covers the models' reasoning, too.
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
        count = max(1, min(count for _, count in _counted(db, pairs)))  # the table may lack a bigram of one message
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
    """Return the query for the two rarest words of a phrase (`Sought.rarest`), empty unless it has three to eight."""
    if not _TWO < len(words) <= _ROW_MAX:
        return ""
    first, second = sorted(nsmallest(_TWO, range(len(words)), key=counts.__getitem__))
    between = second - first - 1
    return f'NEAR("{words[first]}" "{words[second]}", {between})' if between else f'"{words[first]} {words[second]}"'


def every(sought: Iterable[Sought]) -> str:
    """Return the full-text query for messages with all terms."""
    return " AND ".join(f"({one.match})" for one in sought)


def either(sought: Sequence[Sought]) -> Sought:
    """Return the full-text query for messages with any of the terms; its count is the sum."""
    return Sought(_any(f"({one.match})" for one in sought), sum(one.count for one in sought))


def asked(sought: Sequence[Sought]) -> tuple[str, ...]:
    """Return the words asked for by now of a prefix with more words; empty if no term has more."""
    return next((one.asked for one in sought if one.asked), ())


def _any(phrases: Iterable[str]) -> str:
    """Return the full-text query for any of the phrases; without phrases, one without matches."""
    return f"({' OR '.join(phrases) or NOTHING})"


def _forms(db: IndexConnection, word: str) -> list[tuple[str, int]]:
    """Return a word and its inflections in the index, at most 32 of these, commonest first, with message counts."""
    of_stem = _marked_stem(word)
    found = one_row(db, QUERIES["forms"], {"word": word, "stem": of_stem, "limit": _FORMS}, _WORDS)
    forms = {form: count for form, count in found if _marked_stem(form) == of_stem}
    return list({word: 0, **forms}.items())


def _begun(db: IndexConnection, beginning: str, asked: tuple[str, ...]) -> Begun:
    """Return the commonest words with a prefix, except those already `asked` for, with their message counts.

    If the index has still more, the second value has all words asked for so far, these included; else it is empty.
    The number of words depends on their message counts. It is up to 400 while these sum to less than 20,000: a
    search needs all rare words, and they cost little. It is up to 32 while they sum to less than a fifth of all
    messages, and at least 8.

    To find the commonest, SQLite reads every word with the prefix. For a prefix of more than 400 words, none of
    them rare, the answer changes slowly: the connection remembers it for a minute.
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
    """Return the message count of each word, 0 for a word not in the table."""
    return [(word, next(iter(db.execute(QUERIES["term"], (word,))), (0,))[0]) for word in words]


def _sum(counted: Iterable[tuple[str, int]]) -> int:
    return sum(count for _, count in counted)


def _stem_of(word: str) -> str | None:
    """Return the stem of a word, None if the word is its own stem."""
    of_word = _marked_stem(word)
    return None if of_word == word else of_word


def _marked_stem(word: str) -> str:
    """Return the stem of a word; a word of a model's reasoning keeps its mark."""
    plain = word.removeprefix(_THOUGHT)
    return stem(plain) if plain == word else f"{_THOUGHT}{stem(plain)}"
