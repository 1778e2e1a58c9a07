"""What a search asks of the index: which documents match, and the messages that they stand for.

A document is a message in the full-text index. All questions are bounded: by a list of documents, by
a count that is known to be small, or by a walk from the newest on that ends when there are enough.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from itertools import accumulate, chain, islice
from typing import Final

import apsw
import msgspec

from chatkeep.core.search.ranking import Match
from chatkeep.core.search.search import Search
from chatkeep.store.files.index.rows import (
    ROLE_NUMBERS,
    SPOKEN,
    ZONE_DOCS,
    Row,
    Spot,
    Value,
    microseconds,
    row_of,
    spot_of,
)
from chatkeep.store.files.index.selecting import conditions
from chatkeep.store.files.index.sql import QUERIES, one_row
from chatkeep.store.files.index.vocabulary import NOTHING, role_word, scope_word

PostingRow = tuple[int, int, int, int, int]
"""A message: document, session, seq, time and size."""
Matches = dict[int, Match]
"""Messages by document."""
Range = tuple[int, int]
"""The first and the last of some documents."""
WalkPart = tuple[Matches, int, int, Range | None]
"""Messages, how many documents the way to them was long, the newest time of those that follow, and of which documents
all that match have been found by now, where these are in a row."""
Stretch = tuple[int, int, Callable[[int], int]]
"""The first and the last zone of some, and what tells the newest time in one of them and in all that follow it."""

_DOCS: Final = msgspec.json.Decoder(list[int])
_FOUND: Final = msgspec.json.Decoder(list[PostingRow])
_SCOPE_MAX: Final = 200  # sessions that are named one by one; of a larger part, each message is asked
_UNBOUNDED: Final = 1 << 60
ALWAYS: Final = -_UNBOUNDED  # a time before all others
LAST: Final = _UNBOUNDED  # a document after all others
_GAP_ZONES: Final = 4  # that are rather walked through than left out
_SPARE: Final = 8  # documents beyond those that are wanted
_ROWS_BYTES: Final = 1 << 16  # of messages in which a phrase is looked up word by word
_PASSED_OVER: Final = 128  # documents of sessions that are full, before all that follow are


class Documents:
    """The documents that a search may find.

    A part of few sessions is named in what is asked (`scope`), so that only their messages are looked
    at; `session_count` and `scope_count` are how many those are. So are messages of rare roles. By all else
    messages are `is_filtered`: one that matches may be left out.
    """

    def __init__(self, db: apsw.Connection, search: Search) -> None:
        """Work out how the filters are put."""
        self._db = db
        self.scope_count = self.session_count = _UNBOUNDED
        self._scope: tuple[str, ...] = ()
        where, self._values = conditions(search.selection)
        if search.session is not None:
            where.append("key = :session")
            self._values["session"] = search.session
        if where and (few := self._few_sessions(where)) is not None:
            self._scope = (sessions_filter(few),)
            self.scope_count = sum(few.values())
            self.session_count = len(few)
            where, self._values = [], {}
        if search.roles is not None and not set(search.roles) & set(SPOKEN):
            self._scope += (" OR ".join(map(fts_quoted, map(role_word, search.roles))) or NOTHING,)
        of_messages = self._of_messages(search)
        of_sessions = [f"s.{condition}" for condition in where]
        self._of_messages_sql = " AND ".join(of_messages) or "true"
        self.is_filtered = bool(of_messages or of_sessions)
        self._filters = {
            "{where}": " AND ".join((*of_messages, *of_sessions)) or "true",
            "{sessions}": "CROSS JOIN sessions s ON s.sid = m.sid" if of_sessions else "",
        }

    def total(self) -> int:
        """Return how many messages there are, whatever the filters."""
        return int(next(iter(self._db.execute(QUERIES["message_count"])))[0])

    def all_of(self, match: str) -> list[int]:
        """Return all documents that match, filters aside."""
        return one_row(self._db, QUERIES["docs"], {"match": self._in_scope(match)}, _DOCS)

    def first_of(self, match: str, most: int) -> Iterator[int]:
        """Yield so many documents that match, filters aside, the first ones first."""
        values = {"match": self._in_scope(match), "most": most}
        return (doc for (doc,) in self._db.execute(QUERIES["first_docs"], values))

    def with_row(self, docs: Collection[int], words: Sequence[str]) -> list[int] | None:
        """Return which of these documents have words side by side, None if to look is long, as their messages are."""
        values = {"match": " OR ".join(map(fts_quoted, words)), "docs": _json(list(docs))}
        ((size,),) = self._db.execute(QUERIES["size_of"], {"docs": values["docs"]})
        return one_row(self._db, QUERIES["docs_with_row"], values, _DOCS) if size <= _ROWS_BYTES else None

    def those_of(self, docs: Collection[int], match: str) -> set[int]:
        """Return which of these documents match."""
        values = {"match": match, "docs": _json(list(docs))}
        found = one_row(self._db, QUERIES["docs_of"], values, _DOCS) if docs else []
        return set(found)

    def messages(self, docs: Collection[int]) -> Matches:
        """Return the messages of these documents that the filters let through."""
        values = {**self._values, "docs": _json(sorted(docs))}  # neighbours on the disk one after the other
        found = one_row(self._db, self._filtered("messages_of"), values, _FOUND)
        return {message[0]: _match(message) for message in found}

    def between(self, match: str, low: int, high: int) -> Iterator[PostingRow]:
        """Yield the messages of a range of documents that match and that the filters let through, the last first."""
        values = {**self._values, "match": self._in_scope(match), "low": low, "high": high}
        return iter(self._db.execute(self._filtered("candidates"), values))

    def newest_first(
        self, match: str, size: int, zone_count: int, most: int, full: AbstractSet[object]
    ) -> Iterator[WalkPart]:
        """Yield the messages that match, those of the zones with the newest ones first, in parts that grow.

        The first part has `size` of them. First so many zones are looked at, then more and more; after `most` stretches
        of them, all, from the last one on. Sessions that become `full` meanwhile are passed over from there on.
        """
        stretches = self._stretches(zone_count)
        rest = (everything for _ in islice(stretches, 1) for everything in self._all())
        return self._walk(match, size, chain(islice(stretches, most), rest), full)

    def backwards(self, match: str, size: int, full: AbstractSet[object]) -> Iterator[WalkPart]:
        """Yield the messages that match as `newest_first` does, but from the last one on."""
        return self._walk(match, size, self._all(), full)

    def _walk(
        self, match: str, size: int, stretches: Iterable[Stretch], full: AbstractSet[object]
    ) -> Iterator[WalkPart]:
        found: Matches = {}
        way, seen, newest_after = 0, 0, ALWAYS
        top = bottom = None  # of what was looked at, while it is in a row
        known: Range | None = None
        for low, high, newest_from in stretches:
            first, last = low * ZONE_DOCS, high * ZONE_DOCS + ZONE_DOCS - 1
            top = last if bottom is None else top if last + 1 == bottom else None
            bottom = first
            try:
                for message in self._of_others(match, first, last, full):
                    doc = message[0]
                    found[doc] = _match(message)
                    if len(found) == size:
                        known = None if top is None else (doc, top)
                        yield found, way + last - doc + 1, newest_from(zone_of(doc - 1)), known
                        seen += len(found)
                        found, size = {}, seen // 2 + 1
            except apsw.InterruptError:  # what was found by now is kept
                yield found, way, ALWAYS, None
                return
            way += last - first + 1
            newest_after = newest_from(low - 1)
            known = None if top is None else (first, top)
        yield found, way, newest_after, known

    def _of_others(self, match: str, first: int, last: int, full: AbstractSet[object]) -> Iterator[PostingRow]:
        """Yield the messages of a range of documents that match, without those of some sessions, the last first."""
        most = _PASSED_OVER
        while first <= last:
            passed_over = 0
            for row in self.between(match, first, last):
                last = row[0] - 1
                if row[1] not in full:
                    passed_over = 0
                    yield row
                elif (passed_over := passed_over + 1) == most:
                    break
            else:
                return
            values = {"first": first, "last": last, "sids": _json(list(full))}
            ((last,),) = self._db.execute(QUERIES["last_of_others"], values)
            most *= 2

    def _stretches(self, zone_count: int) -> Iterator[Stretch]:
        """Yield all zones, about in the order of their newest messages; neighbours of about the same time together."""
        rows = self._db.execute(QUERIES["zones"], self._times())
        following = list(islice(rows, zone_count))
        while following:
            found = sorted(following)
            zone_count *= 2
            following = list(islice(rows, zone_count))
            after = following[0][1] if following else ALWAYS
            zones = [zone for zone, _ in found]
            newest = [after, *accumulate((time for _, time in found), max)]
            for low, high in _ranges(zones):
                yield low, high, partial(_newest_in, zones, newest)

    def _all(self) -> Iterator[Stretch]:
        """Yield the one stretch of all zones, if there are any."""
        ((low, high),) = self._db.execute(QUERIES["zone_bounds"], self._times())
        if high is not None:
            yield low, high, self._newest_before

    def _newest_before(self, zone: int) -> int:
        """Return the newest time in a zone and in those of lower documents, or a later one, but within `until`."""
        until = self._values.get("until")
        query = QUERIES["newest_before" if until is None else "newest_before_until"]
        newest = next(iter(self._db.execute(query, {"zone": zone, "until": until})), (None,))[0]
        return ALWAYS if newest is None else int(newest)

    def from_last(self, docs: Iterable[int], size: int) -> Iterator[tuple[list[int], int]]:
        """Yield documents from the last on, in parts that grow, and the newest time in what follows."""
        left = sorted(docs, reverse=True)
        end, more = size + size // 8 + _SPARE, size // 4 + 1  # a little more than are wanted, as times decide
        while left:
            part, left = left[:end], left[end:]
            end = more = 2 * more
            yield part, self._newest_before(zone_of(left[0])) if left else ALWAYS

    def counted(
        self, matches: Sequence[str], sids: Collection[object], docs: Collection[int], limit: int
    ) -> tuple[dict[object, int], list[list[int]]]:
        """Return how many messages of sessions match, of so many looked at, and which of some documents match each."""
        sql = QUERIES["counted"].replace("{where}", self._of_messages_sql)
        match = f"({sessions_filter(sids)}) AND ({' OR '.join(f'({match})' for match in matches)})"
        rows = self._db.execute(sql, {**self._values, "match": match, "docs": _json(list(docs)), "limit": limit})
        places = [place for place, match in enumerate(matches) for _ in range(phrase_count(match))]
        having: list[list[int]] = [[] for _ in matches]
        counts = {}
        for sid, count, found in rows:
            counts[sid] = count
            for doc, numbers in json.loads(found).items():
                for place in {places[number - len(sids)] for number in json.loads(numbers) if number >= len(sids)}:
                    having[place].append(int(doc))
        return counts, having

    def lying_in(self, sids: Iterable[object], docs: Range) -> set[object]:
        """Return which sessions have all their messages among these documents."""
        values = {"sids": _json(list(sids)), "first": docs[0], "last": docs[1]}
        return {sid for (sid,) in self._db.execute(QUERIES["lying_in"], values)}

    def keys_of(self, sids: Iterable[object]) -> Mapping[object, str]:
        """Return the keys of sessions."""
        return dict(self._db.execute(QUERIES["keys_of"], {"sids": _json(list(sids))}))

    def places(self, docs: Sequence[int]) -> dict[int, tuple[Row, Spot]]:
        """Return where the messages of documents are, without those that are gone."""
        rows = self._db.execute(QUERIES["places"], {"docs": _json(docs)})
        return {doc: (row_of(row[:-3]), spot_of(row[-3:])) for doc, *row in rows}

    def _times(self) -> dict[str, Value]:
        return {"since": self._values.get("since"), "until": self._values.get("until")}

    def _in_scope(self, match: str) -> str:
        return " AND ".join(f"({part})" for part in (*self._scope, match))

    def _filtered(self, query: str) -> str:
        sql = QUERIES[query]
        for place, filters in self._filters.items():
            sql = sql.replace(place, filters)
        return sql

    def _few_sessions(self, where: Sequence[str]) -> dict[object, int] | None:
        """Return the sessions of the selection and their message counts, None when they are many."""
        sql = QUERIES["sessions_in"].replace("{where}", " AND ".join(where))
        found = dict(self._db.execute(sql, {**self._values, "limit": _SCOPE_MAX + 1}))
        return found if len(found) <= _SCOPE_MAX else None

    def _of_messages(self, search: Search) -> list[str]:
        where = []
        if search.roles is not None:
            where.append(f"m.role IN ({', '.join(str(ROLE_NUMBERS[role]) for role in search.roles) or 'NULL'})")
        if search.since is not None:
            where.append("m.at >= :since")
            self._values["since"] = microseconds(search.since)
        if search.until is not None:
            where.append("m.at < :until")
            self._values["until"] = microseconds(search.until)
        return where


class WalkProgress:
    """What a way back to the newest messages has seen: of which documents all that match, and how many by session."""

    def __init__(self, documents: Documents) -> None:
        """Begin with nothing seen."""
        self._documents = documents
        self._docs: Range | None = None
        self._counts: Counter[object] = Counter()
        self._full: AbstractSet[object] = frozenset()
        self._way: Iterator[WalkPart] = iter(())

    def note(
        self, found: Matches, docs: Range | None, full: AbstractSet[object] = frozenset(), way: Iterable[WalkPart] = ()
    ) -> None:
        """Take note that all that match of some documents are found, but of sessions that are full.

        `way` goes on from there, where it is not far.
        """
        self._docs, self._full, self._way = docs, full, iter(way)
        self._counts.clear()
        self._add(found)

    def _add(self, found: Matches) -> None:
        self._counts.update(match.session for match in found.values())

    def forget(self) -> None:
        """Know of nothing any more."""
        self._docs = None

    def counts(self, sessions: AbstractSet[object]) -> dict[object, int]:
        """Return how many messages match of those sessions that were seen whole."""
        if self._docs is None:
            return {}
        wanted = sessions - self._full
        whole = self._documents.lying_in(wanted, self._docs)
        if len(whole) < len(wanted):  # the way ended in the middle of some: a little more of it may do
            found, _, _, docs = next(self._way, ({}, 0, 0, None))
            if docs is not None:
                self._add(found)
                whole = self._documents.lying_in(wanted, docs)
        return {session: self._counts[session] for session in whole}


def by_terms(having: Mapping[int, AbstractSet[int]]) -> Mapping[int, Collection[int]]:
    """Return documents by the terms that they have, as bits, from those that have each term."""
    seen: set[int] = set()
    several: set[int] = set()
    for docs in having.values():
        several |= seen & docs
        seen |= docs
    same: defaultdict[int, list[int]] = defaultdict(list)
    for doc in several:
        same[sum(1 << place for place, docs in having.items() if doc in docs)].append(doc)
    return {**{1 << place: docs - several for place, docs in having.items()}, **same}


def _ranges(zones: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last zones of neighbouring ones, the last ones first, of zones in order."""
    high = low = zones[-1]
    for zone in reversed(zones):
        if zone < low - 1 - _GAP_ZONES:
            yield low, high
            high = zone
        low = zone
    yield low, high


def _newest_in(zones: Sequence[int], newest: Sequence[int], zone: int) -> int:
    """Return the newest time in a zone, in those before it and in all that follow these zones, which are in order."""
    return newest[bisect_right(zones, zone)]


def zone_of(doc: int) -> int:
    """Return the zone of a document."""
    return doc // ZONE_DOCS


def sessions_filter(sids: Iterable[object]) -> str:
    """Return what finds the messages of these sessions."""
    return " OR ".join(map(fts_quoted, map(scope_word, sids))) or NOTHING


def fts_quoted(word: str) -> str:
    """Return a word as FTS5 takes any word."""
    return f'"{word}"'


def _match(message: PostingRow) -> Match:
    _, sid, seq, at, size = message
    return Match(sid, seq, at, size, 0)


def _json(values: Sequence[object]) -> str:
    """Return values as `json_each` takes them."""
    return msgspec.json.encode(values).decode()


def phrase_count(match: str) -> int:
    """Return how many phrases are asked for."""
    return match.count('"') // 2


def phrases_of(row: apsw.FTS5ExtensionApi, *_: object) -> str:
    """Return which phrases of what is asked for a row has, in JSON, by their numbers; a function for queries."""
    return json.dumps([number for number in range(row.phrase_count) if row.phrase_columns(number)])


def has_row(row: apsw.FTS5ExtensionApi, *_: object) -> bool:
    """Tell whether a row has the words that are asked for side by side, in their order; a function for queries."""
    ends: set[int] | None = None
    for number in range(row.phrase_count):
        if ends is None or ends:
            places = chain.from_iterable(row.phrase_locations(number))
            ends = {place for place in places if ends is None or place - 1 in ends}
    return bool(ends)


FUNCTIONS: Final = {"phrases_of": phrases_of, "has_row": has_row}
"""What a connection has to know for the queries, by the names in them."""
