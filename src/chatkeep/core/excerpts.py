"""Excerpts: the piece of a message around what was found, and where in it the hits are."""

from __future__ import annotations

from typing import Final

from chatkeep.core.query import Query, spans, tokens_of

EXCERPT_CHARS: Final = 200
_LEAD_CHARS: Final = 60  # of the excerpt before the first hit, so that it is read in its context


def highlights(text: str, query: Query) -> list[tuple[int, int]]:
    """Return the characters [start, end) of all hits in a text, in order, overlapping ones joined."""
    tokens = tokens_of(text)
    joined: list[tuple[int, int]] = []
    for start, end in sorted(place for term in query.terms for place in spans(tokens, term)):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def excerpt(text: str, query: Query) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return about 200 characters of the text with its first hit, and the hits as offsets into them."""
    found = highlights(text, query)
    start, end = _bounds(text, *(found[0] if found else (0, 0)))
    inside = ((first - start, last - start) for first, last in found if first >= start and last <= end)
    return text[start:end], tuple(inside)


def _bounds(text: str, first: int, last: int) -> tuple[int, int]:
    start = max(0, min(first - _LEAD_CHARS, len(text) - EXCERPT_CHARS))
    end = min(len(text), max(start + EXCERPT_CHARS, last))
    if start:
        start = _next_break(text, start, first)
    return start, end


def _next_break(text: str, start: int, first: int) -> int:
    """Return where the first whole word after `start` begins, at the latest where the hit does."""
    if text[start - 1].isspace():
        return start
    for place in range(start, first):
        if text[place].isspace():
            return place + 1
    return start
