"""A model server for tests: its protocols over a real socket, scripted answers, faults on demand.

    with Upstream() as upstream:
        upstream.script(Answer("Hello there"), rate_limited(), Answer(cut_after=3))
        OpenAI(base_url=upstream.url, api_key="any").chat.completions.create(...)
        upstream.seen[0].body["messages"]

Requests take the scripted answers in order; without one they are echoed. The server lives in a thread
with an event loop of its own and speaks HTTP by hand, because faults are bytes that libraries avoid.
By itself: `python -m tests.chat.upstream --port 9000 --pause 0.02`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from tests.chat import completions, spoken
from tests.chat.completions import ECHO, Answer, Json

WAIT_S = 20.0
CLOCK = "{clock}"
"""A token that is sent as the time when it is sent."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


@dataclass
class Seen:
    """A request that came, and how it ended."""

    method: str
    path: str
    headers: dict[str, str]
    body: Json
    query: str = ""
    complete: threading.Event = field(default_factory=threading.Event)
    """Everything was sent."""
    gone: threading.Event = field(default_factory=threading.Event)
    """The client went away before."""


class ClientGoneError(Exception):
    """The client has closed the connection."""


class CutError(Exception):
    """The script ends the connection here."""


class Upstream:
    """A model server on a loopback port, from `start` (or entering) to `stop` (or leaving)."""

    def __init__(
        self, *, key: str | None = None, answer: Callable[[Json], Answer] | None = None, port: int = 0
    ) -> None:
        """Take the API key that it asks for, if any, and what answers when nothing is scripted."""
        self.key = key
        self.seen: list[Seen] = []
        self._answer = answer or (lambda _: ECHO)
        self._scripted: deque[Answer] = deque()
        self._port = port
        self._releases = asyncio.Semaphore(0)
        self._started = threading.Event()
        self._arrived = threading.Condition()

    @property
    def url(self) -> str:
        """The base URL that clients take; it stays the same over a stop and a start."""
        return f"http://127.0.0.1:{self._port}/v1"

    def script(self, *answers: Answer) -> None:
        """Answer the next requests so, one each."""
        self._scripted.extend(answers)

    def forget(self) -> None:
        """Begin anew: nothing seen, nothing scripted."""
        self.seen.clear()
        self._scripted.clear()
        self._releases = asyncio.Semaphore(0)

    def release(self) -> None:
        """Let one answer with `hold_after` go on: one that is held now, or else the next."""
        self._loop.call_soon_threadsafe(self._releases.release)

    def wait_for(self, count: int) -> Seen:
        """Return the count-th request that was seen, when it has come."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.seen) >= count, WAIT_S):
                raise AssertionError(f"Only {len(self.seen)} of {count} requests came.")
        return self.seen[count - 1]

    def start(self) -> None:
        """Listen; on the same port as before."""
        self._started.clear()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        if not self._started.wait(WAIT_S):
            raise AssertionError("The model server has not started.")

    def stop(self) -> None:
        """Refuse connections and break those there are."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(WAIT_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._visits: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._visit, "127.0.0.1", self._port, backlog=1024)
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stopping.wait()
        server.close()
        for visit in self._visits:
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after the other."""
        task = asyncio.current_task()
        assert task is not None
        self._visits.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, CutError, asyncio.CancelledError):
            while True:
                seen = await _request(reader)
                with self._arrived:
                    self.seen.append(seen)
                    self._arrived.notify_all()
                try:
                    await self._reply(seen, Line(reader, writer))
                except (ClientGoneError, ConnectionError):
                    seen.gone.set()
                    break
                seen.complete.set()
                if seen.headers.get("connection", "").lower() == "close":
                    break
        self._visits.discard(task)
        writer.close()

    async def _reply(self, seen: Seen, line: Line) -> None:
        bearer = seen.headers.get("authorization", "").removeprefix("Bearer ")
        if self.key not in (None, bearer, seen.headers.get("x-api-key"), seen.headers.get("x-goog-api-key")):
            await line.whole(completions.unauthorised())
        elif seen.path.endswith("/models"):
            await line.send_json(completions.models())
        elif not seen.path.endswith("/chat/completions"):
            await self._speak(seen, line)
        else:
            await self._complete(seen.body, line)

    async def _complete(self, request: Json, line: Line) -> None:
        answer = self._scripted.popleft() if self._scripted else self._answer(request)
        if answer.silent:
            await line.hold(asyncio.Semaphore(0))
        flaw = completions.flaw_of(request)
        if flaw is None and request.get("model") not in completions.MODELS:
            flaw = completions.unknown_model(str(request.get("model")))
        if flaw or answer.error:
            await line.whole(flaw or answer)
        elif answer.empty:
            await line.send(_head(200, {"Content-Length": "0"}))
        elif request.get("stream"):
            await self._stream(completions.filled(answer, request), request, line)
        else:
            await self._tell(completions.filled(answer, request), request, line)

    async def _speak(self, seen: Seen, line: Line) -> None:
        """Answer in another protocol; the faults of a script count the events of a stream."""
        is_scripted = self._scripted and seen.method == "POST"
        answer = self._scripted.popleft() if is_scripted else self._answer(seen.body)
        if answer.error:
            await line.whole(answer)
            return
        reply = spoken.reply(seen.method, seen.path, seen.body, answer.text, seen.query)
        if len(reply.pieces) == 1:
            await line.send(_head(200, reply.headers | {"Content-Length": str(len(reply.pieces[0]))}) + reply.pieces[0])
            return
        await line.send(_head(200, reply.headers | {"Transfer-Encoding": "chunked"}))
        for place, piece in enumerate(reply.pieces):
            await self._fail(answer, place, line, spoken.fault(seen.path))
            await line.pause(answer.pause_s)
            await line.send_chunk(piece)
        await line.send(b"0\r\n\r\n")

    async def _tell(self, answer: Answer, request: Json, line: Line) -> None:
        """Answer at once; what happens after some tokens of a stream happens instead of the answer."""
        if answer.hold_after is not None:
            await line.hold(self._releases)
        await line.pause(answer.pause_s)
        if answer.reset_after is not None:
            line.reset()
        if answer.cut_after is not None:
            await line.send(_head(200, {"Content-Type": "application/json", "Content-Length": "1000"}) + b'{"id":')
            raise CutError
        if answer.malformed_after is not None:
            await line.send(_head(200, {"Content-Type": "application/json", "Content-Length": "6"}) + b'{"id":')
            return
        await line.send_json(completions.whole(answer, request))

    async def _stream(self, answer: Answer, request: Json, line: Line) -> None:
        """Send the chunks; the faults happen between them."""
        await line.send(_head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}))
        sent = 0
        for chunk, is_token in completions.chunks(answer, request):
            if is_token or _ends(chunk):
                await self._fail(answer, sent, line)
                await line.pause(answer.pause_s)
                sent += 1
                _set_clock(chunk)
            await line.send_event(json.dumps(chunk, separators=(",", ":")))
        await line.send_event("[DONE]")
        await line.send(b"0\r\n\r\n")

    async def _fail(self, answer: Answer, sent: int, line: Line, told: bytes = b"") -> None:
        """Do what the script has for this place; `told` is an error as this protocol sends it."""
        if answer.hold_after == sent:
            await line.hold(self._releases)
        if answer.malformed_after == sent:
            await line.send_event('{"choices": [{"delta": ')
        if answer.error_after == sent:
            await line.send_chunk(told or b"data: %b\n\n" % json.dumps(completions.broken().error).encode())
        if answer.reset_after == sent:
            line.reset()
        if answer.cut_after == sent:
            raise CutError


class Line:
    """A connection: what is sent, and whether anybody is there."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take both ends."""
        self._reader = reader
        self._writer = writer

    async def send(self, sent: bytes) -> None:
        """Send bytes to whoever is there."""
        if self._reader.at_eof():
            raise ClientGoneError
        self._writer.write(sent)
        await self._writer.drain()

    async def send_event(self, text: str) -> None:
        """Send a server-sent event as a chunk."""
        await self.send_chunk(f"data: {text}\n\n".encode())

    async def send_chunk(self, piece: bytes) -> None:
        """Send bytes as a chunk."""
        await self.send(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def send_json(self, answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:  # noqa: ANN401
        """Send a JSON answer."""
        body = json.dumps(answer).encode()
        told = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        await self.send(_head(status, told | (headers or {})) + body)

    async def whole(self, answer: Answer) -> None:
        """Send a refusal."""
        await self.send_json(answer.error, answer.status, answer.headers)

    async def pause(self, seconds: float) -> None:
        """Wait while the client does."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._until_gone()

    async def hold(self, releases: asyncio.Semaphore) -> None:
        """Wait until it is let go, or the client is gone."""
        gone = asyncio.create_task(self._reader.read(1))
        free = asyncio.create_task(releases.acquire())
        try:
            await asyncio.wait((gone, free), return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise ClientGoneError
        finally:
            gone.cancel()
            free.cancel()
            await asyncio.gather(gone, free, return_exceptions=True)

    async def _until_gone(self) -> None:
        await self._reader.read(1)
        raise ClientGoneError

    def reset(self) -> None:
        """Break the connection as a crashed machine does."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._writer.transport.abort()
        raise CutError


def _set_clock(chunk: Json) -> None:
    """Write the time of sending in the place of a token that asks for it."""
    delta = chunk["choices"][0]["delta"]
    if delta.get("content", "").startswith(CLOCK):
        delta["content"] = f"{time.time():.6f} "


def _ends(chunk: Json) -> bool:
    return any(choice["finish_reason"] for choice in chunk["choices"])


async def _request(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    path, _, query = path.partition("?")
    return Seen(method, path, headers, _parsed(body), query)


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _parsed(body: bytes) -> Json:
    """Return what a request says, nothing of one that is no JSON or nested too deep to be parsed."""
    try:
        return json.loads(body) if body else {}
    except (RecursionError, ValueError):
        return {}


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--pause", type=float, default=0.0, metavar="SECONDS", help="before each token")
    parser.add_argument("--words", type=int, default=0, help="of each answer; 0 echoes")
    parser.add_argument("--clock", action="store_true", help="each word is the time when it is sent")
    chosen = parser.parse_args()
    words = (CLOCK if chosen.clock else f"word{number}" for number in range(chosen.words))
    text = " ".join(words) or None
    with Upstream(port=chosen.port, answer=lambda _: Answer(text, pause_s=chosen.pause)) as upstream:
        print(upstream.url, flush=True)  # noqa: T201 - whoever started it wants to know
        threading.Event().wait()


if __name__ == "__main__":
    _main()
