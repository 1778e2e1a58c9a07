"""Connections to a model's server give all that came, in order, and are used again only when that is safe."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from chatkeep.model.connections import Connections

WAIT_S = 5.0
BLINK_S = 0.05
CERTIFICATE = Path(__file__).parent / "localhost.pem"  # signed by itself, for a hundred years

Visit = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(visit: Visit, tls: ssl.SSLContext | None = None) -> AsyncIterator[httpx2.URL]:
    """Give the address of a server that does this with each connection."""

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await visit(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0, ssl=tls)
    try:
        yield httpx2.URL(f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    finally:
        server.close()


def saying(*answers: bytes, closes: bool = True) -> Visit:
    """Return a visit that gives one answer to each request of a connection."""

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        if not closes:
            await reader.read()

    return visit


def asked(url: httpx2.URL, content: bytes = b"", wait_s: float = WAIT_S) -> httpx2.Request:
    """Return a request."""
    return httpx2.Request("POST", url, content=content, extensions={"timeout": httpx2.Timeout(wait_s).as_dict()})


async def told(connections: Connections, request: httpx2.Request) -> tuple[int, bytes, str]:
    """Return status, all that came of the body, and the name of the error that ended it."""
    answer = await connections.handle_async_request(request)
    came, error = b"", ""
    try:
        async for piece in answer.aiter_bytes():
            came += piece
    except httpx2.TransportError as failed:
        error = type(failed).__name__
    await answer.aclose()
    return answer.status_code, came, error


async def heard(visit: Visit, wait_s: float = WAIT_S) -> tuple[int, bytes, str]:
    """Return what one request is told."""
    async with served(visit) as url:
        connections = Connections()
        try:
            return await told(connections, asked(url, wait_s=wait_s))
        finally:
            await connections.aclose()


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "said, expected",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", (200, b"hi", "")),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nhi", (404, b"hi", "")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"", "")),
        (CHUNKED + b"1\r\nh\r\n1;more=1\r\ni\r\n0\r\nTrailer: 1\r\n\r\n", (200, b"hi", "")),
        (b"HTTP/1.1 200 OK\r\n\r\nhi", (200, b"hi", "")),
        (b"HTTP/1.0 200 OK\r\n\r\nhi", (200, b"hi", "")),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\n" + CHUNKED + b"0\r\n\r\n",
            (200, b"", ""),
        ),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", (200, b"hi", "")),
        (CHUNKED + b"2 \r\nhi\r\n0\r\n\r\n", (200, b"hi", "")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", (200, b"hi", "RemoteProtocolError")),
        (CHUNKED + b"2\r\nhi\r\n", (200, b"hi", "RemoteProtocolError")),
        (CHUNKED + b"2\r\nhi\r\nno number\r\n", (200, b"hi", "RemoteProtocolError")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi, and more", (200, b"hi", "")),
    ],
)
def test_give_all_that_came(said: bytes, expected: tuple[int, bytes, str]) -> None:
    """Nothing of an answer is lost, not even of one that breaks off, and who breaks off is found out."""
    assert asyncio.run(heard(saying(said))) == expected


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"no HTTP",
        SWITCHING,
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_find_no_answer(said: bytes) -> None:
    """What is no answer is an error, however it ends."""
    with pytest.raises(httpx2.RemoteProtocolError):
        asyncio.run(heard(saying(said)))


def endless(begin: bytes, more: bytes) -> Visit:
    """Return a visit that says more and more."""

    async def visit(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        while True:
            writer.write(more)
            await writer.drain()

    return visit


@pytest.mark.parametrize(
    "begin, more",
    [
        (b"HTTP/1.1 200 OK\r\n", b"name: %b\r\n" % (b"v" * 1000)),
        (b"HTTP/1.1 200 OK\r\nname: ", b"v" * 1000),
        (b"", b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n" * 30),
    ],
)
def test_refuse_a_head_without_end(begin: bytes, more: bytes) -> None:
    """A server cannot fill the memory with headers, nor one of them, nor announce an answer for ever."""
    with pytest.raises(httpx2.RemoteProtocolError, match="too large a head"):
        asyncio.run(heard(endless(begin, more)))


def test_refuse_a_trailer_without_end() -> None:
    """What follows the body has bounds, too; the body is given."""
    visit = endless(CHUNKED + b"2\r\nhi\r\n0\r\nname: ", b"v" * 1000)
    assert asyncio.run(heard(visit)) == (200, b"hi", "RemoteProtocolError")


def test_send_the_body_again_where_a_server_sends_elsewhere() -> None:
    """A client that follows a server elsewhere asks there what it asked here."""
    seen = []

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (b"HTTP/1.1 307 Elsewhere\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n", WHOLE):
            head = await reader.readuntil(b"\r\n\r\n")
            seen.append((head.partition(b" HTTP")[0], await reader.readexactly(4)))
            writer.write(answer)

    async def followed() -> bytes:
        async with served(visit) as url, httpx2.AsyncClient(transport=Connections(), follow_redirects=True) as client:
            return (await client.post(url, content=b"what")).content

    assert asyncio.run(followed()) == b"hi"
    assert seen == [(b"POST /v1", b"what"), (b"POST /there", b"what")]


async def said_by_tls(count: int) -> list[tuple[int, bytes, str]]:
    """Return what requests are told, one after the other, by a server that ends each connection after its answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    connections, answers = Connections(), []
    async with served(saying(WHOLE), tls=context) as url:
        for turn in range(count):
            answers.append(await told(connections, asked(url)))
            for _ in range(turn % 9):  # the end is at another place of its way each time
                await asyncio.sleep(0)
    await connections.aclose()
    return answers


def test_use_no_connection_again_whose_tls_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is on its way to its end is not asked any more."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    assert asyncio.run(said_by_tls(45)) == [(200, b"hi", "")] * 45


@pytest.mark.parametrize("trusted", [None, "missing.pem"])
def test_trust_nobody_unknown(monkeypatch: pytest.MonkeyPatch, trusted: str | None) -> None:
    """There is no connection to a server whose certificate nobody vouches for, or when what to trust is missing."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", trusted)
    with pytest.raises(httpx2.ConnectError):
        asyncio.run(said_by_tls(1))


def test_find_no_port_so_high() -> None:
    """A port that cannot be has nobody who listens."""
    with pytest.raises(httpx2.ConnectError):
        asyncio.run(told(Connections(), asked(httpx2.URL("http://127.0.0.1:99999/"))))


@pytest.mark.parametrize("said, error", [(b"", "head"), (CHUNKED + b"2\r\nhi\r\n", "ReadTimeout")])
def test_wait_for_silence_no_longer_than_told(said: bytes, error: str) -> None:
    """Who says nothing for so long is not waited for, before the answer and in it; what came before is given."""
    visit = saying(said, closes=False)
    if error == "head":
        with pytest.raises(httpx2.ReadTimeout):
            asyncio.run(heard(visit, BLINK_S))
    else:
        assert asyncio.run(heard(visit, BLINK_S)) == (200, b"hi", error)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", CHUNKED])
def test_find_a_reset(head: bytes) -> None:
    """An answer that is reset is not at its end, whether it told a length or not."""

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        await writer.drain()
        await asyncio.sleep(BLINK_S)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    assert asyncio.run(heard(visit)) == (200, b"", "RemoteProtocolError")


def test_keep_a_connection_once() -> None:
    """Who closes an answer twice gives its connection back once: of two requests at once each has its own."""

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(CHUNKED)
            await asyncio.sleep(BLINK_S)
            writer.write(b"2\r\nhi\r\n0\r\n\r\n")

    async def twice() -> list[bytes]:
        connections = Connections()
        async with served(visit) as url:
            answer = await connections.handle_async_request(asked(url))
            await answer.aread()
            assert isinstance(answer.stream, httpx2.AsyncByteStream)
            await answer.stream.aclose()
            both = [await connections.handle_async_request(asked(url)) for _ in range(2)]
            bodies = [await each.aread() for each in both]
            await connections.aclose()
            return bodies

    assert asyncio.run(twice()) == [b"hi", b"hi"]


def test_find_nobody() -> None:
    """Where nobody listens there is no connection."""

    async def nobody() -> None:
        async with served(saying()) as url:
            pass
        await Connections().handle_async_request(asked(url))

    with pytest.raises(httpx2.ConnectError):
        asyncio.run(nobody())


async def visits_for(said: bytes, *, rests: bool = True, closes: bool = False) -> int:
    """Return how many connections two requests take, the second asked when the first is answered."""
    count = 0

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await saying(*([said] if closes else [said, said]), closes=closes)(reader, writer)

    async with served(visit) as url:
        connections = Connections()
        for _ in range(2):
            answer = await connections.handle_async_request(asked(url))
            if rests:
                await answer.aread()
            await answer.aclose()
            await asyncio.sleep(BLINK_S)  # what else the server does arrives
        await connections.aclose()
    return count


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def test_use_a_connection_again() -> None:
    """A second request goes where the first was answered."""
    assert asyncio.run(visits_for(WHOLE)) == 1


@pytest.mark.parametrize(
    "said, rests, closes",
    [
        (WHOLE, True, True),
        (WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), True, False),
        (WHOLE + WHOLE, True, False),
        (WHOLE[:-1], False, False),
        (b"HTTP/1.0 200 OK\r\n\r\n", False, False),
    ],
)
def test_use_no_connection_again_that_may_mislead(said: bytes, rests: bool, closes: bool) -> None:  # noqa: FBT001 - parameters
    """One that was closed, is to close, says more than was asked, or was left before its end has no second request."""
    assert asyncio.run(visits_for(said, rests=rests, closes=closes)) == 2


def test_use_no_connection_at_once_that_said_more() -> None:
    """What was said beyond an answer is never taken for the next one, not even by who asks right away."""

    async def twice() -> list[tuple[int, bytes, str]]:
        async with served(saying(WHOLE + WHOLE.replace(b"hi", b"no"), closes=False)) as url:
            connections = Connections()
            return [await told(connections, asked(url)) for _ in range(2)]

    assert asyncio.run(twice()) == [(200, b"hi", "")] * 2


def test_take_an_answer_before_all_is_sent() -> None:
    """A server may refuse a long request before it has read it."""
    enough = asyncio.Event()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await enough.wait()  # and reads no more

    async def refused() -> tuple[int, bytes, str]:
        async with served(visit) as url:
            answer = await told(Connections(), asked(url, b"x" * (64 << 20)))
            enough.set()
            return answer

    assert asyncio.run(refused()) == (413, b"no", "")


def test_send_a_long_request_whole() -> None:
    """All of a long request arrives, at a server that takes its time."""
    content = bytes(range(256)) * (1 << 14)
    seen = b""

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        await asyncio.sleep(BLINK_S)
        await reader.readuntil(b"\r\n\r\n")
        seen = await reader.readexactly(len(content))
        writer.write(WHOLE)

    async def sent() -> tuple[int, bytes, str]:
        async with served(visit) as url:
            return await told(Connections(), asked(url, content))

    assert asyncio.run(sent()) == (200, b"hi", "")
    assert seen == content


def test_hold_little_of_what_nobody_takes() -> None:
    """A reader that is slow holds up the server, and then gets all."""
    size, sent = 64 << 20, 0

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * (1 << 16))
            sent += 1 << 16
            await writer.drain()

    async def taken() -> tuple[int, int]:
        async with served(visit) as url:
            answer = await Connections().handle_async_request(asked(url))
            before = -1
            while before != sent:  # until it gets no further
                before = sent
                await asyncio.sleep(BLINK_S)
            return before, len(await answer.aread())

    held, got = asyncio.run(taken())
    assert held < size // 2
    assert got == size
