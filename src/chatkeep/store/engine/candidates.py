"""From a pool of messages to its best: candidates are chosen and scored once, verdicts only change their scores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_

import msgspec
from msgspec import Struct
from pyroaring import BitMap

from chatkeep.core.model import Unit
from chatkeep.core.search import ranker
from chatkeep.core.search.ranker import Match, Scores
from chatkeep.core.search.search import Search
from chatkeep.store.engine.collector import Collector
from chatkeep.store.engine.planner import Plan, Planner, by_weight
from chatkeep.store.engine.pool import Pool
from chatkeep.store.engine.port import Matches


class Ranking(Struct, frozen=True):
    """The candidates of a pool with their scores; by time there are no scores."""

    docs: Sequence[int]
    matches: Sequence[Match]
    whole: Sequence[bool]
    scores: Sequence[float]
    scoring: Scores | None

    def judged(self, pool: Pool) -> Ranking:
        """Return the ranking with lower scores where the texts do not quote the query, as the pool knows by now."""
        if self.scoring is None:
            return self
        matches, scores = list(self.matches), list(self.scores)
        for place, doc in enumerate(self.docs):
            if matches[place].is_verbatim and doc not in pool.typed:
                matches[place] = msgspec.structs.replace(matches[place], is_verbatim=False)
                scores[place] = self.scoring.of(matches[place])
        return msgspec.structs.replace(self, matches=matches, scores=scores)

    def quoting(self, unit: Unit) -> int:
        """Return the number of messages that quote the query, as far as is known; of sessions, if these are asked."""
        quoting = [match for match in self.matches if match.is_verbatim]
        return len(quoting) if unit == "message" else len({match.session for match in quoting})

    def best(self, search: Search, collector: Collector, count: int) -> list[int]:
        """Return the best documents, best first."""
        sort = "recent" if self.scoring is None else "relevance"
        search = msgspec.structs.replace(search, limit=count, sort=sort)
        return [
            self.docs[place] for place in ranker.best(self.matches, self.scores, self.whole, search, collector.keys_of)
        ]


class Candidates(Struct, frozen=True):
    """Chooses the messages of a pool that a search ranks; `total` is the number of all messages."""

    search: Search
    planner: Planner
    collector: Collector
    total: int

    def ranking(self, pool: Pool) -> Ranking:
        """Return the candidates of a pool with their scores."""
        marked = self._marked()
        low = self._low(pool)
        found = self._chosen(pool, marked, low)
        by_time = self.collector.by_time
        side_by_side = [] if by_time else self.planner.side_by_side(pool.plan.terms)
        for doc, match in found.items():
            match.terms = sum(1 << place for place, docs in enumerate(pool.plan.sets) if doc in docs)
            match.phrases = sum(1 << place for place, docs in side_by_side if doc in docs)
            match.is_verbatim = doc in pool.typed
            match.marked = sum(doc in docs for docs in marked)
            match.is_named = doc in low
        docs, matches = list(found), list(found.values())
        whole = [doc in pool.whole for doc in docs]
        if by_time:
            return Ranking(docs, matches, whole, [0.0] * len(docs), None)
        scoring = Scores(matches, self._weights(pool.plan))
        return Ranking(docs, matches, whole, [scoring.of(match) for match in matches], scoring)

    def after(self, pool: Pool, before: Pool, ranking: Ranking) -> Ranking:
        """Return the ranking after some verdicts on a pool; if it ran short of messages, with others in their place."""
        if len(pool.docs) < len(before.docs):
            return self.ranking(pool)
        ranking = ranking.judged(pool)
        is_short = ranking.quoting(self.search.unit) < self.search.looked_for
        return self.ranking(pool) if is_short and pool.typed - BitMap(ranking.docs) else ranking

    def _chosen(self, pool: Pool, marked: Sequence[BitMap], low: BitMap) -> Matches:
        """Return the messages to rank: by time the newest; else also those with the very words, and the heaviest."""
        wanted, left, seen = self.collector.wanted(), self.collector.left(pool.docs), self.collector.later(pool.docs)
        if self.collector.by_time:
            return self.collector.newest(left, wanted, seen)
        groups = [pool.typed - low, pool.whole - low, low]
        if low:
            groups.append((pool.whole & self.collector.index.named) - low)
        if marked:
            groups += [reduce(and_, marked) & pool.docs, BitMap.union(*marked) & pool.docs]
        found = Matches()
        for docs in filter(None, groups):
            found.update(self.collector.newest(docs & left, wanted))
        return {**self._heaviest(pool, left), **found} if pool.is_loose else found

    def _marked(self) -> list[BitMap]:
        """Return the documents with each word with marks of the query; none by time."""
        return [] if self.collector.by_time else list(map(self.planner.with_marks, self.search.query.marks))

    def _low(self, pool: Pool) -> BitMap:
        """Return the documents with names, but those whose title has every term; none by time."""
        named = pool.docs & self.collector.index.named if self.planner.covers_names else BitMap()
        if not named or self.collector.by_time:
            return BitMap()
        return named - self.planner.titled(self.search.query.terms)

    def _heaviest(self, pool: Pool, left: BitMap) -> Matches:
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
