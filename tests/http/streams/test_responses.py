"""Streams of events: whole, at once, no faster than they are read, and over when nobody reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chatkeep.core.sse import Event, event_bytes
from chatkeep.errors import BusyError
from chatkeep.http.streams import responses
from chatkeep.http.streams.responses import EventStream, SendBytes
from chatkeep.model.endings import ending_of

TOKEN = event_bytes(Event("token", b'{"text":"a\\nb"}'))


class Reader:
    """Whoever reads a stream: takes what is sent until it stops, goes away when it is told to."""

    def __init__(self, *, takes: int = 1000) -> None:
        """Take how many pieces are read before it stops."""
        self.read: list[bytes] = []
        self.complete = False
        self.gone = asyncio.Event()
        self.connection: dict[str, Callable[[], object]] = {"abort": self.gone.set}
        self._takes = takes

    async def send(self, message: Any) -> None:  # noqa: ANN401 - as ASGI has it
        """Take a piece."""
        if message["type"] != "http.response.body":
            return
        if len(self.read) == self._takes:
            await asyncio.Event().wait()
        self.read.append(message["body"])
        self.complete = not message["more_body"]

    async def receive(self) -> dict[str, str]:
        """Tell when it is gone."""
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def streamed(reader: Reader, write: Callable[[SendBytes], Awaitable[None]], *, is_endless: bool = False) -> None:
    """Stream to a reader."""
    stream = EventStream(write, is_endless=is_endless)
    await stream({"state": reader.connection}, reader.receive, reader.send)


def test_events_are_sent_whole_and_end() -> None:
    """A line break in the data breaks no event."""

    async def main() -> None:
        reader = Reader()
        await streamed(reader, lambda emit: emit(TOKEN))
        assert [TOKEN, b""] == reader.read
        assert reader.complete

    asyncio.run(main())


def test_error_is_the_last_event() -> None:
    """An error of ours ends the stream as an event, and well."""

    async def main() -> None:
        async def write(emit: SendBytes) -> None:
            await emit(TOKEN)
            raise BusyError

        reader = Reader()
        await streamed(reader, write)
        assert reader.read[1].startswith(
            b'event: error\ndata: {"detail":"The session is busy; try again.","status":503'
        )
        assert reader.complete

    asyncio.run(main())


def test_unforeseen_error_breaks_the_stream_off() -> None:
    """The envelope notes it; the reader sees no end, so it knows that something is missing."""

    async def main() -> None:
        async def write(emit: SendBytes) -> None:
            await emit(TOKEN)
            raise ZeroDivisionError

        reader = Reader()
        with pytest.raises(ZeroDivisionError):
            await streamed(reader, write)
        assert not reader.complete

    asyncio.run(main())


def test_silence_is_filled_with_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no proxy between takes it for the end."""
    monkeypatch.setattr(responses, "BEAT_S", 0.001)

    async def main() -> None:
        reader = Reader()

        async def write(emit: SendBytes) -> None:
            while len(reader.read) < 3:  # noqa: ASYNC110 - what is read is what is tested
                await asyncio.sleep(0.001)
            await emit(TOKEN)

        await streamed(reader, write)
        assert [b":\n\n"] * 3 == reader.read[:3]

    asyncio.run(main())


def test_reader_that_goes_away_stops_the_writing() -> None:
    """At once, wherever the writing waits; who writes learns why."""

    async def main() -> None:
        reader, stopped = Reader(), []

        async def write(emit: SendBytes) -> None:
            await emit(TOKEN)
            reader.gone.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                stopped.append(ending_of(error))
                raise

        await streamed(reader, write)
        assert (["client_gone"], [TOKEN], False) == (stopped, reader.read, reader.complete)

    asyncio.run(main())


def test_reader_that_stops_reading_holds_the_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is gathered for it: the writing waits at the first event that is not taken, until it is gone."""
    monkeypatch.setattr(responses, "BEAT_S", 0.001)

    async def main() -> None:
        reader, written = Reader(takes=2), []

        async def write(emit: SendBytes) -> None:
            for number in range(100):
                written.append(number)
                await emit(TOKEN)

        streaming = asyncio.create_task(streamed(reader, write))
        while len(written) < 3:  # noqa: ASYNC110 - what is written is what is tested
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        assert not streaming.done()
        reader.gone.set()
        await streaming
        assert ([0, 1, 2], False) == (written, reader.complete)

    asyncio.run(main())


async def for_ever(emit: SendBytes) -> None:
    """Write an event, and then nothing."""
    await emit(TOKEN)
    await asyncio.Event().wait()


@pytest.mark.parametrize("takes", [1, 1000])
def test_server_that_ends_ends_what_is_endless(takes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order; the connection of a reader that does not take even that is broken off."""
    monkeypatch.setattr(responses, "FAREWELL_S", 0.01)

    async def main() -> None:
        reader = Reader(takes=takes)
        streaming = asyncio.create_task(streamed(reader, for_ever, is_endless=True))
        while not reader.read:  # noqa: ASYNC110 - what is read is what is tested
            await asyncio.sleep(0.001)
        reader.connection["end"]()
        await streaming
        assert (takes > 1, takes == 1) == (reader.complete, reader.gone.is_set())

    asyncio.run(main())


def test_server_that_ends_lets_others_go_on() -> None:
    """Until it waits no longer, and cancels them."""

    async def main() -> None:
        reader = Reader()
        streaming = asyncio.create_task(streamed(reader, for_ever))
        while not reader.read:  # noqa: ASYNC110 - what is read is what is tested
            await asyncio.sleep(0.001)
        assert "end" not in reader.connection
        streaming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await streaming
        assert not reader.complete

    asyncio.run(main())
