# Made from async_client.py by `make client`: change that one
"""The client: the verbs of `sessions.Sessions`, carried out by a server.

    with Client("http://127.0.0.1:8000", token) as client:
        client.append("cli:default", {"role": "user", "content": "Hello"})

Every verb raises the errors in its docstring and those of every call, all classes of `chatkeep.errors`:

- UnreachableError: no server answers, or the answer is not Chatkeep's.
- UnauthorizedError: the token is bad. ForbiddenError: the token lacks a right. RateLimitedError: a limit is met.
- BusyError: the session stays locked. StorageError: the server's disk refuses.
- InvalidKeyError: the key breaks a rule. InvalidError: another value does.

The client gives every message its id before the first attempt. So it repeats an append with a key, a few times, when
the connection breaks or the server is busy; the server stores the message once. After a rate limit the client waits
for the pause in `Retry-After` and sends the call again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from datetime import date
from typing import Final, Self

import httpx

from chatkeep.client import queries
from chatkeep.client.calls import session_calls as calls
from chatkeep.client.exchange import LIMIT_WAIT_S, ChatEvent
from chatkeep.client.following import CatchingUp
from chatkeep.client.sending import TIMEOUT_S
from chatkeep.client.sync_connection import Connection, Sleep
from chatkeep.client.sync_session_log import SessionLog
from chatkeep.core.feed import Change, Changes
from chatkeep.core.model import (
    Hits,
    KeyPage,
    Merged,
    Page,
    Revision,
    Selection,
    Session,
    Sort,
    Status,
    Summary,
)
from chatkeep.core.paging import LIST_LIMIT_DEFAULT
from chatkeep.core.search.search import Search
from chatkeep.core.stats import PeriodUnit, Stats
from chatkeep.core.usage.spending import UsageQuery, UsageReport
from chatkeep.errors import SessionDamagedError, SessionNotFoundError, StorageError
from chatkeep.wire.chat import ChatAnswer
from chatkeep.wire.events import change_of
from chatkeep.wire.lives import TokenAnswer

_LISTED: Final = Selection()


class Client(SessionLog):
    """The sessions of a server, as far as the token reaches. Close it after use."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        timeout_s: float = TIMEOUT_S,
        limit_wait_s: float = LIMIT_WAIT_S,
        http: httpx.Client | None = None,
        sleep: Sleep = time.sleep,
    ) -> None:
        """Take the server's address and a token. Nothing is sent yet.

        The server may be silent for `timeout_s` seconds. After a rate limit a call waits as `Retry-After` says, for
        `limit_wait_s` seconds in all; with 0 it fails at once. The caller closes `http`, an HTTP client to use.
        `sleep` makes the pauses.
        """
        self._connection = Connection(
            base_url, token, timeout_s=timeout_s, limit_wait_s=limit_wait_s, http=http, sleep=sleep
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, key: str) -> Summary:
        """Return a session without its messages: header, counts, title, preview.

        Raises:
            SessionNotFoundError, SessionDamagedError: when there is none, or nothing of it can be read.
        """
        return self._connection.answer(calls.get(key))

    def read(self, key: str, *, log: bool = False) -> Session:
        """Return a whole session: header and every message that stands, oldest first; with `log`, every line.

        Raises:
            SessionNotFoundError, SessionDamagedError: when there is none, or nothing of it can be read.
        """
        return self._connection.answer(calls.read(key, log=log))

    def read_all(
        self,
        selection: Selection = _LISTED,
        *,
        log: bool = False,
        prefix: str = "",
        on_unread: Callable[[str], None] = lambda _: None,
    ) -> Generator[Session]:
        """Yield whole sessions by key, under a prefix if one is given; `on_unread` gets the keys of unreadable ones.

        Raises:
            StorageError: at the end, when the disk let no session be read.
        """
        count, refusal = 0, None
        for key in (self.keys(selection, prefix=prefix)).keys:
            try:
                session = self.read(key, log=log)
            except SessionNotFoundError:
                continue
            except (SessionDamagedError, StorageError) as error:
                refusal = error if isinstance(error, StorageError) else refusal
                on_unread(key)
            else:
                count += 1
                yield session
        if refusal is not None and not count:
            raise refusal

    def list(
        self,
        selection: Selection = _LISTED,
        *,
        prefix: str = "",
        limit: int = LIST_LIMIT_DEFAULT,
        cursor: str | None = None,
        metadata: bool = False,
    ) -> Page:
        """Return sessions by latest activity, newest first, ties by key; archived ones only if they are selected.

        With a prefix, all keys begin with it. `limit` is 1 to 500; `cursor` is the `next_cursor` of the page
        before. Headers in a list have no metadata unless `metadata` is true: `get` has it.

        Raises:
            InvalidError: for a limit out of range. InvalidCursorError: for a cursor of another list.
        """
        call = calls.sessions(queries.narrowed(selection, prefix), limit=limit, cursor=cursor, metadata=metadata)
        return self._connection.answer(call)

    def keys(
        self, selection: Selection = _LISTED, *, prefix: str = "", limit: int | None = None, cursor: str | None = None
    ) -> KeyPage:
        """Return keys by code point, all of them without a limit; with a prefix, only keys that begin with it.

        Raises:
            InvalidError: for a limit out of range. InvalidCursorError: for a cursor of another list.
        """
        call = calls.keys(queries.narrowed(selection, prefix), limit=limit, cursor=cursor)
        return self._connection.answer(call)

    def search(
        self,
        search: Search | str,
        *,
        prefix: str = "",
        session: str | None = None,
        sort: Sort | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Hits:
        """Return messages for a text, the best of each session, best first.

        No text can fail: no character of it is an operator. `limit` is 1 to 200, 20 if left out; `cursor` goes on after
        a page. A `Search` says more: roles, times, channels, tags. Archived sessions are searched, too.

        Raises:
            InvalidError: for a limit out of range, a text of more than 1000 characters, or a cursor of another search.
        """
        asked = queries.search_of(search, prefix=prefix, session=session, sort=sort, limit=limit, cursor=cursor)
        return Hits(hits=()) if queries.finds_nothing(asked) else self._connection.answer(calls.search(asked))

    def rename(self, key: str, title: str) -> Summary:
        """Give a session a title of 1 to 200 characters.

        Raises:
            SessionNotFoundError, SessionDamagedError: when there is none, or it cannot be read whole.
        """
        return self.revise(key, Revision(title=title))

    def revise(self, key: str, revision: Revision) -> Summary:
        """Change a session's title, marks, tags or metadata, all or nothing; return its new header and counts.

        Raises:
            SessionNotFoundError, SessionDamagedError: when there is none, or it cannot be read whole.
            InvalidError: for a value against a rule, such as metadata over 256 KiB.
        """
        return self._connection.answer(calls.revise(key, revision))

    def delete(self, key: str, *, to_trash: bool | None = None) -> None:
        """Remove a session and every trace of it; a damaged one too. In the trash it can come back.

        Without `to_trash` the settings of the server say.

        Raises:
            SessionNotFoundError: when there is none.
        """
        self._connection.answer(calls.delete(key, to_trash=to_trash))

    def delete_all(self, keys: Iterable[str], *, to_trash: bool | None = None) -> tuple[str, ...]:
        """Remove the existing sessions of these keys, as `delete`; return the removed keys, in order."""
        removed: list[str] = []
        for portion in queries.portions(keys):
            gone = self._connection.answer(calls.delete_all(portion, to_trash=to_trash))
            removed += gone
        return tuple(removed)

    def existing(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Return the keys with a session, in order. Costs one call a key."""
        found: list[str] = []
        for key in dict.fromkeys(keys):
            try:
                self.get(key)
            except SessionNotFoundError:
                continue
            found.append(key)
        return tuple(found)

    def merge(self, session: Session, *, unless_deleted: bool = False) -> Merged:
        """Take in a session: create it, or append its new messages. `conflicts` names ids with other content, left out.

        Raises:
            SessionDeletedError, SessionDamagedError: as in `Store.merge`.
        """
        return self._connection.answer(calls.merge(session, unless_deleted=unless_deleted))

    def token(self) -> TokenAnswer:
        """Return the rights of the client's own token: scopes, prefix, limit."""
        return self._connection.answer(calls.token())

    def chat(self, message: str, *, key: str | None = None, model: str | None = None) -> ChatAnswer:
        """Send a message to the model and return its answer, when both are stored; without a key a session is made.

        The client sends the call once. After an UnreachableError read the session to see the outcome.

        Raises:
            ModelError: when the server has no model, or the model fails; its classes say how.
        """
        return self._connection.answer(calls.chat(message, key=key, model=model))

    def chat_stream(self, message: str, *, key: str | None = None, model: str | None = None) -> Generator[ChatEvent]:
        """Do the same, and yield the answer as it comes: a ChatStart, ChatReasonings, ChatTokens, a ChatDone.

        Closing it before its end stops the model. The server stores the part that came, with a mark.

        Raises:
            ModelError: when the server has no model, or the model fails, also in the middle of an answer.
        """
        with closing(self._connection.chat_events(calls.chat_stream(message, key=key, model=model))) as events:
            yield from events

    def status(self, prefix: str = "") -> Status:
        """Return counts and sizes in bytes of the sessions with keys under the prefix."""
        return self._connection.answer(calls.status(prefix))

    def stats(self, prefix: str = "", *, unit: PeriodUnit = "month", since: date | None = None) -> Stats:
        """Return counts by month or day, by channel and by tag, and the largest sessions.

        Periods from before `since` are left out. Days without `since` are the last 60.
        """
        return self._connection.answer(calls.stats(prefix, unit, since))

    def usage(self, asked: UsageQuery) -> UsageReport:
        """Return the tokens and the cost of answers by day, model, channel, session or tag."""
        return self._connection.answer(calls.usage(asked))

    def changes(self, after: str | None, *, limit: int = LIST_LIMIT_DEFAULT, prefix: str = "") -> Changes:
        """Return at most `limit` changes after a position, oldest first; without one, only the present position.

        `is_known` is false when the position is too old or another server's: read everything again.
        """
        missed = CatchingUp(limit, prefix)
        with closing(self._connection.feed_events(after)) as events:
            for event in events:
                if (answer := missed.answer(event)) is not None:
                    return answer
        raise AssertionError(after)  # a feed has no end

    def events(self, after: str | None = None) -> Generator[Change]:
        """Yield changes from now on, or after a position, without end; after a broken connection it goes on.

        A change of the kind `reset` means a gap in the feed: read everything again.

        Raises:
            UnreachableError: when the server is gone for about a minute.
        """
        with closing(self._connection.feed_events(after)) as events:
            for event in events:
                if (change := change_of(event)) is not None:
                    yield change

    def close(self) -> None:
        """Close the HTTP client, unless it was given."""
        self._connection.close()
