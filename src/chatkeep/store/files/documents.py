"""What a search asks of the index: which documents match, and the messages that they stand for.

A document is a message in the full-text index. All questions are bounded: by a list of documents, by
a count that is known to be small, or by a walk from the newest on that ends when there are enough.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final

import apsw

from chatkeep.core.ranking import Match
from chatkeep.core.search import Search
from chatkeep.store.files.rows import ROLE_NUMBERS, SPOKEN, ZONE_DOCS, Row, Spot, Value, microseconds, row_of, spot_of
from chatkeep.store.files.selecting import conditions
from chatkeep.store.files.sql import QUERIES
from chatkeep.store.files.vocabulary import NOTHING, role_word, scope_word

Matches = dict[int, Match]
"""Messages by document."""
Part = tuple[Matches, int, int]
"""Messages, how many documents the way to them was long, and the newest time of those that follow."""

_SCOPE_MAX: Final = 200  # sessions that are named one by one; of a larger part, each message is asked
_UNBOUNDED: Final = 1 << 60
ALWAYS: Final = -_UNBOUNDED  # a time before all others


class Documents:
    """The documents that a search may find.

    A part of few sessions is named in what is asked (`scope`), so that only their messages are looked
    at; `session_count` and `scope_count` are how many those are. So are messages of rare roles.
    """

    def __init__(self, db: apsw.Connection, search: Search) -> None:
        """Work out how the filters are put."""
        self._db = db
        self.scope_count = self.session_count = _UNBOUNDED
        self._scope: tuple[str, ...] = ()
        where, self._values = conditions(search.selection)
        if where and (few := self._few_sessions(where)) is not None:
            self._scope = (scope_of(few),)
            self.scope_count = sum(few.values())
            self.session_count = len(few)
            where, self._values = [], {}
        if search.roles is not None and not set(search.roles) & set(SPOKEN):
            self._scope += (f"parts : ({' OR '.join(map(quoted, map(role_word, search.roles))) or NOTHING})",)
        of_messages = self._of_messages(search)
        of_sessions = [f"s.{condition}" for condition in where]
        self._of_messages_sql = " AND ".join(of_messages) or "true"
        self._filters = {
            "{where}": " AND ".join((*of_messages, *of_sessions)) or "true",
            "{sessions}": "CROSS JOIN sessions s ON s.sid = m.sid" if of_sessions else "",
        }

    def total(self) -> int:
        """Return how many messages there are, whatever the filters."""
        return int(next(iter(self._db.execute(QUERIES["message_count"])))[0])

    def all_of(self, match: str) -> list[int]:
        """Return all documents that match, filters aside."""
        return [doc for (doc,) in self._db.execute(QUERIES["docs"], {"match": self._in_scope(match)})]

    def those_of(self, docs: Collection[int], match: str) -> set[int]:
        """Return which of these documents match."""
        values = {"match": match, "docs": json.dumps(list(docs))}
        return {doc for (doc,) in self._db.execute(QUERIES["docs_of"], values)} if docs else set()

    def messages(self, docs: Collection[int]) -> Matches:
        """Return the messages of these documents that the filters let through."""
        values = {**self._values, "docs": json.dumps(sorted(docs))}  # neighbours on the disk one after the other
        return _matches(self._db.execute(self._filtered("messages_of"), values))

    def between(self, match: str, low: int, high: int) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield the messages of a range of documents that match and that the filters let through, the last first."""
        values = {**self._values, "match": self._in_scope(match), "low": low, "high": high}
        return iter(self._db.execute(self._filtered("candidates"), values))

    def near(self, match: str, first: int, most: int) -> Iterator[Part]:
        """Yield the messages that match, in the zones with the newest messages, as `backwards` does.

        First of so many zones, then of more and more, until they were `most` or more.
        """
        rows = self._db.execute(QUERIES["zones"], self._times())
        size, count = first, 0
        ahead = list(islice(rows, size))
        while ahead and count < most:
            zones = [zone for zone, _ in ahead]
            count += size
            size *= 4
            ahead = list(islice(rows, size))
            found: Matches = {}
            for low, high in _ranges(zones):
                found.update(_matches(self.between(match, low, high)))
            yield found, 0, ahead[0][1] if ahead else ALWAYS

    def is_in_order(self, most: int) -> bool:
        """Tell whether the zones with the newest messages, so many of them, are the last ones."""
        zones = {zone for zone, _ in islice(self._db.execute(QUERIES["zones"], self._times()), most)}
        return not zones or (max(zones) - min(zones) < len(zones) and max(zones) == self._bounds()[1])

    def backwards(self, match: str, size: int, full: AbstractSet[object]) -> Iterator[Part]:
        """Yield the messages that match from the last one on, in parts that grow; first so many.

        Sessions that become `full` meanwhile are passed over from there on.
        """
        low, high = self._bounds()
        first, last = low * ZONE_DOCS, high * ZONE_DOCS + ZONE_DOCS - 1
        end, passed_over, seen = last, -1, 0
        while True:
            if len(full) > passed_over:
                rows = self.between(f"({match}) NOT ({scope_of(full)})" if full else match, first, last)
                passed_over = len(full)
            if not (part := _matches(islice(rows, size))):
                break
            last = min(part) - 1
            yield part, end - last, self._newest_before(zone_of(last))
            seen += len(part)
            size = seen // 2 + 1
        yield {}, end - first, ALWAYS

    def _bounds(self) -> tuple[int, int]:
        """Return the first and the last zone that has messages of the times that are asked for; of none, 0 and -1."""
        ((low, high),) = self._db.execute(QUERIES["zone_bounds"], self._times())
        return (0, -1) if high is None else (low, high)

    def _newest_before(self, zone: int) -> int:
        """Return the newest time in a zone and in those of lower documents."""
        ((newest,),) = self._db.execute(QUERIES["newest_before"], (zone,))
        return ALWAYS if newest is None else int(newest)

    def from_last(self, docs: Iterable[int], size: int) -> Iterator[tuple[list[int], int]]:
        """Yield documents from the last on, in parts that grow, and the newest time in what follows."""
        left = sorted(docs, reverse=True)
        while left:
            part, left = left[:size], left[size:]
            size *= 2
            yield part, self._newest_before(zone_of(left[0])) if left else ALWAYS

    def match_counts(self, match: str, sids: Iterable[object], limit: int) -> dict[object, int]:
        """Return how many messages of sessions match; looks at no more than `limit` of them."""
        sql = QUERIES["match_counts"].replace("{where}", self._of_messages_sql)
        values = {**self._values, "match": f"({scope_of(sids)}) AND ({match})", "limit": limit}
        return dict(self._db.execute(sql, values))

    def keys_of(self, sids: Iterable[object]) -> Mapping[object, str]:
        """Return the keys of sessions."""
        return dict(self._db.execute(QUERIES["keys_of"], {"sids": json.dumps(list(sids))}))

    def places(self, docs: Sequence[int]) -> dict[int, tuple[Row, Spot]]:
        """Return where the messages of documents are, without those that are gone."""
        rows = self._db.execute(QUERIES["places"], {"docs": json.dumps(docs)})
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


def _ranges(zones: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last documents of zones, neighbouring zones together."""
    ordered = sorted(zones)
    first = 0
    for place in range(1, len(ordered) + 1):
        if place == len(ordered) or ordered[place] != ordered[place - 1] + 1:
            yield ordered[first] * ZONE_DOCS, ordered[place - 1] * ZONE_DOCS + ZONE_DOCS - 1
            first = place


def zone_of(doc: int) -> int:
    """Return the zone of a document."""
    return doc // ZONE_DOCS


def scope_of(sids: Iterable[object]) -> str:
    """Return what finds the messages of these sessions."""
    words = " OR ".join(map(quoted, map(scope_word, sids)))
    return f"parts : ({words or NOTHING})"


def quoted(word: str) -> str:
    """Return a word as FTS5 takes any word."""
    return f'"{word}"'


def _matches(rows: Iterable[tuple[int, int, int, int, int]]) -> Matches:
    return {doc: Match(sid, seq, at, size, 0) for doc, sid, seq, at, size in rows}
