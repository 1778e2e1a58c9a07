"""Passing an answer of the model's server on while it comes, and recording it beside that.

Whatever the server answers is the answer, errors included, so that clients behave as if they had asked it
themselves. Each piece is passed on before anything else is done with it. Only the beginning of an answer waits
until the request is stored, and its end (the last event of a stream, the last piece of what is not streamed)
until the answer is, neither for long: who has seen the end of an answer finds it in its session.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Final, Literal

import httpx2
from msgspec import Struct
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from chatkeep.core.history.completions import END
from chatkeep.core.history.masked_events import MaskedEvents
from chatkeep.core.history.tape import Tape
from chatkeep.errors import ChatkeepError, ModelCutOffError
from chatkeep.http.gate.room import COST, SMALL_BYTES, Room
from chatkeep.http.gate.rules import Pools
from chatkeep.http.streams.relay import Relay, is_stream, media_type_of, told_headers
from chatkeep.http.streams.responses import until_gone
from chatkeep.model.chat import CLIENT_GONE, ending_of, patiently
from chatkeep.model.recording import Held, Recording

Stage = Literal["request", "answer"]
Missed = Callable[[Stage, str], None]
"""Is told what could not be recorded, and the code of the error that is why."""

Hold = Callable[[Recording], Awaitable[Held | None]]
"""Has the request of a recording stored elsewhere, and returns where; None when it is to be stored here."""

STORE_WAIT_S: Final = 2.0
_TURN_BYTES: Final = 1 << 14  # of an answer, in one turn of the event loop: 30 ms when all of it are small events
_HEARD_AT_ONCE_BYTES: Final = 1 << 16  # of an event; a longer one is read beside the event loop
_LAST_EVENT_BYTES_MAX: Final = 256  # before it has ended: it is `data: [DONE]`, however it is spaced
_OK: Final = 200
_NOT_RECORDED: Final = b"x-not-recorded"
UNREADABLE_ANSWER: Final = "unreadable"
"""Why a request is not recorded that is none."""


class Rooms(Struct, frozen=True):
    """The memory that a recording may take: for the request until it is stored, for the answer as it comes."""

    request: Room | None = None
    answer: Room | None = None


class Recorder:
    """A call's recording as the event loop sees it: nothing of it fails, and nothing is waited for for long."""

    def __init__(
        self,
        relay: Relay,
        recording: Recording | None,
        threads: Pools,
        missed: Missed,
        rooms: Rooms = Rooms(),  # noqa: B008 - an immutable value
    ) -> None:
        """Take who waits for it at the end, what is recorded, None for nothing, where, and who is told of failures."""
        self.relay = relay
        self._rooms = rooms
        self._recording = recording
        self._threads = threads
        self._missed = missed
        self._tape: Tape | None = None
        self._work: asyncio.Task[None] | None = None
        self._failure = None if recording is not None or rooms.request is None else UNREADABLE_ANSWER
        self._began = time.perf_counter()

    @property
    def key(self) -> str | None:
        """The session that holds the request, None when it is not stored."""
        return None if self._recording is None else self._recording.key

    @property
    def failure(self) -> str | None:
        """Why the request is not stored, as the code of an error; None when it is, or may be before long."""
        return self._failure if self.key is None else None

    @property
    def has_heard_all(self) -> bool:
        """Whether the answer has come to its end."""
        return self._tape is not None and self._tape.is_complete

    def begin(self, hold: Hold | None = None) -> None:
        """Begin to have the request stored: by whoever can `hold` it, else here."""
        if self._recording is not None:
            self._start("request", partial(self._begin, self._recording, hold))
        elif self._rooms.request is not None:
            self._rooms.request.give_back()

    async def _begin(self, recording: Recording, hold: Hold | None) -> None:
        held = None if hold is None else await hold(recording)
        if held is None:
            await self._threads.write(patiently, recording.begin)
        else:
            recording.go_on(held)

    async def has_begun(self) -> None:
        """Wait until the request is stored, but not for long."""
        if self._work is not None:
            await asyncio.wait((self._work,), timeout=STORE_WAIT_S)

    def listen(self, content_type: str) -> None:
        """Begin to hear an answer of this media type."""
        room = self._rooms.answer
        self._tape = (
            None
            if self._recording is None
            else Tape(content_type, mask=self.relay.mask, take_room=room.grow if room else None, clock=time.monotonic)
        )

    async def hear(self, piece: bytes) -> None:
        """Take in a piece of the answer."""
        if self._tape is None:
            return
        if self._tape.waiting_bytes + len(piece) > _HEARD_AT_ONCE_BYTES:
            await self._threads.read(self._tape.add, piece)
        else:
            self._tape.add(piece)

    async def finish(self, cut: str | None = None) -> None:
        """Have the answer stored, unless it is; `cut` is what ended it, if the model's server did not."""
        tape, recording, self._tape = self._tape, self._recording, None
        if tape is None or recording is None:
            return
        latency_ms = round((time.perf_counter() - self._began) * 1000)

        def store() -> None:
            tape.close()
            draft = tape.draft(latency_ms, cut)
            if draft is not None:
                recording.finish(draft)

        await asyncio.wait(
            (self._start("answer", partial(self._threads.write, patiently, store)),), timeout=STORE_WAIT_S
        )

    def _start(self, stage: Stage, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Begin the work; it is done even if nobody waits for it."""
        self._work = self.relay.start(self._done(stage, work, self._work))
        return self._work

    async def _done(self, stage: Stage, work: Callable[[], Awaitable[None]], before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before
        try:
            await work()
        except ChatkeepError as error:
            self._failure = error.code
            self._missed(stage, error.code)
        except Exception as error:  # noqa: BLE001 - the call goes on, whatever is wrong with its recording
            self._failure = ChatkeepError.code
            self._missed(stage, type(error).__name__)
        self._let_go(stage)

    def _let_go(self, stage: Stage) -> None:
        """Give the room back of what is stored, or has failed and is too large to be held for another try."""
        room = self._rooms.request if stage == "request" else self._rooms.answer
        if room is None or self._recording is None:
            return
        if stage == "request" and self._recording.key is None:
            if room.size_bytes <= SMALL_BYTES * COST:
                return
            self._recording.forget()
        room.give_back()

    async def end(self) -> None:
        """Give all room back, when nothing is done any more."""
        if self._work is not None:
            await self._work
        for room in (self._rooms.request, self._rooms.answer):
            if room is not None:
                room.give_back()


class Passage(Response):
    """An answer that is passed on as it comes, to whom it reaches."""

    def __init__(self, ask: Callable[[], Awaitable[httpx2.Response]], recorder: Recorder) -> None:
        """Take what asks for the answer, and its recorder, which stores the request meanwhile."""
        super().__init__()
        self._ask = ask
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask, and pass the answer on until it ends or nobody takes it.

        A client that closes its side is gone: a model may be silent for minutes, and nothing else tells of it.
        """
        passing = self._recorder.relay.start(self._pass(send))
        gone = asyncio.create_task(until_gone(receive))
        state = scope.setdefault("state", {})
        state["leave"] = gone.cancel
        if state.get("has_left"):
            gone.cancel()
        try:
            await asyncio.wait((passing, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            has_left = bool(state.get("has_left"))
            is_gone = has_left or (gone.done() and not gone.cancelled())  # a server that ends cancels all there is
            passing.cancel(CLIENT_GONE if is_gone else None)
            gone.cancel()
            await asyncio.gather(passing, gone, return_exceptions=True)
            self._recorder.relay.start(self._recorder.end())
        if not passing.cancelled():
            passing.result()
        elif has_left and (abort := state.get("abort")):
            abort()
            await until_gone(receive)

    async def _pass(self, send: Send) -> None:
        try:
            answer = await self._ask()
        except ChatkeepError:
            await self._recorder.has_begun()  # who is told of an error finds what was asked, too
            raise
        cut = ModelCutOffError.code
        line = _Line(send)
        try:
            await self._recorder.has_begun()  # so nobody has seen an answer to what is not stored
            line.head = {"type": "http.response.start", "status": answer.status_code, "headers": self._told(answer)}
            if is_stream(answer):
                await line.begin()
            if answer.status_code == _OK:
                self._recorder.listen(media_type_of(answer))
            async with aclosing(self._pieces(answer)) as pieces:
                async for piece in pieces:
                    await line.send(piece)
            await self._recorder.finish()
            await line.send(b"", more_body=False)
        except httpx2.RequestError as error:
            if not line.has_begun:  # else it is left without its end, so that the client's connection breaks too
                raise ModelCutOffError(f"the model's server gave no whole answer ({error})") from error
        except asyncio.CancelledError as error:
            cut = ending_of(error)
            raise
        finally:
            await answer.aclose()
            await self._recorder.finish(cut)

    def _pieces(self, answer: httpx2.Response) -> AsyncGenerator[bytes]:
        return self._events(answer) if is_stream(answer) else self._whole(answer)

    async def _events(self, answer: httpx2.Response) -> AsyncGenerator[bytes]:
        """Yield what comes at once; before the last event, which may come in pieces, the answer is stored."""
        held = b""
        async for came in self._came(answer):
            piece = held + came
            end = piece.find(END)
            start = piece.rfind(b"\n", 0, end if end >= 0 else None) + 1
            held = piece[start:] if _may_become_last(piece[start:]) else b""
            if end < 0 and not held:
                start = len(piece)
            said, ending = piece[:start], piece[start + len(held) :]
            if said:
                yield said
                await self._recorder.hear(said)
            if ending:
                await self._recorder.hear(ending)
                if self._recorder.has_heard_all:
                    await self._recorder.finish()
                yield ending
        if held:
            await self._recorder.hear(held)
            await self._recorder.finish()
            yield held

    async def _whole(self, answer: httpx2.Response) -> AsyncGenerator[bytes]:
        """Yield what comes when more does, and the last piece when the answer is stored."""
        last = b""
        async for piece in self._came(answer):
            if last:
                yield last
            last = piece
            await self._recorder.hear(piece)
        await self._recorder.finish()
        yield last

    async def _came(self, answer: httpx2.Response) -> AsyncGenerator[bytes]:
        """Yield what comes, without the key of the model's server."""
        masked = MaskedEvents(self._recorder.relay.mask)
        try:
            async for came in answer.aiter_raw():
                for start in range(0, len(came), _TURN_BYTES):
                    if start:
                        await asyncio.sleep(0)  # others have their turn
                    if told := masked.take(came[start : start + _TURN_BYTES]):
                        yield told
        except httpx2.RequestError:
            if held := masked.end():
                yield held
            raise
        if held := masked.end():
            yield held

    def _told(self, answer: httpx2.Response) -> list[tuple[bytes, bytes]]:
        key, failure = self._recorder.key, self._recorder.failure
        return [
            *told_headers(answer, self._recorder.relay.mask),
            (b"x-accel-buffering", b"no"),
            *([(b"x-session-key", key.encode())] if key is not None else []),
            *([(_NOT_RECORDED, failure.encode())] if failure is not None else []),
        ]


class _Line:
    """Where an answer is sent; it begins with the first piece, so that one without any may still become an error."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.head: Message = {}
        self.has_begun = False

    async def begin(self) -> None:
        if not self.has_begun:
            self.has_begun = True
            await self._send(self.head)

    async def send(self, piece: bytes, *, more_body: bool = True) -> None:
        await self.begin()
        await self._send({"type": "http.response.body", "body": piece, "more_body": more_body})


def _may_become_last(begun: bytes) -> bool:
    """Tell whether an event that has begun may become the last one."""
    if len(begun) > _LAST_EVENT_BYTES_MAX:
        return False
    line = begun.rstrip(b"\r\n")
    is_whole = begun[len(line) :].count(b"\n") > 1
    return bool(line) and not is_whole and (b"data:" + END).startswith(line.replace(b" ", b""))
