"""From a set of documents to messages: the newest ones, of as many sessions as an answer needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct
from pyroaring import BitMap

from chatkeep.core.search.pages import SearchPage
from chatkeep.core.search.search import Search
from chatkeep.store.engine.port import Matches, SearchIndex
from chatkeep.store.engine.tuning import BOUNDS
from chatkeep.store.sets import times
from chatkeep.store.sets.terms import session_label


class Wanted(Struct, frozen=True):
    """How many messages to collect: at least `messages` if there are so many, of at least `sessions` sessions."""

    messages: int
    sessions: int


class Collector(Struct, frozen=True):
    """Collects messages from an index within a scope, None for everything; after the first page, those left."""

    index: SearchIndex
    search: Search
    scope: BitMap | None
    page: SearchPage | None = None

    def within(self, docs: BitMap) -> BitMap:
        """Return those of some documents that are in the scope."""
        return docs - self.index.gone if self.scope is None else docs & self.scope

    def wanted(self) -> Wanted:
        """Return how many messages to rank; by time, no more than the answer needs."""
        goal = self.search.looked_for
        if self.search.unit == "message":
            return Wanted(goal if self.by_time else max(goal, BOUNDS.candidates), 0)
        return Wanted(goal if self.by_time else max(goal, BOUNDS.candidates_of_sessions), goal)

    @property
    def by_time(self) -> bool:
        """Whether the results are in the order of their times."""
        return self.search.sort == "recent" or (self.page is not None and self.page.by_time)

    def later(self, docs: BitMap) -> BitMap:
        """Return the documents of a set that are later than all results to come."""
        until_us = None if self.page is None else self.page.until_us
        return BitMap() if until_us is None else times.since(self.index.docs, docs, until_us + 1)

    def left(self, docs: BitMap) -> BitMap:
        """Return the documents of a set without the results of the pages before, and what is later than these."""
        if self.page is None:
            return docs
        known = self.page.ranked | self.page.shown
        results = BitMap(known) if self.search.unit == "message" else BitMap.union(*map(self._of_session, known))
        return docs - results - self.later(docs)

    def newest(self, docs: BitMap, wanted: Wanted, seen: BitMap | None = None) -> Matches:
        """Return the newest messages of a set, as many as wanted; none of a session with a document in `seen`."""
        if len(docs) <= BOUNDS.listed and not (seen and wanted.sessions):
            found = self.index.messages(docs)
        elif wanted.sessions:
            found = self._newest_of_sessions(docs, wanted.sessions, seen or BitMap())
        else:
            found = self.index.messages(self._newest(docs, wanted.messages))
        return _cut(found, wanted)

    def counts(self, sessions: Iterable[object], docs: BitMap) -> dict[object, int]:
        """Return the number of documents of a set in each session."""
        return {sid: docs.intersection_cardinality(self._of_session(sid)) for sid in sessions}

    def of_sessions(self, sessions: Iterable[object], docs: BitMap) -> BitMap:
        """Return the documents of a set in any of some sessions."""
        return docs & BitMap.union(BitMap(), *map(self._of_session, sessions))

    def keys_of(self, sessions: Iterable[object]) -> Mapping[object, str]:
        """Return the keys of sessions."""
        return self.index.keys_of(sessions)

    def _newest(self, docs: BitMap, count: int) -> BitMap:
        return times.newest(self.index.docs, docs, count)

    def _newest_of_sessions(self, docs: BitMap, count: int, known: BitMap) -> Matches:
        """Return newest messages of the sessions with the newest ones.

        Each step takes the newest messages, then takes their sessions out of the rest. So it costs a step for each few
        hundred sessions, however many messages one of them has.
        """
        found: Matches = {}
        seen: set[object] = set()
        size = BOUNDS.step
        while docs and len(seen) < count:
            top = self._newest(docs, size)
            heads = self.index.messages(top) if size == BOUNDS.step else self._heads(top)
            sessions = {match.session for match in heads.values()}
            if len(sessions) > BOUNDS.sessions_of_step and size > BOUNDS.step:
                size = max(BOUNDS.step, size // 4)
                continue
            fresh = {sid for sid in sessions if not (known and known.intersect(self._of_session(sid)))}
            found.update({doc: match for doc, match in heads.items() if match.session in fresh})
            seen |= fresh
            if len(seen) < count:
                docs = docs - BitMap.union(top, *map(self._of_session, sessions))
                size *= 4
        return found

    def _heads(self, docs: BitMap) -> Matches:
        """Return the newest messages of each session in a set, until the sessions are too many for a step."""
        heads, left, session_count = BitMap(), BitMap(docs), 0
        while left and session_count <= BOUNDS.sessions_of_step:
            last = left.max()
            part = docs & self._of_session(self.index.session_of(last))
            part.add(last)  # whatever the index says of it, each turn gets on
            heads |= self._newest(part, BOUNDS.of_session)
            left -= part
            session_count += 1
        return self.index.messages(heads)

    def _of_session(self, sid: object) -> BitMap:
        return self.index.docs(session_label(int(str(sid))))


def _cut(found: Matches, wanted: Wanted) -> Matches:
    """Return the newest messages, as many as wanted, and those of the same time as the last of them.

    Where they are of too few sessions, further ones of a session that has some add nothing but cost.
    """
    if len(found) <= wanted.messages:
        return found
    seen: Counter[object] = Counter()
    kept: Matches = {}
    last_at: int | None = None
    for doc in sorted(found, key=lambda doc: (-found[doc].at, -doc)):
        if last_at is not None and found[doc].at < last_at:
            break
        if wanted.sessions and len(kept) >= BOUNDS.candidates and seen[found[doc].session] >= BOUNDS.of_session:
            continue
        seen[found[doc].session] += 1
        kept[doc] = found[doc]
        if last_at is None and len(kept) >= wanted.messages and len(seen) >= wanted.sessions:
            last_at = found[doc].at
    return kept
