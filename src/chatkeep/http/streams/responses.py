"""Responses of server-sent events, written while they arise.

Each event leaves at once and whole. After `BEAT_S` of silence the server sends a comment, so that no proxy takes
the silence for the end. A slow reader slows down the writing; no events queue up for it. The connection cuts off
a reader at a standstill (see `http.gate.connection`). A reader gone away ends the writing. A reader counts as gone
when it closes its side of the connection. Nothing else shows its absence while there is nothing to send.

When the server stops, a model's answer may go on for as long as uvicorn waits for requests. Then it is
cancelled, and stores the part received so far. An endless stream ends at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chatkeep.core.sse import COMMENT, EVENT_STREAM_TYPE, Event, event_bytes
from chatkeep.errors import BrokenInputError, ChatkeepError
from chatkeep.model.endings import CLIENT_GONE
from chatkeep.wire import answers, errors

BEAT_S: Final = 15.0  # between two comments in a silent stream
FAREWELL_S: Final = 1.0  # time for a reader to take the end of an answer

_T = TypeVar("_T")

SendBytes = Callable[[bytes], Awaitable[None]]
"""Sends encoded events."""


class EventStream(Response):
    """A response of events from a coroutine; a ChatkeepError of the coroutine becomes the last event, `error`."""

    media_type = EVENT_STREAM_TYPE

    def __init__(self, write: Callable[[SendBytes], Awaitable[None]], *, is_endless: bool = False) -> None:
        """Take the coroutine function writing the events.

        The coroutine is cancelled when its reader is gone; an endless one also when the server stops.
        """
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._write = write
        self._is_endless = is_endless

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until they end or the reader is gone."""
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
            is_gone = has_left or (gone.done() and not gone.cancelled())  # a server shutting down cancels every task
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
    """The way to the reader, and a count of the sends."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sent_count = 0

    async def emit(self, events: bytes) -> None:
        """Send events, and wait until the send buffer has room again."""
        self._sent_count += 1
        await self._send({"type": "http.response.body", "body": events, "more_body": True})

    async def beat(self) -> None:
        """Send a comment after every `BEAT_S` without an event."""
        while True:
            known = self._sent_count
            await asyncio.sleep(BEAT_S)
            if known == self._sent_count:
                await self.emit(COMMENT)


async def until_gone(receive: Receive) -> None:
    """Wait until the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_there(request: Request, waiting: Coroutine[Any, Any, _T]) -> _T:
    """Return the result of a wait; a client that leaves before ends it.

    Raises:
        BrokenInputError: when the client goes away.
    """
    wait, gone = asyncio.create_task(waiting), asyncio.create_task(until_gone(request.receive))
    state = request.scope.setdefault("state", {})
    state["leave"] = gone.cancel
    if state.get("has_left"):
        gone.cancel()
    try:
        await asyncio.wait((wait, gone), return_when=asyncio.FIRST_COMPLETED)
        if not wait.done():
            raise BrokenInputError("The connection was closed before the request had its turn.")
        return wait.result()
    finally:
        wait.cancel()
        gone.cancel()


async def _finish(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the end of the answer; break off the connection of a reader not taking it within `FAREWELL_S`."""
    try:
        async with asyncio.timeout(FAREWELL_S):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        if abort := scope["state"].get("abort"):
            abort()
            await until_gone(receive)
