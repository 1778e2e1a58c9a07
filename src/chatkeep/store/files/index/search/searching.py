"""Find the messages for a query, at a bounded cost whatever its words.

A word may be in most of millions of messages, so a search never reads every posting. It lists all
documents of the rarer terms. It looks up the commoner terms only in candidates from those lists.
If all terms are common, the candidates are the newest matching messages. The table `zones` gives the
time range of each part of the index. With it the search finds them, whatever the order of arrival.
`core.search.ranking` puts the candidates in order.

The answer depends on the messages and their times, not on their order of arrival.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from heapq import nlargest
from itertools import accumulate
from math import prod
from typing import Final

import apsw
from msgspec import Struct

from chatkeep.core.model import Mode
from chatkeep.core.search import ranking
from chatkeep.core.search.query import Term, phrases
from chatkeep.core.search.ranking import Scores
from chatkeep.core.search.search import Search, is_enough
from chatkeep.store.files.index import vocabulary
from chatkeep.store.files.index.rows import ZONE_DOCS, FoundMessage
from chatkeep.store.files.index.search.documents import (
    ALWAYS,
    LAST,
    Documents,
    Matches,
    WalkPart,
    WalkProgress,
    by_terms,
)
from chatkeep.store.files.index.sql import IndexConnection
from chatkeep.store.files.index.vocabulary import Sought, either, every

_LISTED: Final = 2_500  # documents listed in memory for all rarer terms together
_CANDIDATES: Final = 400  # messages to rank, at most, in an index below `_MANY` messages
_CANDIDATES_OF_MANY: Final = 250  # messages to rank in a larger index: each look-up takes longer there
_CANDIDATES_OF_SESSIONS: Final = 150  # messages to rank if each session is answered once: its best is enough
_MANY: Final = 100_000  # messages in the index; from here on look-ups are slow
_LOOKED_UP: Final = 500  # documents; a lone rare word is listed up to here
_REVIEWED: Final = 10  # best candidates; the review looks up commoner terms and phrases only in these
_ZONES_NEAR: Final = 40  # zones; a walk that needs more of them goes backwards by document, not by time
_STRETCHES: Final = 40  # stretches of neighbouring zones that a walk by time reads before it falls back
_ROWS_MAX: Final = 50  # documents; in so few a phrase is compared word by word
_NEXT_SHARE: Final = 0.05  # guessed share, among messages with two words, of those with the words side by side
_PIECE_SHARE: Final = 0.02  # guessed share, among messages with the rarest bigram of a run, of those with all of it
_VERBATIM_WAY: Final = 200_000  # postings; a search for the whole phrase may read so many and stay cheap
_SCARCE: Final = 4  # times the limit: the expected matches to list at once; 16 times the limit found is too many
_LONG_WAY: Final = 40_000  # documents; a walk over more is slow
_WAY_SPARE: Final = 2.5  # factor on the expected length of a walk: a second start costs more than a longer walk
_NEAR: Final = 10_000  # documents; after so short a walk, half as much again costs little
_PHRASES: Final = 4  # phrases of two neighbouring words to look up in a review
_PHRASE_PACE: Final = 1000  # documents that a phrase query passes in the time of one look-up
_FEW_TERMS: Final = 3  # terms; with more, a question has few messages with every term
_COUNTED: Final = 20_000  # matching messages to count in the sessions of an answer
_TIES: Final = 1000  # messages of the same time kept beyond the wanted ones
_HELD: Final = 100  # newest messages kept of a session, if each session is answered once
_CLOCK_STEPS: Final = 20_000  # steps of SQLite's virtual machine between looks at the clock, about a millisecond


class SearchResult(Struct, frozen=True):
    """The found messages, best first; `partial` if the deadline cut the search off."""

    found: list[FoundMessage]
    mode: Mode = "all"
    partial: bool = False


def find(db: IndexConnection, search: Search) -> SearchResult:
    """Return the messages for a search, best first, within its deadline.

    If the query can be relaxed, the search for messages with every term gets half of the time.
    """
    searching = _Searching(db, search)
    if searching.is_nowhere:
        return SearchResult([])
    with searching.deadline(search.deadline_s / 2 if searching.may_be_loose else search.deadline_s):
        searching.gather_whole()
    with searching.deadline(search.deadline_s):
        searching.gather_verbatim()
        if not searching.is_enough():
            searching.gather_loose()
    searching.rank()
    with searching.deadline(search.deadline_s):
        searching.review()
    return searching.answer()


class _Searching:
    """One running search: `_whole` has messages with every term, `_loose` has messages with some terms."""

    def __init__(self, db: IndexConnection, search: Search) -> None:
        self._db = db
        self._search = search
        self._began = self._until = time.monotonic()
        self._is_late = self._is_partial = False
        self._documents = Documents(db, search)
        self._total = self._documents.total()
        self._most = _CANDIDATES if self._total < _MANY else _CANDIDATES_OF_MANY
        self._limit = search.wanted
        if search.unit == "session":
            self._most = _CANDIDATES_OF_SESSIONS
            self._limit = min(self._limit, self._documents.session_count)
        self._whole: Matches = {}
        self._verbatim: Sought | None = None  # the query as one phrase, if it is one
        self._as_typed: Collection[int] | None = None  # all documents with that phrase; None if unknown
        self._loose: Matches | None = None
        self._is_complete = True  # whether every matching message is gathered
        self._terms: Sequence[Term] = search.query.terms
        self._sought: list[Sought] = []
        self._unknown: list[int] = []  # places of terms not yet looked up in all candidates
        self._weights: list[float] = []
        self._lists: dict[str, list[int]] = {}
        self._found: Matches = {}
        self._everything: int | None = None
        self._scored: dict[int, float] = {}
        self._short: list[int] = []  # the best documents, as many as the answer has
        self._counts: dict[object, int] = {}  # matching messages, by session
        self._seen = WalkProgress(self._documents)

    @property
    def is_nowhere(self) -> bool:
        """Whether the filters leave no session."""
        return self._documents.session_count == 0

    @property
    def may_be_loose(self) -> bool:
        """Whether a relaxed search may find more: the query has several terms, or its one term has parts."""
        query = self._search.query
        return query.relaxed != query.terms[:1]

    @contextlib.contextmanager
    def deadline(self, after_s: float) -> Iterator[None]:
        """Interrupt the body at the deadline, `after_s` seconds after the start of the search.

        The messages found by then stay, and the answer is marked partial.
        """
        self._until, self._is_late = self._began + after_s, False
        self._db.set_progress_handler(self._is_over, _CLOCK_STEPS)
        try:
            yield
        except apsw.InterruptError:
            self._is_late = True
        finally:
            self._db.set_progress_handler(None)
            self._is_partial = self._is_partial or self._is_late

    def _asked_for(self, term: Term, asked: tuple[str, ...] = ()) -> Sought:
        """Return the full-text query of a term; a search for every role also finds the models' reasoning."""
        return vocabulary.sought(self._db, term, asked, with_thoughts=self._search.roles is None)

    # Messages that have every term

    def gather_whole(self) -> None:
        """Gather messages with every term.

        A prefix may have many words. Each round asks for more of them, until the answer is full.
        """
        sought = [self._asked_for(term) for term in self._terms]
        self._weigh(sought)
        self._gather_whole(sought)
        while (asked := vocabulary.asked(sought)) and not self._fills(self._whole) and not self._is_over():
            sought = [self._asked_for(term, asked if term.prefix else ()) for term in self._terms]
            self._gather_whole(sought)
            self._seen.forget()  # the earlier rounds may have counted some of these messages already
        self._is_complete = self._is_complete and not asked

    def _gather_whole(self, sought: Sequence[Sought]) -> None:
        everything = (1 << len(sought)) - 1
        rarest_first = sorted(sought, key=lambda one: one.count)
        listed = self._listed(rarest_first, alone=_LOOKED_UP)
        if listed:
            docs = set.intersection(*map(set, listed))
            if docs and len(listed) < len(sought):
                docs = set(self._documents.all_of(every(rarest_first)))
            found = self._newest_of(docs)
        elif self._search.query.is_question and len(sought) > _FEW_TERMS and self._search.sort != "recent":
            found = {}  # the walk would be long, and `gather_loose` ranks messages with every term first
        elif (docs_of_all := self._scarce(rarest_first)) is not None:
            found = self._newest_of(docs_of_all)
        else:
            found = self._walked(rarest_first)
        for match in found.values():
            match.terms = everything
        self._whole = found | self._whole

    def gather_verbatim(self) -> None:
        """Gather messages with the words of the query side by side, unless that needs a long search."""
        phrase = self._search.query.verbatim
        if phrase is None or self._search.sort == "recent":
            return
        self._verbatim = one = vocabulary.sought(self._db, phrase)
        if self._whole and self._is_complete and len(self._whole) <= _ROWS_MAX:
            self._as_typed = self._documents.with_row(self._whole, one.words)
        if self._as_typed is None and one.count + min(one.others) <= _VERBATIM_WAY:
            self._as_typed = self._of_row(one) if one.count + sum(one.others) > _VERBATIM_WAY else self._scarce([one])
            for doc, match in self._documents.messages(self._as_typed or ()).items():
                self._whole.setdefault(doc, match).terms = (1 << len(self._terms)) - 1

    # Messages that have some terms

    def gather_loose(self) -> None:
        """Gather messages with some of the terms, or with some parts of the terms."""
        if not self.may_be_loose:
            return
        if self._search.query.relaxed != self._terms or not self._sought:
            self._terms = self._search.query.relaxed
            self._weigh([self._asked_for(term) for term in self._terms])
        self._loose = {}
        self._gather_loose()
        while (asked := vocabulary.asked(self._sought)) and not self._fills(self._loose) and not self._is_over():
            place = next(place for place, one in enumerate(self._sought) if one.asked)
            self._sought[place] = self._asked_for(self._terms[place], asked)
            self._add(place, self._walked([self._sought[place]]))
        self._is_complete = self._is_complete and not asked

    def _gather_loose(self) -> None:
        if self._search.sort == "recent":
            self._loose = self._walked([either(self._sought)])
            return
        rarest_first = sorted(range(len(self._sought)), key=lambda place: self._sought[place].count)
        listed = self._listed([self._sought[place] for place in rarest_first])
        self._gather_best(by_terms(dict(zip(rarest_first, map(set, listed), strict=False))))
        self._unknown = rarest_first[len(listed) :]
        for place in self._unknown:
            if self._fills(self._loose or {}) or self._is_over():
                self._is_complete = False
                break
            self._add(place, self._walked([self._sought[place]]))

    def _add(self, place: int, found: Matches) -> None:
        """Add the messages found for one term to `_loose`."""
        loose = self._loose if self._loose is not None else {}
        for doc, match in found.items():
            loose.setdefault(doc, match).terms |= 1 << place

    def _gather_best(self, same: Mapping[int, Collection[int]]) -> None:
        """Gather the candidates with the heaviest sets of terms first; within one set, the newest first.

        `same` has the documents of each set of terms, as bits.
        """
        found = self._loose if self._loose is not None else {}
        for terms in sorted(same, key=lambda terms: (-ranking.sum_of(self._weights, terms), terms)):
            fresh = self._newest_of(same[terms], self._most - len(found))
            for match in fresh.values():
                match.terms = terms
            found.update(fresh)
            if len(found) >= self._most and self._fills(found):
                self._is_complete = False
                break

    # The order, and the answer

    def rank(self) -> None:
        """Score the gathered messages and put them in order."""
        self._found = self._gathered()
        if self._terms == self._search.query.terms:
            self._everything = (1 << len(self._terms)) - 1
        for doc in self._found.keys() & set(self._as_typed or ()):
            self._found[doc].is_verbatim = True
        if self._search.sort != "recent":
            self._scores = Scores(self._found.values(), self._weights)
            self._scored = {doc: self._scores.of(match) for doc, match in self._found.items()}
        self._short = self._best(self._found)

    def review(self) -> None:
        """Look up the remaining terms and the phrases in the best candidates, and rank these again.

        A review only raises scores, so no other message enters the answer.
        """
        ranked = {doc: (score, self._found[doc].at) for doc, score in self._scored.items()}
        last = min(nlargest(_REVIEWED, ranked.values()), default=None)
        best = [doc for doc, rank in ranked.items() if last is not None and rank >= last]
        for place, docs in self._looked_up(best):
            for doc in docs:
                self._found[doc].terms |= 1 << place
        for place, phrase in phrases(self._terms)[:_PHRASES]:
            having = [doc for doc in best if self._found[doc].terms >> place & 3 == 3]  # noqa: PLR2004 - both words
            if having:
                for doc in self._having(having, vocabulary.sought(self._db, phrase)):
                    self._found[doc].phrases |= 1 << place
        if self._verbatim is not None and self._as_typed is None:
            typed = self._documents.with_row(best, self._verbatim.words)
            for doc in self._documents.those_of(best, self._verbatim.match) if typed is None else typed:
                self._found[doc].is_verbatim = True
        self._scored.update((doc, self._scores.of(self._found[doc])) for doc in best)
        self._short = self._best(dict.fromkeys((*self._short, *best)))

    def _looked_up(self, docs: Collection[int]) -> Iterable[tuple[int, Collection[int]]]:
        """Return each term's place and its documents among the given ones; count matches in the answer's sessions."""
        if self._is_complete or self._is_partial:
            return ()
        sessions = {self._found[doc].session for doc in (*self._short, *docs)}
        matches = [one.match for one in self._sought]
        if self._loose is None:
            self._counts = self._seen.counts(sessions)
            if left := sessions - self._counts.keys():
                self._counts.update(self._documents.counted([every(self._sought)], left, (), _COUNTED)[0])
            return ()
        self._counts, having = self._documents.counted(matches, sessions, docs, _COUNTED)
        if sum(self._counts.values()) == _COUNTED:
            return ((place, self._documents.those_of(docs, matches[place])) for place in self._unknown)
        return enumerate(having)

    def _having(self, docs: Collection[int], phrase: Sought) -> set[int]:
        """Return the documents that have a phrase.

        FTS5 looks a document up by skipping to the next match. Hence a rare phrase is listed whole instead.
        """
        if phrase.count > _PHRASE_PACE * len(docs):
            return self._documents.those_of(docs, phrase.match)
        return set(self._documents.all_of(phrase.match)).intersection(docs)

    def is_enough(self) -> bool:
        """Tell whether the messages with every term are enough for an answer."""
        sessions = {match.session for match in self._whole.values()}
        return is_enough(self._search, len(self._whole), len(sessions))

    def answer(self) -> SearchResult:
        """Return the best of the gathered messages."""
        found = self._found
        gathered = Counter(match.session for match in found.values())
        places = self._documents.places(self._short)
        shown = []
        for doc in self._short:
            if doc in places:
                session = found[doc].session
                shown.append(FoundMessage(*places[doc], max(gathered[session], self._counts.get(session, 0))))
        are_whole = all(self._is_whole(doc) for doc in self._short)
        return SearchResult(shown, "all" if are_whole else "any", self._is_partial)

    def _best(self, of: Iterable[int]) -> list[int]:
        """Return the best of some documents, as many as an answer has, best first."""
        docs = list(of)
        matches = [self._found[doc] for doc in docs]
        scores = [self._scored.get(doc, 0.0) for doc in docs]
        whole = [self._is_whole(doc) for doc in docs]
        places = ranking.best(matches, scores, whole, self._search, self._documents.keys_of)
        return [docs[place] for place in places]

    def _is_whole(self, doc: int) -> bool:
        """Tell whether a message has every term of the query."""
        return doc in self._whole or self._found[doc].terms == self._everything

    def _gathered(self) -> Matches:
        return self._whole if self._loose is None else {**self._loose, **self._whole_again()}

    def _whole_again(self) -> Matches:
        """Return the messages with every term; of one also in `_loose`, the entry from there."""
        loose = self._loose or {}
        return {doc: loose.get(doc, match) for doc, match in self._whole.items()}

    # Ways to gather documents

    def _weigh(self, sought: list[Sought]) -> None:
        self._sought = sought
        self._weights = [ranking.weight(one.count, self._total) for one in sought]

    def _listed(self, rarest_first: Sequence[Sought], *, alone: int = _LISTED) -> list[list[int]]:
        """Return all documents of each of the rarest terms, as long as their counts sum to at most `_LISTED`.

        A single word with more than `alone` documents is not listed: there is no second list to intersect.
        """
        counts = accumulate(map(self._count, rarest_first))
        few = [one for one, count in zip(rarest_first, counts, strict=False) if count <= _LISTED]
        if len(few) == 1 and self._count(rarest_first[0]) > alone and not rarest_first[0].is_phrase:
            return []
        for one in few:
            if one.match not in self._lists:
                of_row = self._of_row(one)
                self._lists[one.match] = self._documents.all_of(one.match) if of_row is None else of_row
        return [self._lists[one.match] for one in few]

    def _of_row(self, sought: Sought) -> list[int] | None:
        """Return all documents with a phrase of several words, if at most 50 have its two rarest words; else None.

        A query for the two rarest words is faster than one for the phrase: a third word may be in every other document.
        """
        if not sought.rarest:
            return None
        docs: list[int] = []
        try:
            docs.extend(self._documents.first_of(sought.rarest, _ROWS_MAX + 1))
        except apsw.InterruptError:
            self._is_late = True
        return self._documents.with_row(docs, sought.words) if len(docs) <= _ROWS_MAX else None

    def _scarce(self, sought: Sequence[Sought]) -> list[int] | None:
        """Return all documents with all terms, if few are expected; None if there are many.

        A walk back to the newest few would be long. A scan in document order takes half the time.
        """
        few = _SCARCE * self._limit
        if self._total * self._share(sought) > few:
            return None
        docs: list[int] = []
        try:
            if len(sought) == 1 and (of_row := self._of_row(sought[0])) is not None:
                return of_row
            docs.extend(self._documents.first_of(every(sought), _SCARCE * few + 1))
        except apsw.InterruptError:
            self._is_late = True
        return docs if len(docs) <= _SCARCE * few else None

    def _share(self, sought: Sequence[Sought]) -> float:
        """Return the expected share of messages with all terms, as if words were independent."""
        share = 1.0
        for one in sought:
            share *= prod(min(1.0, count / max(1, self._total)) for count in (self._count(one), *one.others))
            share *= _NEXT_SHARE ** len(one.others) if one.others or not one.is_phrase else _PIECE_SHARE
        return share

    def _count(self, sought: Sought) -> int:
        """Return the estimated number of documents of a term, within the scope of the search."""
        return min(sought.count, self._documents.scope_count)

    def _newest_of(self, docs: Collection[int], most: int | None = None) -> Matches:
        """Return the messages of documents; of very many, only the newest.

        These are at least `most` (`_most` by default), and enough to fill the answer.
        """
        wanted = self._most if most is None else most
        if len(docs) <= max(wanted, self._limit):
            return self._documents.messages(docs)
        found: Matches = {}
        for part, next_newest in self._documents.from_last(docs, max(wanted, self._limit)):
            found.update(self._documents.messages(part))
            if (settled := self._settled(found, next_newest, wanted, set())) is not None:
                self._is_complete = False
                self._seen.note(found, (part[-1], LAST))
                return settled
            if self._is_over():
                break
        return found

    def _walked(self, sought: Sequence[Sought]) -> Matches:
        """Return the newest messages with all terms, enough to fill the answer if there are so many.

        The walk wants no more candidates than `_LONG_WAY` documents are expected to have. Filters can make
        it longer than expected: after that many documents, one candidate beside a full answer is enough.
        """
        share = self._share(sought)
        wanted = 1 if self._search.sort == "recent" else max(1, min(self._most, int(_LONG_WAY * share)))
        found: Matches = {}
        full: set[object] = set()
        try:
            parts = self._parts(sought, share, max(wanted, self._limit), full)
            for fresh, way, next_newest, seen in parts:
                found.update(fresh)
                enough = 1 if way > _LONG_WAY and self._documents.is_filtered else wanted
                if (settled := self._settled(found, next_newest, enough, full)) is not None:
                    self._is_complete = False
                    is_near = way <= _NEAR or (len(sought) == 1 and not sought[0].is_phrase)
                    self._seen.note(found, seen, full, parts if is_near else ())
                    return settled
                if self._is_over():
                    break
        except apsw.InterruptError:
            self._is_late = True
        newest = self._newest(found, ALWAYS, full)
        self._is_complete = self._is_complete and not full
        return {doc: found[doc] for _, doc in newest}

    def _parts(
        self, sought: Sequence[Sought], share: float, wanted: int, full: AbstractSet[object]
    ) -> Iterator[WalkPart]:
        """Return the messages with all terms, part by part, last document first.

        If the newest zones are expected to have enough, the parts come by time instead, whatever the order of arrival.
        """
        match = every(sought)
        near = int(_WAY_SPARE * wanted / max(share, 1e-9) / ZONE_DOCS) + 2
        if near >= _ZONES_NEAR:
            return self._documents.backwards(match, self._limit, full)
        return self._documents.newest_first(match, wanted, near, _STRETCHES, full)

    def _settled(self, found: Matches, after: int, wanted: int, full: set[object]) -> Matches | None:
        """Return the newest of the found messages; None if too few are later than `after`.

        The search has seen every match later than `after` (microseconds), so only these are certain to be the newest.
        """
        if len(found) < wanted:
            return None
        newest = self._newest(found, after, full)
        sessions: set[object] = set()
        for place, (at, doc) in enumerate(newest):
            sessions.add(found[doc].session)
            distinct = len(sessions) if self._search.unit == "session" else place + 1
            if place + 1 >= wanted and distinct >= self._limit:
                return {doc: found[doc] for same_at, doc in newest[: place + 1 + _TIES] if same_at >= at}
        return None

    def _newest(self, found: Matches, after: int, full: set[object]) -> list[tuple[int, int]]:
        """Return times and documents of the messages found after a time: newest first, ties by the higher document.

        If sessions are answered once, each keeps its newest `_HELD` messages; one with more is added to `full`.
        """
        newest = sorted(((match.at, doc) for doc, match in found.items() if match.at > after), reverse=True)
        if self._search.unit == "message" or len(newest) <= _HELD:
            return newest
        held: Counter[object] = Counter(found[doc].session for _, doc in newest)
        full.update(session for session, count in held.items() if count > _HELD)
        if full.isdisjoint(held):
            return newest
        kept: list[tuple[int, int]] = []
        held.clear()
        for entry in newest:
            session = found[entry[1]].session
            held[session] += 1
            if held[session] <= _HELD:
                kept.append(entry)
        return kept

    def _fills(self, found: Matches) -> bool:
        """Tell whether the found messages fill the answer."""
        distinct = {match.session for match in found.values()} if self._search.unit == "session" else found
        return len(distinct) >= self._limit

    def _is_over(self) -> bool:
        self._is_late = self._is_late or time.monotonic() > self._until
        return self._is_late
