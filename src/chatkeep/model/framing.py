"""Checks on another server's answer: one clear end, and compression unpacked within bounds.

Two readers disagree about an answer with two lengths. An unrequested compressed answer may grow a thousandfold:
the client library unpacks each piece whole. So we unpack it here, in small pieces, and the library sees plain bytes.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable
from typing import Final

import httpx2

_PIECE_BYTES_MAX: Final = 1 << 16  # bytes of an unpacked piece
_MUTE_BYTES_MAX: Final = 1 << 20  # compressed bytes in a row that unpack to nothing
_LENGTH: Final = b"content-length"
_PACKING: Final = b"content-encoding"
_PACKINGS: Final = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def is_ambiguous(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether the end of an answer is unclear: two lengths, or a transfer coding other than chunked."""
    framing = [(name.lower(), value) for name, value in headers]
    lengths = [value for name, value in framing if name == _LENGTH]
    codings = [value.strip().lower() for name, value in framing if name == b"transfer-encoding"]
    return len(lengths) + len(codings) > 1 or codings not in ([], [b"chunked"])


class Plain(httpx2.AsyncBaseTransport):
    """A transport with unpacked answers."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        """Wrap a transport."""
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the unpacked answer of the inner transport.

        Raises:
            httpx2.DecodingError: when the answer's compression is unknown.
        """
        answer = await self._inner.handle_async_request(request)
        packing = answer.headers.get("content-encoding", "identity").strip().lower()
        if packing == "identity":
            return answer
        if packing not in _PACKINGS:
            await answer.aclose()
            raise httpx2.DecodingError("packed in an unknown way")
        assert isinstance(answer.stream, httpx2.AsyncByteStream)  # noqa: S101 - of an asynchronous transport
        kept = [header for header in answer.headers.raw if header[0].lower() not in (_LENGTH, _PACKING)]
        stream = _Unpacked(answer.stream, _PACKINGS[packing])
        return httpx2.Response(answer.status_code, headers=kept, stream=stream)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


class OverdueError(httpx2.RemoteProtocolError):
    """An answer took longer than its limit."""

    def __init__(self, life_s: float) -> None:
        """Name the limit in seconds, and its option."""
        super().__init__(f"it took longer than the {life_s:g} s of model_answer_timeout")


class Timed(httpx2.AsyncBaseTransport):
    """A transport with a deadline: a server sending a byte a minute would never end by itself."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, life_s: float) -> None:
        """Wrap a transport and give each answer `life_s` seconds, from the request to its end."""
        self._inner = inner
        self._life_s = life_s

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer of the inner transport, with the deadline on its body.

        Raises:
            OverdueError: when the deadline passes before the answer's head arrives.
        """
        ends_at = asyncio.get_running_loop().time() + self._life_s
        try:
            async with asyncio.timeout_at(ends_at):
                answer = await self._inner.handle_async_request(request)
        except TimeoutError as error:
            raise OverdueError(self._life_s) from error
        assert isinstance(answer.stream, httpx2.AsyncByteStream)  # noqa: S101 - of an asynchronous transport
        stream = _TimedStream(answer.stream, ends_at, self._life_s)
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=stream)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


class _TimedStream(httpx2.AsyncByteStream):
    """The rest of an answer, up to the deadline."""

    def __init__(self, stream: httpx2.AsyncByteStream, ends_at: float, life_s: float) -> None:
        self._stream = stream
        self._ends_at = ends_at
        self._life_s = life_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces, clock = aiter(self._stream), asyncio.get_running_loop().time
        while clock() < self._ends_at:
            try:
                async with asyncio.timeout_at(self._ends_at):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise OverdueError(self._life_s) from error
            yield piece
        raise OverdueError(self._life_s)

    async def aclose(self) -> None:
        await self._stream.aclose()


class Bounded(httpx2.AsyncBaseTransport):
    """A transport with bounds on size, for a client that loads refusals whole: cut refusals, break off long answers."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, answer_bytes_max: int, *, refusal_bytes_max: int) -> None:
        """Wrap a transport and bound the bytes of its answers and of its refusals."""
        self._inner = inner
        self._answer_bytes_max = answer_bytes_max
        self._refusal_bytes_max = refusal_bytes_max

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the bounded answer of the inner transport."""
        answer = await self._inner.handle_async_request(request)
        assert isinstance(answer.stream, httpx2.AsyncByteStream)  # noqa: S101 - of an asynchronous transport
        if answer.is_success:
            stream = _Cut(answer.stream, self._answer_bytes_max, is_whole=False)
        else:
            stream = _Cut(answer.stream, self._refusal_bytes_max, is_whole=True)
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=stream)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


class _Cut(httpx2.AsyncByteStream):
    """The first `bytes_max` bytes of an answer; a longer one raises an error, or just ends if `is_whole`."""

    def __init__(self, stream: httpx2.AsyncByteStream, bytes_max: int, *, is_whole: bool) -> None:
        self._stream = stream
        self._room = bytes_max
        self._is_whole = is_whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece[: self._room]
            self._room -= len(piece)
            if self._room < 0:
                break
        if self._room < 0 and not self._is_whole:
            raise httpx2.RemoteProtocolError("too long")

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Unpacked(httpx2.AsyncByteStream):
    """The small unpacked pieces of a compressed answer."""

    def __init__(self, packed: httpx2.AsyncByteStream, window_bits: int) -> None:
        self._packed = packed
        self._unpacker = zlib.decompressobj(window_bits)
        self._mute_size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for packed in self._packed:
            rest, is_full = packed, False
            self._mute_size += len(packed)
            while (rest or is_full) and not self._unpacker.eof:
                piece = self._unpacked(rest)
                rest, is_full = self._unpacker.unconsumed_tail, len(piece) == _PIECE_BYTES_MAX
                if piece:
                    yield piece
                    self._mute_size = 0
                    await asyncio.sleep(0)  # let other requests run first
            if self._mute_size > _MUTE_BYTES_MAX:
                raise httpx2.DecodingError("packed without end")
        if not self._unpacker.eof:
            raise httpx2.DecodingError("packed wrongly")

    async def aclose(self) -> None:
        await self._packed.aclose()

    def _unpacked(self, packed: bytes) -> bytes:
        try:
            return self._unpacker.decompress(packed, _PIECE_BYTES_MAX)
        except zlib.error as error:
            raise httpx2.DecodingError("packed wrongly") from error
