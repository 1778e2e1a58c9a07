"""Request bodies: bounded while they arrive, checked before parsing, decoded into types.

A body must keep to `core.bounds`, arrive within 30 seconds, and have a media type of its route. Only then does a
parser read it. Broken JSON gives 400, a wrong value 422. `http.gate.room` bounds the memory of all bodies in
flight, from the first byte to the answer.
"""

from __future__ import annotations

import asyncio
import io
from typing import Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from chatkeep.core.bounds import BODY_BYTES_MAX
from chatkeep.errors import BrokenInputError, TooLargeError, UnsupportedTypeError
from chatkeep.http.gate.rules import Pools
from chatkeep.wire.bodies import LARGE_BYTES, decoded

BODY_WAIT_S: Final = 30.0  # for a whole body, so that slow senders do not occupy memory for long
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


async def body_of(
    request: Request, types: tuple[str, ...] | None = JSON_TYPES, bytes_max: int = BODY_BYTES_MAX
) -> bytes:
    """Return the body of a request; without `types` it may have any media type, and be compressed.

    Raises:
        UnsupportedTypeError: when it has another media type than `types`, or is compressed.
        TooLargeError: when it is larger than `bytes_max`; reading stops there.
        BrokenInputError: when it does not arrive in time, or the client goes away.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if types is not None and (kind not in types or _is_packed(request)):
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


async def json_of(
    request: Request, threads: Pools, decoder: msgspec.json.Decoder[_T], types: tuple[str, ...] = JSON_TYPES
) -> _T:
    """Return the body of a request, decoded; a thread decodes a body above `LARGE_BYTES`.

    Raises:
        BrokenInputError: when it is not JSON, or nested too deep.
        InvalidError: naming the field with a wrong type or a value out of range.
        UnsupportedTypeError, TooLargeError: as `body_of` says.
    """
    data = await body_of(request, types)
    if len(data) <= LARGE_BYTES:
        return decoded(data, decoder)
    return await threads.read(decoded, data, decoder)  # too long for the event loop


def _is_packed(request: Request) -> bool:
    return request.headers.get("content-encoding", "identity").lower() != "identity"


async def _counted(request: Request, bytes_max: int) -> bytes:
    """Take a body in piece by piece: to join all pieces at the end holds up the event loop, 20 ms for 16 MiB."""
    taken = io.BytesIO()
    async for chunk in request.stream():
        if taken.tell() + len(chunk) > bytes_max:
            raise TooLargeError("body", bytes_max)
        taken.write(chunk)
    return taken.getvalue()  # without a copy
