"""Cursors: opaque strings with the place in a list to go on after.

A place has values of the last row shown (its time and key), never a row count. So rows added, deleted or moved
elsewhere neither skip nor repeat a row in its place. A cursor also holds the scope of its list. A list of another
kind or with other filters refuses it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final, Literal

import msgspec

from chatkeep.core.model import Json, Selection, Summary
from chatkeep.errors import InvalidCursorError, InvalidError

LIST_LIMIT_DEFAULT: Final = 50
LIST_LIMIT_MAX: Final = 500
SEARCH_LIMIT_DEFAULT: Final = 20
SEARCH_LIMIT_MAX: Final = 200
CURSOR_CHARS_MAX: Final = 2048


_SCOPE_BYTES: Final = 6


class Place(msgspec.Struct, frozen=True):
    """The last row of a page: its key, and its time in microseconds since 1970 (0 where keys alone order)."""

    key: str
    at_us: int = 0


class _Content(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    key: str
    at_us: int
    scope: str


def scope_of(kind: Literal["sessions", "keys"], selection: Selection) -> str:
    """Return a short fingerprint of a list: its kind and its filters."""
    marks = (selection.archived, selection.pinned, sorted(set(selection.tags)), sorted(set(selection.metadata)))
    times = (selection.updated_after, selection.updated_before)
    filters: tuple[object, ...] = (kind, selection.prefix, selection.channel, *marks, *times)
    if selection.person is not None:  # not their keys: a link made meanwhile shows on the next page
        filters = (*filters, selection.person)
    return hashlib.blake2b(msgspec.json.encode(filters), digest_size=_SCOPE_BYTES).hexdigest()


def has_entry(metadata: dict[str, Json], name: str, value: str) -> bool:
    """Tell whether metadata has a value under a name, as `Selection.metadata` says."""
    found: Json = metadata
    for part in name.split("."):
        if not isinstance(found, dict) or part not in found:
            return False
        found = found[part]
    if isinstance(found, dict | list):
        return False
    return value == (found if isinstance(found, str) else msgspec.json.encode(found).decode())


def selects(selection: Selection, known: Summary) -> bool:
    """Tell whether a selection has a session."""
    header, after, before = known.header, selection.updated_after, selection.updated_before
    return (
        selection.prefix is not None
        and header.key.startswith(selection.prefix)
        and selection.is_resolved
        and (selection.keys is None or header.key in selection.keys)
        and selection.channel in (None, header.channel)
        and selection.archived in (None, header.archived)
        and selection.pinned in (None, header.pinned)
        and set(selection.tags) <= set(header.tags)
        and all(has_entry(header.metadata, name, value) for name, value in selection.metadata)
        and (after is None or known.updated_at >= after)
        and (before is None or known.updated_at < before)
    )


def check_limit(limit: int, limit_max: int) -> None:
    """Check the length of a page.

    Raises:
        InvalidError: when it is out of range.
    """
    if not 1 <= limit <= limit_max:
        raise InvalidError("limit", f"must be 1 to {limit_max}")


def cursor_at(place: Place, scope: str) -> str:
    """Return the cursor that goes on after a place, in lists of this scope."""
    content = msgspec.json.encode(_Content(place.key, place.at_us, scope))
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def place_of(cursor: str, scope: str) -> Place:
    """Return the place in a cursor.

    Raises:
        InvalidCursorError: when `cursor_at` did not make it for this scope.
    """
    if len(cursor) > CURSOR_CHARS_MAX:
        raise InvalidCursorError
    try:
        encoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        content = msgspec.json.decode(encoded, type=_Content)
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise InvalidCursorError from error
    place = Place(content.key, content.at_us)
    if not -(1 << 62) < place.at_us < 1 << 62 or cursor_at(place, scope) != cursor:
        raise InvalidCursorError
    return place
