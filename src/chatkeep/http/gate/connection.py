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
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from chatkeep.errors import BrokenInputError, BusyError, ChatkeepError
from chatkeep.http.gate.addresses import site_of
from chatkeep.wire import errors
from chatkeep.wire.answers import json_bytes, status_of

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport
    from collections.abc import Callable

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
    _begun: RequestResponseCycle | None = None
    _is_slowed = False

    def __init__(self, *uvicorns: Any, **more: Any) -> None:  # noqa: ANN401 - as uvicorn makes a connection
        """Begin before the first byte."""
        super().__init__(*uvicorns, **more)
        self._received = _Received()
        self._sizes = _Sizes()
        self._deadline = _Deadline(self.head_wait_s, self._expire)
        self._reader_deadline = _Deadline(self.reader_wait_s, self.abort)

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first head.

        With too many connections, displace an idle one, or refuse this one with 503.
        """
        super().connection_made(transport)
        self.address = site_of(self.client[0]) if self.client else ""
        self.waits_since = asyncio.get_running_loop().time()
        self._deadline.start()
        if len(self.connections) > self.connections_max and not self._displace_another():
            self._refuse(BusyError("server"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop queued requests, and cancel the deadlines."""
        self._received.unparsed = b""
        self.pipeline.clear()
        self.cycle = self._begun or self.cycle  # uvicorn tells this request of the disconnect; queued ones never begin
        self._deadline.cancel()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes from the client."""
        if not self._received.is_ignored:
            self._received.unparsed += data
            self._parse()
        elif self._sizes.is_rest_too_long(len(data)):
            self.abort()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection open while an answer is under way: the client may have closed its sending side alone.

        A stream ends, through its `leave` callback.
        """
        self._received.has_ended = True
        self._parse()
        if self._begun is not None:
            state = self._begun.scope["state"]
            state["has_left"] = True
            if leave := state.get("leave"):
                leave()
        return self._is_answering()

    def on_message_begin(self) -> None:
        """Start the deadline of a request's head."""
        self._sizes.begin_head()
        self._deadline.start()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the request: its head is complete, its body begins."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._received.head_again = self._head_without_upgrade()
            return
        self._sizes.begin_body()
        self._deadline.cancel()
        if not self.url.startswith((b"/", b"*")):
            named = urlsplit(self.url.decode("ascii", "replace")).netloc.encode()
            self.headers[:] = [(name, named if name == b"host" else value) for name, value in self.headers]
        self.scope["state"].update(abort=self.abort, ignore_more=self.ignore_more)
        super().on_headers_complete()
        if not self.pipeline:
            self._begun = self.cycle

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; count the bytes of a trailer."""
        if self._sizes.in_head:
            super().on_header(name, value)
        elif self._sizes.is_head_too_long(len(name) + len(value)):
            self._refuse(BrokenInputError("The head of the request is too large."))

    def on_body(self, body: bytes) -> None:
        """Pass a piece of a body on; slow down and bound the rest of a body after its answer."""
        super().on_body(body)
        if self.cycle.response_complete:
            if self._sizes.is_rest_too_long(len(body)):
                self.transport.close()
            elif not self._is_slowed:
                self._is_slowed = True
                self.flow.pause_reading()
                asyncio.get_running_loop().call_later(_REST_PAUSE_S, self._read_on)

    def on_message_complete(self) -> None:
        """Start counting the bytes of the next head."""
        if self._received.head_again:
            return
        super().on_message_complete()
        self._sizes.begin_head()
        if not self._is_answering():  # the answer came before the end of the body; the next head gets a full deadline
            self._deadline.cancel()
            self._deadline.start()

    def on_response_complete(self) -> None:
        """Go on with the next request, or with the rest of this one's body."""
        if self.pipeline:
            self._begun = self.pipeline[-1][0]
        super().on_response_complete()
        self.waits_since = asyncio.get_running_loop().time()
        if not self._sizes.in_head and not self._is_answering():
            self._deadline.start()
        self._parse()

    def pause_writing(self) -> None:
        """Start the deadline for the client to take its answer."""
        super().pause_writing()
        self._reader_deadline.start()

    def resume_writing(self) -> None:
        """Go on writing the answer, and cancel that deadline."""
        super().resume_writing()
        self._reader_deadline.cancel()

    def abort(self) -> None:
        """Reset the connection.

        After a plain close the kernel would keep bytes not taken, and the client might not notice the end.
        """
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    def ignore_more(self) -> None:
        """Read on, but ignore further requests, during an endless answer: only reading shows a client's leaving."""
        self._received.is_ignored = True
        self._received.unparsed = b""
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
        data, place = self._received.unparsed, 0
        while place < len(data) and not self.pipeline and not self.transport.is_closing():
            piece = data[place : place + (_HEAD_PIECE_BYTES if self._sizes.in_head else _BODY_PIECE_BYTES)]
            place += len(piece)
            if self._sizes.in_head:
                self._sizes.head_bytes += len(piece)
                self._deadline.start()
            self._feed(piece)
            if self._sizes.in_head and self._sizes.is_head_too_long():
                self._refuse(BrokenInputError("The head of the request is too large."))
        self._received.unparsed = data[place:]
        if self._received.unparsed and not self.transport.is_closing():
            self.flow.pause_reading()
        elif self._received.has_ended and self._is_answering() and not self.cycle.more_body:
            self.cycle.keep_alive = False
        elif self._received.has_ended:
            self.transport.close()

    def _feed(self, piece: bytes) -> None:
        self._unset_keepalive_if_required()
        while piece:
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as wish:
                self.parser = httptools.HttpRequestParser(self)  # the old one may take no more requests
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                piece = self._received.taken_head_again() + piece[wish.args[0] :]
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
        if not self._received.unparsed and not self.transport.is_closing():
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

    def _expire(self) -> None:
        """End the wait for a head, or for the rest of an answered body."""
        if self._is_answering():  # the request before it has no answer yet
            self._deadline.start()
        elif self._sizes.in_head:
            self._refuse(BrokenInputError("The head of the request did not arrive in time."))
        else:
            self.transport.close()

    def _refuse(self, error: ChatkeepError) -> None:
        if not self.transport.is_closing():
            status, problem = HTTPStatus(status_of(error)), json_bytes(errors.problem(error))
            self.transport.write(_REFUSAL % (status, status.phrase.encode(), len(problem), problem))
            self.transport.close()


class _Received:
    """The bytes from the client that are not parsed yet."""

    def __init__(self) -> None:
        self.unparsed = b""
        self.head_again = b""
        """The head of the request to upgrade, for the second parsing."""
        self.has_ended = False
        """Whether the client closed its sending side."""
        self.is_ignored = False
        """Whether further requests get no answer."""

    def taken_head_again(self) -> bytes:
        """Return the head for the second parsing, once."""
        head, self.head_again = self.head_again, b""
        return head


class _Sizes:
    """The sizes of the parts of a request, against their bounds."""

    def __init__(self) -> None:
        self.in_head = True
        self.head_bytes = 0
        """Of the head so far, and then of the trailers."""
        self._rest_bytes = 0

    def begin_head(self) -> None:
        """Count anew for the next head."""
        self.in_head = True
        self.head_bytes = 0

    def begin_body(self) -> None:
        """Count anew for the trailers, and for the rest of the body after its answer."""
        self.in_head = False
        self.head_bytes = self._rest_bytes = 0

    def is_head_too_long(self, more_bytes: int = 0) -> bool:
        """Count some bytes; return whether the head, or the trailers, are beyond their bound."""
        self.head_bytes += more_bytes
        return self.head_bytes > HEAD_BYTES_MAX

    def is_rest_too_long(self, more_bytes: int) -> bool:
        """Count some bytes of the rest; return whether it is beyond its bound."""
        self._rest_bytes += more_bytes
        return self._rest_bytes > _REST_BYTES_MAX


class _Deadline:
    """A wait with an end, one at a time."""

    def __init__(self, wait_s: float, expire: Callable[[], None]) -> None:
        self._wait_s = wait_s
        self._expire = expire
        self._timer: TimerHandle | None = None

    def start(self) -> None:
        """Begin to wait, unless a wait is under way."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._wait_s, self._end)

    def cancel(self) -> None:
        """End the wait without a consequence."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        self._expire()
