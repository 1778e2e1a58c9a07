"""The reference store: sessions in a dictionary, every answer from a scan of all of them.

Tests compare the other stores with it. So it is written to be obviously right and nothing else: one
lock, no index, no cleverness. Its sessions are lost at the end of the process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from functools import partial
from itertools import groupby
from typing import TypeVar

import msgspec

from chatkeep.core.feed import Changes
from chatkeep.core.history.windows import Window, neighbours
from chatkeep.core.keys import channel_of
from chatkeep.core.life.compacting import Compacted, compacted, erasable
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
from chatkeep.core.life.message_rules import check_reach
from chatkeep.core.life.trashing import Trashed, trashed_in
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
)
from chatkeep.core.paging import Place, cursor_at, place_of, scope_of, selects
from chatkeep.core.search.search import Search
from chatkeep.core.standing import SeqRange, holds, said
from chatkeep.core.stats import (
    PeriodUnit,
    Stats,
)
from chatkeep.core.usage.spending import UsageQuery, UsageReport, usage_of
from chatkeep.errors import (
    ChatkeepError,
    CountConflictError,
    MessageConflictError,
    MessageNotFoundError,
    SessionDeletedError,
    SessionExistsError,
    SessionNotFoundError,
)
from chatkeep.store.memory_feed import MemoryFeed
from chatkeep.store.memory_search import MemorySearcher
from chatkeep.store.memory_sessions import MemoryTrash, StoredSession, kept_in_message, no_attachment, stats_of_stored
from chatkeep.store.merging import fresh_of, merged_in_turn, merging
from chatkeep.store.plain_search import (
    micros_of,
)

_Kept = TypeVar("_Kept", Header, Message, dict[str, Json])


class MemoryStore:
    """A `Store` in memory, for the life of its process."""

    def __init__(self) -> None:
        """Begin without sessions."""
        self._lock = threading.RLock()
        self._sessions: dict[str, StoredSession] = {}
        self._deleted: set[str] = set()
        self._feed = MemoryFeed()
        self._trash = MemoryTrash()
        self._searcher = MemorySearcher()

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
            stored = (found or StoredSession(_new_header(key, channel, fresh))).plus(tuple(map(_copy, fresh)))
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
            self._sessions[header.key] = StoredSession(_copy(header)).plus(tuple(map(_copy, messages)))
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

    def size_of(self, key: str) -> int:
        """Return the bytes of a session, as JSON."""
        return self._stored(key).size

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
        return self._searcher.search(search, self._selected)

    def revise(self, key: str, revision: Revision) -> Summary:
        """Change a session's header, atomically; return the new summary."""
        with self._lock:
            stored = self._stored(key)
            revised = msgspec.structs.replace(stored, header=_copy(revision.applied_to(stored.header)))
            self._sessions[key] = revised
            self._feed.note("revised", key)
        return revised.summary

    def compact(self, keys: Sequence[str]) -> tuple[Compacted, ...]:
        """Erase the dropped lines of these sessions for good."""
        return tuple(map(self._compacted, keys))

    def _compacted(self, key: str) -> Compacted:
        with self._lock:
            stored = self._stored(key)
            gone = erasable(stored.messages)
            if gone:
                self._sessions[key] = stored.without(gone)
                self._feed.note("revised", key)
        return compacted(key, gone)

    def delete(self, key: str, *, to_trash: bool = False) -> None:
        """Delete a session, or move it to the trash."""
        with self._lock:
            stored = self._stored(key)
            if to_trash:
                self._trash.put(stored)
            del self._sessions[key]
            self._deleted.add(key)
            self._feed.note("deleted", key)

    def trash(self, prefix: str = "") -> tuple[Trashed, ...]:
        """Return the sessions in the trash, the last deleted first."""
        with self._lock:
            return tuple(self._trash.sessions(prefix))

    def restore(self, key: str, *, trash_id: str | None = None) -> Summary:
        """Bring a session back from the trash."""
        with self._lock:
            found = self._trash.stored(key, trash_id)
            if key in self._sessions:
                raise SessionExistsError(key)
            self._trash.remove([found.id])
            self._sessions[key] = found.session
            self._deleted.discard(key)
            self._feed.note("created", key, found.session.messages)
            return found.session.summary

    def purge(
        self, prefix: str = "", *, keys: Sequence[str] | None = None, before: datetime | None = None
    ) -> tuple[Trashed, ...]:
        """Remove sessions from the trash for good."""
        with self._lock:
            gone = trashed_in(self._trash.sessions(prefix), keys, before)
            self._trash.remove(one.id for one in gone)
        return gone

    blob = staticmethod(no_attachment)
    put_blob = staticmethod(kept_in_message)

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
            stored = found or StoredSession(_copy(session.header), extra=_copy(session.extra))
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

    def merge_all(
        self, sessions: Sequence[Session], *, unless_deleted: bool = False
    ) -> tuple[Merged | ChatkeepError, ...]:
        """Add sessions from elsewhere in order."""
        return merged_in_turn(partial(self.merge, unless_deleted=unless_deleted), sessions)

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
        return stats_of_stored(self._selected(Selection(prefixes=(prefix,), archived=None)), unit, since)

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

    def _stored(self, key: str) -> StoredSession:
        with self._lock:
            stored = self._sessions.get(key)
        if stored is None:
            raise SessionNotFoundError(key)
        return stored

    def _selected(self, selection: Selection) -> tuple[StoredSession, ...]:
        with self._lock:
            sessions = tuple(self._sessions.values())
        return tuple(stored for stored in sessions if selects(selection, stored.summary))


def _new_header(key: str, channel: str | None, messages: Iterable[Message]) -> Header:
    created_at = min(message.sent_at for message in messages)
    return Header(key=key, channel=channel or channel_of(key), title=None, created_at=created_at)


def _place(known: Summary) -> Place:
    return Place(known.header.key, micros_of(known.updated_at))


def _list_order(stored: StoredSession) -> tuple[int, str]:
    return -micros_of(stored.summary.updated_at), stored.header.key


def _without_metadata(known: Summary) -> Summary:
    return msgspec.structs.replace(known, header=msgspec.structs.replace(known.header, metadata={}))


def _copy(value: _Kept) -> _Kept:
    """Return a deep copy by way of JSON, so that no caller can change a stored value."""
    return msgspec.json.decode(msgspec.json.encode(value), type=type(value))
