"""From the terms of a query to sets of documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from heapq import heappop, heappush
from itertools import pairwise
from operator import and_
from typing import Final

from msgspec import Struct
from pyroaring import BitMap

from chatkeep.core.search.query import Term, phrases
from chatkeep.core.search.words import indexed, is_unspaced, pairs_of
from chatkeep.store.engine.port import SearchIndex
from chatkeep.store.engine.tuning import BOUNDS
from chatkeep.store.sets.terms import OF_NAME, OF_TITLE, WORK, bigram, marked_label, pair, stem_labels

_TWO: Final = 2


class Plan(Struct, frozen=True):
    """The sets of some terms, in their order."""

    terms: tuple[Term, ...]
    sets: tuple[BitMap, ...]

    @property
    def unsure(self) -> tuple[Term, ...]:
        """The terms whose sets have all matches, and likely some other messages: a text has to prove these."""
        return tuple(term for term in self.terms if not is_sure(term))

    @property
    def every(self) -> BitMap:
        """The documents that have every term."""
        return reduce(and_, sorted(self.sets, key=len))

    @property
    def some(self) -> BitMap:
        """The documents that have any term."""
        return BitMap.union(BitMap(), *self.sets)

    @property
    def surely_some(self) -> BitMap:
        """The documents that have any term for sure."""
        sure = (docs for term, docs in zip(self.terms, self.sets, strict=True) if is_sure(term))
        return BitMap.union(BitMap(), *sure)


def is_sure(term: Term) -> bool:
    """Tell whether the set of a term is exact: that of a word, of its forms, or of two characters side by side."""
    return len(term.tokens) <= (_TWO if term.run else 1)


class Planner(Struct, frozen=True):
    """Makes plans over an index.

    They cover what the messages in `heard` say, None for all messages. With `covers_work` they cover the work behind
    any message, too, and with `covers_names` the titles, keys and tags of sessions.
    """

    index: SearchIndex
    covers_work: bool = False
    covers_names: bool = False
    heard: BitMap | None = None

    def plan(self, terms: Sequence[Term]) -> Plan:
        """Return the plan of some terms."""
        return Plan(tuple(terms), tuple(map(self.docs, terms)))

    def docs(self, term: Term) -> BitMap:
        """Return the documents that have a term, and likely some others if the term is not sure."""
        return self._of_kinds(lambda kind: self._docs(term, kind))

    def with_marks(self, form: str) -> BitMap:
        """Return the documents that have a word with marks."""
        return self._of_kinds(lambda kind: self.index.docs(marked_label(form, kind)))

    def titled(self, terms: Sequence[Term]) -> BitMap:
        """Return the documents with the names of a session whose title has every term."""
        return reduce(and_, sorted((self._docs(term, OF_TITLE) for term in terms), key=len))

    def _of_kinds(self, docs_of: Callable[[str], BitMap]) -> BitMap:
        """Return the documents with some words of any kind that the plans cover."""
        said = docs_of("")
        kinds = (WORK,) * self.covers_work + (OF_TITLE, OF_NAME) * self.covers_names
        others = filter(None, map(docs_of, kinds))
        return BitMap.union(said if self.heard is None else said & self.heard, *others)

    def side_by_side(self, terms: Sequence[Term]) -> list[tuple[int, BitMap]]:
        """Return the documents with neighbouring words of a query side by side, by the place of the first word."""
        return [(place, self.docs(phrase)) for place, phrase in phrases(terms)]

    def _docs(self, term: Term, mark: str) -> BitMap:
        if term.run:
            return self._row([mark + indexed(two) for two in pairs_of("".join(term.tokens))])
        tokens = [mark + indexed(token) for token in term.tokens]
        if len(tokens) > 1:
            return self._begun_row(tokens) if term.prefix else self._row(tokens)
        if is_unspaced(term.tokens[0]) or (term.exact and not term.prefix):
            return self.index.docs(tokens[0])
        begun = self.index.begun(tokens[0]) if term.prefix else BitMap()
        return begun if term.exact else begun | self.index.any_of(stem_labels(tokens[0]))

    def _row(self, tokens: Sequence[str]) -> BitMap:
        """Return the documents with each pair of neighbouring tokens, and likely with all tokens side by side.

        Once so few documents are left that their texts decide sooner, the rest of a long phrase is not looked at.
        """
        found, enough = None, BOUNDS.alike if len(tokens) > BOUNDS.row else 0
        for evidence in self._evidence(tokens):
            found = evidence if found is None else found & evidence
            if len(found) <= enough:
                break
        return BitMap() if found is None else found

    def _evidence(self, tokens: Sequence[str]) -> Iterator[BitMap]:
        """Yield sets that each hold every document with some tokens side by side."""
        if len(tokens) == 1 or bigram(*tokens[:2]) is None:
            yield self.index.docs(tokens[0])
        for one, other in pairwise(tokens):
            together = bigram(one, other)
            if together is None:
                yield self.index.docs(other)
                yield self.index.docs(pair(one, other))
            else:
                yield self.index.docs(together) | self.index.docs(pair(one, other))
        for one, two, three in zip(tokens, tokens[1:], tokens[2:], strict=False):
            first, second = bigram(one, two), bigram(two, three)
            if first is not None and second is not None:
                yield self.index.any_of((pair(first, second), pair(one, two), pair(two, three)))

    def _begun_row(self, tokens: Sequence[str]) -> BitMap:
        """Return the documents with a row of tokens whose last is the beginning of a word."""
        *row, letters = tokens
        found = self._row(row) & self.index.begun(letters)
        words = self.index.words(letters, BOUNDS.words) if found else None
        return (
            found if words is None else found & BitMap.union(BitMap(), *(self._row([row[-1], word]) for word in words))
        )


def by_weight(plan: Plan, weights: Sequence[float], within: BitMap) -> Iterator[BitMap]:
    """Yield the documents with any term in groups, those first whose terms weigh most.

    The documents of a group have the same terms, if they are many.
    """
    places = sorted(range(len(plan.sets)), key=lambda place: -weights[place])
    left = [sum(weights[place] for place in places[depth:]) for depth in range(len(places) + 1)]
    heap: list[tuple[float, int, int, float, BitMap]] = [(-left[0], 0, 0, 0.0, plan.some & within)]
    number = 0  # tells equal weights apart, as sets have no order
    while heap:
        _, _, depth, weight, docs = heappop(heap)
        if depth == len(places) or len(docs) <= BOUNDS.alike:
            yield docs
            continue
        having = docs & plan.sets[places[depth]]
        for part, own in ((having, weights[places[depth]]), (docs - having, 0.0)):
            if part:
                number += 1
                heappush(heap, (-(weight + own + left[depth + 1]), number, depth + 1, weight + own, part))
