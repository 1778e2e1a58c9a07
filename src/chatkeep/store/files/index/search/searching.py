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
from functools import reduce
from operator import and_

import msgspec
from msgspec import Struct
from pyroaring import BitMap

from chatkeep.core.model import Mode
from chatkeep.core.search import ranker
from chatkeep.core.search.pages import RANKED_MAX, SearchPage, page_of_cursor
from chatkeep.core.search.ranker import Match
from chatkeep.core.search.search import Search, is_enough
from chatkeep.store.files.index.search.collector import Collector, Wanted
from chatkeep.store.files.index.search.planner import Plan, Planner, by_weight, is_sure
from chatkeep.store.files.index.search.port import Matches, SearchIndex
from chatkeep.store.files.index.search.proof import Claim, Verdict, verdicts
from chatkeep.store.files.index.search.scope import docs_of_filters, docs_of_roles
from chatkeep.store.files.index.search.tuning import BOUNDS


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
        surely_typed = typed if phrase is not None and is_sure(phrase) else BitMap()
        return _Pool(plan, docs, BitMap() if plan.unsure else docs, docs, typed, surely_typed)

    def loose(self, strict: _Pool) -> _Pool:
        """Return the messages with some term, or some part of a term; those with every term are proven by now."""
        query = self.search.query
        plan = strict.plan if query.relaxed == query.terms else self.planner.plan(query.relaxed)
        whole = strict.docs & strict.sure
        docs = (self.collector.within(plan.some) - self.collector.index.named) | whole
        sure = (self.collector.within(plan.surely_some) | whole) & docs
        return msgspec.structs.replace(
            strict, plan=plan, docs=docs, sure=sure, whole=whole, typed=strict.typed & whole, is_loose=True
        )

    def is_enough(self, pool: _Pool) -> bool:
        """Tell whether the messages with every term are the answer; those of an unsure pool are proven by now."""
        docs = pool.docs & pool.sure
        sessions = {match.session for match in self.collector.newest(docs, self.collector.wanted()).values()}
        return is_enough(self.search, len(docs), len(sessions))

    def is_relaxed(self, strict: _Pool) -> bool:
        """Tell whether some of the terms are enough; a further page keeps to what the first one said."""
        if self.collector.page is not None:
            return self.collector.page.is_loose
        query = self.search.query
        return query.relaxed != query.terms[:1] and not self.is_enough(strict)

    def following(self, pool: _Pool, matches: Sequence[Match], docs: Sequence[int]) -> SearchPage:
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

    def settled(self, pool: _Pool) -> tuple[_Pool, list[int]]:
        """Return the pool once its best are beyond doubt, and the best, as many as wanted."""
        spent, goal = 0, self.search.looked_for
        count = goal
        while True:
            best = self._best(pool, count)
            doubtful = [doc for doc in best if pool.doubts(doc)]
            shown = best[:goal]
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

    def _proven(self, pool: _Pool, doubtful: Sequence[int]) -> _Pool:
        """Return the pool after the proof of some documents, if they are few."""
        if not 0 < len(doubtful) <= BOUNDS.proofs:
            return pool
        return pool.judged(dict(verdicts(self.collector.index, doubtful, self._claim(pool))))

    def _claim(self, pool: _Pool) -> Claim:
        return Claim(pool.plan.unsure, pool.is_loose, self.search.query.verbatim if pool.typed else None)

    def _best(self, pool: _Pool, count: int) -> list[int]:
        """Return the best documents of a pool, best first."""
        marked = self._marked()
        found = self._candidates(pool, marked)
        low = self._low(pool)
        by_time = self.collector.by_time
        side_by_side = [] if by_time else self.planner.side_by_side(pool.plan.terms)
        for doc, match in found.items():
            match.terms = sum(1 << place for place, docs in enumerate(pool.plan.sets) if doc in docs)
            match.phrases = sum(1 << place for place, docs in side_by_side if doc in docs)
            match.is_verbatim = doc in pool.typed
            match.marked = sum(doc in docs for docs in marked)
            match.is_named = doc in low
        docs, matches = list(found), list(found.values())
        scores = [0.0] * len(docs)
        if not by_time:
            scoring = ranker.Scores(matches, self._weights(pool.plan))
            scores = [scoring.of(match) for match in matches]
        whole = [doc in pool.whole for doc in docs]
        search = msgspec.structs.replace(self.search, limit=count, sort="recent" if by_time else "relevance")
        return [docs[place] for place in ranker.best(matches, scores, whole, search, self.collector.keys_of)]

    def _marked(self) -> list[BitMap]:
        """Return the documents with each word with marks of the query; none by time."""
        return [] if self.collector.by_time else list(map(self.planner.with_marks, self.search.query.marks))

    def _candidates(self, pool: _Pool, marked: Sequence[BitMap]) -> Matches:
        """Return the messages to rank: by time the newest; else also those with the very words, and the heaviest."""
        wanted, left, seen = self.collector.wanted(), self.collector.left(pool.docs), self.collector.later(pool.docs)
        if self.collector.by_time:
            return self.collector.newest(left, wanted, seen)
        low = self._low(pool)
        groups = [pool.typed - low, pool.whole - low, low]
        if low:
            groups.append((pool.whole & self.collector.index.named) - low)
        if marked:
            groups += [reduce(and_, marked) & pool.docs, BitMap.union(*marked) & pool.docs]
        found = Matches()
        for docs in filter(None, groups):
            found.update(self.collector.newest(docs & left, wanted))
        return {**self._heaviest(pool, left), **found} if pool.is_loose else found

    def _low(self, pool: _Pool) -> BitMap:
        """Return the documents with names, but those whose title has every term; none by time."""
        named = pool.docs & self.collector.index.named if self.planner.covers_names else BitMap()
        if not named or self.collector.by_time:
            return BitMap()
        return named - self.planner.titled(self.search.query.terms)

    def _heaviest(self, pool: _Pool, left: BitMap) -> Matches:
        """Return the newest messages with the heaviest terms."""
        wanted, found = self.collector.wanted(), Matches()
        for docs in by_weight(pool.plan, self._weights(pool.plan), left):
            more = max(1, wanted.messages - len(found))
            found.update(self.collector.newest(docs, msgspec.structs.replace(wanted, messages=more)))
            sessions = {match.session for match in found.values()}
            if len(found) >= wanted.messages and len(sessions) >= wanted.sessions:
                break
        return found

    def _weights(self, plan: Plan) -> list[float]:
        return [ranker.weight(len(docs), self.total) for docs in plan.sets]


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
    return _Engine(search, planner, collector, index.message_count())
