"""The use cases: all operations on sessions, the same behind every interface.

`Sessions` adds to a store the rules common to all backends: checks of input, ids and times for messages without them,
and confinement. A confined `Sessions` sees only the keys under one prefix; to it, no other session exists. Its verbs
and errors are those of `store.protocol.Store`, and `chatkeep.client.Client` shares them.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

from chatkeep.core.bounds import BATCH_MAX
from chatkeep.core.checks import (
    check_channel,
    check_metadata,
    check_tags,
    check_title,
)
from chatkeep.core.feed import Changes
from chatkeep.core.history.windows import Window, fitting
from chatkeep.core.keys import KEY_CHARS_MAX, RANDOM_BITS, composed, id_of, number_after, parse_key
from chatkeep.core.model import (
    Appended,
    Draft,
    Header,
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
    check_draft,
    check_extra,
    utc,
)
from chatkeep.core.paging import LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX
from chatkeep.core.search.search import Search
from chatkeep.core.standing import EVENT
from chatkeep.core.stats import DAYS_SHOWN, NO_STATS, PeriodUnit, Stats
from chatkeep.core.usage.spending import USAGE_LIMIT_MAX, UsageQuery, UsageReport
from chatkeep.errors import (
    ForbiddenError,
    InvalidError,
    InvalidKeyError,
    SessionDamagedError,
    SessionNotFoundError,
    StorageError,
)
from chatkeep.store.protocol import OwnStore

_KEYS_AT_ONCE: Final = 1000  # keys fetched at a time


def now_utc() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class MessageIds:
    """A maker of unique ids of 26 characters, each greater than the one before. Safe for threads."""

    def __init__(self) -> None:
        """Begin without a last id."""
        self._lock = threading.Lock()
        self._last = 0

    def __call__(self, at: datetime) -> str:
        """Return a new id."""
        with self._lock:
            self._last = number_after(self._last, at, secrets.randbits(RANDOM_BITS))
            return id_of(self._last)


class Sessions:
    """All operations on the sessions of a store, or on those under one prefix of keys."""

    def __init__(
        self,
        store: OwnStore,
        *,
        now: Callable[[], datetime] = now_utc,
        new_id: Callable[[datetime], str] | None = None,
        prefix: str = "",
        may_drop: bool = True,
    ) -> None:
        """Take the store, the clock and the maker of message ids; `may_drop` lets messages drop earlier ones."""
        self._store = store
        self._now = now
        self._new_id = MessageIds() if new_id is None else new_id
        self._prefix = composed(prefix)
        self._may_drop = may_drop

    def confined(self, prefix: str, *, may_drop: bool = True) -> Sessions:
        """Return these use cases confined to `prefix`, which can only narrow the current prefix.

        Without `may_drop` they only append: what was said stands.

        Raises:
            ForbiddenError: when `prefix` lies outside the current one.
        """
        prefix = composed(prefix)
        if not prefix.startswith(self._prefix):
            raise ForbiddenError(f"Confined to keys that begin with {self._prefix!r}.")
        may_drop = may_drop and self._may_drop
        return Sessions(self._store, now=self._now, new_id=self._new_id, prefix=prefix, may_drop=may_drop)

    def at(self, moment: datetime, new_id: Callable[[datetime], str]) -> Sessions:
        """Return these use cases at an earlier moment, with the ids chosen then."""
        return Sessions(self._store, now=lambda: moment, new_id=new_id, prefix=self._prefix, may_drop=self._may_drop)

    @property
    def may_drop(self) -> bool:
        """Whether messages may drop earlier ones."""
        return self._may_drop

    @property
    def prefix(self) -> str:
        """The prefix of all keys within reach."""
        return self._prefix

    def new_id(self) -> str:
        """Return a new message id, greater than all earlier ones."""
        return self._new_id(self._now())

    def new_key(self) -> str:
        """Return a key for a new session.

        Raises:
            InvalidKeyError: when the prefix leaves no room for one.
        """
        key = f"{self._prefix or 'api:'}{secrets.token_hex(6)}"
        if len(key) > KEY_CHARS_MAX:
            raise InvalidKeyError("give a key: this token's prefix leaves no room to make one")
        return key

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
        if not 1 <= len(drafts) <= BATCH_MAX:
            raise InvalidError("messages", f"must be 1 to {BATCH_MAX}")
        if expect_count is not None and expect_count < 0:
            raise InvalidError("expect_count", "must not be negative")
        key = self.new_key() if key is None else parse_key(key)
        if not key.startswith(self._prefix):
            raise ForbiddenError(f"This token writes only to keys that begin with {self._prefix!r}.")
        channel = None if channel is None else check_channel(channel)
        self._check_may_drop(drafts)
        complete = [self._completed(draft) for draft in drafts]
        return self._store.append(key, complete, channel=channel, create=create, expect_count=expect_count)

    def get(self, key: str) -> Summary:
        """Return the summary of a session."""
        return self._store.get(self._own(key))

    def read(self, key: str, *, log: bool = False) -> Session:
        """Return a whole session as it stands; with `log`, every line of it."""
        return self._store.read(self._own(key), log=log)

    def read_all(
        self, selection: Selection, *, log: bool = False, on_unread: Callable[[str], None] = lambda _: None
    ) -> Iterator[Session]:
        """Yield whole sessions by key, each as `read` does, without those deleted meanwhile or unreadable.

        `on_unread` gets the key of each unreadable session; `status` names the files without a readable key.

        Raises:
            StorageError: at the end, when the disk refused and no session could be read.
        """
        cursor: str | None = None
        count, refusal = 0, None
        while True:
            page = self.keys(selection, limit=_KEYS_AT_ONCE, cursor=cursor)
            for key in page.keys:
                try:
                    session = self._store.read(key, log=log)
                except SessionNotFoundError:
                    continue
                except (StorageError, SessionDamagedError) as error:
                    refusal = error if isinstance(error, StorageError) else refusal
                    on_unread(key)
                else:
                    count += 1
                    yield session
            cursor = page.next_cursor
            if cursor is None:
                break
        if refusal is not None and not count:
            raise refusal

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
        own = self._own(key)
        if limit is None:
            limit = LIST_LIMIT_DEFAULT if max_tokens is None else LIST_LIMIT_MAX
        _check_limit(limit, LIST_LIMIT_MAX)
        if after is not None and max_tokens is not None:
            raise InvalidError("max_tokens", "takes the newest messages: give before, not after")
        if log and max_tokens is not None:
            raise InvalidError("max_tokens", "is for a model, and what was dropped is not: leave out log")
        for name, bound in (("before", before), ("after", after), ("max_tokens", max_tokens)):
            if bound is not None and not 0 <= bound < 1 << 53:
                raise InvalidError(name, "must be a number from 0 to 2^53")
        window = self._store.window(own, limit=limit, before=before, after=after, log=log)
        return window if max_tokens is None else fitting(window, max_tokens, with_reasoning=reasoning)

    def list(
        self,
        selection: Selection = Selection(),  # noqa: B008 - an immutable value
        *,
        limit: int = LIST_LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page:
        """Return sessions by latest activity, newest first, ties by key.

        Raises:
            InvalidError: for a limit out of 1..500.
            InvalidCursorError: when the cursor is not from this list.
        """
        _check_limit(limit, LIST_LIMIT_MAX)
        return self._store.list(self._within(selection), limit=limit, cursor=cursor)

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
        return self._store.keys(self._within(selection), limit=limit, cursor=cursor)

    def search(self, search: Search) -> Hits:
        """Return the hits of a search, as in `core.search.search`; none for a query without terms."""
        if not search.query.terms:
            return Hits(hits=())
        return self._store.search(self.own_search(search))

    def own_search(self, search: Search) -> Search:
        """Return the same search confined to this object's sessions, for use on the whole store."""
        return msgspec.structs.replace(search, selection=self._within(search.selection))

    def rename(self, key: str, title: str) -> Summary:
        """Give a session a title of 1 to 200 characters."""
        return self.revise(key, Revision(title=title))

    def revise(self, key: str, revision: Revision) -> Summary:
        """Change a session's title, marks, tags or metadata, all or none.

        Raises:
            InvalidError: when a value breaks its rule.
            SessionNotFoundError, SessionDamagedError, BusyError, StorageError: as in `Store.revise`.
        """
        return self._store.revise(self._own(key), _checked(revision))

    def delete(self, key: str) -> None:
        """Remove a session and every trace of it."""
        self._store.delete(self._own(key))

    def delete_all(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Remove the existing sessions of these keys; return the removed keys, in order."""
        removed = []
        for key in dict.fromkeys(keys):
            try:
                self.delete(key)
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
        self._check_may_drop(session.messages)
        checked = checked_session(session)
        if not checked.header.key.startswith(self._prefix):
            raise ForbiddenError(f"This token writes only to keys that begin with {self._prefix!r}.")
        return self._store.merge(checked, unless_deleted=unless_deleted)

    def is_deleted(self, key: str) -> bool:
        """Tell whether the session of a key was deleted here, and no import has brought it back."""
        return self._store.is_deleted(parse_key(key))

    def status(self, prefix: str = "") -> Status:
        """Return counts and sizes of the visible sessions under a prefix."""
        within = self._within(Selection(prefixes=(prefix,))).prefix
        if within is None:
            return Status(session_count=0, message_count=0, size_bytes=0, channels={}, problems={})
        return self._store.status(within)

    def unread_only(self) -> int:
        """Return the number of stored things that cannot be read if no visible session can be; otherwise 0."""
        if self.list(Selection(archived=None), limit=1).total:
            return 0
        return len(self.status().problems)

    def stats(self, prefix: str = "", *, unit: PeriodUnit = "month", since: date | None = None) -> Stats:
        """Return counts of the visible sessions under a prefix, as in `core.stats`.

        `since` leaves out periods beginning before that day. Without it, days are the past 60, today included.
        """
        within = self._within(Selection(prefixes=(prefix,))).prefix
        if within is None:
            return msgspec.structs.replace(NO_STATS, unit=unit)
        if unit == "month" or since is not None:
            return self._store.stats(within, unit=unit, since=since)
        today = self._now().date()
        found = self._store.stats(within, unit=unit, since=today - timedelta(days=DAYS_SHOWN - 1))
        past = tuple(period for period in found.periods if period.start <= today)
        return msgspec.structs.replace(found, periods=past)

    def usage(self, asked: UsageQuery) -> UsageReport:
        """Return the tokens and the cost of the visible sessions' answers by group, as `core.usage` says.

        Raises:
            InvalidError: for a limit out of 1..1000.
            SessionNotFoundError, SessionDamagedError: for a session asked for, as in `Store.get`.
        """
        _check_limit(asked.limit, USAGE_LIMIT_MAX)
        session = None if asked.session is None else self.get(asked.session).header.key
        within = msgspec.structs.replace(asked, selection=self._within(asked.selection), session=session)
        return self._store.usage(within)

    def changes(self, after: str | None, *, limit: int = LIST_LIMIT_DEFAULT, prefix: str = "") -> Changes:
        """Return the changes after a position, oldest first, as `Store.changes`.

        At most `limit` changes are examined. The result has the visible ones under the prefix, the position behind all
        examined ones, and the resting position of this view.

        Raises:
            InvalidError: for a limit out of 1..500.
        """
        _check_limit(limit, LIST_LIMIT_MAX)
        within = Selection(prefixes=(prefix, self._prefix)).prefix
        if within is not None:
            return self._store.changes(after, limit=limit, prefix=within)
        found = self._store.changes(after, limit=limit, prefix=self._prefix)
        return msgspec.structs.replace(found, changes=())

    def sees(self, key: str) -> bool:
        """Tell whether a key is within this object's prefix."""
        return key.startswith(self._prefix)

    def _own(self, key: str) -> str:
        parsed = parse_key(key)
        if not parsed.startswith(self._prefix):
            raise SessionNotFoundError(parsed)
        return parsed

    def _within(self, selection: Selection) -> Selection:
        return msgspec.structs.replace(selection, prefixes=(*selection.prefixes, self._prefix)).composed()

    def _completed(self, draft: Draft) -> Draft:
        now = self._now()
        sent_at = now if draft.sent_at is None else utc(draft.sent_at)
        content = "" if draft.content is None and draft.role == EVENT else draft.content
        complete = msgspec.structs.replace(draft, sent_at=sent_at, id=draft.id or self._new_id(now), content=content)
        check_draft(draft if draft.id == "" else complete)
        return complete

    def _check_may_drop(self, messages: Iterable[Draft | Message]) -> None:
        if not self._may_drop and any(message.drops for message in messages):
            raise ForbiddenError("This token lacks the scope 'delete': its messages cannot drop others.")


def checked_session(session: Session) -> Session:
    """Return a session from elsewhere after checking every rule, its key in NFC and its times in UTC.

    Raises:
        InvalidError, TooLargeError: naming the bad value and its message.
    """
    header = checked_header(session.header)
    messages = tuple(_checked_message(message) for message in session.messages)
    return Session(header=header, messages=messages, extra=check_metadata(session.extra))


def checked_header(header: Header) -> Header:
    """Return a header from elsewhere after checking every rule.

    Raises:
        InvalidError: naming the bad value.
    """
    return Header(
        key=parse_key(header.key),
        channel=check_channel(header.channel),
        title=None if header.title is None else check_title(header.title),
        created_at=utc(header.created_at),
        metadata=check_metadata(header.metadata),
        archived=header.archived,
        pinned=header.pinned,
        tags=check_tags(header.tags),
    )


def _checked_message(message: Message) -> Message:
    fields = msgspec.structs.asdict(message)
    seq = fields.pop("seq")
    del fields["extra"]
    try:
        check_draft(Draft(**fields))
        check_extra(message)
        return msgspec.structs.replace(message, sent_at=utc(message.sent_at))
    except InvalidError as error:
        raise InvalidError(f"messages[{seq}].{error.field}", error.reason) from error


def _checked(revision: Revision) -> Revision:
    changes: dict[str, object] = {}
    if isinstance(revision.title, str):
        changes["title"] = check_title(revision.title)
    if isinstance(revision.tags, tuple):
        changes["tags"] = check_tags(revision.tags)
    if isinstance(revision.metadata, dict):
        check_metadata(revision.metadata)
    return msgspec.structs.replace(revision, **changes)


def _check_limit(limit: int, limit_max: int) -> None:
    if not 1 <= limit <= limit_max:
        raise InvalidError("limit", f"must be 1 to {limit_max}")
