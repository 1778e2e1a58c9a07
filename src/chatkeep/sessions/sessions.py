"""The use cases: all operations on sessions, the same behind every interface.

`Sessions` adds to a store the rules common to all backends: checks of input, ids and times for messages without them,
and confinement. A confined `Sessions` sees only the keys under one prefix; to it, no other session exists. Its verbs
and errors are those of `store.protocol.Store`, and `chatkeep.client.Client` shares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from functools import partial
from typing import Final

import msgspec

from chatkeep.core.checks import check_channel, check_name
from chatkeep.core.feed import Changes
from chatkeep.core.history.windows import Window, fitting
from chatkeep.core.keys import composed
from chatkeep.core.life.compacting import Compacted
from chatkeep.core.life.dropping import (
    Chosen,
    Created,
    Dropped,
    Mark,
    NewSession,
    check_lines,
    forked,
)
from chatkeep.core.life.incoming import checked_message, checked_new, checked_revision
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
from chatkeep.core.paging import LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, check_limit
from chatkeep.core.search.search import Search
from chatkeep.core.stats import PeriodUnit, Stats
from chatkeep.core.usage.spending import USAGE_LIMIT_MAX, UsageQuery, UsageReport
from chatkeep.errors import ForbiddenError, SessionNotFoundError
from chatkeep.sessions.arrivals import Arrivals
from chatkeep.sessions.asking import check_batch, check_bounds, check_count, check_replaced, made_key
from chatkeep.sessions.attachments import Attachments
from chatkeep.sessions.confinement import Confinement
from chatkeep.sessions.figures import changes_within, stats_within, status_within
from chatkeep.sessions.message_ids import MessageIds, completed, completed_mark, now_utc
from chatkeep.sessions.trash_can import TrashCan
from chatkeep.store.protocol import OwnStore
from chatkeep.store.substituting import Replacement, replaced_in
from chatkeep.store.whole import whole_sessions

_KEYS_AT_ONCE: Final = 1000  # keys fetched at a time


class Sessions:
    """All operations on the sessions of a store, or on those under one prefix of keys."""

    def __init__(
        self,
        store: OwnStore,
        *,
        now: Callable[[], datetime] = now_utc,
        new_id: Callable[[datetime], str] | None = None,
        prefix: str = "",
        reach: Confinement = Confinement(),  # noqa: B008 - an immutable value
    ) -> None:
        """Take the store, the clock, the maker of message ids, and the reach, narrowed to the keys under a prefix."""
        self._store = store
        self._now = now
        self._new_id = MessageIds() if new_id is None else new_id
        self._reach = msgspec.structs.replace(reach, prefix=composed(prefix)) if prefix else reach

    def confined(self, prefix: str, *, may_drop: bool = True) -> Sessions:
        """Return these use cases confined to `prefix`, which can only narrow the current prefix.

        Without `may_drop` they only append: what was said stands.

        Raises:
            ForbiddenError: when `prefix` lies outside the current one.
        """
        prefix = composed(prefix)
        if not prefix.startswith(self._reach.prefix):
            raise ForbiddenError(f"Confined to keys that begin with {self._reach.prefix!r}.")
        return self._reaching(prefix=prefix, may_drop=may_drop and self._reach.may_drop)

    def at(self, moment: datetime, new_id: Callable[[datetime], str]) -> Sessions:
        """Return these use cases at an earlier moment, with the ids chosen then."""
        return Sessions(self._store, now=lambda: moment, new_id=new_id, reach=self._reach)

    @property
    def naming(self) -> Sessions:
        """These use cases, with the names of attachments in the messages that they read."""
        return self._reaching(puts_back=False)

    @property
    def attachments(self) -> Attachments:
        """The attachments of the sessions within reach."""
        return Attachments(self._store, self._reach)

    @property
    def may_drop(self) -> bool:
        """Whether messages may drop earlier ones."""
        return self._reach.may_drop

    @property
    def prefix(self) -> str:
        """The prefix of all keys within reach."""
        return self._reach.prefix

    def new_id(self) -> str:
        """Return a new message id, greater than all earlier ones."""
        return self._new_id(self._now())

    def new_key(self) -> str:
        """Return a key for a new session.

        Raises:
            InvalidKeyError: when the prefix leaves no room for one.
        """
        return made_key(self._reach.prefix)

    def now(self) -> datetime:
        """Return the time by this object's clock."""
        return self._now()

    def append(
        self,
        key: str | None,
        drafts: Sequence[Draft],
        *,
        channel: str | None = None,
        create: bool = True,
        expect_count: int | None = None,
    ) -> Appended:
        """Store 1 to 1000 messages at the end of a session, all or none.

        With `key` None a key is made. Missing ids and times are filled in. `expect_count` counts the lines of the log.

        Raises:
            InvalidError: when the number of messages is out of range, or a message or the key breaks a rule.
            TooLargeError: when a message is larger than 16 MiB.
            ForbiddenError: when the key lies outside the prefix, or a message drops others and may not.
            SessionNotFoundError, MessageConflictError, CountConflictError, SessionDamagedError, BusyError,
            StorageError: as in `Store.append`.
        """
        check_batch(drafts)
        check_count(expect_count)
        key = self._reach.writable(self.new_key() if key is None else key)
        channel = None if channel is None else check_channel(channel)
        self._reach.check_may_drop(drafts)
        complete = [self._completed(draft) for draft in self.attachments.checked(drafts)]
        return self._store.append(key, complete, channel=channel, create=create, expect_count=expect_count)

    def drop(
        self,
        key: str,
        lines: Chosen,
        *,
        mark: Mark = Mark(),  # noqa: B008 - an immutable value
        expect_count: int | None = None,
    ) -> Dropped:
        """Take back the chosen lines; what a mark lacks is filled in.

        Raises:
            InvalidError: when the choice, the mark or the number breaks a rule.
            ForbiddenError: when messages may not drop others here.
            MessageNotFoundError, MessageConflictError, CountConflictError, SessionNotFoundError, SessionDamagedError,
            BusyError, StorageError: as in `Store.drop`.
        """
        own = self._reach.own(key)
        check_lines(lines)
        check_count(expect_count)
        self._reach.check_may_drop()
        return self._store.drop(
            own, lines, mark=completed_mark(mark, self._now(), self._new_id), expect_count=expect_count
        )

    def replace(
        self,
        key: str,
        drafts: Sequence[Draft],
        *,
        create: bool = True,
        mark: Mark = Mark(),  # noqa: B008 - an immutable value
        expect_count: int | None = None,
    ) -> Appended:
        """Replace everything that stands by at most 10,000 messages, in one append; create a missing session.

        The messages that begin both alike stay. A draft without an id is like a message with the same content.

        Raises:
            InvalidError: when there are too many messages, or a message, the mark or the key breaks a rule.
            ForbiddenError: when the key lies outside the prefix, or messages may not drop others here.
            SessionNotFoundError: when there is no such session, and `create` is false or there are no messages.
            MessageConflictError, CountConflictError, SessionDamagedError, BusyError, StorageError: as in
            `Store.replace`.
        """
        own = self._reach.writable(key)
        check_replaced(drafts)
        check_count(expect_count)
        self._reach.check_may_drop()
        complete = [self._completed(draft) for draft in self.attachments.checked(drafts)]
        mark = completed_mark(mark, self._now(), self._new_id)
        new = Replacement(given=drafts, complete=complete, mark=mark, create=create, expect_count=expect_count)
        return replaced_in(self._store, own, new)

    def create(self, new: NewSession) -> Created:
        """Begin a session with its header and at most 10,000 messages; without a key one is made.

        Raises:
            InvalidError, TooLargeError: when a value or a message breaks a rule.
            ForbiddenError: when the key lies outside the prefix, or a message drops others and may not.
            SessionExistsError, MessageConflictError, StorageError: as in `Store.create`.
        """
        check_replaced(new.messages, drops=True)
        self._reach.check_may_drop(new.messages)
        key = self._reach.writable(self.new_key() if new.key is None else new.key)
        checked = checked_new(msgspec.structs.replace(new, key=key))
        created_at = checked.created_at or (None if new.messages else self._now())
        given = self.attachments.checked(new.messages)
        messages = tuple(self._completed(one) if isinstance(one, Draft) else checked_message(one) for one in given)
        return self._store.create(msgspec.structs.replace(checked, created_at=created_at, messages=messages))

    def fork(self, key: str, *, seq: int | None = None, new_key: str | None = None) -> Created:
        """Begin a session with what stands of another one, up to a seq; its metadata tell so in `forked_from`.

        Its messages keep ids and times, and are numbered anew. Without a seq it gets all, without a key one is made.

        Raises:
            MessageNotFoundError: when the session has no line with this seq.
            InvalidKeyError, ForbiddenError: when the new key breaks a rule, or lies outside the prefix.
            SessionExistsError, StorageError, SessionNotFoundError, SessionDamagedError: as in `read` and `create`.
        """
        source = self._store.read(self._reach.own(key), log=True)
        target = self._reach.writable(self.new_key() if new_key is None else new_key)
        return self._store.create(forked(source, seq, target, self._now()))

    def message(self, key: str, message_id: str, *, log: bool = False) -> Message:
        """Return the message with an id that stands; with `log`, a line of any kind.

        Raises:
            InvalidError: when no message can have the id. Others are those of `Store.message`.
        """
        check_name("id", message_id)
        (message,) = self.attachments.put_back([self._store.message(self._reach.own(key), message_id, log=log)])
        return message

    def get(self, key: str) -> Summary:
        """Return the summary of a session."""
        return self._store.get(self._reach.own(key))

    def size_of(self, key: str) -> int:
        """Return the bytes of a session, as `OwnStore.size_of` does."""
        return self._store.size_of(self._reach.own(key))

    def read(self, key: str, *, log: bool = False) -> Session:
        """Return a whole session as it stands; with `log`, every line of it."""
        return self.attachments.whole(self._store.read(self._reach.own(key), log=log))

    def read_all(
        self, selection: Selection, *, log: bool = False, on_unread: Callable[[str], None] = lambda _: None
    ) -> Iterator[Session]:
        """Yield whole sessions by key, each as `read` does, without those deleted meanwhile or unreadable.

        `on_unread` gets the key of each unreadable session; `status` names the files without a readable key.

        Raises:
            StorageError: at the end, when the disk refused and no session could be read.
        """
        pages = partial(self.keys, selection, limit=_KEYS_AT_ONCE)
        yield from map(self.attachments.whole, whole_sessions(self._store, pages, log=log, on_unread=on_unread))

    def window(
        self,
        key: str,
        *,
        limit: int | None = None,
        before: int | None = None,
        after: int | None = None,
        max_tokens: int | None = None,
        reasoning: bool = False,
        log: bool = False,
    ) -> Window:
        """Return neighbouring messages, oldest first, as `Store.window`; with `max_tokens` the newest that fit.

        The default limit is 50 messages, with `max_tokens` 500. With `max_tokens`, the models' reasoning is left out
        unless `reasoning` is set. With `log`, lines of every kind count.

        Raises:
            InvalidError: for numbers out of range, and for `after` or `log` together with `max_tokens`.
            SessionNotFoundError, SessionDamagedError: as in `Store.window`.
        """
        own = self._reach.own(key)
        if limit is None:
            limit = LIST_LIMIT_DEFAULT if max_tokens is None else LIST_LIMIT_MAX
        check_limit(limit, LIST_LIMIT_MAX)
        check_bounds({"before": before, "after": after, "max_tokens": max_tokens}, log=log)
        window = self._store.window(own, limit=limit, before=before, after=after, log=log)
        fits = window if max_tokens is None else fitting(window, max_tokens, with_reasoning=reasoning)
        return msgspec.structs.replace(fits, messages=self.attachments.put_back(fits.messages))

    def list(
        self,
        selection: Selection = Selection(),  # noqa: B008 - an immutable value
        *,
        limit: int = LIST_LIMIT_DEFAULT,
        cursor: str | None = None,
        metadata: bool = False,
    ) -> Page:
        """Return sessions by latest activity, newest first, ties by key; with their metadata if `metadata` is set.

        Raises:
            InvalidError: for a limit out of 1..500.
            InvalidCursorError: when the cursor is not from this list.
        """
        check_limit(limit, LIST_LIMIT_MAX)
        return self._store.list(self._reach.within(selection), limit=limit, cursor=cursor, metadata=metadata)

    def keys(
        self,
        selection: Selection = Selection(),  # noqa: B008 - an immutable value
        *,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> KeyPage:
        """Return keys by code point; all of them without a limit.

        Raises:
            InvalidCursorError: when the cursor is not from this list.
        """
        return self._store.keys(self._reach.within(selection), limit=limit, cursor=cursor)

    def search(self, search: Search) -> Hits:
        """Return the hits of a search, as in `core.search.search`; none for a query without terms."""
        if not search.query.terms:
            return Hits(hits=())
        return self._store.search(self.own_search(search))

    def own_search(self, search: Search) -> Search:
        """Return the same search confined to this object's sessions, for use on the whole store."""
        return msgspec.structs.replace(search, selection=self._reach.within(search.selection))

    def rename(self, key: str, title: str) -> Summary:
        """Give a session a title of 1 to 200 characters."""
        return self.revise(key, Revision(title=title))

    def revise(self, key: str, revision: Revision) -> Summary:
        """Change a session's title, marks, tags or metadata, all or none.

        Raises:
            InvalidError: when a value breaks its rule.
            SessionNotFoundError, SessionDamagedError, BusyError, StorageError: as in `Store.revise`.
        """
        return self._store.revise(self._reach.own(key), checked_revision(revision))

    def compact(self, keys: Sequence[str]) -> tuple[Compacted, ...]:
        """Erase the dropped lines of these sessions for good; return what went, session by session.

        Raises:
            ForbiddenError: when messages may not drop others here.
            SessionNotFoundError: when there is no such session; nothing is erased then.
            SessionDamagedError, BusyError, StorageError: as in `Store.compact`.
        """
        self._reach.check_may_drop()
        own = tuple(dict.fromkeys(map(self._reach.own, keys)))
        for key in own:
            self._store.get(key)
        return self._store.compact(own)

    @property
    def trash(self) -> TrashCan:
        """The deleted sessions that can come back."""
        return TrashCan(self._store, self._reach)

    def delete(self, key: str, *, to_trash: bool | None = None) -> None:
        """Remove a session and every trace of it, or move it to the trash; None means as the settings say."""
        self._store.delete(self._reach.own(key), to_trash=self._reach.trash_days > 0 if to_trash is None else to_trash)

    def delete_all(self, keys: Iterable[str], *, to_trash: bool | None = None) -> tuple[str, ...]:
        """Remove the existing sessions of these keys, as `delete` does; return the removed keys, in order."""
        removed = []
        for key in dict.fromkeys(keys):
            try:
                self.delete(key, to_trash=to_trash)
            except SessionNotFoundError:
                continue
            removed.append(key)
        return tuple(removed)

    def existing(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Return the keys with a session."""
        found = []
        for key in dict.fromkeys(keys):
            try:
                found.append(self.get(key).header.key)
            except SessionNotFoundError:
                continue
        return tuple(found)

    def merge(self, session: Session, *, unless_deleted: bool = False) -> Merged:
        """Import a session: create it, or append its new messages; with `unless_deleted` no session deleted here.

        Raises:
            SessionDeletedError: as in `Store.merge`.
            InvalidError, TooLargeError: when the header or a message breaks a rule; nothing is stored then.
            ForbiddenError: when the key lies outside the prefix, or a message drops others and may not.
            SessionDamagedError, BusyError, StorageError: as in `Store.merge`.
        """
        return self.arrivals.merge(session, unless_deleted=unless_deleted)

    @property
    def arrivals(self) -> Arrivals:
        """The imports of many sessions at once."""
        return Arrivals(self._store, self._reach)

    def status(self, prefix: str = "") -> Status:
        """Return counts and sizes of the visible sessions under a prefix."""
        return status_within(self._store, self._reach.within(Selection(prefixes=(prefix,))).prefix)

    def unread_only(self) -> int:
        """Return the number of stored things that cannot be read if no visible session can be; otherwise 0."""
        if self.list(Selection(archived=None), limit=1).total:
            return 0
        return len(self.status().problems)

    def stats(self, prefix: str = "", *, unit: PeriodUnit = "month", since: date | None = None) -> Stats:
        """Return counts of the visible sessions under a prefix, as in `core.stats`.

        `since` leaves out periods beginning before that day. Without it, days are the past 60, today included.
        """
        within = self._reach.within(Selection(prefixes=(prefix,))).prefix
        return stats_within(self._store, within, unit=unit, since=since, today=self._now().date())

    def usage(self, asked: UsageQuery) -> UsageReport:
        """Return the tokens and the cost of the visible sessions' answers by group, as `core.usage` says.

        Raises:
            InvalidError: for a limit out of 1..1000.
            SessionNotFoundError, SessionDamagedError: for a session asked for, as in `Store.get`.
        """
        check_limit(asked.limit, USAGE_LIMIT_MAX)
        session = None if asked.session is None else self.get(asked.session).header.key
        within = msgspec.structs.replace(asked, selection=self._reach.within(asked.selection), session=session)
        return self._store.usage(within)

    def changes(self, after: str | None, *, limit: int = LIST_LIMIT_DEFAULT, prefix: str = "") -> Changes:
        """Return the changes after a position, oldest first, as `Store.changes`.

        At most `limit` changes are examined. The result has the visible ones under the prefix, the position behind all
        examined ones, and the resting position of this view.

        Raises:
            InvalidError: for a limit out of 1..500.
        """
        check_limit(limit, LIST_LIMIT_MAX)
        return changes_within(self._store, after, limit=limit, prefixes=(prefix, self._reach.prefix))

    def sees(self, key: str) -> bool:
        """Tell whether a key is within this object's prefix."""
        return key.startswith(self._reach.prefix)

    @property
    def reach(self) -> Confinement:
        """The keys within reach, and the people."""
        return self._reach

    def _reaching(self, **changes: bool | str) -> Sessions:
        reach = msgspec.structs.replace(self._reach, **changes)
        return Sessions(self._store, now=self._now, new_id=self._new_id, reach=reach)

    def _completed(self, draft: Draft) -> Draft:
        return completed(draft, self._now(), self._new_id)
