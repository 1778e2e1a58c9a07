"""The way of a query: to sets of documents, to the newest or heaviest messages of these, to an answer.

1. `scope` makes the filters one set; `planner` makes each term one, and their intersection has the messages with every
   term.
2. `collector` looks up the newest of these, and `core.search.ranker` puts them in order.
3. `proof` reads the texts of the best, if a set is only likely right. A refuted message leaves the set; then the
   best are chosen again.
4. If that is no answer, the same goes for messages with some of the terms, heaviest terms first.
5. The counts are sizes of intersections.

Each step returns a value. Nothing walks through the index, and no step depends on how many messages match.
`docs/search.md` draws it, with the cost of each step.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from pyroaring import BitMap

from chatkeep.core.model import Mode
from chatkeep.core.search import ranker
from chatkeep.core.search.search import Search, is_enough
from chatkeep.store.files.index.search.collector import Collector
from chatkeep.store.files.index.search.planner import Plan, Planner, by_weight
from chatkeep.store.files.index.search.port import Matches, SearchIndex
from chatkeep.store.files.index.search.proof import Claim, Verdict, verdicts
from chatkeep.store.files.index.search.scope import docs_of_filters
from chatkeep.store.files.index.search.tuning import BOUNDS


class FoundDoc(Struct, frozen=True):
    """A found document, and the number of matching messages in its session."""

    doc: int
    match_count: int


class RankedDocs(Struct, frozen=True):
    """The found documents, best first; `partial` if the bound on proofs was reached."""

    found: tuple[FoundDoc, ...] = ()
    mode: Mode = "all"
    partial: bool = False


class _Pool(Struct, frozen=True):
    """The messages that may be answered.

    `docs` match, those in `sure` beyond doubt. Those in `whole` have every term of the query. `typed` have its words
    side by side, those in `surely_typed` beyond doubt.
    """

    plan: Plan
    docs: BitMap
    sure: BitMap
    whole: BitMap
    typed: BitMap
    surely_typed: BitMap
    is_loose: bool = False
    is_exhausted: bool = False

    def doubts(self, doc: int) -> bool:
        """Tell whether a document of the pool needs a proof."""
        return doc not in self.sure or (doc in self.typed and doc not in self.surely_typed)

    def judged(self, found: dict[int, Verdict]) -> _Pool:
        """Return the pool after some verdicts."""
        refuted = BitMap(doc for doc, verdict in found.items() if not verdict.is_match)
        untyped = BitMap(doc for doc, verdict in found.items() if not verdict.is_verbatim)
        proven = BitMap(found) - refuted
        typed = self.typed - untyped
        return msgspec.structs.replace(
            self,
            docs=self.docs - refuted,
            sure=self.sure | proven,
            whole=self.whole - refuted,
            typed=typed,
            surely_typed=self.surely_typed | (typed & proven),
        )

    def without(self, docs: BitMap) -> _Pool:
        """Return the pool without documents that nobody proved in time."""
        return msgspec.structs.replace(self, docs=self.docs - docs, whole=self.whole - docs, is_exhausted=True)


class _Engine(Struct, frozen=True):
    """The parts of one search. It has no state: each step takes a pool and returns another."""

    search: Search
    planner: Planner
    collector: Collector
    total: int

    def strict(self) -> _Pool:
        """Return the messages with every term."""
        plan = self.planner.plan(self.search.query.terms)
        docs = self.collector.within(plan.every)
        phrase = self.search.query.verbatim
        is_asked = phrase is not None and self.search.sort != "recent"
        typed = docs & self.planner.docs(phrase) if phrase is not None and is_asked else BitMap()
        return _Pool(plan, docs, BitMap() if plan.unsure else docs, docs, typed, BitMap())

    def loose(self, strict: _Pool) -> _Pool:
        """Return the messages with some term, or some part of a term; those with every term are proven by now."""
        query = self.search.query
        plan = strict.plan if query.relaxed == query.terms else self.planner.plan(query.relaxed)
        whole = strict.docs & strict.sure
        docs = self.collector.within(plan.some) | whole
        sure = (self.collector.within(plan.surely_some) | whole) & docs
        return msgspec.structs.replace(
            strict, plan=plan, docs=docs, sure=sure, whole=whole, typed=strict.typed & whole, is_loose=True
        )

    def is_enough(self, pool: _Pool) -> bool:
        """Tell whether the messages with every term are the answer; those of an unsure pool are proven by now."""
        docs = pool.docs & pool.sure
        sessions = {match.session for match in self.collector.newest(docs, self.collector.wanted()).values()}
        return is_enough(self.search, len(docs), len(sessions))

    def settled(self, pool: _Pool) -> tuple[_Pool, list[int]]:
        """Return the pool once its best are beyond doubt, and the best, as many as wanted."""
        spent, count = 0, self.search.wanted
        while True:
            best = self._best(pool, max(count, self.search.wanted))
            doubtful = [doc for doc in best if pool.doubts(doc)]
            shown = best[: self.search.wanted]
            if not any(map(pool.doubts, shown)):
                return pool, shown
            if spent >= BOUNDS.proofs:
                return pool.without(BitMap(doubtful) - pool.sure), [doc for doc in shown if doc in pool.sure]
            found = verdicts(self.collector.index, doubtful[: BOUNDS.proofs - spent], self._claim(pool))
            spent += len(found)
            count *= 2
            pool = pool.judged(dict(found))

    def counted(self, pool: _Pool, docs: Sequence[int], sessions: dict[int, object]) -> tuple[FoundDoc, ...]:
        """Return documents with the number of matches in their sessions; likely matches there are proven first."""
        wanted = set(sessions.values())
        doubtful = (self.collector.of_sessions(wanted, pool.docs) - pool.sure).to_array()
        if 0 < len(doubtful) <= BOUNDS.proofs:
            pool = pool.judged(dict(verdicts(self.collector.index, doubtful, self._claim(pool))))
        counts = self.collector.counts(wanted, pool.docs)
        return tuple(FoundDoc(doc, counts[sessions[doc]]) for doc in docs)

    def _claim(self, pool: _Pool) -> Claim:
        return Claim(pool.plan.unsure, pool.is_loose, self.search.query.verbatim if pool.typed else None)

    def _best(self, pool: _Pool, count: int) -> list[int]:
        """Return the best documents of a pool, best first."""
        found = self._candidates(pool)
        side_by_side = [] if self.search.sort == "recent" else self.planner.side_by_side(pool.plan.terms)
        for doc, match in found.items():
            match.terms = sum(1 << place for place, docs in enumerate(pool.plan.sets) if doc in docs)
            match.phrases = sum(1 << place for place, docs in side_by_side if doc in docs)
            match.is_verbatim = doc in pool.typed
        docs, matches = list(found), list(found.values())
        scores = [0.0] * len(docs)
        if self.search.sort != "recent":
            scoring = ranker.Scores(matches, self._weights(pool.plan))
            scores = [scoring.of(match) for match in matches]
        whole = [doc in pool.whole for doc in docs]
        search = msgspec.structs.replace(self.search, limit=count)
        return [docs[place] for place in ranker.best(matches, scores, whole, search, self.collector.keys_of)]

    def _candidates(self, pool: _Pool) -> Matches:
        """Return the messages to rank: by time the newest; else also those with the very words, and the heaviest."""
        wanted = self.collector.wanted()
        if self.search.sort == "recent":
            return {**self.collector.newest(pool.docs, wanted), **self.collector.newest(pool.whole, wanted)}
        found = {**self.collector.newest(pool.typed, wanted), **self.collector.newest(pool.whole, wanted)}
        return {**self._heaviest(pool), **found} if pool.is_loose else found

    def _heaviest(self, pool: _Pool) -> Matches:
        """Return the newest messages with the heaviest terms."""
        wanted, found = self.collector.wanted(), Matches()
        for docs in by_weight(pool.plan, self._weights(pool.plan), pool.docs):
            left = max(1, wanted.messages - len(found))
            found.update(self.collector.newest(docs, msgspec.structs.replace(wanted, messages=left)))
            sessions = {match.session for match in found.values()}
            if len(found) >= wanted.messages and len(sessions) >= wanted.sessions:
                break
        return found

    def _weights(self, plan: Plan) -> list[float]:
        return [ranker.weight(len(docs), self.total) for docs in plan.sets]


def find(index: SearchIndex, search: Search) -> RankedDocs:
    """Return the documents for a search, best first."""
    scope = docs_of_filters(index, search)
    planner = Planner(index, with_thoughts=search.roles is None)
    engine = _Engine(search, planner, Collector(index, search, scope), index.message_count())
    if scope is not None and not scope:
        return RankedDocs()
    strict, best = engine.settled(engine.strict())
    pool = strict
    if search.query.relaxed != search.query.terms[:1] and not engine.is_enough(strict):
        pool, best = engine.settled(engine.loose(strict))
    shown = best[: search.limit]
    sessions = {doc: match.session for doc, match in index.messages(shown).items()}
    shown = [doc for doc in shown if doc in sessions]
    mode: Mode = "all" if all(doc in pool.whole for doc in shown) else "any"
    found = engine.counted(pool, shown, sessions)
    return RankedDocs(found, mode, pool.is_exhausted or strict.is_exhausted)
