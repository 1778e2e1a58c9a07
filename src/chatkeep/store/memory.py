"""The reference store: sessions in a dictionary, every answer from a scan of all of them.

Tests compare the other stores with it. So it is written to be obviously right and nothing else: one
lock, no index, no cleverness. Its sessions are lost at the end of the process.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import groupby
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from chatkeep.core.digest import Digest, summary
from chatkeep.core.feed import Changes
from chatkeep.core.history.windows import Window, neighbours
from chatkeep.core.keys import channel_of
from chatkeep.core.life.dropping import (
    Chosen,
    Created,
    Dropped,
    Mark,
    NewSession,
    begun,
    chosen_of,
    created,
    dropped,
    dropping_of,
    drops_of,
    kept_of,
    receipt_of,
    replaced,
    replacing,
    standing_lines,
)
from chatkeep.core.model import (
    Appended,
    Draft,
    Header,
    Hits,
    Json,
    KeyPage,
    Merged,
    Message,
    Page,
    Revision,
    Selection,
    Session,
    Status,
    Summary,
    check_reach,
)
from chatkeep.core.paging import Place, cursor_at, place_of, scope_of, selects
from chatkeep.core.search.highlighter import hit_of
from chatkeep.core.search.ranker import Match, Scores, weight
from chatkeep.core.search.ranker import best as best_of
from chatkeep.core.search.search import Search, elsewhere_of, is_enough, names_of, searched_texts
from chatkeep.core.standing import SeqRange, holds, reach, said, standing
from chatkeep.core.stats import (
    LARGEST_SHOWN,
    TAGS_SHOWN,
    ChannelCount,
    Measure,
    PeriodUnit,
    Stats,
    TagCount,
    periods_of,
)
from chatkeep.core.usage.spending import UsageQuery, UsageReport, usage_of
from chatkeep.errors import (
    CountConflictError,
    MessageConflictError,
    MessageNotFoundError,
    SessionDeletedError,
    SessionExistsError,
    SessionNotFoundError,
)
from chatkeep.store.memory_feed import MemoryFeed
from chatkeep.store.merging import fresh_of, merging
from chatkeep.store.plain_search import (
    PlainPages,
    SaidMessage,
    SaidTexts,
    is_candidate,
    matches_in,
    micros_of,
    names_as_message,
    result_of,
)

_Kept = TypeVar("_Kept", Header, Message, dict[str, Json])


class _Stored(Struct, frozen=True):
    """A session: its header, and `messages`, every line of its log."""

    header: Header
    messages: tuple[Message, ...] = ()
    digest: Digest = Digest()
    extra: dict[str, Json] = field(default_factory=dict)

    @property
    def summary(self) -> Summary:
        return summary(self.header, self.digest)

    @property
    def size(self) -> int:
        return len(msgspec.json.encode((self.header, self.messages)))

    def plus(self, fresh: Sequence[Message]) -> _Stored:
        """Return the session with new messages at its end."""
        messages = (*self.messages, *fresh)
        digest = Digest().plus(*messages) if reach(fresh) else self.digest.plus(*fresh)
        return _Stored(self.header, messages, digest, self.extra)


class MemoryStore:
    """A `Store` in memory, for the life of its process."""

    def __init__(self) -> None:
        """Begin without sessions."""
        self._lock = threading.RLock()
        self._sessions: dict[str, _Stored] = {}
        self._deleted: set[str] = set()
        self._feed = MemoryFeed()
        self._pages = PlainPages(secrets.token_bytes(16))

    def append(
        self,
        key: str,
        drafts: Sequence[Draft],
        *,
        channel: str | None = None,
        create: bool = True,
        expect_count: int | None = None,
    ) -> Appended:
        """Store the drafts at the end of the session; return their receipts."""
        with self._lock:
            found = self._sessions.get(key)
            if found is None and not create:
                raise SessionNotFoundError(key)
            count = 0 if found is None else len(found.messages)
            fresh, conflicts = fresh_of(() if found is None else found.messages, drafts)
            if conflicts:
                raise MessageConflictError(conflicts[0])
            if fresh and expect_count is not None and expect_count != count:
                raise CountConflictError(expect_count, count)
            check_reach(fresh)
            stored = (found or _Stored(_new_header(key, channel, fresh))).plus(tuple(map(_copy, fresh)))
            self._sessions[key] = stored
            if fresh:
                self._feed.note("appended" if found else "created", key, fresh)
        by_id = {message.id: message for message in stored.messages}
        return Appended(
            key=key,
            message_count=len(stored.messages),
            stored_count=len(fresh),
            receipts=tuple(receipt_of(by_id[str(draft.id)]) for draft in drafts),
        )

    def drop(self, key: str, lines: Chosen, *, mark: Mark, expect_count: int | None = None) -> Dropped:
        """Take back the chosen lines, by a line of its own."""
        with self._lock:
            log = self._stored(key).messages
            known = next((line for line in log if line.id == mark.id), None)
            if known is not None:
                gone = dropping_of(known)
                found = [line for line in log if holds(gone, line.seq) and not line.is_mark]
                return dropped(key, known, len(log), found if lines.is_few else ())
            if expect_count not in {None, len(log)}:
                raise CountConflictError(expect_count or 0, len(log))
            found = chosen_of(log, lines)
            self.append(key, [mark.dropping(drops_of(lines, found, len(log)))])
            return dropped(key, self._stored(key).messages[-1], len(log) + 1, found if lines.is_few else ())

    def replace(
        self,
        key: str,
        drafts: Sequence[Draft],
        *,
        mark: Mark,
        create: bool = True,
        expect_count: int | None = None,
    ) -> Appended:
        """Replace everything that stands by these drafts, in one append."""
        with self._lock:
            log = () if create and drafts and key not in self._sessions else self._stored(key).messages
            lines = standing_lines(log)
            kept = kept_of(lines, drafts)
            first = kept[-1].seq + 1 if kept else 1
            new = replacing(drafts[len(kept) :], mark, (SeqRange(first, len(log)),) if lines[len(kept) :] else ())
            if new and expect_count not in {None, len(log)}:
                raise CountConflictError(expect_count or 0, len(log))
            if taken := {draft.id for draft in new} & {line.id for line in log}:
                raise MessageConflictError(str(min(taken, key=str)))
            if new:
                self.append(key, new)
            return replaced(key, drafts, kept, self._stored(key).messages[len(log) :], len(log))

    def create(self, new: NewSession) -> Created:
        """Begin a session with its header and first messages."""
        header, messages = begun(new)
        with self._lock:
            if header.key in self._sessions:
                raise SessionExistsError(header.key)
            self._sessions[header.key] = _Stored(_copy(header)).plus(tuple(map(_copy, messages)))
            self._feed.note("created", header.key, messages)
        return created(header, messages)

    def message(self, key: str, message_id: str, *, log: bool = False) -> Message:
        """Return the message with an id."""
        lines = self._stored(key).messages
        for line in lines if log else said(lines):
            if line.id == message_id:
                return line
        raise MessageNotFoundError

    def get(self, key: str) -> Summary:
        """Return the summary of a session."""
        return self._stored(key).summary

    def read(self, key: str, *, log: bool = False) -> Session:
        """Return a whole session as it stands; with `log`, every line of it."""
        stored = self._stored(key)
        session = Session(header=stored.header, messages=stored.messages, extra=stored.extra)
        return session if log else session.as_it_stands()

    def window(
        self, key: str, *, limit: int, before: int | None = None, after: int | None = None, log: bool = False
    ) -> Window:
        """Return at most `limit` neighbouring messages, oldest first; by default the newest."""
        lines = self._stored(key).messages
        return neighbours(lines if log else said(lines), limit=limit, before=before, after=after)

    def list(self, selection: Selection, *, limit: int, cursor: str | None = None, metadata: bool = False) -> Page:
        """Return a page of sessions, latest activity first, ties by key."""
        scope = scope_of("sessions", selection)
        ordered = sorted((_list_order(stored), stored.summary) for stored in self._selected(selection))
        place = None if cursor is None else place_of(cursor, scope)
        rest = [entry for entry in ordered if place is None or entry[0] > (-place.at_us, place.key)]
        shown = [entry for _, entry in rest[:limit]]
        return Page(
            sessions=tuple(shown if metadata else map(_without_metadata, shown)),
            total=len(ordered),
            next_cursor=cursor_at(_place(shown[-1]), scope) if len(rest) > limit else None,
        )

    def keys(self, selection: Selection, *, limit: int | None = None, cursor: str | None = None) -> KeyPage:
        """Return a page of keys by code point, all keys without a limit."""
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
        """Return the best messages for a query, by the rules of `core.search.search`."""
        query = search.query
        sessions, texts = self._searched(search)
        found = whole = matches_in(texts, query, query.terms, needed=len(query.terms))
        terms = query.terms
        if not is_enough(search, len(whole), len({match.session for match in whole})) and query.relaxed != terms[:1]:
            terms = query.relaxed
            places = {(match.session, match.seq) for match in whole}
            some = matches_in(texts, query, terms, needed=1)
            found = [match for match in some if match.seq or (match.session, match.seq) in places]
        weights = [weight(sum(one.has(term) for _, _, one in texts), len(texts)) for term in terms]
        places = {(match.session, match.seq) for match in whole}
        scores = Scores(found, weights)
        are_whole = [(match.session, match.seq) in places for match in found]
        every = best_of(
            found,
            [scores.of(match) for match in found],
            are_whole,
            msgspec.structs.replace(search, limit=len(found)),
            lambda keys: {key: str(key) for key in keys},
        )
        ranked, next_cursor = self._pages.page(search, {result_of(search, found[place]): place for place in every})
        best = [found[place] for place in ranked]
        counts = Counter(match.session for match in found if match.seq)
        hits = []
        for match in best:
            stored = sessions[str(match.session)]
            shown = match.seq or _seq_shown(stored, [one for one in found if one.session == match.session])
            message = stored.messages[shown - 1] if shown else None
            hits.append(hit_of(stored.summary, message, search, counts[match.session]))
        is_all = all(are_whole[place] for place in ranked)
        elsewhere = None if hits or search.cursor is not None else elsewhere_of(search, self._count)
        return Hits(hits=tuple(hits), mode="all" if is_all else "any", elsewhere=elsewhere, next_cursor=next_cursor)

    def _searched(self, search: Search) -> tuple[dict[str, _Stored], Sequence[SaidMessage]]:
        """Return the sessions that a search looks at, and their messages with the searched texts."""
        selected = {stored.header.key: stored for stored in self._selected(search.selection)}
        sessions = {key: stored for key, stored in selected.items() if search.session in (None, key)}
        texts = [
            (key, message, SaidTexts(searched_texts(message, search)))
            for key, stored in sessions.items()
            for message in standing(stored.messages)
            if is_candidate(message, search)
        ]
        if search.covers_names:
            texts += [
                (key, names_as_message(stored.header), SaidTexts(names_of(stored.header)))
                for key, stored in sessions.items()
            ]
        return sessions, texts

    def _count(self, search: Search) -> int:
        terms = search.query.terms
        found = matches_in(self._searched(search)[1], search.query, terms, needed=len(terms))
        return sum(match.seq > 0 for match in found)

    def revise(self, key: str, revision: Revision) -> Summary:
        """Change a session's header, atomically; return the new summary."""
        with self._lock:
            stored = self._stored(key)
            revised = msgspec.structs.replace(stored, header=_copy(revision.applied_to(stored.header)))
            self._sessions[key] = revised
            self._feed.note("revised", key)
        return revised.summary

    def delete(self, key: str) -> None:
        """Delete a session."""
        with self._lock:
            self._stored(key)
            del self._sessions[key]
            self._deleted.add(key)
            self._feed.note("deleted", key)

    def is_deleted(self, key: str) -> bool:
        """Tell whether a session was deleted here."""
        return key in self._deleted

    def merge(self, session: Session, *, unless_deleted: bool = False) -> Merged:
        """Add a session from elsewhere: create it, or append its messages with new ids."""
        key = session.header.key
        with self._lock:
            if unless_deleted and key in self._deleted:
                raise SessionDeletedError(key)
            self._deleted.discard(key)
            found = self._sessions.get(key)
            stored = found or _Stored(_copy(session.header), extra=_copy(session.extra))
            by_id = {message.id: message for message in stored.messages}
            lines, conflicts, moves = merging(session.messages, by_id, len(stored.messages))
            fresh = tuple(map(_copy, lines))
            self._sessions[key] = stored.plus(fresh)
            if fresh or found is None:
                self._feed.note("appended" if found else "created", key, fresh)
        return Merged(
            created=found is None,
            added_count=len(fresh),
            skipped_count=len(session.messages) - len(fresh) - len(conflicts),
            conflicts=conflicts,
            moves=moves,
        )

    def status(self, prefix: str = "") -> Status:
        """Return counts and sizes of the sessions under a prefix."""
        sessions = self._selected(Selection(prefixes=(prefix,), archived=None))
        channels = sorted(stored.header.channel for stored in sessions)
        return Status(
            session_count=len(sessions),
            message_count=sum(stored.digest.message_count for stored in sessions),
            size_bytes=sum(stored.size for stored in sessions),
            channels={channel: len(list(same)) for channel, same in groupby(channels)},
            problems={},
        )

    def stats(self, prefix: str = "", *, unit: PeriodUnit = "month", since: date | None = None) -> Stats:
        """Return statistics of the sessions under a prefix: over time, by channel and tag, and the largest."""
        return _stats_of(self._selected(Selection(prefixes=(prefix,), archived=None)), unit, since)

    def usage(self, asked: UsageQuery) -> UsageReport:
        """Return the tokens and the cost of answers by group."""
        chosen = (stored for stored in self._selected(asked.selection) if asked.session in (None, stored.header.key))
        return usage_of(((stored.summary, stored.messages) for stored in chosen), asked)

    def changes(self, after: str | None, *, limit: int, prefix: str = "") -> Changes:
        """Return the changes after a position, oldest first; without a position, only the present one."""
        with self._lock:
            return self._feed.changes(after, limit=limit, prefix=prefix, known=self._known)

    def close(self) -> None:
        """Do nothing: there are no resources to release."""

    @property
    def is_told(self) -> bool:
        """Whether other processes can see every change; none ever can."""
        return False

    def warm_up(self) -> None:
        """Do nothing: all is in memory."""

    def _known(self, key: str) -> Summary | None:
        stored = self._sessions.get(key)
        return None if stored is None else _without_metadata(stored.summary)

    def _stored(self, key: str) -> _Stored:
        with self._lock:
            stored = self._sessions.get(key)
        if stored is None:
            raise SessionNotFoundError(key)
        return stored

    def _selected(self, selection: Selection) -> tuple[_Stored, ...]:
        with self._lock:
            sessions = tuple(self._sessions.values())
        return tuple(stored for stored in sessions if selects(selection, stored.summary))


def _stats_of(sessions: Sequence[_Stored], unit: PeriodUnit, since: date | None) -> Stats:
    created = Counter(stored.header.created_at.date() for stored in sessions)
    days = Counter(message.sent_at.date() for stored in sessions for message in said(stored.messages))
    tags = Counter(tag for stored in sessions for tag in set(stored.header.tags))
    channels = {stored.header.channel for stored in sessions}
    counts = [
        _channel_count(name, [one for one in sessions if one.header.channel == name]) for name in sorted(channels)
    ]
    measures = sorted(map(_measure, sessions), key=lambda one: one.key)
    return Stats(
        session_count=len(sessions),
        message_count=sum(one.message_count for one in measures),
        size_bytes=sum(one.size_bytes for one in measures),
        unit=unit,
        periods=periods_of(created, days, unit, since),
        channels=tuple(sorted(counts, key=lambda one: -one.session_count)),
        tags=tuple(
            TagCount(tag=tag, session_count=count)
            for tag, count in sorted(tags.items(), key=lambda one: (-one[1], one[0]))[:TAGS_SHOWN]
        ),
        largest=tuple(sorted(measures, key=lambda one: -one.size_bytes)[:LARGEST_SHOWN]),
        longest=tuple(sorted(measures, key=lambda one: -one.message_count)[:LARGEST_SHOWN]),
    )


def _new_header(key: str, channel: str | None, messages: Iterable[Message]) -> Header:
    created_at = min(message.sent_at for message in messages)
    return Header(key=key, channel=channel or channel_of(key), title=None, created_at=created_at)


def _seq_shown(stored: _Stored, matches: Sequence[Match]) -> int:
    """Return the seq of the message that a session found by its names shows, 0 without messages."""
    newest = max(((match.at, match.seq) for match in matches if match.seq), default=None)
    if newest is not None:
        return newest[1]
    return next((one.seq for one in said(stored.messages) if one.seq >= stored.digest.title_seq), 0)


def _channel_count(channel: str, sessions: Sequence[_Stored]) -> ChannelCount:
    return ChannelCount(
        channel=channel,
        session_count=len(sessions),
        message_count=sum(stored.digest.message_count for stored in sessions),
        size_bytes=sum(stored.size for stored in sessions),
    )


def _measure(stored: _Stored) -> Measure:
    return Measure(
        key=stored.header.key,
        title=stored.summary.title,
        message_count=stored.digest.message_count,
        size_bytes=stored.size,
    )


def _place(known: Summary) -> Place:
    return Place(known.header.key, micros_of(known.updated_at))


def _list_order(stored: _Stored) -> tuple[int, str]:
    return -micros_of(stored.summary.updated_at), stored.header.key


def _without_metadata(known: Summary) -> Summary:
    return msgspec.structs.replace(known, header=msgspec.structs.replace(known.header, metadata={}))


def _copy(value: _Kept) -> _Kept:
    """Return a deep copy by way of JSON, so that no caller can change a stored value."""
    return msgspec.json.decode(msgspec.json.encode(value), type=type(value))
