"""The proof of likely matches: their texts are read.

A set has each message with a phrase, and a few others: pairs of words share buckets, and of three words the index knows
only the two pairs. So a text decides. Few texts are needed, as only messages of an answer need a proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from chatkeep.core.search.query import Places, Query, Term
from chatkeep.store.files.index.search.port import SearchIndex
from chatkeep.store.files.index.search.tuning import BOUNDS


class Claim(Struct, frozen=True):
    """A claim about a message: it has all of the terms, or with `any_of` one of them. It may quote `verbatim`."""

    terms: tuple[Term, ...]
    any_of: bool
    verbatim: Term | None


class Verdict(Struct, frozen=True):
    """A text's answer to a claim."""

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


def _verdict(text: str, claim: Claim) -> Verdict:
    asked = claim.terms if claim.verbatim is None else (*claim.terms, claim.verbatim)
    places = Places(text, Query("", asked))
    found = (bool(places.of(term)) for term in claim.terms)
    is_match = any(found) if claim.any_of else all(found)
    return Verdict(is_match, is_match and claim.verbatim is not None and bool(places.of(claim.verbatim)))
