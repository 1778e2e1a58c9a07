"""Request bodies: counted while they come in, checked before they are parsed, typed when they go on.

A body is at most 10 MiB, arrives within 30 seconds, is JSON by its media type and by its bytes, and is
nested at most 64 levels; a parser meets it only then. Broken JSON is 400, a wrong value 422.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from chatkeep.errors import BrokenInputError, InvalidError, TooLargeError, UnsupportedTypeError
from chatkeep.importers.records import check_depth

BODY_BYTES_MAX: Final = 10 << 20
BODY_WAIT_S: Final = 30.0
DEPTH_MAX: Final = 64
JSON_TYPES: Final = ("application/json",)
IMPORT_TYPES: Final = (
    "application/json",
    "application/jsonl",
    "application/x-ndjson",
    "application/octet-stream",
    "text/plain",
)
_T = TypeVar("_T")
_HIGH: Final = rb"[dD][89abAB]"
_LOW: Final = rb"[dD][c-fC-F]"
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_PAIRED: Final = re.compile(
    rb"(?:[^\\]|\\u%b..\\u%b|\\u(?![dD][89a-fA-F])|\\[^u])*+" % (_HIGH, _LOW),
    re.DOTALL,
)
_PLACE: Final = re.compile(r" - at `(?:key in )?\$?\.?(.*)`$")
_UNKNOWN: Final = re.compile(r"unknown field `(.*)`")
_BROKEN: Final = "The body is not valid JSON in UTF-8 with numbers in range."


async def body_of(request: Request, types: tuple[str, ...] = JSON_TYPES) -> bytes:
    """Return the body of a request.

    Raises:
        UnsupportedTypeError: when it is of none of the media types, or compressed.
        TooLargeError: when it is larger than 10 MiB; no more than that is read.
        BrokenInputError: when it does not arrive in time, or the client goes away.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in types or request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedTypeError(" or ".join(types))
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > BODY_BYTES_MAX:
        raise TooLargeError("body", BODY_BYTES_MAX)
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            return await _counted(request)
    except TimeoutError as error:
        raise BrokenInputError(f"The body did not arrive within {BODY_WAIT_S:.0f} seconds.") from error
    except ClientDisconnect as error:
        raise BrokenInputError("The connection was closed before the body was complete.") from error


async def json_of(request: Request, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Return the body of a request as the type that the decoder is for.

    Raises:
        BrokenInputError: when it is not JSON, or nested too deep.
        InvalidError: naming the field that has another type or a value out of range.
        UnsupportedTypeError, TooLargeError: as `body_of` says.
    """
    return decoded(await body_of(request), decoder)


def decoded(data: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    """Return JSON as the type that the decoder is for.

    Raises:
        BrokenInputError, InvalidError: as `json_of` says.
    """
    check_depth(data, DEPTH_MAX)
    if _SURROGATE.search(data):
        _check_surrogates(data)
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        _check_syntax(data)
        raise _invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenInputError(_BROKEN) from error


async def _counted(request: Request) -> bytes:
    chunks = bytearray()
    async for chunk in request.stream():
        if len(chunks) + len(chunk) > BODY_BYTES_MAX:
            raise TooLargeError("body", BODY_BYTES_MAX)
        chunks += chunk
    return bytes(chunks)


def _check_surrogates(data: bytes) -> None:
    """Check that each half of a surrogate pair, written as an escape, has its other half."""
    paired = _PAIRED.match(data)
    if paired and _SURROGATE.match(data, paired.end()):
        raise InvalidError("body", "has a lone surrogate: text must be valid Unicode")


def _check_syntax(data: bytes) -> None:
    """Check that all of it is JSON: a wrong value may stand before the place where it is broken."""
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenInputError(_BROKEN) from error


def _invalid(told: str) -> InvalidError:
    place = _PLACE.search(told)
    unknown = _UNKNOWN.search(told)
    reason = told[: place.start()] if place else told
    parts = [part for part in (place and place[1], unknown and unknown[1]) if part]
    return InvalidError(".".join(parts) or "body", reason)
