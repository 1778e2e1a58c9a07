"""A first glimpse of JSON: the value at the beginning of a text that may be cut anywhere.

Importers recognise their formats by it. A glimpse has every whole value up to the cut, and the beginnings of the lists
and objects around it. A word in a message is thus never taken for the name of a field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from chatkeep.core.model import Json

_LEVELS_MAX: Final = 12  # of cut lists and objects; deeper ones are left out
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_decode = json.JSONDecoder(strict=False).raw_decode


class _Piece(NamedTuple):
    """A value and the place behind it; None when the text ends within the value."""

    value: Json
    end: int | None


@lru_cache(maxsize=16)
def glimpse(head: bytes) -> Json:
    """Return the JSON value at the beginning of a text, without its parts behind the cut; None when there is none."""
    return _piece(head.decode(errors="replace"), 0, _LEVELS_MAX).value


def objects_of(value: Json, *lists: str) -> Iterator[dict[str, Json]]:
    """Yield a value that is an object, or the objects in a list, or those in the list in one of these fields."""
    if isinstance(value, dict):
        value = next((value[name] for name in lists if isinstance(value.get(name), list)), value)
    for one in value if isinstance(value, list) else (value,):
        if isinstance(one, dict):
            yield one


def _piece(text: str, at: int, levels: int) -> _Piece:
    at = _behind_space(text, at)
    try:
        return _Piece(*_decode(text, at))
    except (ValueError, RecursionError):
        pass
    if not levels or text[at : at + 1] not in {"{", "["}:
        return _Piece(None, None)
    return _Piece(_object(text, at + 1, levels - 1) if text[at] == "{" else _list(text, at + 1, levels - 1), None)


def _object(text: str, at: int, levels: int) -> dict[str, Json]:
    found: dict[str, Json] = {}
    while True:
        at = _behind_space(text, at)
        try:
            name, at = _decode(text, at)
        except (ValueError, RecursionError):
            return found
        colon = _behind_space(text, at)
        if not isinstance(name, str) or text[colon : colon + 1] != ":":
            return found
        found[name], end = _piece(text, colon + 1, levels)
        if end is None or text[(at := _behind_space(text, end)) : at + 1] != ",":
            return found
        at += 1


def _list(text: str, at: int, levels: int) -> list[Json]:
    found: list[Json] = []
    while True:
        value, end = _piece(text, at, levels)
        if end is not None or value is not None:
            found.append(value)
        if end is None or text[(at := _behind_space(text, end)) : at + 1] != ",":
            return found
        at += 1


def _behind_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()
