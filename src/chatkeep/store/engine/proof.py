"""The proof of likely matches: their texts are read.

A set has each message with a phrase, and a few others: pairs of words share codes, and of three words the index knows
only the two pairs. So a text decides. Few texts are needed, as only messages of an answer need a proof.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from chatkeep.core.search.query import Places, Query, Term, Words, is_in
from chatkeep.core.search.words import FoldedWord, compounds_of
from chatkeep.store.engine.port import SearchIndex
from chatkeep.store.engine.tuning import BOUNDS

_AROUND: Final = 512  # characters; a longer piece without white space is read as a whole
_PIECES_MAX: Final = 256  # pieces of a text to look into one by one
_PIECE: Final = re.compile(r"\S*")
_LAST_PIECE: Final = re.compile(r"\S*\Z")


class Claim(Struct, frozen=True):
    """A claim about a message: it has all of the terms, or with `any_of` one of them. It may quote `verbatim`."""

    terms: tuple[Term, ...]
    any_of: bool
    verbatim: Term | None


class Verdict(Struct, frozen=True):
    """The answer of a message's texts to a claim."""

    is_match: bool
    is_verbatim: bool


_UNREADABLE = Verdict(is_match=True, is_verbatim=False)  # the reader of the answer notices, and asks again


def verdicts(index: SearchIndex, docs: Sequence[int], claim: Claim) -> Mapping[int, Verdict]:
    """Return the verdicts on some documents, in their order, until the bound on bytes is reached."""
    affordable = list(_affordable(index, docs))
    texts = index.texts(affordable)
    return {doc: _verdict(texts[doc], claim) if doc in texts else _UNREADABLE for doc in affordable}


def _affordable(index: SearchIndex, docs: Sequence[int]) -> Iterable[int]:
    """Yield the first documents, at least one, whose messages are within the bound on bytes."""
    sizes = index.sizes(docs)
    total = 0
    for place, doc in enumerate(docs):
        total += sizes.get(doc, 0)
        if place and total > BOUNDS.proof_bytes:
            return
        yield doc


def _verdict(texts: Sequence[str], claim: Claim) -> Verdict:
    found = (_any_has(texts, term) for term in claim.terms)
    is_match = any(found) if claim.any_of else all(found)
    return Verdict(is_match, is_match and claim.verbatim is not None and _any_has(texts, claim.verbatim))


def _any_has(texts: Sequence[str], term: Term) -> bool:
    return any(_has(text, term) for text in texts)


def _has(text: str, term: Term) -> bool:
    """Tell whether a text has a term. A text is not cut into words where that can be told without."""
    places = Places(text, Query("", (term,)))
    if text.isascii() and not term.prefix:
        if places.about_where(term) is not None:
            return True
        rows = _compounds_with(text, term.tokens[0])
        if rows is not None:
            return is_in(Words((), rows), term)
    return bool(places.of(term))


def _compounds_with(text: str, token: str) -> list[list[FoldedWord]] | None:
    """Return the parts of all compounds of a long text that may have a token; None if they are too many."""
    pieces: set[str] = set()
    for found in re.finditer(re.escape(token), text, re.IGNORECASE):
        start, end = found.start(), found.end()
        before, after = _LAST_PIECE.search(text, max(0, start - _AROUND), start), _PIECE.match(text, end, end + _AROUND)
        pieces.add(text[before.start() if before else start : after.end() if after else end])
        if len(pieces) > _PIECES_MAX:
            return None
    if any(len(piece) >= _AROUND for piece in pieces):
        return None
    return [row for piece in pieces for row in compounds_of(piece)]
