"""The store on PostgreSQL: every verb of the protocol."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import date, datetime

import psycopg

from chatkeep.core.feed import Changes
from chatkeep.core.history.windows import Window
from chatkeep.core.life.compacting import Compacted
from chatkeep.core.life.dropping import Chosen, Created, Dropped, Mark, NewSession
from chatkeep.core.life.trashing import Trashed
from chatkeep.core.model import (
    Appended,
    Draft,
    Hits,
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
from chatkeep.core.search.search import Search
from chatkeep.core.stats import PeriodUnit, Stats
from chatkeep.core.usage.spending import UsageQuery, UsageReport
from chatkeep.errors import ChatkeepError
from chatkeep.store.memory_sessions import kept_in_message, no_attachment
from chatkeep.store.merging import merged_in_turn
from chatkeep.store.postgres.adding import AppendAsked, append_lines
from chatkeep.store.postgres.answering import SessionReader
from chatkeep.store.postgres.changing import begin_whole, drop_by_mark, merge_session, put_revision, replace_lines
from chatkeep.store.postgres.outbox import changes_after
from chatkeep.store.postgres.removing import (
    bring_back,
    is_deleted_key,
    purge_sessions,
    remove_session,
    trashed_sessions,
)
from chatkeep.store.postgres.tables.migrating import made_ready
from chatkeep.store.postgres.tables.postgres_pool import Postgres
from chatkeep.store.postgres.words.erasing_words import compact_session
from chatkeep.store.postgres.words.postgres_index import found_hits
from chatkeep.store.postgres.words.sealing_rows import Sealer
from chatkeep.store.postgres.words.stored_sets import StoredSets


class PostgresStore:
    """A `Store` in a database of PostgreSQL, which any number of processes may have open."""

    def __init__(self, database: Postgres) -> None:
        """Take an open database with the newest schema."""
        self._database = database
        self._reader = SessionReader(database)
        self._sealer = Sealer(database)
        self._sets: list[StoredSets] = []
        self._lock = threading.Lock()

    @staticmethod
    def open(url: str, *, seals: bool = True) -> PostgresStore:
        """Open the store at an address; an empty database gets its tables.

        Raises:
            BusyError: when the database cannot be reached.
            StorageError: when the schema is another one than this program's.
        """
        database = Postgres(url)
        database.open()
        try:
            made_ready(database)
        except BaseException:
            database.close()
            raise
        store = PostgresStore(database)
        if seals:
            store._sealer.start()
        return store

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
        asked = AppendAsked(key=key, drafts=drafts, channel=channel, create=create, expect_count=expect_count)
        return append_lines(self._database, asked)

    def drop(self, key: str, lines: Chosen, *, mark: Mark, expect_count: int | None = None) -> Dropped:
        """Take back the chosen lines, by a line of its own."""
        return drop_by_mark(self._database, key, lines, mark, expect_count)

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
        asked = AppendAsked(key=key, drafts=drafts, channel=None, create=create, expect_count=expect_count)
        return replace_lines(self._database, asked, mark)

    def create(self, new: NewSession) -> Created:
        """Begin a session with its header and first messages."""
        return begin_whole(self._database, new)

    def message(self, key: str, message_id: str, *, log: bool = False) -> Message:
        """Return the message with an id."""
        return self._reader.message(key, message_id, log=log)

    def get(self, key: str) -> Summary:
        """Return the summary of a session."""
        return self._reader.row(key).summary

    def size_of(self, key: str) -> int:
        """Return the bytes of a session, as JSON."""
        return self._reader.row(key).size

    def read(self, key: str, *, log: bool = False) -> Session:
        """Return a whole session as it stands; with `log`, every line of it."""
        session = self._reader.whole(key)
        return session if log else session.as_it_stands()

    def window(
        self, key: str, *, limit: int, before: int | None = None, after: int | None = None, log: bool = False
    ) -> Window:
        """Return at most `limit` neighbouring messages, oldest first; by default the newest."""
        return self._reader.window(key, limit=limit, before=before, after=after, log=log)

    def list(self, selection: Selection, *, limit: int, cursor: str | None = None, metadata: bool = False) -> Page:
        """Return a page of sessions, latest activity first, ties by key."""
        return self._reader.page(selection, limit=limit, cursor=cursor, metadata=metadata)

    def keys(self, selection: Selection, *, limit: int | None = None, cursor: str | None = None) -> KeyPage:
        """Return a page of keys by code point, all keys without a limit."""
        return self._reader.keys(selection, limit=limit, cursor=cursor)

    def search(self, search: Search) -> Hits:
        """Return the best messages for a query; after its deadline what is a partial answer, without hits."""
        if not search.query.terms:
            return Hits(hits=())
        with self._lock:
            sets = self._sets.pop() if self._sets else StoredSets()
        with self._database.snapshot(search.deadline_s) as db:
            try:
                hits = found_hits(db, sets, search)
            except psycopg.errors.QueryCanceled:
                hits = Hits(hits=(), partial=True)  # what was read stays, so the next search gets further
        with self._lock:
            self._sets.append(sets)
        return hits

    def revise(self, key: str, revision: Revision) -> Summary:
        """Change a session's header, atomically; return the new summary."""
        return put_revision(self._database, key, revision)

    def compact(self, keys: Sequence[str]) -> tuple[Compacted, ...]:
        """Erase the dropped lines of these sessions for good."""
        return tuple(compact_session(self._database, key) for key in keys)

    def delete(self, key: str, *, to_trash: bool = False) -> None:
        """Delete a session, or move it to the trash."""
        remove_session(self._database, key, to_trash=to_trash)

    def trash(self, prefix: str = "") -> tuple[Trashed, ...]:
        """Return the sessions in the trash, the last deleted first."""
        with self._database.borrowed() as db:
            return trashed_sessions(db, prefix)

    def restore(self, key: str, *, trash_id: str | None = None) -> Summary:
        """Bring a session back from the trash."""
        return bring_back(self._database, key, trash_id)

    def purge(
        self, prefix: str = "", *, keys: Sequence[str] | None = None, before: datetime | None = None
    ) -> tuple[Trashed, ...]:
        """Remove sessions from the trash for good."""
        return purge_sessions(self._database, prefix, keys, before)

    blob = staticmethod(no_attachment)
    put_blob = staticmethod(kept_in_message)

    def is_deleted(self, key: str) -> bool:
        """Tell whether a session was deleted here."""
        with self._database.borrowed() as db:
            return is_deleted_key(db, key)

    def merge(self, session: Session, *, unless_deleted: bool = False) -> Merged:
        """Add a session from elsewhere: create it, or append its messages with new ids."""
        return merge_session(self._database, session, unless_deleted=unless_deleted)

    def merge_all(
        self, sessions: Sequence[Session], *, unless_deleted: bool = False
    ) -> tuple[Merged | ChatkeepError, ...]:
        """Add sessions from elsewhere in order."""
        return merged_in_turn(lambda session: self.merge(session, unless_deleted=unless_deleted), sessions)

    def status(self, prefix: str = "") -> Status:
        """Return counts and sizes of the sessions under a prefix."""
        return self._reader.status(prefix)

    def stats(self, prefix: str = "", *, unit: PeriodUnit = "month", since: date | None = None) -> Stats:
        """Return statistics of the sessions under a prefix: over time, by channel and tag, and the largest."""
        return self._reader.stats(prefix, unit, since)

    def usage(self, asked: UsageQuery) -> UsageReport:
        """Return the tokens and the cost of answers by group."""
        return self._reader.usage(asked)

    def changes(self, after: str | None, *, limit: int, prefix: str = "") -> Changes:
        """Return the changes after a position, oldest first; without a position, only the present one."""
        return changes_after(self._database, after, limit=limit, prefix=prefix)

    def close(self) -> None:
        """Close all connections; acknowledged writes stay stored."""
        self._sealer.close()
        self._database.close()

    @property
    def is_told(self) -> bool:
        """Whether other processes can see every change answered here: the database has it."""
        return True

    def warm_up(self) -> None:
        """Do nothing: the database keeps in memory what is asked often."""
