"""The two parsers of HTTP itself, over a wire that is no socket: requests that come in, answers of a model's server."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import httpx2
import uvicorn
from uvicorn.server import ServerState

from chatkeep.http.gate.connection import BoundedProtocol
from chatkeep.model import connections

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

REQUESTS: Final = (
    b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n",
    b"GET http://a/b HTTP/1.1\r\nHost: c\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx",
)
ANSWERS: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
)
_TURNS: Final = 8
"""Turns of the event loop after each piece; an answer of the application takes two."""


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self, plug: socket.socket) -> None:
        """Begin open; the plug is a socket that leads nowhere."""
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2), "socket": plug})
        self.written = bytearray()
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Keep it."""
        self.written += data

    def close(self) -> None:
        """Close."""
        self._is_closing = True

    abort = close

    def is_closing(self) -> bool:
        """Tell whether it is closed."""
        return self._is_closing

    def pause_reading(self) -> None:
        """Take note of nothing: the fuzzer sends all it has."""

    resume_reading = pause_reading


def read_http_request(data: bytes) -> None:
    """A client's bytes, in two pieces: whatever comes, only whole HTTP answers go back."""
    cut = data[0] if data else 0
    loop = _loop()
    with socket.socket() as plug:
        wire = Wire(plug)
        protocol = BoundedProtocol(_config(), ServerState(), {}, loop)
        loop.run_until_complete(_talk(protocol, wire, (data[1 : 1 + cut], data[1 + cut :])))
    assert not wire.written or wire.written.startswith(b"HTTP/1.1 ")
    assert b"Traceback" not in wire.written


def read_http_answer(data: bytes) -> None:
    """The bytes of a model's server: an answer, or one of the errors of a transport."""
    loop = _loop()
    with suppress(httpx2.TransportError):
        loop.run_until_complete(_answered(data))


async def _talk(protocol: asyncio.Protocol, wire: Wire, pieces: tuple[bytes, ...]) -> None:
    protocol.connection_made(wire)
    for piece in pieces:
        if not wire.is_closing():
            protocol.data_received(piece)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
    if not wire.is_closing():
        protocol.eof_received()
    protocol.connection_lost(None)
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def _answered(data: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        async with httpx2.AsyncClient(transport=connections.transport_to(f"http://127.0.0.1:{port}")) as client:
            await client.get(f"http://127.0.0.1:{port}/", timeout=1)
    finally:
        server.close()


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read a body, and answer its length."""
    size, more = 0, True
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)
        size += len(message.get("body", b""))
    said = str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
    await send({"type": "http.response.body", "body": said})


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def _config() -> uvicorn.Config:
    config = uvicorn.Config(_app, log_config=None, access_log=False, lifespan="off")
    config.load()
    return config
