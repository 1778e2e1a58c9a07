"""The route of events: a stream of changes until the reader leaves, the token ends or the server stops."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chatkeep.access.tokens import Token
from chatkeep.core.feed import Changes
from chatkeep.errors import ChatkeepError
from chatkeep.http.gate.binding import InHeader
from chatkeep.http.gate.guard import Grant, Guard
from chatkeep.http.services import Own, ServicesParameter
from chatkeep.http.streams.followers import Feed
from chatkeep.http.streams.responses import EventStream, SendBytes
from chatkeep.sessions.sessions import Sessions

TOKEN_CHECK_S: Final = 1.0  # between two look-ups of the token: a revoked one reads no longer than that

LastEventId = Annotated[
    str | None,
    InHeader("Last-Event-ID", "The id of the last event that you got; the events after it come first."),
]


async def follow_events(services: ServicesParameter, sessions: Own, last_event_id: LastEventId = None) -> Response:
    """Stream changes as server-sent events: first the missed changes, then `ready`, then new changes."""
    return FeedStream(services.feed, services.guard, sessions, last_event_id)


class FeedStream(Response):
    """A response with the events of the feed; it counts as one of the feed's streams until it ends."""

    def __init__(self, feed: Feed, guard: Guard, sessions: Sessions, after: str | None) -> None:
        """Take the feed, the guard with the tokens, the reader's sessions, and the position of its last event."""
        super().__init__()
        self._feed = feed
        self._guard = guard
        self._sessions = sessions
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the reader is gone, its token changes or ends, or the server stops."""
        grant: Grant = scope["state"]["grant"]
        is_head: bool = scope["state"]["is_head"]
        with self._feed.place(grant.token_id, self._guard.address(scope)):
            first = await self._feed.begin(self._sessions, self._after)

            async def write(emit: SendBytes) -> None:
                if not is_head:
                    await self._tell(emit, first, scope)

            await EventStream(write, is_endless=not is_head)(scope, receive, send)

    async def _tell(self, emit: SendBytes, first: Changes, scope: Scope) -> None:
        """Send events while the token is valid and unchanged."""
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
        """Return when the token is revoked, has expired, or has changed since the request was admitted."""
        token: Token = scope["state"]["token"]
        try:
            while token == self._guard.find(scope):  # noqa: ASYNC110 - a change of the file sends no notice
                await asyncio.sleep(TOKEN_CHECK_S)
        except ChatkeepError:
            return
