"""HTTP/1.1 as uvicorn speaks it, with bounds on the cost of a connection: uvicorn sets none of these.

- The head of a request: 64 KiB, 15 seconds. Trailers: 64 KiB.
- The rest of a body after its request is answered: 16 MiB, 15 seconds.
- A client not taking its answer: 30 seconds.
- Connections: 1000. One more displaces a connection waiting for its client (idle, or not reading its answer).
  It is the oldest of the address with the most of them. So idle connections keep nobody out.

The protocol parses a large piece of bytes in small steps. So a piece with a thousand requests does not put all
of them into memory.

Bytes other than HTTP get an error in the shape of all others. A request target in absolute form names the host,
whatever the `Host` header says (RFC 9112, section 3.2.2). A request to upgrade to another protocol is parsed a
second time, without its `Upgrade` header. Otherwise the parser would leave its body to that protocol, and then
take the body for the next request.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from chatkeep.errors import BrokenInputError, BusyError, ChatkeepError
from chatkeep.http.gate.addresses import site_of
from chatkeep.wire import errors
from chatkeep.wire.answers import json_bytes, status_of

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

HEAD_BYTES_MAX: Final = 1 << 16  # of a head, and of trailers
HEAD_WAIT_S: Final = 15.0  # for a head, and for the rest of a body after its answer
READER_WAIT_S: Final = 30.0  # for a client to take its answer
CONNECTIONS_MAX: Final = 1000
_REST_BYTES_MAX: Final = 16 << 20  # many clients send their whole body before they read the answer
_REST_PAUSE_S: Final = 0.01  # after each piece of such a rest, so that other requests come first
_HEAD_PIECE_BYTES: Final = 2048  # parsed in one step: a hundred of the shortest requests
_BODY_PIECE_BYTES: Final = 1 << 15  # parsed in one step
_AT_ONCE: Final = struct.pack("ii", 1, 0)  # SO_LINGER of 0 seconds: close with a reset
_REFUSAL: Final = (
    b"HTTP/1.1 %d %b\r\n"
    b"content-type: application/problem+json\r\n"
    b"content-length: %d\r\n"
    b"x-content-type-options: nosniff\r\n"
    b"connection: close\r\n\r\n%b"
)


class BoundedProtocol(HttpToolsProtocol):
    """A connection with bounds: it closes beyond them."""

    head_wait_s = HEAD_WAIT_S
    reader_wait_s = READER_WAIT_S
    connections_max = CONNECTIONS_MAX
    _in_head = True
    _head_bytes = 0
    _rest_bytes = 0
    _unparsed = b""
    _head_again = b""
    _begun: RequestResponseCycle | None = None
    _has_ended = False
    _is_slowed = False
    _takes_no_more = False
    _deadline: TimerHandle | None = None
    _reader_deadline: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first head.

        With too many connections, displace an idle one, or refuse this one with 503.
        """
        super().connection_made(transport)
        self.address = site_of(self.client[0]) if self.client else ""
        self.waits_since = asyncio.get_running_loop().time()
        self._expect()
        if len(self.connections) > self.connections_max and not self._displace_another():
            self._refuse(BusyError("server"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop queued requests, and cancel the deadlines."""
        self._unparsed = b""
        self.pipeline.clear()
        self.cycle = self._begun or self.cycle  # uvicorn tells this request of the disconnect; queued ones never begin
        self._relax()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes from the client."""
        if self._takes_no_more:
            self._rest_bytes += len(data)
            if self._rest_bytes > _REST_BYTES_MAX:
                self.abort()
            return
        self._unparsed += data
        self._parse()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection open while an answer is under way: the client may have closed its sending side alone.

        A stream ends, through its `leave` callback.
        """
        self._has_ended = True
        self._parse()
        if self._begun is not None:
            state = self._begun.scope["state"]
            state["has_left"] = True
            if leave := state.get("leave"):
                leave()
        return self._is_answering()

    def on_message_begin(self) -> None:
        """Start the deadline of a request's head."""
        self._in_head = True
        self._head_bytes = 0
        self._expect()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the request: its head is complete, its body begins."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._head_again = self._head_without_upgrade()
            return
        self._in_head = False
        self._head_bytes = self._rest_bytes = 0
        self._relax()
        if not self.url.startswith((b"/", b"*")):
            named = urlsplit(self.url.decode("ascii", "replace")).netloc.encode()
            self.headers[:] = [(name, named if name == b"host" else value) for name, value in self.headers]
        self.scope["state"].update(abort=self.abort, ignore_more=self.ignore_more)
        super().on_headers_complete()
        if not self.pipeline:
            self._begun = self.cycle

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; count the bytes of a trailer."""
        if self._in_head:
            super().on_header(name, value)
            return
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(BrokenInputError("The head of the request is too large."))

    def on_body(self, body: bytes) -> None:
        """Pass a piece of a body on; slow down and bound the rest of a body after its answer."""
        super().on_body(body)
        if self.cycle.response_complete:
            self._rest_bytes += len(body)
            if self._rest_bytes > _REST_BYTES_MAX:
                self.transport.close()
            elif not self._is_slowed:
                self._is_slowed = True
                self.flow.pause_reading()
                asyncio.get_running_loop().call_later(_REST_PAUSE_S, self._read_on)

    def on_message_complete(self) -> None:
        """Start counting the bytes of the next head."""
        if self._head_again:
            return
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0
        if not self._is_answering():  # the answer came before the end of the body; the next head gets a full deadline
            self._relax()
            self._expect()

    def on_response_complete(self) -> None:
        """Go on with the next request, or with the rest of this one's body."""
        if self.pipeline:
            self._begun = self.pipeline[-1][0]
        super().on_response_complete()
        self.waits_since = asyncio.get_running_loop().time()
        if not self._in_head and not self._is_answering():
            self._expect()
        self._parse()

    def pause_writing(self) -> None:
        """Start the deadline for the client to take its answer."""
        super().pause_writing()
        if self._reader_deadline is None:
            self._reader_deadline = asyncio.get_running_loop().call_later(self.reader_wait_s, self.abort)

    def resume_writing(self) -> None:
        """Go on writing the answer, and cancel that deadline."""
        super().resume_writing()
        if self._reader_deadline is not None:
            self._reader_deadline.cancel()
            self._reader_deadline = None

    def abort(self) -> None:
        """Reset the connection.

        After a plain close the kernel would keep bytes not taken, and the client might not notice the end.
        """
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    def ignore_more(self) -> None:
        """Read on, but ignore further requests, during an endless answer: only reading shows a client's leaving."""
        self._takes_no_more = True
        self._unparsed = b""
        self.pipeline.clear()
        self.cycle = self._begun or self.cycle
        self.cycle.keep_alive = False
        self.flow.resume_reading()

    @property
    def may_go(self) -> bool:
        """Whether the connection waits for its client alone: no request is under way, or the client does not read."""
        return not self.transport.is_closing() and (not self._is_answering() or self.flow.write_paused)

    def shutdown(self) -> None:
        """Let the answer under way finish, but end an endless one."""
        super().shutdown()
        if self._begun is not None and (end := self._begun.scope["state"].get("end")):
            end()

    def _parse(self) -> None:
        """Parse the received bytes until a request has to queue behind another."""
        data, place = self._unparsed, 0
        while place < len(data) and not self.pipeline and not self.transport.is_closing():
            piece = data[place : place + (_HEAD_PIECE_BYTES if self._in_head else _BODY_PIECE_BYTES)]
            place += len(piece)
            if self._in_head:
                self._head_bytes += len(piece)
                self._expect()
            self._feed(piece)
            if self._head_bytes > HEAD_BYTES_MAX and self._in_head:
                self._refuse(BrokenInputError("The head of the request is too large."))
        self._unparsed = data[place:]
        if self._unparsed and not self.transport.is_closing():
            self.flow.pause_reading()
        elif self._has_ended and self._is_answering() and not self.cycle.more_body:
            self.cycle.keep_alive = False
        elif self._has_ended:
            self.transport.close()

    def _feed(self, piece: bytes) -> None:
        self._unset_keepalive_if_required()
        while piece:
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as wish:
                self.parser = httptools.HttpRequestParser(self)  # the old one may take no more requests
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                piece, self._head_again = self._head_again + piece[wish.args[0] :], b""
            except httptools.HttpParserError:
                self._refuse(BrokenInputError("Invalid HTTP request received."))
                return
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        kept = (b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade")
        return b"%b %b HTTP/%b\r\n%b\r\n" % (self.parser.get_method(), self.url, version, b"".join(kept))

    def _read_on(self) -> None:
        self._is_slowed = False
        if not self._unparsed and not self.transport.is_closing():
            self.flow.resume_reading()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _displace_another(self) -> bool:
        """Reset the longest idle connection of the address with the most idle ones; return False when none is idle."""
        waiting = [other for other in self.connections if isinstance(other, BoundedProtocol) and other.may_go]
        waiting.remove(self)
        if not waiting:
            return False
        [(address, _)] = Counter(other.address for other in waiting).most_common(1)
        oldest = min((one for one in waiting if one.address == address), key=lambda one: one.waits_since)
        oldest.abort()
        return True

    def _expect(self) -> None:
        """Start the deadline for a head, or for the rest of an answered body, unless one runs."""
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(self.head_wait_s, self._expire)

    def _relax(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if self._is_answering():  # the request before it has no answer yet
            self._expect()
        elif self._in_head:
            self._refuse(BrokenInputError("The head of the request did not arrive in time."))
        else:
            self.transport.close()

    def _refuse(self, error: ChatkeepError) -> None:
        if not self.transport.is_closing():
            status, problem = HTTPStatus(status_of(error)), json_bytes(errors.problem(error))
            self.transport.write(_REFUSAL % (status, status.phrase.encode(), len(problem), problem))
            self.transport.close()
