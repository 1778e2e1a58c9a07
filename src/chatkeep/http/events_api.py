"""The route of events: a stream that ends when its reader, its token or the server does."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Annotated, Final

from fastapi import Header, Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chatkeep.core.feed import Changes
from chatkeep.errors import ChatkeepError
from chatkeep.events import MEDIA_TYPE
from chatkeep.http.access import Own
from chatkeep.http.feed import Feed
from chatkeep.http.guard import Grant, Guard
from chatkeep.sessions import Sessions

TOKEN_CHECK_S: Final = 1.0
SEND_WAIT_S: Final = 60.0
_FAREWELL_S: Final = 1.0

LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="The id of the last event seen; what followed is told first.")
]


async def follow_events(request: Request, sessions: Own, last_event_id: LastEventId = None) -> Response:
    """Follow what changes, as server-sent events; the stream begins with what was missed, and then `ready`."""
    return EventStream(request.app.state.feed, request.app.state.guard, sessions, last_event_id)


class EventStream(Response):
    """An answer that goes on until one of those who have a part in it ends it."""

    media_type = MEDIA_TYPE

    def __init__(self, feed: Feed, guard: Guard, sessions: Sessions, after: str | None) -> None:
        """Take the feed, who knows the tokens, the sessions of the reader, and the position to go on from."""
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._feed = feed
        self._guard = guard
        self._sessions = sessions
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the reader is gone, its token is no longer what it was, or the server ends it."""
        grant: Grant = scope["state"]["grant"]
        with self._feed.place(grant.token_id):
            first = await self._feed.begin(self._sessions, self._after)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if not scope["state"]["is_head"]:
                await self._until_the_end(scope, receive, send, first)
            await _finish(scope, receive, send)

    async def _until_the_end(self, scope: Scope, receive: Receive, send: Send, first: Changes) -> None:
        ended = asyncio.Event()
        scope["state"]["end"] = ended.set
        parts = [
            asyncio.create_task(part)
            for part in (
                self._tell(send, first),
                self._watch(Headers(scope=scope)),
                _until_gone(receive),
                ended.wait(),
            )
        ]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        for part in done:
            part.result()

    async def _tell(self, send: Send, first: Changes) -> None:
        """Send what there is, and end when it is not taken for too long."""
        async with aclosing(self._feed.pieces(self._sessions, self._after, first)) as pieces:
            async for piece in pieces:
                try:
                    async with asyncio.timeout(SEND_WAIT_S):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                except TimeoutError:
                    return

    async def _watch(self, headers: Headers) -> None:
        """End when the token is revoked, has expired, or is changed."""
        try:
            token = self._guard.find(headers)
            while token == self._guard.find(headers):  # noqa: ASYNC110 - nobody tells when the file changes
                await asyncio.sleep(TOKEN_CHECK_S)
        except ChatkeepError:
            return


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _finish(scope: Scope, receive: Receive, send: Send) -> None:
    """End the answer in order; the connection of a reader that does not take even that is broken off."""
    try:
        async with asyncio.timeout(_FAREWELL_S):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        if abort := scope["state"].get("abort"):
            abort()
            await _until_gone(receive)
