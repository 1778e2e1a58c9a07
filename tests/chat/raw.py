"""A server that says given bytes, whatever it is asked: for answers that no library would give."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

WAIT_S = 20.0
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)

Saying = Callable[[bytes], AsyncIterator[bytes]]
"""Yields what is said to a request, whose head and body it is given."""


class Raw:
    """What such a server has seen, and how its visitors leave."""

    def __init__(self, saying: Saying, *, ends: bool) -> None:
        """Take what it says, and whether it ends its side then."""
        self.url = ""
        self.seen: list[bytes] = []
        self.asked = threading.Event()
        self.gone = threading.Event()
        self.stopping = asyncio.Event()
        self._saying = saying
        self._ends = ends
        self._visits: list[asyncio.Task[None]] = []

    def wait(self) -> None:
        """Wait until it is asked."""
        assert self.asked.wait(WAIT_S)

    async def serve(self, started: threading.Event) -> None:
        """Listen until it is stopped."""
        self.loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._visit, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        started.set()
        await self.stopping.wait()
        server.close()
        for visit in self._visits:
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._visits.append(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            request = head + (await reader.readexactly(int(length[1])) if length else b"")
            self.seen.append(request)
            self.asked.set()
            async for said in self._saying(request):
                writer.write(said)
                await writer.drain()
            if self._ends:
                writer.write_eof()
            await reader.read()
        self.gone.set()
        writer.close()


@contextmanager
def raw_model(*said: bytes, pause_s: float = 0.02, ends: bool = True) -> Iterator[Raw]:
    """Run a server that says these pieces, with a pause after each, and ends unless it is to stay silent."""

    async def saying(_: bytes) -> AsyncIterator[bytes]:
        for piece in said:
            yield piece
            await asyncio.sleep(pause_s)

    with raw_server(saying, ends=ends) as raw:
        yield raw


@contextmanager
def raw_server(saying: Saying, *, ends: bool = True) -> Iterator[Raw]:
    """Run a server in a thread."""
    raw, started = Raw(saying, ends=ends), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(raw.serve(started)), daemon=True)
    thread.start()
    assert started.wait(WAIT_S)
    try:
        yield raw
    finally:
        raw.loop.call_soon_threadsafe(raw.stopping.set)
        thread.join(WAIT_S)
