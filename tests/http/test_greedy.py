"""Clients that take all and give nothing do not keep others out, and cost a bounded part of the memory."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest

from chatkeep.core.bounds import LARGE_BODY_BYTES_MAX
from chatkeep.http.gate import connection
from chatkeep.http.gate.connection import BoundedProtocol
from tests.http.gate.test_connection import _sent
from tests.http.listening import listening
from tests.http.test_memory import GROWTH_BYTES_MAX, Process, running_process

if TYPE_CHECKING:
    from tests.http.conftest import Server

ASKED = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
LAST = ASKED + b"Connection: close\r\n\r\n"
POSTED = b"POST /api/v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"


class Small(BoundedProtocol):
    """Has room for few, and little patience with whoever reads nothing."""

    connections_max = 5
    head_wait_s = 1.0
    reader_wait_s = 1.0


@pytest.fixture(scope="module")
def port(server: Server) -> Iterator[int]:
    """The same application behind that protocol."""
    with listening(server.app, http=Small, ws="none", lifespan="off") as port:
        yield port


@contextmanager
def _connections(port: int, count: int, said: bytes = b"", source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(source, 0))
            opened.append(stack.enter_context(one))
            one.sendall(said)
        yield opened


def _is_closed(connection: socket.socket) -> bool:
    connection.settimeout(60)
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def _is_cut_off(connection: socket.socket, piece: bytes, count: int, pause_s: float = 0) -> bool:
    """Tell whether the server ends the connection before all is sent."""
    try:
        for _ in range(count):
            connection.sendall(piece)
            time.sleep(pause_s)
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize("said", [b"", ASKED, ASKED + b"\r\n"])
def test_idle_connections_keep_nobody_out(said: bytes, port: int) -> None:
    """One more than there is room for costs one of them its place."""
    with _connections(port, 20, said):
        for _ in range(10):
            assert _sent(port, LAST).startswith(b"HTTP/1.1 200")


def test_who_has_most_connections_loses_one(port: int) -> None:
    """The one that somebody else keeps open is not taken for those of an address that has many."""
    with _connections(port, 1, source="127.0.0.2") as [lone], _connections(port, 20):
        lone.sendall(LAST)
        assert lone.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_more_requests_at_once_than_there_is_room_for(server: Server, port: int) -> None:
    """Nothing under way is broken off; who comes then is told so in the shape of all other errors."""
    begun = POSTED + b"Authorization: Bearer %b\r\nContent-Length: 50\r\n\r\n" % server.secret.encode()
    with _connections(port, 5, begun):
        deadline = time.monotonic() + 60
        while not (answer := _sent(port)).startswith(b"HTTP/1.1 503") and time.monotonic() < deadline:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert (503, "busy") == ((told := msgspec.json.decode(body))["status"], told["code"])


def test_sending_a_body_for_ever_after_the_answer_ends(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is refused may finish the body, within bounds of time and size."""
    monkeypatch.setattr(connection, "_REST_BYTES_MAX", 1 << 20)
    begun = POSTED + b"Transfer-Encoding: chunked\r\n\r\n"
    with _connections(port, 1, begun) as [slow], _connections(port, 1, begun) as [fast]:
        assert slow.recv(1 << 16).startswith(b"HTTP/1.1 401")
        assert _is_cut_off(fast, CHUNK, 200)
        assert _is_cut_off(slow, b"1\r\nx\r\n", 1000, pause_s=0.01)


def test_sending_a_body_after_the_answer_keeps_the_connection(port: int) -> None:
    """A body of usual size is no offence: the next request is answered."""
    answers = _sent(port, POSTED + b"Content-Length: 100000\r\n\r\n", b"x" * 100_000, LAST)
    assert [b"401", b"200"] == re.findall(rb"HTTP/1.1 (\d+)", answers)


def test_taking_no_answer_ends(port: int) -> None:
    """Who asks and does not read is cut off."""
    with _connections(port, 1) as [idle]:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.settimeout(60)
        assert _is_cut_off(idle, b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50, 2000)


@pytest.mark.parametrize("count", [1, 7, 2000])
def test_pipelined_requests_are_all_answered(count: int, port: int) -> None:
    """Each in its turn, however many came in one piece."""
    assert count == _sent(port, (ASKED + b"\r\n") * (count - 1) + LAST).count(b"HTTP/1.1 200")


def test_pipelined_bodies_are_not_mixed_up(server: Server, port: int) -> None:
    """What follows a request of several pieces is parsed where it begins."""
    said = msgspec.json.encode({"role": "user", "content": "x" * 70_000})
    head = POSTED.replace(b"messages", b"messages?session=greedy:pipe")
    head += b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n" % (server.secret.encode(), len(said))
    answers = _sent(port, ASKED + b"\r\n" + (head + said) * 3 + LAST)
    found = re.findall(rb"HTTP/1.1 (\d+)", answers)
    assert [b"200", b"201", b"201", b"201", b"200"] == found


@pytest.mark.parametrize("count", [1, 500])
def test_half_closed_connections_are_answered(count: int, port: int) -> None:
    """Who says that no more requests come still gets the answers to those that did."""
    with _connections(port, 1, (ASKED + b"\r\n") * count) as [half]:
        half.shutdown(socket.SHUT_WR)
        assert count == b"".join(iter(lambda: half.recv(1 << 16), b"")).count(b"HTTP/1.1 200")


@pytest.mark.parametrize("said", [b"", ASKED, POSTED + b"Content-Length: 9\r\n\r\n"])
def test_half_a_request_on_a_half_closed_connection_ends(said: bytes, port: int) -> None:
    """Nothing more can come of it."""
    with _connections(port, 1, said) as [half]:
        half.shutdown(socket.SHUT_WR)
        assert _is_closed(half)


@pytest.mark.parametrize(
    "said", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytes.fromhex("16030100c8010000c40303") + b"\0" * 200]
)
def test_other_protocols_are_refused(said: bytes, port: int) -> None:
    """HTTP/2 and TLS on this port are no HTTP."""
    assert b"400" == _sent(port, said).split(b" ")[1]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """A server in a process of its own."""
    with running_process(tmp_path) as process:
        yield process


def test_a_body_without_end_leaves_memory_alone(process: Process) -> None:
    """A gigabyte in chunks is refused once it is larger than a body may be, whoever sends it."""
    before = process.forget_peak()
    target = httpx.URL(process.url)
    endless = POSTED + b"Authorization: Bearer %b\r\nTransfer-Encoding: chunked\r\n\r\n" % process.token.encode()
    with _connections(target.port or 0, 1, endless) as [sender]:
        assert _is_cut_off(sender, CHUNK, 16_384)
    assert 200 == httpx.get(f"{process.url}/health", timeout=60).status_code
    assert process.resident_bytes("VmHWM") - before < LARGE_BODY_BYTES_MAX + GROWTH_BYTES_MAX
