"""Excerpts: the piece of a message around its hits, and the places of the hits in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

from chatkeep.core.model import Hit, Message, Summary
from chatkeep.core.search.query import QUERY_CHARS_MAX, Places, Query, Term
from chatkeep.core.search.search import Search, searched_texts
from chatkeep.core.search.stems import stem, stem_prefix
from chatkeep.core.search.words import folded, is_unspaced

EXCERPT_CHARS: Final = 200  # a longer hit makes a longer excerpt
_SLICE_CHARS: Final = 8000  # of a long text, only one slice is searched for hits
_CUT_MAX: Final = 6  # slices cut into words, which is the slow step
_LOOKED_AT: Final = 1000  # hits tried as the start of an excerpt
_LEAD_CHARS: Final = 60  # of context before the first hit


def highlights(text: str, query: Query) -> list[tuple[int, int]]:
    """Return the hits in a text as offsets [start, end), in order; no two overlap."""
    return _apart(text, query, _hits(Places(text, query), query))


def excerpt(text: str, query: Query) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return about 200 characters of the text with as many terms as possible, and the hits as offsets into them."""
    if len(text) > 2 * _SLICE_CHARS:
        text = _telling_slice(text, query)
    places = Places(text, query)
    hits = _hits(places, query)
    found = _apart(text, query, hits)
    phrase = query.verbatim if len(text) > EXCERPT_CHARS else None
    verbatim = None if phrase is None or len(phrase.tokens) == 1 else places.about_where(phrase)
    start, end = _bounds(text, *(_best(hits, found, verbatim) if found else (0, 0)))
    inside = ((first - start, last - start) for first, last in found if first >= start and last <= end)
    return text[start:end], tuple(inside)


def hit_of(known: Summary, message: Message | None, search: Search, match_count: int) -> Hit:
    """Return a message found in a session, as a search shows it; None for a session without messages."""
    texts = () if message is None else searched_texts(message, search)
    shown, highlighted = excerpt("\n\n".join(texts), search.query)
    return Hit(
        key=known.header.key,
        title=known.title,
        channel=known.header.channel,
        updated_at=known.updated_at,
        seq=message.seq if message else 0,
        message_id=message.id if message else "",
        role=message.role if message else "user",
        excerpt=shown,
        highlights=highlighted,
        match_count=match_count,
        title_highlights=tuple(highlights(known.title, search.query)),
    )


def _telling_slice(text: str, query: Query) -> str:
    """Return the slice of a long text with the most terms, and among equals the most parts of terms.

    Only the likeliest slices are cut into words: those with the most signs of terms.
    """
    slices = [
        (_break(text, start - QUERY_CHARS_MAX), _break(text, start + _SLICE_CHARS))
        for start in range(0, len(text), _SLICE_CHARS)
    ]
    signs = [[_signs(term) for term in terms] for terms in (query.terms, query.relaxed)]
    likely = [_signed(folded(text[start:end]), signs, query) for start, end in slices]
    best, most = text[:_SLICE_CHARS], (0,) * len(signs)
    for place in sorted(range(len(slices)), key=likely.__getitem__, reverse=True)[:_CUT_MAX]:
        if likely[place][: len(signs)] <= most or most[0] == len(query.terms):
            break
        piece = text[slice(*slices[place])]
        places = Places(piece, query)
        found = tuple(sum(bool(places.of(term)) for term in terms) for terms in (query.terms, query.relaxed))
        if found > most:
            best, most = piece, found
    return best


def _signed(plain: str, signs: Sequence[Sequence[Sequence[str]]], query: Query) -> tuple[int, ...]:
    """Return how many terms and parts of terms a folded text may have, and other signs of a match."""
    counts = (sum(all(sign in plain for sign in of_term) for of_term in of_terms) for of_terms in signs)
    is_verbatim = query.verbatim is not None and " ".join(query.verbatim.tokens) in plain
    return *counts, is_verbatim, sum(stem(term.tokens[-1]) in plain for term in query.terms)


def _break(text: str, place: int) -> int:
    """Return a place shortly before this one at which no word is cut in two, if there is one."""
    if not 0 < place < len(text):
        return min(max(0, place), len(text))
    near = range(place, max(0, place - QUERY_CHARS_MAX), -1)
    return next((at for at in near if not text[at - 1].isalnum() or is_unspaced(text[at])), place)


def _signs(term: Term) -> tuple[str, ...]:
    """Return folded strings, all present in any text with the term; none if the term's forms are unknown."""
    if term.run:
        return ("".join(term.tokens),)
    return (
        tuple(dict.fromkeys(term.tokens))
        if term.exact
        else tuple(token for token in map(stem_prefix, term.tokens) if token)
    )


def _hits(places: Places, query: Query) -> list[list[tuple[int, int]]]:
    """Return the places of each term; if a term is missing, those of its parts too."""
    found = [places.of(term) for term in query.terms]
    if not all(found):
        found += [places.of(part) for part in query.relaxed if part not in query.terms]
    return found


def _apart(text: str, query: Query, hits: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Return the hits in order without overlaps: the first of overlapping hits, the longest at one place.

    Neighbouring parts of one piece of the query join to one hit if the text has them as the query does.
    """
    pieces = ["".join(term.tokens) for term in query.terms]
    apart: list[tuple[int, int]] = []
    last = ""  # the last hit, folded
    too_long = len(text) + 1  # end of a hit too long to join the last one; no longer hit joins it either
    for start, end in sorted(chain(*hits), key=lambda hit: (hit[0], -hit[1])):
        if not apart or start >= apart[-1][1]:
            apart.append((start, end))
            last, too_long = "", len(text) + 1
        elif apart[-1][1] < end < too_long:
            first, before = apart[-1]
            last = last or folded(text[first:before])
            longer = last + folded(text[before:end])
            if any(longer in piece for piece in pieces):
                apart[-1] = (first, end)
                last = longer
            else:
                too_long = end
    return apart


def _best(hits: list[list[tuple[int, int]]], found: list[tuple[int, int]], verbatim: int | None) -> tuple[int, int]:
    """Return the hit to begin with: the first one of a verbatim match, else the one with room for the most terms."""
    if verbatim is not None:
        return next((hit for hit in found if hit[0] >= verbatim), found[-1])
    if sum(map(bool, hits)) == 1:
        return found[0]
    starts = sorted((start, term) for term, places in enumerate(hits) for start, _ in places)
    counts = [0] * len(hits)
    best, most, different, passed, reached = found[0], 0, 0, 0, 0
    for hit in found[:_LOOKED_AT]:
        while reached < len(starts) and starts[reached][0] < hit[0] + EXCERPT_CHARS - _LEAD_CHARS:
            term = starts[reached][1]
            different += not counts[term]
            counts[term] += 1
            reached += 1
        while starts[passed][0] < hit[0]:
            term = starts[passed][1]
            counts[term] -= 1
            different -= not counts[term]
            passed += 1
        if different > most:
            best, most = hit, different
    return best


def _bounds(text: str, first: int, last: int) -> tuple[int, int]:
    start = max(0, min(first - _LEAD_CHARS, len(text) - EXCERPT_CHARS))
    end = min(len(text), max(start + EXCERPT_CHARS, last))
    if start:
        start = _next_break(text, start, first)
    return start, end


def _next_break(text: str, start: int, first: int) -> int:
    """Return the start of the first whole word after `start`, at the latest the start of the hit."""
    if text[start - 1].isspace():
        return start
    for place in range(start, first):
        if text[place].isspace():
            return place + 1
    return start
