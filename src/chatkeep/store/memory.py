"""The reference store: sessions in a dictionary, every answer worked out by looking at all of them.

It is what the other stores are compared with, so it is written to be obviously right and nothing
else: one lock, no index, no cleverness. It forgets everything when it is closed with its process.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from chatkeep.core.excerpts import excerpt
from chatkeep.core.keys import channel_of
from chatkeep.core.model import (
    Appended,
    Digest,
    Draft,
    Header,
    Hit,
    Hits,
    KeyPage,
    Merged,
    Message,
    Mode,
    Page,
    Receipt,
    Revision,
    Selection,
    Session,
    Status,
    Summary,
    Window,
    summary,
)
from chatkeep.core.paging import Place, cursor_at, place_of, scope_of
from chatkeep.core.query import Query, spans, tokens_of
from chatkeep.core.search import Search
from chatkeep.core.windows import neighbours
from chatkeep.errors import CountConflictError, MessageConflictError, SessionNotFoundError

Kept = TypeVar("Kept", Header, Message)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Stored(Struct, frozen=True):
    header: Header
    messages: tuple[Message, ...] = ()
    digest: Digest = Digest()

    @property
    def summary(self) -> Summary:
        return summary(self.header, self.digest)

    def plus(self, fresh: Sequence[Message]) -> _Stored:
        """Return the session with these messages at its end."""
        messages = (*self.messages, *fresh)
        return _Stored(self.header, messages, self.digest.plus(*fresh))


class _Match(Struct, frozen=True):
    key: str
    message: Message
    score: tuple[int, int]


class MemoryStore:
    """A `Store` that lives as long as its process."""

    def __init__(self) -> None:
        """Begin without sessions."""
        self._lock = threading.RLock()
        self._sessions: dict[str, _Stored] = {}

    def append(
        self,
        key: str,
        drafts: Sequence[Draft],
        *,
        channel: str | None = None,
        create: bool = True,
        expect_count: int | None = None,
    ) -> Appended:
        """Store the drafts at the end of the session; return their places."""
        with self._lock:
            found = self._sessions.get(key)
            if found is None and not create:
                raise SessionNotFoundError(key)
            count = 0 if found is None else len(found.messages)
            fresh, conflicts = _fresh(() if found is None else found.messages, drafts)
            if conflicts:
                raise MessageConflictError(conflicts[0])
            if fresh and expect_count is not None and expect_count != count:
                raise CountConflictError(expect_count, count)
            stored = (found or _Stored(_new_header(key, channel, fresh))).plus(fresh)
            self._sessions[key] = stored
        by_id = {message.id: message for message in stored.messages}
        return Appended(
            key=key,
            message_count=len(stored.messages),
            stored_count=len(fresh),
            receipts=tuple(_receipt(by_id[str(draft.id)]) for draft in drafts),
        )

    def get(self, key: str) -> Summary:
        """Return what is known of a session."""
        return self._stored(key).summary

    def read(self, key: str) -> Session:
        """Return a whole session."""
        stored = self._stored(key)
        return Session(header=stored.header, messages=stored.messages)

    def window(self, key: str, *, limit: int, before: int | None = None, after: int | None = None) -> Window:
        """Return at most `limit` messages: the newest, those before `before`, or those after `after`."""
        return neighbours(self._stored(key).messages, limit=limit, before=before, after=after)

    def list(self, selection: Selection, *, limit: int, cursor: str | None = None) -> Page:
        """Return sessions by latest activity, newest first, ties by key."""
        scope = scope_of("sessions", selection)
        ordered = sorted((_list_order(stored), stored.summary) for stored in self._selected(selection))
        place = None if cursor is None else place_of(cursor, scope)
        rest = [entry for entry in ordered if place is None or entry[0] > (-place.at_us, place.key)]
        shown = [entry for _, entry in rest[:limit]]
        return Page(
            sessions=tuple(map(_without_metadata, shown)),
            total=len(ordered),
            next_cursor=cursor_at(_place(shown[-1]), scope) if len(rest) > limit else None,
        )

    def keys(self, selection: Selection, *, limit: int | None = None, cursor: str | None = None) -> KeyPage:
        """Return keys by code point; all of them without a limit."""
        scope = scope_of("keys", selection)
        ordered = sorted(stored.header.key for stored in self._selected(selection))
        place = None if cursor is None else place_of(cursor, scope)
        rest = [key for key in ordered if place is None or key > place.key]
        shown = rest[:limit]
        return KeyPage(
            keys=tuple(shown),
            total=len(ordered),
            next_cursor=cursor_at(Place(shown[-1]), scope) if len(rest) > len(shown) else None,
        )

    def search(self, search: Search) -> Hits:
        """Return the messages that the query finds: with all of its terms, or else with any."""
        sessions = {stored.header.key: stored for stored in self._selected(search.selection)}
        modes: tuple[Mode, ...] = ("all", "any")
        for mode in modes:
            matches = [match for stored in sessions.values() for match in _matches(stored, search, mode)]
            if matches:
                return Hits(hits=tuple(_hits(matches, search, sessions)), mode=mode)
        return Hits(hits=())

    def revise(self, key: str, revision: Revision) -> Summary:
        """Change a session's header, all of it or nothing; return what is known then."""
        with self._lock:
            stored = self._stored(key)
            revised = msgspec.structs.replace(stored, header=_copy(revision.applied_to(stored.header)))
            self._sessions[key] = revised
        return revised.summary

    def delete(self, key: str) -> None:
        """Remove a session."""
        with self._lock:
            self._stored(key)
            del self._sessions[key]

    def merge(self, session: Session) -> Merged:
        """Take in a session: create it, or append the messages whose ids are not stored yet."""
        key = session.header.key
        with self._lock:
            found = self._sessions.get(key)
            stored = found or _Stored(_copy(session.header))
            fresh, conflicts = _fresh(stored.messages, session.messages)
            self._sessions[key] = stored.plus(fresh)
        return Merged(
            created=found is None,
            added_count=len(fresh),
            skipped_count=len(session.messages) - len(fresh) - len(conflicts),
            conflicts=tuple(conflicts),
        )

    def status(self, prefix: str = "") -> Status:
        """Return counts and sizes of the sessions whose keys begin with the prefix."""
        sessions = self._selected(Selection(prefixes=(prefix,), archived=None))
        channels = sorted(stored.header.channel for stored in sessions)
        return Status(
            session_count=len(sessions),
            message_count=sum(len(stored.messages) for stored in sessions),
            size_bytes=sum(len(msgspec.json.encode((stored.header, stored.messages))) for stored in sessions),
            channels={channel: len(list(same)) for channel, same in groupby(channels)},
            problems={},
        )

    def close(self) -> None:
        """Hold on to nothing, as there is nothing to let go of."""

    def _stored(self, key: str) -> _Stored:
        with self._lock:
            stored = self._sessions.get(key)
        if stored is None:
            raise SessionNotFoundError(key)
        return stored

    def _selected(self, selection: Selection) -> tuple[_Stored, ...]:
        with self._lock:
            sessions = tuple(self._sessions.values())
        return tuple(stored for stored in sessions if _is_selected(stored, selection))


def _new_header(key: str, channel: str | None, messages: Iterable[Message]) -> Header:
    created_at = min(message.sent_at for message in messages)
    return Header(key=key, channel=channel or channel_of(key), title=None, created_at=created_at)


def _fresh(stored: Sequence[Message], said: Iterable[Draft | Message]) -> tuple[list[Message], list[str]]:
    """Return what is not stored yet, numbered on, and the ids that are taken by other content."""
    known = {message.id: message for message in stored}
    fresh: list[Message] = []
    conflicts: list[str] = []
    for message in said:
        first = known.get(str(message.id))
        if first is None:
            fresh.append(_message(len(known) + 1, message))
            known[fresh[-1].id] = fresh[-1]
        elif not first.says_the_same(message):
            conflicts.append(first.id)
    return fresh, conflicts


def _is_selected(stored: _Stored, selection: Selection) -> bool:
    header, before = stored.header, selection.updated_before
    return (
        selection.prefix is not None
        and header.key.startswith(selection.prefix)
        and selection.channel in (None, header.channel)
        and selection.archived in (None, header.archived)
        and (before is None or stored.summary.updated_at < before)
    )


def _matches(stored: _Stored, search: Search, mode: Mode) -> Iterator[_Match]:
    enough = all if mode == "all" else any
    for message in stored.messages:
        if _is_candidate(message, search):
            counts = _counts(message.text, search.query)
            if counts and enough(counts):
                yield _Match(stored.header.key, message, (sum(map(bool, counts)), sum(counts)))


def _is_candidate(message: Message, search: Search) -> bool:
    return (
        (search.roles is None or message.role in search.roles)
        and (search.since is None or message.sent_at >= search.since)
        and (search.until is None or message.sent_at < search.until)
    )


def _counts(text: str, query: Query) -> list[int]:
    """Return how often each term of the query stands in the text."""
    tokens = tokens_of(text)
    return [len(spans(tokens, term)) for term in query.terms]


def _hits(matches: Sequence[_Match], search: Search, sessions: dict[str, _Stored]) -> Iterator[Hit]:
    match_counts = Counter(match.key for match in matches)
    best = sorted(matches, key=_by_time if search.sort == "recent" else _by_score)
    if search.unit == "session":
        best = list({match.key: match for match in reversed(best)}.values())[::-1]
    for match in best[: search.limit]:
        yield _hit(match, sessions[match.key].summary, search.query, match_counts[match.key])


def _by_time(match: _Match) -> tuple[int, str, int]:
    return -_micros(match.message.sent_at), match.key, match.message.seq


def _by_score(match: _Match) -> tuple[int, int, tuple[int, str, int]]:
    terms, places = match.score
    return -terms, -places, _by_time(match)


def _hit(match: _Match, known: Summary, query: Query, match_count: int) -> Hit:
    text, places = excerpt(match.message.text, query)
    return Hit(
        key=match.key,
        title=known.title,
        channel=known.header.channel,
        updated_at=known.updated_at,
        seq=match.message.seq,
        message_id=match.message.id,
        role=match.message.role,
        excerpt=text,
        highlights=places,
        match_count=match_count,
    )


def _message(seq: int, said: Draft | Message) -> Message:
    return _copy(Message(seq=seq, **{name: getattr(said, name) for name in Draft.__struct_fields__}))


def _receipt(message: Message) -> Receipt:
    return Receipt(seq=message.seq, id=message.id, sent_at=message.sent_at)


def _place(known: Summary) -> Place:
    return Place(known.header.key, _micros(known.updated_at))


def _list_order(stored: _Stored) -> tuple[int, str]:
    return -_micros(stored.summary.updated_at), stored.header.key


def _without_metadata(known: Summary) -> Summary:
    return msgspec.structs.replace(known, header=msgspec.structs.replace(known.header, metadata={}))


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _copy(value: Kept) -> Kept:
    """Return the value as it comes back from its JSON, so that no caller holds a part of what is stored."""
    return msgspec.json.decode(msgspec.json.encode(value), type=type(value))
