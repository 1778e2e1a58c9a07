"""Cursors: an opaque string that holds the place after which a list goes on.

A place is made of values of the last row shown (its time and key), never of a row count, so rows
that come, go or move elsewhere neither skip nor repeat one that stays.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from chatkeep.errors import InvalidCursorError

LIST_LIMIT_DEFAULT: Final = 50
LIST_LIMIT_MAX: Final = 500
SEARCH_LIMIT_DEFAULT: Final = 20
SEARCH_LIMIT_MAX: Final = 200
CURSOR_CHARS_MAX: Final = 2048


class Place(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The last row of a page: its key, and its time in microseconds since 1970 (0 where keys alone order)."""

    key: str
    at_us: int = 0


def cursor_at(place: Place) -> str:
    """Return the cursor that goes on after a place."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def place_of(cursor: str) -> Place:
    """Return the place that a cursor holds.

    Raises:
        InvalidCursorError: when `cursor_at` did not make it.
    """
    if len(cursor) > CURSOR_CHARS_MAX:
        raise InvalidCursorError
    try:
        encoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        place = msgspec.json.decode(encoded, type=Place)
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise InvalidCursorError from error
    if not -(1 << 62) < place.at_us < 1 << 62 or cursor_at(place) != cursor:
        raise InvalidCursorError
    return place
