"""Matches of a search in texts, found by looking at each of them: how the reference store searches."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from chatkeep.core.model import Header, Message
from chatkeep.core.search.marks import marked_forms
from chatkeep.core.search.pages import SearchPage, cursor_of, page_of_cursor
from chatkeep.core.search.query import Query, Term, Words, is_in, phrases, words_of
from chatkeep.core.search.ranker import Match
from chatkeep.core.search.search import Search
from chatkeep.errors import InvalidCursorError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT_CHARS_MAX: Final = 1000  # of a text whose words the next search finds cut up, 4 KB each


class SaidTexts:
    """The searched texts of a message, cut up."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Take the texts."""
        self._texts = texts
        self._words = [_kept_words(text) if len(text) <= _KEPT_CHARS_MAX else words_of(text) for text in texts]

    def has(self, term: Term) -> bool:
        """Tell whether a term stands in one of them."""
        return any(is_in(words, term) for words in self._words)

    def leads_with(self, terms: Sequence[Term]) -> bool:
        """Tell whether the first text has every term."""
        return all(is_in(self._words[0], term) for term in terms)

    def marked(self, forms: Sequence[str]) -> int:
        """Return how many of some words with marks stand in them."""
        found = {form for text in self._texts for form in marked_forms(text)}
        return len(found & set(forms))


@lru_cache(maxsize=8192)
def _kept_words(text: str) -> Words:
    return words_of(text)


ShownResult = tuple[Hashable, int]
"""A session and a seq; 0 for a session as a whole."""
SaidMessage = tuple[str, Message, SaidTexts]
"""A key, a message and its texts; the names of a session are a message with the seq 0."""


class PlainPages:
    """The pages of searches. It remembers what each page leaves, for the next one."""

    def __init__(self, origin: bytes) -> None:
        """Begin without pages; cursors of another origin are refused."""
        self._origin = origin
        self._lock = threading.Lock()
        self._left: dict[int, Sequence[ShownResult]] = {}

    def page(self, search: Search, every: dict[ShownResult, int]) -> tuple[Sequence[int], str | None]:
        """Return the places of a page among all results, best first, and the cursor of the next page.

        Raises:
            InvalidCursorError: for a cursor of another search.
        """
        page = page_of_cursor(search, self._origin)
        number = None if page is None else page.until_us
        if page is not None and number not in self._left:
            raise InvalidCursorError
        results = list(every if number is None else [result for result in self._left[number] if result in every])
        with self._lock:
            following = len(self._left)
            self._left[following] = results[search.limit :]
        is_last = len(results) <= search.limit
        cursor = None if is_last else cursor_of(search, SearchPage(self._origin, until_us=following))
        return [every[result] for result in results[: search.limit]], cursor


def matches_in(texts: Iterable[SaidMessage], query: Query, terms: Sequence[Term], *, needed: int) -> list[Match]:
    """Return the messages with at least `needed` of the terms, and at least one."""
    found = []
    for key, message, searched in texts:
        held = [place for place, term in enumerate(terms) if searched.has(term)]
        if len(held) >= max(1, needed):
            side_by_side = [place for place, phrase in phrases(terms) if searched.has(phrase)]
            size = len(msgspec.json.encode(message))
            match = Match(key, message.seq, micros_of(message.sent_at), size, _bits(held), _bits(side_by_side))
            match.is_verbatim = query.verbatim is not None and searched.has(query.verbatim)
            match.marked = searched.marked(query.marks)
            match.is_named = not message.seq and not searched.leads_with(query.terms)
            found.append(match)
    return found


def result_of(search: Search, match: Match) -> ShownResult:
    """Return the result that a match is."""
    return match.session, match.seq if search.unit == "message" else 0


def names_as_message(header: Header) -> Message:
    """Return the names of a session as a message without a place."""
    return Message(seq=0, role="system", content=None, sent_at=header.created_at, id="")


def _bits(places: Iterable[int]) -> int:
    return sum(1 << place for place in places)


def is_candidate(message: Message, search: Search) -> bool:
    """Tell whether the filters of a search leave a message."""
    return (
        (search.covers_work or search.roles is None or message.role in search.roles)
        and (search.since is None or message.sent_at >= search.since)
        and (search.until is None or message.sent_at < search.until)
    )


def micros_of(at: datetime) -> int:
    """Return a time as microseconds since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)
