"""From a query to the messages that answer it, at a cost that is bounded whatever the words.

A word may be in most of millions of messages, so matches are never all looked at. Of the rarer terms
every document is listed; the commoner ones are only looked up in documents that are candidates for
what they have of the rarer ones. Where all terms are common, the newest of the messages that match are
the candidates: `zones` tell which parts of the index hold them, in whatever order messages came.
`core.ranking` puts the candidates in order.

What is answered depends on the messages and their times, not on the order in which they came.
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

_LISTED: Final = 2_500  # documents that are listed for all rarer terms together
_CANDIDATES: Final = 400  # messages that are ranked, at most
_CANDIDATES_OF_MANY: Final = 250  # where looking one up takes longer
_CANDIDATES_OF_SESSIONS: Final = 150  # where the best message of each is enough
_MANY: Final = 100_000  # messages in all
_LOOKED_UP: Final = 500  # candidates in which every term is looked up
_REVIEWED: Final = 10  # best candidates in which the commoner terms are looked up
_ZONES_NEAR: Final = 40  # of the newest messages, where walks end that find much
_STRETCHES: Final = 40  # of neighbouring zones that such a walk takes
_ROWS_MAX: Final = 50  # documents in which a phrase is looked up word by word
_NEXT_SHARE: Final = 0.05  # of the messages that have two words, those in which one may follow the other
_PIECE_SHARE: Final = 0.02  # of the messages that have the rarest pair of a piece of text, those that may have it all
_VERBATIM_WAY: Final = 200_000  # messages that have one of some words, which a search for all side by side gets past
_SCARCE: Final = 4  # times as many messages as are answered are few; four times as many as that are not
_LONG_WAY: Final = 40_000  # documents
_WAY_SPARE: Final = 2.5  # a way that is begun anew costs more than one that is longer
_NEAR: Final = 10_000  # documents; half as many more are soon looked at
_PHRASES: Final = 4
_PHRASE_PACE: Final = 1000  # documents that a search for a phrase gets past while one is looked up
_FEW_TERMS: Final = 3
_COUNTED: Final = 20_000  # messages that match, in the sessions of an answer
_TIES: Final = 1000
_HELD: Final = 100  # newest messages of a session that is answered once
_CLOCK_STEPS: Final = 20_000  # virtual machine steps between looks at the clock, about a millisecond


class SearchResult(Struct, frozen=True):
    """What was found, best first; `partial` when there was no time for all of it."""

    found: list[FoundMessage]
    mode: Mode = "all"
    partial: bool = False


def find(db: IndexConnection, search: Search) -> SearchResult:
    """Return what a search finds."""
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
    """One search under way: `_whole` has messages with every term, `_loose` those with some."""

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
        self._verbatim: Sought | None = None  # what finds messages that have the query as it stands
        self._as_typed: Collection[int] | None = None  # all documents that do, if that is known
        self._loose: Matches | None = None
        self._is_complete = True  # whether every message that matches is gathered
        self._terms: Sequence[Term] = search.query.terms
        self._sought: list[Sought] = []
        self._unknown: list[int] = []  # the places of terms that were not looked up in all candidates
        self._weights: list[float] = []
        self._lists: dict[str, list[int]] = {}
        self._found: Matches = {}
        self._everything: int | None = None
        self._scored: dict[int, float] = {}
        self._short: list[int] = []  # the best documents
        self._counts: dict[object, int] = {}  # messages that match, by session
        self._seen = WalkProgress(self._documents)

    @property
    def is_nowhere(self) -> bool:
        """Whether the filters leave no session."""
        return self._documents.session_count == 0

    @property
    def may_be_loose(self) -> bool:
        """Whether there are parts that may stand for the terms."""
        query = self._search.query
        return query.relaxed != query.terms[:1]

    @contextlib.contextmanager
    def deadline(self, after_s: float) -> Iterator[None]:
        """Cut off what is done in here when its time is over; what was found by then stays."""
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
        """Return what is asked for a term; what models thought is found only where every role is."""
        return vocabulary.sought(self._db, term, asked, with_thoughts=self._search.roles is None)

    # Messages that have every term

    def gather_whole(self) -> None:
        """Gather messages that have every term; by more and more words, where one is only begun."""
        sought = [self._asked_for(term) for term in self._terms]
        self._weigh(sought)
        self._gather_whole(sought)
        while (asked := vocabulary.asked(sought)) and not self._fills(self._whole) and not self._is_over():
            sought = [self._asked_for(term, asked if term.prefix else ()) for term in self._terms]
            self._gather_whole(sought)
            self._seen.forget()  # some of these may have been found before
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
            found = {}  # it would be a long walk; those that have every term are the best of those with some
        elif (docs_of_all := self._scarce(rarest_first)) is not None:
            found = self._newest_of(docs_of_all)
        else:
            found = self._walked(rarest_first)
        for match in found.values():
            match.terms = everything
        self._whole = found | self._whole

    def gather_verbatim(self) -> None:
        """Gather messages that have the words of the query as they stand there, if no long search tells these."""
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
        """Gather messages that have some of the terms, or of their parts."""
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
        """Add messages that have a term to those that have some."""
        loose = self._loose if self._loose is not None else {}
        for doc, match in found.items():
            loose.setdefault(doc, match).terms |= 1 << place

    def _gather_best(self, same: Mapping[int, Collection[int]]) -> None:
        """Gather the candidates whose terms weigh most; of those that have the same, the newest."""
        found = self._loose if self._loose is not None else {}
        for terms in sorted(same, key=lambda terms: (-ranking.sum_of(self._weights, terms), terms)):
            fresh = self._newest_of(same[terms], self._most - len(found))
            for match in fresh.values():
                match.terms = terms
            found.update(fresh)
            if len(found) >= self._most and self._fills(found):
                self._is_complete = False
                break

    # What is best, and what is answered

    def rank(self) -> None:
        """Put what was gathered in order."""
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
        """Look up, in what is best so far, the terms that were not yet, and words that stand side by side.

        That makes these messages only better, so no others come into the answer.
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
        """Return which of some documents have each term, and count what matches in the sessions of the answer."""
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
        """Return which documents have a phrase. To look one up is to go on to the next document that has it."""
        if phrase.count > _PHRASE_PACE * len(docs):
            return self._documents.those_of(docs, phrase.match)
        return set(self._documents.all_of(phrase.match)).intersection(docs)

    def is_enough(self) -> bool:
        """Tell whether the messages with every term are an answer."""
        sessions = {match.session for match in self._whole.values()}
        return is_enough(self._search, len(self._whole), len(sessions))

    def answer(self) -> SearchResult:
        """Return the best of what was gathered."""
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
        """Return the best of some documents, as many as an answer has."""
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
        """Return the messages with every term, as they stand among those with some."""
        loose = self._loose or {}
        return {doc: loose.get(doc, match) for doc, match in self._whole.items()}

    # How documents are gathered

    def _weigh(self, sought: list[Sought]) -> None:
        self._sought = sought
        self._weights = [ranking.weight(one.count, self._total) for one in sought]

    def _listed(self, rarest_first: Sequence[Sought], *, alone: int = _LISTED) -> list[list[int]]:
        """Return all documents of each term, for as many of the rarest as it is cheap for.

        A single word that has more than `alone` is not listed: there is nothing to compare it with.
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
        """Return all documents that have a phrase of several words, if few have its two rarest; else None.

        Two words are compared sooner than three, one of which is in every other document.
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
        """Return all documents that have all terms, if few are likely to: the way back to the newest would be too long.

        From the first one on they are found in half the time. None when there are many.
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
        """Return what part of all messages is likely to have all terms, were words together by chance."""
        share = 1.0
        for one in sought:
            share *= prod(min(1.0, count / max(1, self._total)) for count in (self._count(one), *one.others))
            share *= _NEXT_SHARE ** len(one.others) if one.others or not one.is_phrase else _PIECE_SHARE
        return share

    def _count(self, sought: Sought) -> int:
        """Return about how many documents a term has."""
        return min(sought.count, self._documents.scope_count)

    def _newest_of(self, docs: Collection[int], most: int | None = None) -> Matches:
        """Return the messages of documents; of very many, the newest that are wanted and as many as an answer has."""
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
        """Return the newest messages that have all terms, if there are as many as an answer has.

        Not more are wanted than a way that is not long is likely to have. Filters make it longer than is known before.
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
        """Return the messages that have all terms, part by part, from the last on.

        If as many are likely to be among the newest ones as are wanted, by their times, in whatever order they came.
        """
        match = every(sought)
        near = int(_WAY_SPARE * wanted / max(share, 1e-9) / ZONE_DOCS) + 2
        if near >= _ZONES_NEAR:
            return self._documents.backwards(match, self._limit, full)
        return self._documents.newest_first(match, wanted, near, _STRETCHES, full)

    def _settled(self, found: Matches, after: int, wanted: int, full: set[object]) -> Matches | None:
        """Return the newest of what is found, of which all is known after a time; None if that is not enough."""
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
        """Return the times and documents of what is found after a time, newest first, at the same time the last said.

        Of a session that is answered once, only so many; then it is `full`.
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
        """Tell whether the answer can be filled."""
        distinct = {match.session for match in found.values()} if self._search.unit == "session" else found
        return len(distinct) >= self._limit

    def _is_over(self) -> bool:
        self._is_late = self._is_late or time.monotonic() > self._until
        return self._is_late
