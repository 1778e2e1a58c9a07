"""The search language: plain text in, terms out. No character of it is an operator, so no query is invalid.

A query is cut at white space. Each piece, and each part in double quotes, is one *term*. A term of one word
is found in its other inflections too (`books` finds `book`). A term of several tokens is a phrase: the tokens
must stand side by side (`foo:bar`, `user@example.com`, `"quick brown"`), without other inflections. A piece
of a script without spaces (`人工智能`) is found inside any longer piece. The last word, unless something follows
it, may be the beginning of a longer one.

Stop words are left out when other words remain. The remaining terms have to be found whole (`terms`). If that
finds nothing, or too little for a question, their parts may do (`relaxed`). A phrase of stop words stays
whole if the query has nothing else. Several words may be a quotation of a message, with all words between
(`verbatim`): a message with the very words ranks first. So does, for a single word, its own form. Words with marks
(`--force`, see `marks`) rank the messages with these marks above the others.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import chain, groupby, pairwise
from typing import Final

from msgspec import Struct

from chatkeep.core.search.marks import marked_forms
from chatkeep.core.search.stems import QUESTION_WORDS, STOP_WORDS, common_beginning, stem
from chatkeep.core.search.words import (
    Even,
    FoldedWord,
    compounds_of,
    evenly_folded,
    is_unspaced,
    may_go_on,
    pairs_of,
    tokens_of,
    unevenly_folded_tokens,
)

TERMS_MAX: Final = 32  # terms of a query; the rest is left out
QUERY_CHARS_MAX: Final = 1000
_VERBATIM_MAX: Final = 8  # words
_MARKS_MAX: Final = 8  # words with marks
_LONG_RUN: Final = 6  # characters of a script without spaces; so many make more than one word
_SHORT: Final = 4  # tokens; a longer phrase is searched in linear time, a shorter one from each place
_LONG_PIECE: Final = 16  # characters; places of a longer piece do not overlap
_PIECE: Final = re.compile(r'"([^"]*)"|(\S+)')
_QUOTES: Final = str.maketrans(dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'))
_ENGLISH_ENDING: Final = re.compile(
    r"(\W*[^\W_]+(?:[-.'\u2019][^\W_]+)*)['\u2019](?:s|t|d|m|ll|re|ve)(\W*)", re.IGNORECASE
)


class Term(Struct, frozen=True):
    """Tokens standing side by side.

    With `prefix`, the last token may go on. Unless `exact`, a term is found in its other inflections too. A `run` is
    a piece of a script without spaces: nothing at all may stand between its characters.
    """

    tokens: tuple[str, ...]
    prefix: bool = False
    exact: bool = False
    run: bool = False


class Query(Struct, frozen=True):
    """A person's query: the text as typed, its terms, and its words with marks. Without terms nothing is found."""

    text: str
    terms: tuple[Term, ...]
    relaxed: tuple[Term, ...] = ()
    is_question: bool = False
    verbatim: Term | None = None
    marks: tuple[str, ...] = ()


class Words:
    """A text cut up: its tokens and the parts of each of its compounds."""

    def __init__(self, tokens: Sequence[FoldedWord], compounds: Sequence[Sequence[FoldedWord]]) -> None:
        """Take the tokens and compounds of the text."""
        self.tokens = tokens
        self.compounds = compounds

    @cached_property
    def by_stem(self) -> Mapping[str, Sequence[FoldedWord]]:
        """All tokens and parts, by their stems."""
        found: defaultdict[str, list[FoldedWord]] = defaultdict(list)
        for token in chain(self.tokens, *self.compounds):
            found[stem(token.text)].append(token)
        return found


def parse_query(text: str) -> Query:
    """Return the terms of a query; at most 32, the rest is left out."""
    found = dict(_terms(text))
    telling = [term for term in found if term.exact or not _says_nothing(term)]
    terms = tuple((telling or list(found))[:TERMS_MAX])
    relaxed = dict.fromkeys(part for term in terms for part in _parts(term, found[term], alone=len(terms) == 1))
    is_question = len(terms) > 1 and _is_question(text)
    return Query(
        text,
        terms,
        tuple(relaxed)[:TERMS_MAX] or terms,
        is_question=is_question,
        verbatim=_own_form(terms[0]) if len(found) == 1 else _verbatim(text),
        marks=tuple(dict.fromkeys(marked_forms(text)))[:_MARKS_MAX],
    )


def phrases(terms: Sequence[Term]) -> list[tuple[int, Term]]:
    """Return the phrases of neighbouring words in a query, each with the place of its first word."""
    return [
        (place, Term(one.tokens + other.tokens, exact=True))
        for place, (one, other) in enumerate(pairwise(terms))
        if len(one.tokens) == len(other.tokens) == 1 and not any(map(is_unspaced, one.tokens + other.tokens))
    ]


def words_of(text: str, about: Query | None = None) -> Words:
    """Return a text cut up. With `about`, words irrelevant to that query may be missing."""
    return _words(text, about, evenly_folded(text))


def _words(text: str, about: Query | None, even: Even | None) -> Words:
    begun = None if about is None else _begun(about)
    tokens = unevenly_folded_tokens(text) if even is None else even.tokens(begun)
    return Words(tokens, list(compounds_of(text, None if about is None else _telling(about))))


@lru_cache(maxsize=64)
def _begun(query: Query) -> tuple[str, ...] | None:
    """Return the beginnings of all inflections of the terms, or None unless every term is one ASCII word.

    In a phrase, neighbouring tokens count too. And in other scripts, inflections may differ from the beginning on.
    """
    words = [term.tokens[0] for term in (*query.terms, *query.relaxed) if len(term.tokens) == 1]
    is_simple = len(words) == len(query.terms) + len(query.relaxed) and all(map(str.isascii, words))
    return tuple(sorted(set(map(common_beginning, words)))) if is_simple else None


@lru_cache(maxsize=64)
def _telling(query: Query) -> re.Pattern[str] | None:
    """Return a pattern that each compound with a term has, None if that is unknown; compounds are of ASCII."""
    terms = (*query.terms, *query.relaxed)
    if not all(term.tokens[0].isascii() for term in terms if len(term.tokens) == 1):
        return None
    of_words = {common_beginning(term.tokens[0]) for term in terms if len(term.tokens) == 1}
    of_phrases = {re.escape(term.tokens[0]) for term in terms if len(term.tokens) > 1}
    return re.compile("|".join(sorted(of_words | of_phrases)) or "(?!)", re.IGNORECASE)


class Places:
    """The places of terms in one text. The text is cut into words only for terms in need of it.

    The places equal those of `spans`. `about` must hold every term asked for later.
    """

    def __init__(self, text: str, about: Query) -> None:
        """Take the text."""
        self._text = text
        self._about = about
        self._even = evenly_folded(text)

    @cached_property
    def _words(self) -> Words:
        return _words(self._text, self._about, self._even)

    @cached_property
    def _compounds(self) -> Sequence[Sequence[FoldedWord]]:
        return list(compounds_of(self._text, _telling(self._about)))

    def about_where(self, phrase: Term) -> int | None:
        """Return the place of the first likely match of a phrase, None if there is none or the search would be slow."""
        found = None if self._even is None else _rough_pattern(phrase, self._even.is_ascii).search(self._even.plain)
        return None if found is None else found.start()

    def of(self, term: Term) -> list[tuple[int, int]]:
        """Return the places of the term, as offsets [start, end)."""
        even = self._even
        if even is not None:
            if not even.has_fallen and (term.run or (len(term.tokens) == 1 and is_unspaced(term.tokens[0]))):
                return _places_of_piece(even.plain, "".join(term.tokens))
            if 1 < len(term.tokens) <= _SHORT and even.is_ascii:
                inside = chain.from_iterable(_spans_in(row, term) for row in self._compounds)
                return [*_places_of_phrase(even.plain, term), *inside]
        return spans(self._words, term)


def _places_of_piece(plain: str, piece: str) -> list[tuple[int, int]]:
    found = []
    step = 1 if len(piece) <= _LONG_PIECE else len(piece)  # overlapping matches of a long piece take quadratic time
    place = plain.find(piece)
    while place >= 0:
        found.append((place, place + len(piece)))
        place = plain.find(piece, place + step)
    return found


def _places_of_phrase(plain: str, term: Term) -> list[tuple[int, int]]:
    """Return the places of a phrase in a folded text of ASCII."""
    pattern = _phrase_pattern(term)
    found = []
    match = pattern.search(plain)
    while match is not None:
        start, end = match.span()
        if not start or not plain[start - 1].isalnum():
            found.append((start, end))
        match = pattern.search(plain, start + 1)
    return found


@lru_cache(maxsize=256)
def _phrase_pattern(term: Term) -> re.Pattern[str]:
    return re.compile("[^a-z0-9]+".join(map(re.escape, term.tokens)) + ("[a-z0-9]*" if term.prefix else "(?![a-z0-9])"))


@lru_cache(maxsize=256)
def _rough_pattern(phrase: Term, is_ascii: bool) -> re.Pattern[str]:  # noqa: FBT001 - a fact about the text
    """Return a pattern of a phrase for an evenly folded text: beyond ASCII, only spaces stand between words."""
    gap = "[^a-z0-9]+" if is_ascii else " +"
    return re.compile(rf"(?<![^\W_]){gap.join(map(re.escape, phrase.tokens))}(?![^\W_])")


def spans(words: Words, term: Term) -> list[tuple[int, int]]:
    """Return the places of the term, as offsets [start, end)."""
    return list(_spans(words, term))


def is_in(words: Words, term: Term) -> bool:
    """Tell whether the term stands anywhere."""
    return any(True for _ in _spans(words, term))


def _spans(words: Words, term: Term) -> Iterator[tuple[int, int]]:
    if len(term.tokens) == 1 and not term.prefix:
        for token in words.by_stem.get(stem(term.tokens[0]), ()):
            if not term.exact or token.text == term.tokens[0]:
                yield token.start, token.end
    elif len(term.tokens) > _SHORT:
        yield from _spans_of_long(words.tokens, term)
        for row in words.compounds:
            yield from _spans_in(row, term)
    else:
        for row in (words.tokens, *words.compounds):
            yield from _spans_in(row, term)


def _spans_in(tokens: Sequence[FoldedWord], term: Term) -> Iterator[tuple[int, int]]:
    length = len(term.tokens)
    last_token = term.tokens[-1]
    wanted = stem(last_token)
    for first in range(len(tokens) - length + 1):
        last = tokens[first + length - 1].text
        if last == last_token or (term.prefix and last.startswith(last_token)):
            is_found = length == 1 or _goes_on(tokens, first, term)
        else:
            is_found = length == 1 and not term.exact and stem(last) == wanted
        if is_found:
            yield tokens[first].start, tokens[first + length - 1].end


def _spans_of_long(tokens: Sequence[FoldedWord], term: Term) -> Iterator[tuple[int, int]]:
    """Yield the places of a term of many tokens, in about one look at each token of the text.

    Source: Knuth, Morris and Pratt, Fast pattern matching in strings (1977).
    """
    *wanted, last = term.tokens
    again = _again(wanted)
    same = broken_at = end = 0
    for place, token in enumerate(tokens):
        if token.start > end:
            broken_at = place
        end = token.end
        if same == len(wanted):
            is_last = token.text.startswith(last) if term.prefix else token.text == last
            if is_last and not (term.run and broken_at > place - same):
                yield tokens[place - same].start, end
            same = again[same]
        while same and token.text != wanted[same]:
            same = again[same]
        same += token.text == wanted[same]


def _again(wanted: Sequence[str]) -> list[int]:
    """Return, for each number of matched tokens, the length of the longest beginning repeated at their end."""
    again = [0, 0]
    for place in range(1, len(wanted)):
        same = again[place]
        while same and wanted[place] != wanted[same]:
            same = again[same]
        again.append(same + (wanted[place] == wanted[same]))
    return again


def _goes_on(tokens: Sequence[FoldedWord], first: int, term: Term) -> bool:
    """Tell whether all tokens of a term but its last stand here in a row; those of a run without a break."""
    places = range(len(term.tokens))
    return all(tokens[first + place].text == term.tokens[place] for place in places[:-1]) and not (
        term.run and any(tokens[first + place].start > tokens[first + place - 1].end for place in places[1:])
    )


def _terms(text: str) -> Iterator[tuple[Term, list[Term]]]:
    """Yield each term of a query with the terms of its single tokens; runs stay together."""
    for piece in _PIECE.finditer(text.translate(_QUOTES)):
        quoted, word = piece.groups()
        if quoted is not None:
            tokens = tokens_of(quoted)
            if tokens:
                yield Term(_texts(tokens), exact=True, run=_is_run(tokens)), _single(tokens)
            continue
        ending = _ENGLISH_ENDING.fullmatch(word)
        plain = word if ending is None else ending.group(1) + ending.group(2)
        tokens = tokens_of(plain)
        for row in _runs(tokens) if all(is_unspaced(token.text) for token in tokens) else [tokens]:
            is_open = ending is None and piece.end() == len(text) and (row[-1].end == len(plain) or plain.endswith("*"))
            prefix = is_open and may_go_on(row[-1].text)
            yield Term(_texts(row), prefix=prefix, exact=len(row) > 1, run=_is_run(row)), _single(row)


def _single(tokens: Sequence[FoldedWord]) -> list[Term]:
    """Return a term for each token, and one for each run of a script without spaces."""
    found = []
    for of_script, same in groupby(tokens, key=lambda token: is_unspaced(token.text)):
        row_tokens = list(same)
        rows = _runs(row_tokens) if of_script else ([token] for token in row_tokens)
        found += [Term(_texts(row), exact=len(row) > 1, run=_is_run(row)) for row in rows]
    return found


def _runs(tokens: Sequence[FoldedWord]) -> Iterator[Sequence[FoldedWord]]:
    """Yield the tokens in rows without a break."""
    first = 0
    for place in range(1, len(tokens) + 1):
        if place == len(tokens) or tokens[place].start > tokens[place - 1].end:
            yield tokens[first:place]
            first = place


def _is_run(tokens: Sequence[FoldedWord]) -> bool:
    return len(tokens) > 1 and all(is_unspaced(token.text) for token in tokens) and len(list(_runs(tokens))) == 1


def _texts(tokens: Sequence[FoldedWord]) -> tuple[str, ...]:
    return tuple(token.text for token in tokens)


def _says_nothing(term: Term) -> bool:
    return all(token in STOP_WORDS for token in term.tokens)


def _parts(term: Term, single: Sequence[Term], *, alone: bool) -> Iterator[Term]:
    """Yield the substitutes for a term not found whole."""
    is_mixed = any(map(is_unspaced, term.tokens))
    is_whole = len(term.tokens) < _LONG_RUN if is_mixed else alone
    if len(term.tokens) == 1 or term.run or is_whole:
        yield from _pieces(term)
    else:
        yield from (piece for part in single if not _says_nothing(part) for piece in _pieces(part))


def _pieces(term: Term) -> Iterator[Term]:
    if term.run and len(term.tokens) >= _LONG_RUN:
        yield from (Term(tuple(pair), exact=True, run=True) for pair in pairs_of("".join(term.tokens)))
    else:
        yield term


def _verbatim(text: str) -> Term | None:
    """Return a text's words as a phrase, if they are two to eight, without quotes, and of scripts with spaces."""
    tokens = _texts(tokens_of(text))
    if not 1 < len(tokens) <= _VERBATIM_MAX or '"' in text.translate(_QUOTES) or any(map(is_unspaced, tokens)):
        return None
    return Term(tokens, exact=True)


def _own_form(term: Term) -> Term | None:
    """Return a word as typed, without its other forms; None for a phrase, and for a script without spaces."""
    is_word = len(term.tokens) == 1 and not is_unspaced(term.tokens[0])
    return Term(term.tokens, exact=True) if is_word and not (term.exact and not term.prefix) else None


def _is_question(text: str) -> bool:
    return text.rstrip().endswith(("?", "\uff1f", "\u061f")) or text.split(maxsplit=1)[0].casefold() in QUESTION_WORDS
