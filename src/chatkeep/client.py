"""The Python client: the verbs of `sessions.Sessions`, carried out by a server.

    with Client("http://127.0.0.1:8000", token) as client:
        client.append("cli:default", [Draft(role="user", content="Hello")])

`Client` waits, `AsyncClient` is awaited; what they say over the wire is the same, and stands in
`calls`. Both raise the errors of `errors`, as if the sessions were here, and UnreachableError when
there is no server. Every message gets its id before it is sent, so an append is sent again, a few
times, when the connection breaks or the server is busy, and is stored once all the same. `chat` is
sent once: who gets no answer finds in the session what came of it. Whatever a rate limit refuses is
sent again when the server says that it will pass.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import aclosing, closing
from datetime import date
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx

from chatkeep import calls
from chatkeep.calls import LIMIT_WAIT_S, Call, ChatEvent, Patience
from chatkeep.chat_wire import ChatAnswer
from chatkeep.core.feed import Change, Changes
from chatkeep.core.model import (
    Appended,
    Draft,
    Hits,
    KeyPage,
    Merged,
    Page,
    Revision,
    Selection,
    Session,
    Status,
    Summary,
    Window,
)
from chatkeep.core.paging import LIST_LIMIT_DEFAULT
from chatkeep.core.search import Search
from chatkeep.core.sse import Event
from chatkeep.core.stats import PeriodUnit, Stats
from chatkeep.errors import SessionNotFoundError
from chatkeep.events import change_of
from chatkeep.following import CatchingUp, Following
from chatkeep.sending import TIMEOUT_S, sent, sent_to_follow

_LISTED: Final = Selection()

Answer = TypeVar("Answer")


class Client:
    """The sessions of a server, as far as the token reaches; it is a `store.protocol.Store` too."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        timeout_s: float = TIMEOUT_S,
        limit_wait_s: float = LIMIT_WAIT_S,
        http: httpx.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the server's address and a token; `http` is a connection to use, which stays open.

        A call that a rate limit refuses waits as the server says, for `limit_wait_s` in all: 0 lets it fail at once.
        """
        self._url = base_url.rstrip("/")
        self._token = token
        self._http = httpx.Client(timeout=timeout_s) if http is None else http
        self._owns_http = http is None
        self._sleep = sleep
        self._limit_wait_s = limit_wait_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(
        self,
        key: str | None,
        drafts: Sequence[Draft],
        *,
        channel: str | None = None,
        create: bool = True,
        expect_count: int | None = None,
    ) -> Appended:
        """Store messages at the end of a session, all or none; without a key the server makes one."""
        named = calls.with_ids(drafts)
        return self._do(calls.append(key, named, channel=channel, create=create, expect_count=expect_count))

    def get(self, key: str) -> Summary:
        """Return what is known of a session."""
        return self._do(calls.get(key))

    def read(self, key: str) -> Session:
        """Return a whole session."""
        return self._do(calls.read(key))

    def read_all(self, selection: Selection) -> Iterator[Session]:
        """Yield whole sessions by key; those that are deleted meanwhile are left out."""
        for key in self.keys(selection).keys:
            try:
                session = self.read(key)
            except SessionNotFoundError:
                continue
            yield session

    def window(
        self,
        key: str,
        *,
        limit: int | None = None,
        before: int | None = None,
        after: int | None = None,
        max_tokens: int | None = None,
        reasoning: bool = False,
    ) -> Window:
        """Return neighbouring messages, oldest first; with `max_tokens` the newest that fit."""
        bounds = {"limit": limit, "before": before, "after": after, "max_tokens": max_tokens}
        return self._do(calls.window(key, **bounds, reasoning=reasoning))

    def list(
        self, selection: Selection = _LISTED, *, limit: int = LIST_LIMIT_DEFAULT, cursor: str | None = None
    ) -> Page:
        """Return sessions by latest activity, newest first, ties by key."""
        if selection.prefix is None:
            return Page(sessions=(), total=0, next_cursor=None)
        return self._do(calls.sessions(selection, limit=limit, cursor=cursor))

    def keys(self, selection: Selection = _LISTED, *, limit: int | None = None, cursor: str | None = None) -> KeyPage:
        """Return keys by code point; all of them without a limit."""
        if selection.prefix is None:
            return KeyPage(keys=(), total=0, next_cursor=None)
        return self._do(calls.keys(selection, limit=limit, cursor=cursor))

    def search(self, search: Search) -> Hits:
        """Return what the query finds, as `core.search` describes it."""
        return Hits(hits=()) if calls.finds_nothing(search) else self._do(calls.search(search))

    def rename(self, key: str, title: str) -> Summary:
        """Give a session a title of 1 to 200 characters."""
        return self.revise(key, Revision(title=title))

    def revise(self, key: str, revision: Revision) -> Summary:
        """Change a session's title, marks, tags or metadata, all or nothing."""
        return self._do(calls.revise(key, revision))

    def delete(self, key: str) -> None:
        """Remove a session and every trace of it."""
        self._do(calls.delete(key))

    def delete_all(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Remove the sessions of these keys that exist; return the keys that were removed, in order."""
        return tuple(key for some in calls.portions(keys) for key in self._do(calls.delete_all(some)))

    def existing(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Return those of the keys that have a session."""
        return tuple(key for key in dict.fromkeys(keys) if self._exists(key))

    def merge(self, session: Session) -> Merged:
        """Take in a session from elsewhere: create it, or append the messages it has more."""
        return self._do(calls.merge(session))

    def chat(self, message: str, *, key: str | None = None, model: str | None = None) -> ChatAnswer:
        """Send a message to the model and return its answer, when both are stored; without a key a session is made."""
        return self._do(calls.chat(message, key=key, model=model))

    def chat_stream(
        self, message: str, *, key: str | None = None, model: str | None = None
    ) -> Generator[ChatEvent, None, None]:
        """Do the same, and yield the answer as it comes: a ChatStart, ChatReasonings, ChatTokens, a ChatDone.

        Whoever closes it before it ends stops the model; what came of the answer is stored, marked.
        """
        call = calls.chat_stream(message, key=key, model=model)
        events, patience = calls.ChatEvents(call.key), Patience(call, self._limit_wait_s)
        try:
            while True:
                with self._http.stream(**sent(self._url, self._token, call)) as response:
                    if calls.has_events(response.headers):
                        for piece in response.iter_bytes():
                            yield from events.read(piece)
                        break
                    body, pause_s = response.read(), patience.pause_s(response.status_code, response.headers)
                    if pause_s is None:
                        call.answer(response.status_code, body)
                        break
                self._sleep(pause_s)
        except httpx.TransportError as error:
            raise calls.unreachable(error) from error
        events.end()

    def status(self, prefix: str = "") -> Status:
        """Return counts and sizes of the sessions that the token sees and whose keys begin with the prefix."""
        return self._do(calls.status(prefix))

    def stats(self, prefix: str = "", *, unit: PeriodUnit = "month", since: date | None = None) -> Stats:
        """Return counts over time, by channel and tag, and the largest sessions, as `Sessions.stats` says."""
        return self._do(calls.stats(prefix, unit, since))

    def changes(self, after: str | None, *, limit: int = LIST_LIMIT_DEFAULT, prefix: str = "") -> Changes:
        """Return what changed after a position, oldest first, as `Store.changes`; without one, only the present."""
        told = CatchingUp(limit, prefix)
        with closing(self._follow(after)) as followed:
            for event in followed:
                if (answer := told.answer(event)) is not None:
                    return answer
        raise AssertionError(after)  # a feed has no end

    def events(self, after: str | None = None) -> Generator[Change]:
        """Yield what changes from now on, or after a position, without end; goes on where a connection broke.

        A change of the kind `reset` says that changes cannot be told: what is shown has to be read again.

        Raises:
            ChatkeepError: when the server refuses; UnreachableError when it is gone for about a minute.
        """
        with closing(self._follow(after)) as followed:
            for event in followed:
                if (change := change_of(event)) is not None:
                    yield change

    def close(self) -> None:
        """Close the connection that this client opened."""
        if self._owns_http:
            self._http.close()

    def _exists(self, key: str) -> bool:
        try:
            self.get(key)
        except SessionNotFoundError:
            return False
        return True

    def _follow(self, after: str | None) -> Generator[Event]:
        """Yield the events after a position, without end."""
        following = Following(after, self._limit_wait_s)
        while True:
            try:
                with self._http.stream(**sent_to_follow(self._url, self._token, following)) as response:
                    if response.is_success:
                        for piece in response.iter_bytes():
                            yield from following.read(piece)
                        pause_s = following.pause_s(response.status_code)
                    else:
                        pause_s = following.pause_s(response.status_code, response.headers, response.read())
            except httpx.TransportError:
                pause_s = following.pause_s(None)
            self._sleep(pause_s)

    def _do(self, call: Call[Answer]) -> Answer:
        """Return the answer to a call, sent again as often as it may and needs to be."""
        patience = Patience(call, self._limit_wait_s)
        while True:
            try:
                response = self._http.request(**sent(self._url, self._token, call))
            except httpx.TransportError as error:
                if (pause_s := patience.pause_s(None)) is None:
                    raise calls.unreachable(error) from error
            else:
                if (pause_s := patience.pause_s(response.status_code, response.headers)) is None:
                    return call.answer(response.status_code, response.content)
            self._sleep(pause_s)


class AsyncClient:
    """The same for asynchronous programs."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        timeout_s: float = TIMEOUT_S,
        limit_wait_s: float = LIMIT_WAIT_S,
        http: httpx.AsyncClient | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take the server's address and a token; `http` is a connection to use, which stays open.

        A call that a rate limit refuses waits as the server says, for `limit_wait_s` in all: 0 lets it fail at once.
        """
        self._url = base_url.rstrip("/")
        self._token = token
        self._http = httpx.AsyncClient(timeout=timeout_s) if http is None else http
        self._owns_http = http is None
        self._sleep = sleep
        self._limit_wait_s = limit_wait_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def append(
        self,
        key: str | None,
        drafts: Sequence[Draft],
        *,
        channel: str | None = None,
        create: bool = True,
        expect_count: int | None = None,
    ) -> Appended:
        """Store messages at the end of a session, all or none; without a key the server makes one."""
        named = calls.with_ids(drafts)
        return await self._do(calls.append(key, named, channel=channel, create=create, expect_count=expect_count))

    async def get(self, key: str) -> Summary:
        """Return what is known of a session."""
        return await self._do(calls.get(key))

    async def read(self, key: str) -> Session:
        """Return a whole session."""
        return await self._do(calls.read(key))

    async def read_all(self, selection: Selection) -> AsyncIterator[Session]:
        """Yield whole sessions by key; those that are deleted meanwhile are left out."""
        for key in (await self.keys(selection)).keys:
            try:
                session = await self.read(key)
            except SessionNotFoundError:
                continue
            yield session

    async def window(
        self,
        key: str,
        *,
        limit: int | None = None,
        before: int | None = None,
        after: int | None = None,
        max_tokens: int | None = None,
        reasoning: bool = False,
    ) -> Window:
        """Return neighbouring messages, oldest first; with `max_tokens` the newest that fit."""
        bounds = {"limit": limit, "before": before, "after": after, "max_tokens": max_tokens}
        return await self._do(calls.window(key, **bounds, reasoning=reasoning))

    async def list(
        self, selection: Selection = _LISTED, *, limit: int = LIST_LIMIT_DEFAULT, cursor: str | None = None
    ) -> Page:
        """Return sessions by latest activity, newest first, ties by key."""
        if selection.prefix is None:
            return Page(sessions=(), total=0, next_cursor=None)
        return await self._do(calls.sessions(selection, limit=limit, cursor=cursor))

    async def keys(
        self, selection: Selection = _LISTED, *, limit: int | None = None, cursor: str | None = None
    ) -> KeyPage:
        """Return keys by code point; all of them without a limit."""
        if selection.prefix is None:
            return KeyPage(keys=(), total=0, next_cursor=None)
        return await self._do(calls.keys(selection, limit=limit, cursor=cursor))

    async def search(self, search: Search) -> Hits:
        """Return what the query finds, as `core.search` describes it."""
        return Hits(hits=()) if calls.finds_nothing(search) else await self._do(calls.search(search))

    async def rename(self, key: str, title: str) -> Summary:
        """Give a session a title of 1 to 200 characters."""
        return await self.revise(key, Revision(title=title))

    async def revise(self, key: str, revision: Revision) -> Summary:
        """Change a session's title, marks, tags or metadata, all or nothing."""
        return await self._do(calls.revise(key, revision))

    async def delete(self, key: str) -> None:
        """Remove a session and every trace of it."""
        await self._do(calls.delete(key))

    async def delete_all(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Remove the sessions of these keys that exist; return the keys that were removed, in order."""
        return tuple([key for some in calls.portions(keys) for key in await self._do(calls.delete_all(some))])

    async def existing(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Return those of the keys that have a session."""
        return tuple([key for key in dict.fromkeys(keys) if await self._exists(key)])

    async def merge(self, session: Session) -> Merged:
        """Take in a session from elsewhere: create it, or append the messages it has more."""
        return await self._do(calls.merge(session))

    async def chat(self, message: str, *, key: str | None = None, model: str | None = None) -> ChatAnswer:
        """Send a message to the model and return its answer, when both are stored; without a key a session is made."""
        return await self._do(calls.chat(message, key=key, model=model))

    async def chat_stream(
        self, message: str, *, key: str | None = None, model: str | None = None
    ) -> AsyncGenerator[ChatEvent, None]:
        """Do the same, and yield the answer as it comes: a ChatStart, ChatReasonings, ChatTokens, a ChatDone.

        Whoever closes it before it ends stops the model; what came of the answer is stored, marked.
        """
        call = calls.chat_stream(message, key=key, model=model)
        events, patience = calls.ChatEvents(call.key), Patience(call, self._limit_wait_s)
        try:
            while True:
                async with self._http.stream(**sent(self._url, self._token, call)) as response:
                    if calls.has_events(response.headers):
                        async for piece in response.aiter_bytes():
                            for event in events.read(piece):
                                yield event
                        break
                    body, pause_s = await response.aread(), patience.pause_s(response.status_code, response.headers)
                    if pause_s is None:
                        call.answer(response.status_code, body)
                        break
                await self._sleep(pause_s)
        except httpx.TransportError as error:
            raise calls.unreachable(error) from error
        events.end()

    async def status(self, prefix: str = "") -> Status:
        """Return counts and sizes of the sessions that the token sees and whose keys begin with the prefix."""
        return await self._do(calls.status(prefix))

    async def stats(self, prefix: str = "", *, unit: PeriodUnit = "month", since: date | None = None) -> Stats:
        """Return counts over time, by channel and tag, and the largest sessions, as `Sessions.stats` says."""
        return await self._do(calls.stats(prefix, unit, since))

    async def changes(self, after: str | None, *, limit: int = LIST_LIMIT_DEFAULT, prefix: str = "") -> Changes:
        """Return what changed after a position, oldest first, as `Store.changes`; without one, only the present."""
        told = CatchingUp(limit, prefix)
        async with aclosing(self._follow(after)) as followed:
            async for event in followed:
                if (answer := told.answer(event)) is not None:
                    return answer
        raise AssertionError(after)  # a feed has no end

    async def events(self, after: str | None = None) -> AsyncGenerator[Change]:
        """Yield what changes from now on, or after a position, without end; goes on where a connection broke."""
        async with aclosing(self._follow(after)) as followed:
            async for event in followed:
                if (change := change_of(event)) is not None:
                    yield change

    async def close(self) -> None:
        """Close the connection that this client opened."""
        if self._owns_http:
            await self._http.aclose()

    async def _exists(self, key: str) -> bool:
        try:
            await self.get(key)
        except SessionNotFoundError:
            return False
        return True

    async def _follow(self, after: str | None) -> AsyncGenerator[Event]:
        """Yield the events after a position, without end."""
        following = Following(after, self._limit_wait_s)
        while True:
            try:
                async with self._http.stream(**sent_to_follow(self._url, self._token, following)) as response:
                    if response.is_success:
                        async for piece in response.aiter_bytes():
                            for event in following.read(piece):
                                yield event
                        pause_s = following.pause_s(response.status_code)
                    else:
                        pause_s = following.pause_s(response.status_code, response.headers, await response.aread())
            except httpx.TransportError:
                pause_s = following.pause_s(None)
            await self._sleep(pause_s)

    async def _do(self, call: Call[Answer]) -> Answer:
        """Return the answer to a call, sent again as often as it may and needs to be."""
        patience = Patience(call, self._limit_wait_s)
        while True:
            try:
                response = await self._http.request(**sent(self._url, self._token, call))
            except httpx.TransportError as error:
                if (pause_s := patience.pause_s(None)) is None:
                    raise calls.unreachable(error) from error
            else:
                if (pause_s := patience.pause_s(response.status_code, response.headers)) is None:
                    return call.answer(response.status_code, response.content)
            await self._sleep(pause_s)
