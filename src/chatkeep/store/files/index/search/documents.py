"""The queries of a search: matching documents, and the messages behind them.

A document is a message in the full-text index. A bound limits every query: a list of documents, a
small known count, or a walk from the newest documents backwards. A walk ends with enough messages.
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
"""A message: document, sid, seq, time in microseconds since 2024, and size in bytes."""
Matches = dict[int, Match]
"""Messages by document."""
Range = tuple[int, int]
"""The first and the last of some documents."""
WalkPart = tuple[Matches, int, int, Range | None]
"""One part of a walk.

The messages; the length of the walk so far, in documents; the newest time of the messages still to come; and the range
of documents with every match found by now, None unless these documents are neighbours.
"""
Stretch = tuple[int, int, Callable[[int], int]]
"""The first and last of neighbouring zones; a function from a zone to the newest time in it and all zones to follow."""

_DOCS: Final = msgspec.json.Decoder(list[int])
_FOUND: Final = msgspec.json.Decoder(list[PostingRow])
_SCOPE_MAX: Final = 200  # sessions; a query names so few one by one, else SQL filters each message
_UNBOUNDED: Final = 1 << 60  # more than any count of documents, and any time in microseconds
ALWAYS: Final = -_UNBOUNDED  # a time before all others
LAST: Final = _UNBOUNDED  # a document after all others
_GAP_ZONES: Final = 4  # zones; a walk reads through so small a gap, as a new query costs more
_SPARE: Final = 8  # documents beyond the wanted ones, as times decide in the end
_ROWS_BYTES: Final = 1 << 16  # bytes of JSON; in so short messages a phrase is compared word by word
_PASSED_OVER: Final = 128  # documents of full sessions in a row; then one query skips the rest of the row


class Documents:
    """The documents within the filters of a search.

    The full-text query itself names a small scope: at most 200 sessions, or roles other than user and assistant.
    FTS5 then reads only their messages. `session_count` and `scope_count` are the sessions and messages of
    a scope of sessions. SQL applies all other filters to each match: `is_filtered` means that it may drop some.
    """

    def __init__(self, db: apsw.Connection, search: Search) -> None:
        """Translate the filters of the search into full-text terms and SQL conditions."""
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
        """Return the number of all messages, whatever the filters."""
        return int(next(iter(self._db.execute(QUERIES["message_count"])))[0])

    def all_of(self, match: str) -> list[int]:
        """Return all matching documents of the scope; SQL filters do not apply."""
        return one_row(self._db, QUERIES["docs"], {"match": self._in_scope(match)}, _DOCS)

    def first_of(self, match: str, most: int) -> Iterator[int]:
        """Yield the `most` lowest matching documents of the scope, in order; SQL filters do not apply."""
        values = {"match": self._in_scope(match), "most": most}
        return (doc for (doc,) in self._db.execute(QUERIES["first_docs"], values))

    def with_row(self, docs: Collection[int], words: Sequence[str]) -> list[int] | None:
        """Return the documents that have the words side by side; None if their messages exceed 64 KiB together."""
        values = {"match": " OR ".join(map(fts_quoted, words)), "docs": _json(list(docs))}
        ((size,),) = self._db.execute(QUERIES["size_of"], {"docs": values["docs"]})
        return one_row(self._db, QUERIES["docs_with_row"], values, _DOCS) if size <= _ROWS_BYTES else None

    def those_of(self, docs: Collection[int], match: str) -> set[int]:
        """Return the matching ones of these documents."""
        values = {"match": match, "docs": _json(list(docs))}
        found = one_row(self._db, QUERIES["docs_of"], values, _DOCS) if docs else []
        return set(found)

    def messages(self, docs: Collection[int]) -> Matches:
        """Return the messages of these documents, within the filters."""
        values = {**self._values, "docs": _json(sorted(docs))}  # sorted: SQLite reads neighbours on the disk in turn
        found = one_row(self._db, self._filtered("messages_of"), values, _FOUND)
        return {message[0]: _match(message) for message in found}

    def between(self, match: str, low: int, high: int) -> Iterator[PostingRow]:
        """Yield the matching messages of a range of documents, within the filters, last document first."""
        values = {**self._values, "match": self._in_scope(match), "low": low, "high": high}
        return iter(self._db.execute(self._filtered("candidates"), values))

    def newest_first(
        self, match: str, size: int, zone_count: int, most: int, full: AbstractSet[object]
    ) -> Iterator[WalkPart]:
        """Yield the matching messages in growing parts, zones with the newest times first.

        The first part has `size` messages. The walk reads `zone_count` zones, then twice as many each round. After
        `most` stretches it starts again and reads all zones, last document first. The caller may add sessions to
        `full` meanwhile: the walk skips their messages from then on.
        """
        stretches = self._stretches(zone_count)
        rest = (everything for _ in islice(stretches, 1) for everything in self._all())
        return self._walk(match, size, chain(islice(stretches, most), rest), full)

    def backwards(self, match: str, size: int, full: AbstractSet[object]) -> Iterator[WalkPart]:
        """Yield the matching messages in growing parts like `newest_first`, but last document first."""
        return self._walk(match, size, self._all(), full)

    def _walk(
        self, match: str, size: int, stretches: Iterable[Stretch], full: AbstractSet[object]
    ) -> Iterator[WalkPart]:
        found: Matches = {}
        way, seen, newest_after = 0, 0, ALWAYS
        top = bottom = None  # bounds of the documents read, as long as these are neighbours
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
            except apsw.InterruptError:  # the deadline: keep the messages found by now
                yield found, way, ALWAYS, None
                return
            way += last - first + 1
            newest_after = newest_from(low - 1)
            known = None if top is None else (first, top)
        yield found, way, newest_after, known

    def _of_others(self, match: str, first: int, last: int, full: AbstractSet[object]) -> Iterator[PostingRow]:
        """Yield the matching messages of a range of documents, last first, without those of full sessions.

        After a row of 128 skipped messages, one query finds the last document of another session. The row
        doubles each time.
        """
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
        """Yield all zones in stretches, roughly newest messages first; a stretch has neighbours of similar times."""
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
        """Yield one stretch with all zones, if there are any."""
        ((low, high),) = self._db.execute(QUERIES["zone_bounds"], self._times())
        if high is not None:
            yield low, high, self._newest_before

    def _newest_before(self, zone: int) -> int:
        """Return an upper bound of the times in a zone and all lower ones.

        With `until`, only zones with messages before that time count.
        """
        until = self._values.get("until")
        query = QUERIES["newest_before" if until is None else "newest_before_until"]
        newest = next(iter(self._db.execute(query, {"zone": zone, "until": until})), (None,))[0]
        return ALWAYS if newest is None else int(newest)

    def from_last(self, docs: Iterable[int], size: int) -> Iterator[tuple[list[int], int]]:
        """Yield the documents in growing parts, last first, each with the newest time of the documents to follow."""
        left = sorted(docs, reverse=True)
        end, more = size + size // 8 + _SPARE, size // 4 + 1  # a few more than wanted, as times decide in the end
        while left:
            part, left = left[:end], left[end:]
            end = more = 2 * more
            yield part, self._newest_before(zone_of(left[0])) if left else ALWAYS

    def counted(
        self, matches: Sequence[str], sids: Collection[object], docs: Collection[int], limit: int
    ) -> tuple[dict[object, int], list[list[int]]]:
        """Count matching messages by session, and find the documents of each match.

        At most `limit` messages are read, so the counts may be too low. The lists have the documents among `docs`.
        """
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
        """Return the sessions with all their messages in this range of documents."""
        values = {"sids": _json(list(sids)), "first": docs[0], "last": docs[1]}
        return {sid for (sid,) in self._db.execute(QUERIES["lying_in"], values)}

    def keys_of(self, sids: Iterable[object]) -> Mapping[object, str]:
        """Return the keys of sessions."""
        return dict(self._db.execute(QUERIES["keys_of"], {"sids": _json(list(sids))}))

    def places(self, docs: Sequence[int]) -> dict[int, tuple[Row, Spot]]:
        """Return the session's row and the spot of each document, without deleted messages."""
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
        """Return the sessions of the selection with their message counts; None if they are more than 200."""
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
    """The progress of a walk: the range of documents with every match found, and the matches by session."""

    def __init__(self, documents: Documents) -> None:
        """Begin without documents."""
        self._documents = documents
        self._docs: Range | None = None
        self._counts: Counter[object] = Counter()
        self._full: AbstractSet[object] = frozenset()
        self._way: Iterator[WalkPart] = iter(())

    def note(
        self, found: Matches, docs: Range | None, full: AbstractSet[object] = frozenset(), way: Iterable[WalkPart] = ()
    ) -> None:
        """Record the matches of a range of documents; of `full` sessions some may be missing.

        `way` has the next parts of the walk, if the walk was short enough to go on.
        """
        self._docs, self._full, self._way = docs, full, iter(way)
        self._counts.clear()
        self._add(found)

    def _add(self, found: Matches) -> None:
        self._counts.update(match.session for match in found.values())

    def forget(self) -> None:
        """Discard the record: its counts no longer apply."""
        self._docs = None

    def counts(self, sessions: AbstractSet[object]) -> dict[object, int]:
        """Return the matches of each session that lies within the walked documents.

        Reads one more part of the walk if some sessions lie only partly within them.
        """
        if self._docs is None:
            return {}
        wanted = sessions - self._full
        whole = self._documents.lying_in(wanted, self._docs)
        if len(whole) < len(wanted):  # the walk ended within some: one more part may reach their first messages
            found, _, _, docs = next(self._way, ({}, 0, 0, None))
            if docs is not None:
                self._add(found)
                whole = self._documents.lying_in(wanted, docs)
        return {session: self._counts[session] for session in whole}


def by_terms(having: Mapping[int, AbstractSet[int]]) -> Mapping[int, Collection[int]]:
    """Group documents by their set of terms, as bits, from the documents of each term's place."""
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
    """Yield the first and last zone of each group of neighbours, last group first; `zones` are in ascending order."""
    high = low = zones[-1]
    for zone in reversed(zones):
        if zone < low - 1 - _GAP_ZONES:
            yield low, high
            high = zone
        low = zone
    yield low, high


def _newest_in(zones: Sequence[int], newest: Sequence[int], zone: int) -> int:
    """Return the newest time in a zone, in the lower ones of `zones`, and in all zones after this round.

    `zones` are in ascending order. `newest` has one time more than `zones`: the first is of later rounds.
    """
    return newest[bisect_right(zones, zone)]


def zone_of(doc: int) -> int:
    """Return the zone of a document."""
    return doc // ZONE_DOCS


def sessions_filter(sids: Iterable[object]) -> str:
    """Return the full-text query for the messages of these sessions."""
    return " OR ".join(map(fts_quoted, map(scope_word, sids))) or NOTHING


def fts_quoted(word: str) -> str:
    """Return a word in double quotes, as FTS5 accepts any word."""
    return f'"{word}"'


def _match(message: PostingRow) -> Match:
    _, sid, seq, at, size = message
    return Match(sid, seq, at, size, 0)


def _json(values: Sequence[object]) -> str:
    """Return values as a JSON array, for `json_each`."""
    return msgspec.json.encode(values).decode()


def phrase_count(match: str) -> int:
    """Return the number of phrases in a full-text query."""
    return match.count('"') // 2


def phrases_of(row: apsw.FTS5ExtensionApi, *_: object) -> str:
    """Return the numbers of the query's phrases found in a row, as a JSON array; an SQL function of the queries."""
    return json.dumps([number for number in range(row.phrase_count) if row.phrase_columns(number)])


def has_row(row: apsw.FTS5ExtensionApi, *_: object) -> bool:
    """Tell whether a row has the words of the query side by side, in order; an SQL function of the queries."""
    ends: set[int] | None = None
    for number in range(row.phrase_count):
        if ends is None or ends:
            places = chain.from_iterable(row.phrase_locations(number))
            ends = {place for place in places if ends is None or place - 1 in ends}
    return bool(ends)


FUNCTIONS: Final = {"phrases_of": phrases_of, "has_row": has_row}
"""The SQL functions of the queries, by name. Every connection registers them."""
