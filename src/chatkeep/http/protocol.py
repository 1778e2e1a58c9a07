"""HTTP/1.1 as uvicorn speaks it, with bounds on the head of a request, in size and in time: nothing else has them.

What is no HTTP is answered in the shape of all other errors. A request that names its host in its
target (absolute form) is one for that host, whatever its `Host` header says (RFC 9112, section 3.2.2).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from chatkeep import wire
from chatkeep.errors import BrokenInputError

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

HEAD_BYTES_MAX: Final = 1 << 16
HEAD_WAIT_S: Final = 15.0
_REFUSAL: Final = (
    b"HTTP/1.1 400 Bad Request\r\n"
    b"content-type: application/problem+json\r\n"
    b"content-length: %d\r\n"
    b"x-content-type-options: nosniff\r\n"
    b"connection: close\r\n\r\n%b"
)


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is closed when the head of a request gets too large or takes too long, or its trailers do."""

    head_wait_s = HEAD_WAIT_S
    _in_head = True
    _head_bytes = 0
    _deadline: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._relax()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._in_head:
            self._head_bytes += len(data)
            self._expect()
        super().data_received(data)
        if self._head_bytes > HEAD_BYTES_MAX and self._in_head:
            self._refuse("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_head = True
        self._head_bytes = 0
        self._expect()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin its body."""
        self._in_head = False
        self._head_bytes = 0
        self._relax()
        if not self.url.startswith((b"/", b"*")):
            named = urlsplit(self.url.decode("ascii", "replace")).netloc.encode()
            self.headers[:] = [(name, named if name == b"host" else value) for name, value in self.headers]
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        if self._in_head:
            super().on_header(name, value)
            return
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refuse("The head of the request is too large.")

    def on_message_complete(self) -> None:
        """Begin to count the bytes of the next request's head."""
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, and close."""
        problem = wire.encoded(wire.problem(BrokenInputError(msg)))
        self.transport.write(_REFUSAL % (len(problem), problem))
        self.transport.close()

    def _expect(self) -> None:
        """Begin to wait for the rest of a head, unless that has begun."""
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(self.head_wait_s, self._expire)

    def _relax(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if self.cycle is None or self.cycle.response_complete:
            self._refuse("The head of the request did not arrive in time.")
        else:  # the one before is not answered yet
            self._expect()

    def _refuse(self, sentence: str) -> None:
        if not self.transport.is_closing():
            self.send_400_response(sentence)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: what asks for a WebSocket is answered as if it had not."""
