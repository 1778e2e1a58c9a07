"""The way of a query: to sets of documents, to the newest or heaviest messages of these, to an answer.

1. `scope` makes the filters one set; `planner` makes each term one, and their intersection has the messages with every
   term.
2. `candidates` chooses the newest of these with `collector`, and `core.search.ranker` puts them in order.
3. `proof` reads the texts of the best, if a set is only likely right. A refuted message leaves the `pool`; then the
   next one takes its place.
4. If that is no answer, the same goes for messages with some of the terms, heaviest terms first.
5. The counts are sizes of intersections.

Each step returns a value. Nothing walks through the index, and no step depends on how many messages match.
`docs/search.md` draws it, with the cost of each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import msgspec
from msgspec import Struct
from pyroaring import BitMap

from chatkeep.core.model import Mode
from chatkeep.core.search.pages import RANKED_MAX, SearchPage, page_of_cursor
from chatkeep.core.search.ranker import Match
from chatkeep.core.search.search import Search, is_enough
from chatkeep.store.engine.candidates import Candidates
from chatkeep.store.engine.collector import Collector, Wanted
from chatkeep.store.engine.planner import Planner, is_sure
from chatkeep.store.engine.pool import Pool
from chatkeep.store.engine.port import SearchIndex
from chatkeep.store.engine.proof import Claim, verdicts
from chatkeep.store.engine.scope import docs_of_filters, docs_of_roles
from chatkeep.store.engine.tuning import BOUNDS


class FoundDoc(Struct, frozen=True):
    """A found document, and the number of matching messages in its session."""

    doc: int
    match_count: int


class RankedDocs(Struct, frozen=True):
    """The found documents, best first, and the page that follows; `partial` if the bound on proofs was reached."""

    found: tuple[FoundDoc, ...] = ()
    mode: Mode = "all"
    partial: bool = False
    following: SearchPage | None = None


class _Engine(Struct, frozen=True):
    """The parts of one search. It has no state: each step takes a pool and returns another."""

    search: Search
    planner: Planner
    collector: Collector
    candidates: Candidates

    def strict(self) -> Pool:
        """Return the messages with every term."""
        plan = self.planner.plan(self.search.query.terms)
        docs = self.collector.within(plan.every)
        phrase = self.search.query.verbatim
        is_asked = phrase is not None and self.search.sort != "recent"
        typed = docs & self.planner.docs(phrase) if phrase is not None and is_asked else BitMap()
        surely_typed = typed if phrase is not None and is_sure(phrase) else BitMap()
        return Pool(plan, docs, BitMap() if plan.unsure else docs, docs, typed, surely_typed)

    def loose(self, strict: Pool) -> Pool:
        """Return the messages with some term, or some part of a term; those with every term are proven by now."""
        query = self.search.query
        plan = strict.plan if query.relaxed == query.terms else self.planner.plan(query.relaxed)
        whole = strict.docs & strict.sure
        docs = (self.collector.within(plan.some) - self.collector.index.named) | whole
        sure = (self.collector.within(plan.surely_some) | whole) & docs
        return msgspec.structs.replace(
            strict, plan=plan, docs=docs, sure=sure, whole=whole, typed=strict.typed & whole, is_loose=True
        )

    def is_enough(self, pool: Pool) -> bool:
        """Tell whether the messages with every term are the answer; those of an unsure pool are proven by now."""
        docs = pool.docs & pool.sure
        sessions = {match.session for match in self.collector.newest(docs, self.collector.wanted()).values()}
        return is_enough(self.search, len(docs), len(sessions))

    def is_relaxed(self, strict: Pool) -> bool:
        """Tell whether some of the terms are enough; a further page keeps to what the first one said."""
        if self.collector.page is not None:
            return self.collector.page.is_loose
        query = self.search.query
        return query.relaxed != query.terms[:1] and not self.is_enough(strict)

    def following(self, pool: Pool, matches: Sequence[Match], docs: Sequence[int]) -> SearchPage:
        """Return the page that follows some results."""
        page = self.collector.page or SearchPage(self.collector.index.origin, pool.is_loose)
        is_of_messages = self.search.unit == "message"
        numbers = docs if is_of_messages else [int(str(match.session)) for match in matches]
        if not self.collector.by_time:
            ranked = page.ranked.union(numbers)
            return msgspec.structs.replace(page, ranked=ranked, by_time=len(ranked) >= RANKED_MAX)
        last_us = matches[-1].at
        of_last = {number for number, match in zip(numbers, matches, strict=True) if match.at == last_us}
        shown = page.shown.union(of_last) if page.until_us == last_us else frozenset(of_last)
        return msgspec.structs.replace(page, by_time=True, until_us=last_us, shown=shown)

    def settled(self, pool: Pool) -> tuple[Pool, list[int]]:
        """Return the pool once its best are beyond doubt, and the best, as many as wanted."""
        spent = refuted = 0
        goal = self.search.looked_for
        ranking = self.candidates.ranking(pool)
        while True:
            likely = (spent - refuted + 1) / (spent + 1)  # the share of verdicts that leave a message in its place
            best = ranking.best(self.search, self.collector, ceil(goal / likely))
            doubtful = [doc for doc in best if pool.doubts(doc)]
            shown = best[:goal]
            if not any(map(pool.doubts, shown)):
                return pool, shown
            if spent >= BOUNDS.proofs:
                return pool.without(BitMap(doubtful) - pool.sure), [doc for doc in shown if doc in pool.sure]
            found = dict(verdicts(self.collector.index, doubtful[: BOUNDS.proofs - spent], self._claim(pool)))
            spent += len(found)
            before, pool = pool, pool.judged(found)
            refuted += sum(doc not in pool.docs or (doc in before.typed and doc not in pool.typed) for doc in found)
            ranking = self.candidates.after(pool, before, ranking)

    def counted(self, pool: Pool, docs: Sequence[int], sessions: dict[int, object]) -> tuple[FoundDoc, ...]:
        """Return documents with the number of matches in their sessions; likely matches there are proven first."""
        wanted = set(sessions.values())
        pool = self._proven(pool, (self.collector.of_sessions(wanted, pool.docs) - pool.sure).to_array())
        messages = pool.docs - self.collector.index.named
        counts = self.collector.counts(wanted, messages)
        named = BitMap(docs) & self.collector.index.named
        return tuple(
            FoundDoc(self._shown(doc, sessions[doc], messages) if doc in named else doc, counts[sessions[doc]])
            for doc in docs
        )

    def _shown(self, doc: int, session: object, messages: BitMap) -> int:
        """Return the newest matching message of a session found by its names, the document of the names without one."""
        inside = self.collector.of_sessions([session], messages)
        newest = self.collector.newest(inside, Wanted(1, 0))
        return max(newest, key=lambda one: (newest[one].at, one), default=doc)

    def count(self) -> int:
        """Return the number of messages with every term."""
        pool = self.strict()
        return len(self._proven(pool, (pool.docs - pool.sure).to_array()).docs - self.collector.index.named)

    def _proven(self, pool: Pool, doubtful: Sequence[int]) -> Pool:
        """Return the pool after the proof of some documents, if they are few."""
        if not 0 < len(doubtful) <= BOUNDS.proofs:
            return pool
        return pool.judged(dict(verdicts(self.collector.index, doubtful, self._claim(pool))))

    def _claim(self, pool: Pool) -> Claim:
        return Claim(pool.plan.unsure, pool.is_loose, self.search.query.verbatim if pool.typed else None)


def find(index: SearchIndex, search: Search) -> RankedDocs:
    """Return the documents for a search, best first."""
    engine = _engine(index, search)
    if engine.collector.scope == BitMap():
        return RankedDocs()
    strict, best = engine.settled(engine.strict())
    pool = strict
    if engine.is_relaxed(strict):
        pool, best = engine.settled(engine.loose(strict))
    matches = index.messages(best[: search.limit])
    shown = [doc for doc in best[: search.limit] if doc in matches]
    mode: Mode = "all" if all(doc in pool.whole for doc in shown) else "any"
    found = engine.counted(pool, shown, {doc: match.session for doc, match in matches.items()})
    following = engine.following(pool, [matches[doc] for doc in shown], shown) if len(best) > search.limit else None
    return RankedDocs(found, mode, pool.is_exhausted or strict.is_exhausted, following)


def match_total(index: SearchIndex, search: Search) -> int:
    """Return the number of messages with every term; likely matches are proven if they are few, else counted."""
    return _engine(index, search).count()


def _engine(index: SearchIndex, search: Search) -> _Engine:
    heard = docs_of_roles(index, search) if search.covers_work and search.roles is not None else None
    planner = Planner(index, search.covers_work, search.covers_names, heard)
    page = page_of_cursor(search, index.origin)
    collector = Collector(index, search, docs_of_filters(index, search), page)
    return _Engine(search, planner, collector, Candidates(search, planner, collector, index.message_count()))
