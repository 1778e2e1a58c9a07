"""Connections to a model's server: as much HTTP/1.1 as passing on answers with the least delay takes.

They replace the transport of httpx2, with its names and errors, in a fifth of the processor time. A request leaves in
one write. A reader gets all bytes since its last read as one piece, and every piece before the error ending an answer.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterable, AsyncIterator
from ssl import SSLContext
from typing import Final, NamedTuple, cast
from urllib.request import getproxies, proxy_bypass

import httptools
import httpx2

from chatkeep.model.framing import Plain, Timed, is_ambiguous

LIFE_S: Final = 3600.0  # seconds for an answer: models with long research take half an hour
_HEAD_BYTES_MAX: Final = 100 << 10  # bytes of status line and headers
_UNTAKEN_BYTES_MAX: Final = 1 << 18  # bytes; above this we stop reading the socket until the reader catches up
_KEPT_MAX: Final = 100  # idle connections to one server
_KEPT_S: Final = 60.0  # seconds
_SLOPPY: Final = {  # breaches of HTTP by some servers, also taken by httpx2
    "lenient_optional_cr_before_lf": True,
    "lenient_spaces_after_chunk_size": True,
}
_VERSIONS: Final = ("1.0", "1.1")
_PIECE_COST_BYTES: Final = 64  # overhead of a queued piece, added to its size
_INFORMATIONAL: Final = range(100, 200)
_FINAL: Final = range(200, 600)


def transport_to(url: str, life_s: float = LIFE_S) -> httpx2.AsyncBaseTransport:
    """Return our own connections to a server, or those of httpx2 when the environment names a proxy for it.

    An answer ends after `life_s` seconds, complete or not.
    """
    server = httpx2.URL(url)
    named = {} if proxy_bypass(server.host) else getproxies()
    proxy = named.get(server.scheme, named.get("all"))
    if proxy is None:
        return Timed(Plain(Connections()), life_s)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=_KEPT_MAX, keepalive_expiry=_KEPT_S)
    proxied = httpx2.AsyncHTTPTransport(proxy=proxy if "://" in proxy else f"http://{proxy}", limits=limits)
    return Timed(Plain(proxied), life_s)


class Connections(httpx2.AsyncBaseTransport):
    """A transport for httpx2 in one event loop: one connection a request, kept for the next request."""

    def __init__(self) -> None:
        """Begin with an empty pool."""
        self._kept: dict[str, list[_Connection]] = {}
        self._tls: SSLContext | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer to a request once its head has arrived; the caller closes it.

        Raises:
            httpx2.ConnectTimeout, httpx2.ConnectError: when the connection fails.
            httpx2.WriteTimeout, httpx2.ReadTimeout: when the server is silent too long.
            httpx2.RemoteProtocolError: when the server breaks off, or does not speak HTTP.
        """
        waits: dict[str, float] = request.extensions["timeout"]
        kept = self._kept.setdefault(f"{request.url.scheme}://{request.url.netloc!r}", [])
        connection = _taken(kept) or await self._opened(request.url, waits["connect"])
        try:
            await connection.send(request, waits["write"])
            status, headers = await connection.head(waits["read"])
        except BaseException:
            connection.close()
            raise
        return httpx2.Response(status, headers=headers, stream=_Body(connection, kept, waits["read"]))

    async def aclose(self) -> None:
        """Close the idle connections."""
        for kept in self._kept.values():
            while kept:
                kept.pop().close()

    async def _opened(self, server: httpx2.URL, wait_s: float) -> _Connection:
        host, is_tls = server.raw_host.decode("ascii").strip("[]"), server.scheme == "https"
        port = server.port or (443 if is_tls else 80)
        try:
            if is_tls and self._tls is None:
                self._tls = httpx2.create_ssl_context()
            tls = self._tls if is_tls else None
            async with asyncio.timeout(wait_s):
                _, connection = await asyncio.get_running_loop().create_connection(_Connection, host, port, ssl=tls)
        except TimeoutError as error:
            raise httpx2.ConnectTimeout("connecting") from error
        except (OSError, UnicodeError, OverflowError) as error:  # no such name, or no such port
            raise httpx2.ConnectError("connecting") from error
        return connection


class _Body(httpx2.AsyncByteStream):
    """The rest of an answer; its connection returns to the pool after the last byte."""

    def __init__(self, connection: _Connection, kept: list[_Connection], wait_s: float) -> None:
        self._connection = connection
        self._kept = kept
        self._wait_s = wait_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._connection.piece(self._wait_s):
            yield piece

    async def aclose(self) -> None:
        if self._connection in self._kept:
            return
        if self._connection.may_be_kept and len(self._kept) < _KEPT_MAX:
            self._connection.kept_since = asyncio.get_running_loop().time()
            self._kept.append(self._connection)
        else:
            self._connection.close()


class _Connection(asyncio.Protocol):
    """A connection: one request after the other, each with its answer."""

    def __init__(self) -> None:
        self.kept_since = 0.0
        self._waiter: asyncio.Future[None] | None = None
        self._is_choked = False
        self._is_lost = self._is_sent = False
        self._answer = _Answer()

    def begin(self) -> None:
        """Expect the next answer."""
        self._answer = _Answer()

    @property
    def may_be_kept(self) -> bool:
        """Whether the next request may use this connection: the answer is complete, and neither side is closing."""
        in_the_way = self._is_choked or self._answer.size or self._answer.error or self._transport.is_closing()
        return self._answer.may_go_on and self._is_sent and not in_the_way

    @property
    def has_news(self) -> bool:
        """Whether the socket has bytes, or an end, still unseen by the event loop."""
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    async def send(self, request: httpx2.Request, wait_s: float) -> None:
        """Send a request; return when nearly all is on its way, or the server has answered early.

        The body is read piece by piece, and no sent piece stays in memory.
        """
        assert isinstance(request.stream, AsyncIterable)  # noqa: S101 - of an asynchronous client
        lines = (b"%b: %b\r\n" % header for header in request.headers.raw)
        first = (request.method.encode("ascii"), request.url.raw_path, b"".join(lines))
        unsent = b"%b %b HTTP/1.1\r\n%b\r\n" % first
        self._is_sent = False
        async for piece in request.stream:
            await self._write(unsent + piece, wait_s)
            unsent = b""
            if self._answer.head or self._is_lost:
                return
        if unsent:
            await self._write(unsent, wait_s)
        self._is_sent = True

    async def head(self, wait_s: float) -> _Head:
        """Return the status and headers of the answer."""
        while self._answer.head is None:
            if self._answer.error is not None:
                raise self._answer.error
            await self._news(wait_s, httpx2.ReadTimeout("reading"))
        return self._answer.head

    async def piece(self, wait_s: float) -> bytes:
        """Return all bytes since the last call, waiting for the first; empty at the end of the answer."""
        while not self._answer.size:
            if self._answer.is_complete:
                return b""
            if self._answer.error is not None:
                raise self._answer.error
            await self._news(wait_s, httpx2.ReadTimeout("reading"))
        if self._answer.size > _UNTAKEN_BYTES_MAX and not self._transport.is_closing():
            self._transport.resume_reading()
        return self._answer.take()

    def close(self) -> None:
        """Break off the connection."""
        self._transport.abort()

    async def _write(self, data: bytes, wait_s: float) -> None:
        """Write, then wait until nearly all is on its way, or the server has answered early."""
        if not self._transport.is_closing():
            self._transport.write(data)
        del data
        while self._is_choked and not (self._answer.head or self._is_lost):
            await self._news(wait_s, httpx2.WriteTimeout("sending"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for writing."""
        self._transport = cast("asyncio.Transport", transport)  # the transport of uvloop is no subclass of Transport

    def data_received(self, data: bytes) -> None:
        """Add incoming bytes to the answer; break off a wrong one."""
        self._answer.feed(data)
        if self._answer.error is not None:
            self._transport.abort()
        elif self._answer.size > _UNTAKEN_BYTES_MAX:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Rule out a next request on this connection."""
        self._answer.may_go_on = False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer, or break it off."""
        self._is_lost = True
        self._answer.lose(is_reset=exc is not None)
        self._wake()

    def pause_writing(self) -> None:
        """Make the sender wait: the socket's buffer is full."""
        self._is_choked = True

    def resume_writing(self) -> None:
        """Wake the sender."""
        self._is_choked = False
        self._wake()

    async def _news(self, wait_s: float, silence: httpx2.TimeoutException) -> None:
        """Wait up to `wait_s` seconds for the next callback, else raise `silence`."""
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        timer = loop.call_later(wait_s, self._wake, silence)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self, error: httpx2.TimeoutException | None = None) -> None:
        if self._waiter is None or self._waiter.done():
            return
        if error is None:
            self._waiter.set_result(None)
        else:
            self._waiter.set_exception(error)


class _Head(NamedTuple):
    status: int
    headers: list[tuple[bytes, bytes]]


class _Answer:
    """An answer as its bytes come: its head, then its body, up to an end or an error. The parser calls it back."""

    def __init__(self) -> None:
        self.head: _Head | None = None
        self.error: httpx2.TransportError | None = None
        self.is_complete = False
        self.may_go_on = False
        """Whether the server takes another request on this connection."""
        self.size = 0
        """The cost of the pieces not taken, 0 if there are none."""
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(**_SLOPPY)
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._head_size = self._mute_size = 0

    def feed(self, data: bytes) -> None:
        """Parse incoming bytes; fail on bytes after the end, and on a head or trailer without end."""
        self._mute_size += len(data)
        try:
            if self._parser is None:
                self._fail("more than asked for")
            else:
                self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("no HTTP")
        if self._mute_size > _HEAD_BYTES_MAX:
            self._fail("too large a head")
        if self.is_complete or self.error:
            self._parser = None  # they hold each other, and garbage of this kind is collected rarely

    def lose(self, *, is_reset: bool) -> None:
        """End an answer without a length; break off any other answer."""
        is_broken = is_reset or self.error is not None or self.head is None or _has_length(self.head.headers)
        self.is_complete = self.is_complete or not is_broken
        if not self.is_complete:
            self._fail("broken off")
        self._parser = None

    def take(self) -> bytes:
        """Return the body since the last call."""
        piece = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0]
        self._pieces.clear()
        self.size = 0
        return piece

    def on_message_begin(self) -> None:
        """Begin an answer; fail on a second answer to one request."""
        self._headers, self._head_size = [], 0
        if self.is_complete:
            self._fail("more than asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; ignore trailers after the body."""
        if self.head is None:
            self._headers.append((name, value))
            self._head_size += len(name) + len(value)
            if self._head_size > _HEAD_BYTES_MAX:
                self._fail("too large a head")

    def on_headers_complete(self) -> None:
        """Publish the head, unless the status is informational (1xx)."""
        assert self._parser is not None  # noqa: S101 - it calls
        status = self._parser.get_status_code()
        if self.head is not None or status in _INFORMATIONAL:
            return
        is_known = status in _FINAL and self._parser.get_http_version() in _VERSIONS
        if not is_known or is_ambiguous(self._headers):
            self._fail("no HTTP")
        if self.error is not None:
            return
        self._mute_size = 0
        self.head = _Head(status, self._headers)

    def on_body(self, body: bytes) -> None:
        """Add a piece of the body."""
        if not self.is_complete:
            self._pieces.append(body)
            self.size += len(body) + _PIECE_COST_BYTES
            self._mute_size = 0

    def on_message_complete(self) -> None:
        """Mark the answer as complete."""
        if self.head is not None:
            assert self._parser is not None  # noqa: S101 - it calls
            self.is_complete = True
            self.may_go_on = self._parser.should_keep_alive()

    def _fail(self, reason: str) -> None:
        self.error = self.error or httpx2.RemoteProtocolError(reason)


def _taken(kept: list[_Connection]) -> _Connection | None:
    """Return the most recently used connection in good state; close the broken ones and those idle too long."""
    now = asyncio.get_running_loop().time()
    while kept and now - kept[0].kept_since > _KEPT_S:
        kept.pop(0).close()
    while kept:
        connection = kept.pop()
        if connection.may_be_kept and not connection.has_news:
            connection.begin()
            return connection
        connection.close()
    return None


def _has_length(headers: list[tuple[bytes, bytes]]) -> bool:
    known = {name.lower(): value.lower() for name, value in headers}
    return b"content-length" in known or known.get(b"transfer-encoding", b"").endswith(b"chunked")
