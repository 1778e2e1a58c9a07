"""Pieces of a foreign message in our standard form: times, tool calls, thinking, and the rest as it was."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Mapping
from typing import Final

import msgspec

from chatkeep.core.checks import NAME_CHARS_MAX
from chatkeep.core.model import Json

SOURCE: Final = "source"
"""The key in metadata for the format, the id and the other fields of a session or message as its program wrote it."""

_SECONDS_MAX: Final = 10**11  # seconds since 1970; a larger number counts milliseconds, or smaller units
_NUMBERS: Final = (int, float)  # never empty, unlike None, "", [] and {}


def epoch(value: Json) -> Json:
    """Return a time as seconds since 1970, also from a text or from smaller units; another value as it is."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    while _SECONDS_MAX < abs(value) < float("inf"):
        value /= 1000
    return value


def rest_of(fields: Mapping[str, Json], *taken: str) -> dict[str, Json]:
    """Return the fields that are not taken and not empty."""
    return {name: one for name, one in fields.items() if name not in taken and (one or isinstance(one, _NUMBERS))}


def metadata_of(rest: Mapping[str, Json], **known: Json) -> dict[str, Json]:
    """Return a message's metadata: the known facts that are not empty, and the rest as it was."""
    metadata = {name: one for name, one in known.items() if one or isinstance(one, _NUMBERS)}
    return {**metadata, SOURCE: dict(rest)} if rest else metadata


def thinking(words: str, origin: str) -> dict[str, Json] | None:
    """Return a model's thinking for the metadata of its message; `origin` names the field with the words."""
    return {"text": words, "from": origin} if words.strip() else None


def call_of(call_id: Json, name: Json, arguments: Json) -> dict[str, Json]:
    """Return a tool call in the form of the OpenAI API; arguments that are no object become its field `input`."""
    written = arguments if isinstance(arguments, str) and _is_object(arguments) else None
    if written is None:
        value = arguments if isinstance(arguments, dict) else {"input": arguments} if arguments is not None else {}
        written = msgspec.json.encode(value).decode()
    return {"id": _text(call_id), "type": "function", "function": {"name": _text(name), "arguments": written}}


def text_in(value: Json) -> str:
    """Return a text as it is, nothing for another value."""
    return value if isinstance(value, str) else ""


def person_in(name: str) -> str | None:
    """Return a person's name for a message, without control characters and at most 128 characters; None for none."""
    shown = "".join(character for character in name if unicodedata.category(character) not in {"Cc", "Cs"})
    return shown.strip()[:NAME_CHARS_MAX] or None


def object_in(value: Json) -> dict[str, Json]:
    """Return an object as it is, an empty one for another value."""
    return value if isinstance(value, dict) else {}


def list_in(value: Json) -> list[Json]:
    """Return a list as it is, an empty one for another value."""
    return value if isinstance(value, list) else []


def _text(value: Json) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
