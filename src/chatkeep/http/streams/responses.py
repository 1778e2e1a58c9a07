"""Answers that are streams of server-sent events, written while they come.

Each event leaves at once, whole. While there is none, a comment is sent now and then, so that no proxy takes
the silence for the end. Whoever reads slowly slows down the writing, and nothing is held for them; whoever
does not read at all is cut off by the connection (see `protocol`), and whoever is gone ends the writing: also who
closes its side of the connection, since nothing else tells of that while there is nothing to send.

When the server is told to stop, an answer of the model may still be completed for as long as uvicorn waits
for requests; then it is cancelled, and stores what came of it. A stream without an end of its own ends at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chatkeep.core.sse import COMMENT, EVENT_STREAM_TYPE, Event, event_bytes
from chatkeep.errors import ChatkeepError
from chatkeep.model.chat import CLIENT_GONE
from chatkeep.wire import answers, errors

BEAT_S: Final = 15.0
FAREWELL_S: Final = 1.0

SendBytes = Callable[[bytes], Awaitable[None]]
"""Sends events that are encoded."""


class EventStream(Response):
    """An answer of events that a coroutine writes. An error that it raises becomes the last event, `error`."""

    media_type = EVENT_STREAM_TYPE

    def __init__(self, write: Callable[[SendBytes], Awaitable[None]], *, is_endless: bool = False) -> None:
        """Take what writes the events; it is cancelled when nobody reads them, if endless when the server ends too."""
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._write = write
        self._is_endless = is_endless

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until they end, or nobody reads them."""
        line = _Line(send)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        writing = asyncio.create_task(self._written(line))
        gone, beating = asyncio.create_task(until_gone(receive)), asyncio.create_task(line.beat())
        state = scope["state"]
        state["leave"] = gone.cancel
        if state.get("has_left"):
            gone.cancel()
        if self._is_endless:
            state["end"] = writing.cancel
            if ignore_more := state.get("ignore_more"):
                ignore_more()
        try:
            await asyncio.wait((writing, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            has_left = bool(state.get("has_left"))
            is_gone = has_left or (gone.done() and not gone.cancelled())  # a server that ends cancels all there is
            writing.cancel(CLIENT_GONE if is_gone else None)
            gone.cancel()
            beating.cancel()
            await asyncio.gather(writing, gone, beating, return_exceptions=True)
        if not writing.cancelled():
            writing.result()
        if not is_gone or has_left:
            await _finish(scope, receive, send)

    async def _written(self, line: _Line) -> None:
        try:
            await self._write(line.emit)
        except ChatkeepError as error:
            await line.emit(event_bytes(Event("error", answers.json_bytes(errors.problem(error)))))


class _Line:
    """Where events are sent, and how many were."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sent_count = 0

    async def emit(self, events: bytes) -> None:
        """Send events, and wait until there is room for the next."""
        self._sent_count += 1
        await self._send({"type": "http.response.body", "body": events, "more_body": True})

    async def beat(self) -> None:
        """Send a comment whenever nothing was sent for a while."""
        while True:
            known = self._sent_count
            await asyncio.sleep(BEAT_S)
            if known == self._sent_count:
                await self.emit(COMMENT)


async def until_gone(receive: Receive) -> None:
    """Wait until the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _finish(scope: Scope, receive: Receive, send: Send) -> None:
    """End the answer in order; the connection of a reader that does not take even that is broken off."""
    try:
        async with asyncio.timeout(FAREWELL_S):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        if abort := scope["state"].get("abort"):
            abort()
            await until_gone(receive)
