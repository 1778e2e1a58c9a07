"""The route of events: a stream that ends when its reader, its token or the server does."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from fastapi import Header, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chatkeep.core.feed import Changes
from chatkeep.errors import ChatkeepError
from chatkeep.http.gate.guard import Grant, Guard
from chatkeep.http.gate.rules import Own
from chatkeep.http.streams.followers import Feed
from chatkeep.http.streams.responses import EventStream, SendBytes
from chatkeep.sessions import Sessions

TOKEN_CHECK_S: Final = 1.0

LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="The id of the last event seen; what followed is told first.")
]


async def follow_events(request: Request, sessions: Own, last_event_id: LastEventId = None) -> Response:
    """Follow what changes, as server-sent events; the stream begins with what was missed, and then `ready`."""
    return FeedStream(request.app.state.feed, request.app.state.guard, sessions, last_event_id)


class FeedStream(Response):
    """An answer that holds a place in the feed for as long as it lasts."""

    def __init__(self, feed: Feed, guard: Guard, sessions: Sessions, after: str | None) -> None:
        """Take the feed, who knows the tokens, the sessions of the reader, and the position to go on from."""
        super().__init__()
        self._feed = feed
        self._guard = guard
        self._sessions = sessions
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the reader is gone, its token is no longer what it was, or the server ends it."""
        grant: Grant = scope["state"]["grant"]
        is_head: bool = scope["state"]["is_head"]
        with self._feed.place(grant.token_id, self._guard.address(scope)):
            first = await self._feed.begin(self._sessions, self._after)

            async def write(emit: SendBytes) -> None:
                if not is_head:
                    await self._tell(emit, first, scope)

            await EventStream(write, is_endless=not is_head)(scope, receive, send)

    async def _tell(self, emit: SendBytes, first: Changes, scope: Scope) -> None:
        """Tell what happens for as long as the token is good."""
        parts = [
            asyncio.create_task(self._feed.tell(emit, self._sessions, self._after, first)),
            asyncio.create_task(self._watch(scope)),
        ]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        for part in done:
            part.result()

    async def _watch(self, scope: Scope) -> None:
        """End when the token is revoked, has expired, or is changed."""
        try:
            token = self._guard.find(scope)
            while token == self._guard.find(scope):  # noqa: ASYNC110 - nobody tells when the file changes
                await asyncio.sleep(TOKEN_CHECK_S)
        except ChatkeepError:
            return
