"""What is not quite HTTP is answered like every other error, and nobody holds a connection with half a request."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import pytest

from chatkeep.http.gate.connection import BoundedProtocol
from tests.http.listening import listening

if TYPE_CHECKING:
    from tests.http.conftest import Server


class Impatient(BoundedProtocol):
    """Waits for a fifth of a second."""

    head_wait_s = 0.2


@pytest.fixture(scope="module")
def port(server: Server) -> Iterator[int]:
    """The same application behind the protocol that `serve` uses, with little patience."""
    with listening(server.app, http=Impatient, ws="none", lifespan="off") as port:
        yield port


def _sent(port: int, *pieces: bytes) -> bytes:
    """Return all that is answered until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _code(answer: bytes) -> tuple[bytes, bool, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b" ")[1], b"application/problem+json" in head, msgspec.json.decode(body)["code"]


@pytest.mark.parametrize("line", [b"get / HTTP/1.1", b"NONSENSE / HTTP/1.1", b"GET / HTTP/9.9", b"hello", b"GET /\xff"])
def test_sending_what_is_no_http_is_a_problem(line: bytes, port: int) -> None:
    """400 in the shape of all other errors."""
    assert (b"400", True, "broken_input") == _code(_sent(port, line + b"\r\nHost: localhost\r\n\r\n"))


@pytest.mark.parametrize("pieces", [(), (b"GET /health HTTP/1.1\r\nHost:",), (b"\r\n",)])
def test_sending_half_a_head_ends_in_time(pieces: tuple[bytes, ...], port: int) -> None:
    """A connection on which no request is complete is closed."""
    assert (b"400", True, "broken_input") == _code(_sent(port, *pieces))


def test_sending_half_a_second_head_ends_in_time(port: int) -> None:
    """So it is after a request that was answered."""
    answer = _sent(port, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /he")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 400" in answer


def test_asking_for_another_host_in_the_target_is_refused(port: int) -> None:
    """421, though the Host header is one of ours; our own host is served."""
    rest = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert (b"421", True, "unknown_host") == _code(_sent(port, b"GET http://evil.example/health" + rest))
    assert _sent(port, b"GET http://localhost:8000/health" + rest).startswith(b"HTTP/1.1 200")


def test_asking_for_a_websocket_says_nothing_of_libraries(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """It is answered as if it had not been asked for."""
    upgrade = b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    with caplog.at_level(logging.INFO, logger="uvicorn.error"):
        answer = _sent(port, b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + upgrade + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert not [record for record in caplog.records if "WebSocket" in record.getMessage()]


_MESSAGE = b'{"role":"user","content":"GET /health HTTP/1.1"}'
_UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


@pytest.mark.parametrize("size", [1 << 16, 50])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_asking_for_another_protocol_keeps_the_body(server: Server, port: int, size: int, *, is_chunked: bool) -> None:
    """A request that would rather speak HTTP/2 (as Java's client asks) is served, and so is the next one."""
    head = b"POST /api/v1/messages?session=h2c:%d HTTP/1.1\r\nHost: localhost\r\n" % (size + is_chunked)
    head += b"Authorization: Bearer %b\r\nContent-Type: application/json\r\n" % server.secret.encode() + _UPGRADE
    length = b"Content-Length: %d\r\n\r\n%b" % (len(_MESSAGE), _MESSAGE)
    chunks = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(_MESSAGE), _MESSAGE)
    one = head + (chunks if is_chunked else length)
    all_of_it = one + one + b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = _sent(port, *(all_of_it[place : place + size] for place in range(0, len(all_of_it), size)))
    assert [b"201", b"201", b"200"] == re.findall(rb"HTTP/1.1 (\d+)", answer)
    read = server.sessions.read(f"h2c:{size + is_chunked}").messages
    assert ["GET /health HTTP/1.1"] * 2 == [message.content for message in read]
