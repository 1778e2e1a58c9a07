"""Passages: the model's answer goes to the client while it arrives, and the server records it on the side.

The client gets every answer of the model's server, errors included, as if it had asked that server itself.
Each piece goes out first and is recorded afterwards. Only two pieces wait, each for at most `STORE_WAIT_S`:

- The beginning of an answer waits until the request is stored.
- The end (the last event of a stream, else the last piece) waits until the answer is stored.

So a client at the end of an answer finds it in its session.
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

from chatkeep.core.history.masked_events import MaskedEvents
from chatkeep.core.history.protocols.chat_completions import COMPLETIONS
from chatkeep.core.history.protocols.speaking import ModelProtocol
from chatkeep.core.history.tape.tape import Tape
from chatkeep.errors import ChatkeepError, ModelCutOffError
from chatkeep.http.gate.room import COST, SMALL_BYTES, Room
from chatkeep.http.gate.rules import Pools
from chatkeep.http.streams.last_event import LastEvent
from chatkeep.http.streams.relay import Relay, is_stream, media_type_of, told_headers
from chatkeep.http.streams.responses import until_gone
from chatkeep.model.endings import CLIENT_GONE, ending_of, patiently
from chatkeep.model.hearing import AT_ONCE_BYTES, each_in_its_turn, to_its_end
from chatkeep.model.recording import Held, Recording
from chatkeep.workers.heard import READ_BYTES_MAX, draft_of_tape, heard_answer

Stage = Literal["request", "answer"]
Missed = Callable[[Stage, str], None]
"""Takes the stage of a failed recording, and the code of its error."""

Hold = Callable[[Recording], Awaitable[Held | None]]
"""Stores the request of a recording in another process, and returns its place; None leaves the storing to us."""

STORE_WAIT_S: Final = 2.0  # bound on each wait for the store, so that a slow disk does not hold up the client
_HELD_BYTES_MAX: Final = 1 << 16  # of a last event kept back until it is stored; of a longer one, only its end
_EVENT_END_BYTES: Final = 4  # an event is not read before these
_OK: Final = 200
_NOT_RECORDED: Final = b"x-not-recorded"
UNREADABLE_ANSWER: Final = "unreadable"
"""Says of a call that nothing is recorded: its body has no readable request."""
ASIDE: Final = "side_call"
"""Says the same of a program's call beside its user's conversation."""


class Rooms(Struct, frozen=True):
    """The memory of a recording: for the request until it is stored, and for the growing answer."""

    request: Room | None = None
    answer: Room | None = None
    line: Room | None = None
    """The place of the request in the queue to the store."""

    def leave_line(self) -> None:
        """Give the place back, if there is one."""
        if self.line is not None:
            self.line.give_back()


class Recorder:
    """The recording of a call, for the event loop: its failures are counted, not raised, and its waits are short."""

    def __init__(
        self,
        relay: Relay,
        recording: Recording | str | None,
        threads: Pools,
        missed: Missed,
        rooms: Rooms = Rooms(),  # noqa: B008 - an immutable value
    ) -> None:
        """Take the relay (it runs the tasks), the recording, the threads, the counter of failures, the memory.

        In place of a recording, a text says why there is none; None stands for a call that is never recorded.
        """
        self.relay = relay
        self._rooms = rooms
        self._recording = recording if isinstance(recording, Recording) else None
        self._threads = threads
        self._missed = missed
        self._tape: Tape | None = None
        self._work: asyncio.Task[None] | None = None
        self._failure = recording if isinstance(recording, str) else None
        self._began = time.perf_counter()

    @property
    def key(self) -> str | None:
        """The session with the stored request; None when the request is not stored."""
        return None if self._recording is None else self._recording.key

    @property
    def failure(self) -> str | None:
        """The error code of a request not stored; None when it is stored, or may still be."""
        return self._failure if self.key is None else None

    @property
    def protocol(self) -> ModelProtocol:
        """The protocol of the call."""
        return COMPLETIONS if self._recording is None else self._recording.protocol

    @property
    def is_between_events(self) -> bool:
        """Whether the tape has no unfinished event."""
        return self._tape is None or not self._tape.waiting_bytes

    @property
    def has_heard_all(self) -> bool:
        """Whether the tape has the end of the answer."""
        return self._tape is not None and (self._tape.is_complete or self._tape.has_left_out)

    def begin(self, hold: Hold | None = None) -> None:
        """Start storing the request: through `hold` if it can, else in a thread of this process."""
        if self._recording is not None:
            self._start("request", partial(self._begin, self._recording, hold))
        elif self._rooms.request is not None:
            self._rooms.request.give_back()
            self._rooms.leave_line()

    async def _begin(self, recording: Recording, hold: Hold | None) -> None:
        held = None if hold is None else await hold(recording)
        if held is None:
            await self._threads.compare(patiently, recording.begin)
        else:
            recording.go_on(held)

    async def has_begun(self) -> None:
        """Wait until the request is stored, at most `STORE_WAIT_S`."""
        if self._work is not None:
            await asyncio.wait((self._work,), timeout=STORE_WAIT_S)

    def listen(self, content_type: str) -> None:
        """Start a tape for an answer of this media type."""
        room = self._rooms.answer
        self._tape = (
            None
            if self._recording is None
            else Tape(
                content_type,
                protocol=self.protocol,
                mask=self.relay.mask,
                take_room=room.grow if room else None,
                clock=time.monotonic,
                read_bytes_max=READ_BYTES_MAX,
            )
        )

    async def hear(self, piece: bytes) -> None:
        """Add a piece of the answer to the tape; an answer that the tape fails on passes without its recording."""
        if self._tape is None:
            return
        try:
            if self._tape.waiting_bytes + len(piece) > AT_ONCE_BYTES:
                await to_its_end(self._threads.read(self._tape.add, piece))
            else:
                self._tape.add(piece)
        except Exception as error:  # noqa: BLE001 - the call goes on without its recording
            self._tape = None
            self._missed("answer", type(error).__name__)

    async def finish(self, cut: str | None = None) -> None:
        """Store the answer, once, waiting at most `STORE_WAIT_S`.

        `cut` is the reason of an early end, for an answer without an end of its own.
        """
        tape, recording, self._tape = self._tape, self._recording, None
        if tape is None or recording is None:
            return
        latency_ms = round((time.perf_counter() - self._began) * 1000)

        async def store() -> None:
            await stored()
            if recording.kept is not None:
                await self._threads.write(recording.keep, f"{tape.answer.facts.get('response_id') or ''}")

        async def stored() -> None:
            task = heard_answer(recording, tape, self.relay.mask, latency_ms, cut)
            if task is not None and await self._threads.beside(task, tape.kept) is not None:
                return
            draft = await self._threads.read(draft_of_tape, tape, latency_ms, cut)
            if draft is not None and not await self._threads.write(patiently, partial(recording.is_behind, draft)):
                await self._threads.compare(patiently, partial(recording.finish, draft))

        await asyncio.wait((self._start("answer", store),), timeout=STORE_WAIT_S)

    def _start(self, stage: Stage, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Start the work after the work before it; it runs to its end even if nobody waits for it."""
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
        except Exception as error:  # noqa: BLE001 - the call goes on without its recording
            self._failure = ChatkeepError.code
            self._missed(stage, type(error).__name__)
        self._let_go(stage)

    def _let_go(self, stage: Stage) -> None:
        """Release the memory of a finished stage.

        A small request not stored yet keeps its memory: `finish` tries again. A large one is forgotten.
        """
        self._rooms.leave_line()
        room = self._rooms.request if stage == "request" else self._rooms.answer
        if room is None or self._recording is None:
            return
        if stage == "request" and self._recording.key is None:
            if room.size_bytes <= SMALL_BYTES * COST:
                return
            self._recording.forget()
        room.give_back()

    async def end(self) -> None:
        """Wait for the last work, then release all memory."""
        if self._work is not None:
            await self._work
        for room in (self._rooms.request, self._rooms.answer, self._rooms.line):
            if room is not None:
                room.give_back()


class Passage(Response):
    """A response with the answer of the model's server, sent while it arrives."""

    def __init__(self, ask: Callable[[], Awaitable[httpx2.Response]], recorder: Recorder) -> None:
        """Take the request to the model's server, and the recorder; the recorder already stores the request."""
        super().__init__()
        self._ask = ask
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask the model's server, and send its answer until it ends or the client is gone.

        A client counts as gone when it closes its side of the connection. A model may be silent for minutes,
        and nothing else shows a client's absence meanwhile.
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
            is_gone = has_left or (gone.done() and not gone.cancelled())  # a server shutting down cancels every task
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
            await self._recorder.has_begun()  # so the request is in its session when the client sees the error
            raise
        cut = ModelCutOffError.code
        line = _Line(send)
        try:
            await self._recorder.has_begun()  # so no answer is visible before its request is stored
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
            if not line.has_begun:  # a begun answer stays without its end, so the client's connection breaks too
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
        """Yield a stream's bytes as they arrive, but store the answer before the end of its last event."""
        last = LastEvent(self._recorder.protocol.last_lines)
        held = b""
        try:
            async for came in self._came(answer):
                said, ending = last.part(came)
                if said:
                    yield said
                    await self._recorder.hear(said)
                if ending:
                    passing, held = await self._parted(held, ending)
                    if passing:
                        yield passing
        except httpx2.RequestError:
            if held:
                yield held
            raise
        if rest := last.end():
            await self._recorder.hear(rest)
        if held := held + rest:
            await self._recorder.finish()
            yield held

    async def _parted(self, held: bytes, came: bytes) -> tuple[bytes, bytes]:
        """Record the next bytes of an ending; return the bytes that may pass now, and those still to be held.

        If nothing marks the last event, an event that makes the answer whole is held until more arrives.
        """
        recorder = self._recorder
        passing, held = (held, came) if recorder.is_between_events else (b"", held + came)
        await recorder.hear(came)
        if not recorder.is_between_events:
            size = len(held) - _EVENT_END_BYTES if len(held) > _HELD_BYTES_MAX else 0
            return passing + held[:size], held[size:]
        if recorder.has_heard_all:
            if not recorder.protocol.marks_end:
                return passing, held
            await recorder.finish()
        return passing + held, b""

    async def _whole(self, answer: httpx2.Response) -> AsyncGenerator[bytes]:
        """Yield each piece when the next one arrives, and the last piece when the answer is stored."""
        last = b""
        async for piece in self._came(answer):
            if last:
                yield last
            last = piece
            await self._recorder.hear(piece)
        await self._recorder.finish()
        yield last

    async def _came(self, answer: httpx2.Response) -> AsyncGenerator[bytes]:
        """Yield the arriving bytes, with the key of the model's server masked."""
        masked = MaskedEvents(self._recorder.relay.mask)
        try:
            async for came in each_in_its_turn(answer.aiter_raw()):
                if told := masked.take(came):
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
    """The way to the client; the head leaves with the first piece, so an empty answer may still become an error."""

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
