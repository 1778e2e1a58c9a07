"""Request bodies: counted while they come in, checked before they are parsed, typed when they go on.

A body keeps to `core.bounds`, arrives within 30 seconds, is JSON by its media type and by its bytes; a
parser meets it only then. Broken JSON is 400, a wrong value 422. `http.room` bounds how many are worked on
at the same time, from their first byte to the answer.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from chatkeep.bodies import with_choices
from chatkeep.core.bounds import (
    BODY_BYTES_MAX,
    DEPTH_MAX,
    VALUES_MAX,
    check_depth,
    has_more_values,
)
from chatkeep.errors import BrokenInputError, InvalidError, TooLargeError, UnsupportedTypeError

BODY_WAIT_S: Final = 30.0
LARGE_BYTES: Final = 64 << 10
JSON_TYPES: Final = ("application/json",)
PATCH_TYPES: Final = ("application/json", "application/merge-patch+json")
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
_PAIRED: Final = re.compile(  # bounded, so that other threads go on between two matches
    rb"(?:[^\\]{1,64}+|\\u%b..\\u%b|\\u(?![dD][89a-fA-F])|\\[^u]){1,4096}+" % (_HIGH, _LOW),
    re.DOTALL,
)
_PLACE: Final = re.compile(r" - at `(?:key in )?\$?\.?(.*)`$")
_NAMED: Final = re.compile(r"(?:unknown|missing required) field `(.*)`")
_BROKEN: Final = "The body is not valid JSON in UTF-8 with numbers in range."


async def body_of(request: Request, types: tuple[str, ...] = JSON_TYPES, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """Return the body of a request.

    Raises:
        UnsupportedTypeError: when it is of none of the media types, or compressed.
        TooLargeError: when it is larger than `bytes_max`; no more than that is read.
        BrokenInputError: when it does not arrive in time, or the client goes away.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in types or request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedTypeError(" or ".join(types))
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > bytes_max:
        raise TooLargeError("body", bytes_max)
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            return await _counted(request, bytes_max)
    except TimeoutError as error:
        raise BrokenInputError(f"The body did not arrive within {BODY_WAIT_S:.0f} seconds.") from error
    except ClientDisconnect as error:
        raise BrokenInputError("The connection was closed before the body was complete.") from error


async def json_of(request: Request, decoder: msgspec.json.Decoder[_T], types: tuple[str, ...] = JSON_TYPES) -> _T:
    """Return the body of a request as the type that the decoder is for.

    Raises:
        BrokenInputError: when it is not JSON, or nested too deep.
        InvalidError: naming the field that has another type or a value out of range.
        UnsupportedTypeError, TooLargeError: as `body_of` says.
    """
    data = await body_of(request, types)
    if len(data) <= LARGE_BYTES:
        return decoded(data, decoder)
    body: _T = await request.app.state.pools.read(decoded, data, decoder)  # what takes long is not for the event loop
    return body


def decoded(data: bytes, decoder: msgspec.json.Decoder[_T], depth_max: int = DEPTH_MAX) -> _T:
    """Return JSON as the type that the decoder is for.

    Raises:
        BrokenInputError, InvalidError: as `json_of` says.
    """
    check_values(data)
    check_depth(data, depth_max)
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        _check_syntax(data)
        raise _invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _check_surrogates(data)
        raise BrokenInputError(_BROKEN) from error


def check_values(data: bytes) -> None:
    """Check, without parsing, that JSON has at most 100,000 values.

    Raises:
        InvalidError: when it has more.
        BrokenInputError: when it is also nested too deep.
    """
    if has_more_values(data):
        check_depth(data[:LARGE_BYTES], DEPTH_MAX)
        raise InvalidError("body", f"has more than {VALUES_MAX} values; send it in parts")


async def _counted(request: Request, bytes_max: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            raise TooLargeError("body", bytes_max)
        chunks.append(chunk)
    return b"".join(chunks)


def _check_surrogates(data: bytes) -> None:
    """Check that each half of a surrogate pair, written as an escape, has its other half."""
    end = 0
    while paired := _PAIRED.match(data, end):
        end = paired.end()
    if _SURROGATE.match(data, end):
        raise InvalidError("body", "has a lone surrogate: text must be valid Unicode")


def _check_syntax(data: bytes) -> None:
    """Check that all of it is JSON: a wrong value may stand before the place where it is broken."""
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _check_surrogates(data)
        raise BrokenInputError(_BROKEN) from error


def _invalid(told: str) -> InvalidError:
    place = _PLACE.search(told)
    named = _NAMED.search(told)
    reason = with_choices(told[: place.start()] if place else told, place[1] if place else "")
    parts = [part for part in (place and place[1], named and named[1]) if part]
    return InvalidError(".".join(parts) or "body", reason)
