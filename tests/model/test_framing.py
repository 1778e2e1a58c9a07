"""Answers of other servers end where everybody finds their end, and are unpacked in small pieces."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import httpx2
import pytest

from chatkeep.model.framing import Bounded, OverdueError, Plain, Timed, is_ambiguous

LENGTH = (b"Content-Length", b"2")
CHUNKED = (b"Transfer-Encoding", b"chunked")
BOMB_BYTES = 64 << 20


class Said(httpx2.AsyncBaseTransport):
    """A transport that brings one answer, in pieces of so many bytes."""

    def __init__(self, body: bytes, piece_bytes: int = 1 << 18, status: int = 200, **headers: str) -> None:
        """Take the answer."""
        self.taken = 0
        self._body = body
        self._piece_bytes = piece_bytes
        self._status = status
        self._headers = headers

    async def handle_async_request(self, _: httpx2.Request) -> httpx2.Response:
        """Return the answer."""
        headers = {name.replace("_", "-"): value for name, value in self._headers.items()}
        return httpx2.Response(self._status, headers=headers, stream=_Pieces(self))

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        for start in range(0, len(self._body), self._piece_bytes):
            self.taken = start + self._piece_bytes
            yield self._body[start : self.taken]


class _Pieces(httpx2.AsyncByteStream):
    def __init__(self, said: Said) -> None:
        self._said = said

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._said.pieces()


def told(transport: httpx2.AsyncBaseTransport) -> tuple[list[bytes], httpx2.Headers]:
    """Return the pieces of the answer, and its headers."""

    async def asked() -> tuple[list[bytes], httpx2.Headers]:
        answer = await transport.handle_async_request(httpx2.Request("GET", "http://model.test"))
        return [piece async for piece in answer.aiter_raw()], answer.headers

    return asyncio.run(asked())


@pytest.mark.parametrize(
    "headers, expected",
    [
        ([], False),
        ([LENGTH], False),
        ([CHUNKED], False),
        ([(b"transfer-encoding", b" Chunked ")], False),
        ([LENGTH, CHUNKED], True),
        ([CHUNKED, LENGTH], True),
        ([LENGTH, LENGTH], True),
        ([CHUNKED, CHUNKED], True),
        ([(b"Transfer-Encoding", b"gzip, chunked")], True),
        ([(b"Transfer-Encoding", b"identity")], True),
    ],
)
def test_find_an_end_that_is_not_clear(headers: list[tuple[bytes, bytes]], expected: bool) -> None:  # noqa: FBT001 - a parameter
    """A head tells one length or chunks, else readers may disagree."""
    assert is_ambiguous(headers) == expected


@pytest.mark.parametrize(
    "packing, packed", [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)]
)
@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 18])
def test_unpack_an_answer(packing: str, packed: type, piece_bytes: int) -> None:
    """What is packed all the same comes plain, and nothing says that it was packed."""
    text = bytes(range(256)) * 100
    pieces, headers = told(Plain(Said(packed(text), piece_bytes, content_encoding=packing, content_length="9")))
    assert text == b"".join(pieces)
    assert {"content-encoding", "content-length"}.isdisjoint(headers)


def test_unpack_a_bomb_in_small_pieces() -> None:
    """An answer that grows a thousandfold is nowhere in memory as a whole."""
    bomb = gzip.compress(bytes(BOMB_BYTES))
    pieces, _ = told(Plain(Said(bomb, content_encoding="gzip")))
    assert BOMB_BYTES == sum(map(len, pieces))
    assert max(map(len, pieces)) <= 1 << 16


@pytest.mark.parametrize(
    "body, packing",
    [
        (b"no gzip", "gzip"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], "gzip"),
        (b"", "gzip"),
        (b"x", "br"),
        (b"x", "gzip, gzip"),
        (gzip.compress(b"", mtime=0)[:10] + b"\0\0\0\xff\xff" * (1 << 18), "gzip"),
    ],
    ids=["no gzip", "cut", "empty", "unknown", "twice", "endless"],
)
def test_refuse_what_is_packed_wrongly(body: bytes, packing: str) -> None:
    """Nothing is guessed, and what is packed without end ends."""
    with pytest.raises(httpx2.DecodingError):
        told(Plain(Said(body, content_encoding=packing)))


def test_cut_a_long_refusal() -> None:
    """Whoever takes refusals whole gets their beginning, and the rest is not read."""
    said = Said(b"x" * 1000, 100, status=500)
    pieces, _ = told(Bounded(said, 10, refusal_bytes_max=250))
    assert (250, 300) == (len(b"".join(pieces)), said.taken)


def test_break_a_long_answer_off() -> None:
    """An answer has no end that the server did not tell."""
    with pytest.raises(httpx2.RemoteProtocolError):
        told(Bounded(Said(b"x" * 1000), 999, refusal_bytes_max=1))
    pieces, _ = told(Bounded(Said(b"x" * 1000), 1000, refusal_bytes_max=1))
    assert 1000 == len(b"".join(pieces))


class _Slow(httpx2.AsyncBaseTransport):
    """Answers byte by byte, for ever; or never begins."""

    def __init__(self, *, begins: bool) -> None:
        self._begins = begins
        self.is_closed = False

    async def handle_async_request(self, _: httpx2.Request) -> httpx2.Response:
        if not self._begins:
            await asyncio.Event().wait()
        return httpx2.Response(200, stream=_Trickle(self))


class _Trickle(httpx2.AsyncByteStream):
    def __init__(self, slow: _Slow) -> None:
        self._slow = slow

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.001)
            yield b"x"

    async def aclose(self) -> None:
        self._slow.is_closed = True


@pytest.mark.parametrize("begins", [True, False])
def test_end_an_answer_that_never_does(begins: bool) -> None:  # noqa: FBT001 - a parameter
    """However often a server says something, an answer has its time, from the request on."""
    with pytest.raises(OverdueError, match="model_answer_timeout"):
        told(Timed(_Slow(begins=begins), 0.1))


def test_leave_an_answer_alone_that_is_in_time() -> None:
    """An answer that ends before its time is whole."""
    pieces, _ = told(Timed(Said(b"x" * 1000, 100), 60))
    assert b"x" * 1000 == b"".join(pieces)
