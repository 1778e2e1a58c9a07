"""Checks of each value that a session keeps: titles, tags, channels, names, metadata, JSON.

A check returns the value in its stored form, or raises an error that names the field.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from chatkeep.core.bounds import DEPTH_MAX, METADATA_BYTES_MAX, VALUES_MAX, has_more_values, is_deeper
from chatkeep.core.keys import CHANNEL_CHARS_MAX, composed
from chatkeep.core.text.surrogates import LONE_SURROGATE
from chatkeep.errors import InvalidError

NAME_CHARS_MAX: Final = 128
ENTRIES_MAX: Final = 16  # names of metadata in one filter
ENTRY_CHARS_MAX: Final = 1000  # of a value in a filter
TAGS_MAX: Final = 64
TITLE_CHARS_MAX: Final = 200

BLANKS: Final = "\u034f\u115f\u1160\u200c\u200d\u2800\u3164\uffa0\ufe00-\ufe0f"
"""Allowed characters without a visible shape, written for a character class of a pattern."""

_BLANK: Final = re.compile(rf"[\s{BLANKS}]")
_BREAKS: Final = re.compile(r"\s*[\t-\r\x1c-\x1f\x85\u2028\u2029]\s*")
_TURNS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # change the reading direction


def check_title(title: str) -> str:
    """Return the title trimmed, on one line.

    Raises:
        InvalidError: when it has not 1 to 200 characters, no visible one, or control characters.
    """
    trimmed = title.strip()
    if not 1 <= len(trimmed) <= TITLE_CHARS_MAX:
        raise InvalidError("title", f"must have 1 to {TITLE_CHARS_MAX} characters after trimming")
    folded = _BREAKS.sub(" ", trimmed)
    if any(unicodedata.category(character) in {"Cc", "Cs"} or character in _TURNS for character in folded):
        raise InvalidError("title", "must not contain control characters, turns of direction or lone surrogates")
    if all(_BLANK.fullmatch(character) or unicodedata.category(character) == "Cf" for character in folded):
        raise InvalidError("title", "must have a character that can be seen")
    return folded


def check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata.

    Raises:
        InvalidError: when it is larger than 256 KiB as JSON, nested too deep, or has text that cannot be stored.
    """
    encoded = encoded_json("metadata", metadata)
    if len(encoded) > METADATA_BYTES_MAX:
        raise InvalidError("metadata", f"must be at most {METADATA_BYTES_MAX} bytes of JSON")
    check_shape("metadata", encoded)
    return metadata


def check_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tags in form NFC without repetitions, in their order.

    Raises:
        InvalidError: for more than 64 tags, or one that is empty, longer than 64 characters or not printable.
    """
    if len(tags) > TAGS_MAX:
        raise InvalidError("tags", f"at most {TAGS_MAX} tags")
    tags = tuple(map(composed, tags))
    for tag in tags:
        if tag != tag.strip() or not 1 <= len(tag) <= CHANNEL_CHARS_MAX:
            raise InvalidError("tags", f"a tag has 1 to {CHANNEL_CHARS_MAX} characters and no white space at its ends")
        check_name("tags", tag)
    return tuple(dict.fromkeys(tags))


def check_channel(channel: str) -> str:
    """Return the channel in form NFC.

    Raises:
        InvalidError: when it has not 1 to 64 printable characters, or white space at its ends.
    """
    channel = composed(channel)
    if channel != channel.strip() or not 1 <= len(channel) <= CHANNEL_CHARS_MAX:
        raise InvalidError("channel", f"has 1 to {CHANNEL_CHARS_MAX} characters and no white space at its ends")
    check_name("channel", channel)
    return channel


def check_entries(entries: Sequence[tuple[str, str]]) -> None:
    """Check names and values that metadata must have.

    Raises:
        InvalidError: for more than 16, a value of more than 1,000 characters, or a name that is empty, longer than 128
            characters, or with a quotation mark; so for each part of a name between dots.
    """
    if len(entries) > ENTRIES_MAX:
        raise InvalidError("meta", f"at most {ENTRIES_MAX} names")
    for name, value in entries:
        if len(name) > NAME_CHARS_MAX or '"' in name or not all(name.split(".")):
            raise InvalidError("meta", f"a name has 1 to {NAME_CHARS_MAX} characters, dots between them, and no quotes")
        check_name("meta", name)
        if len(value) > ENTRY_CHARS_MAX:
            raise InvalidError(f"meta.{name}", f"must have at most {ENTRY_CHARS_MAX} characters")
        encoded_json(f"meta.{name}", value)


def encoded_json(what: str, value: object) -> bytes:
    """Return the value as its stored JSON bytes.

    Raises:
        InvalidError: naming `what`, for a lone surrogate, a NUL character or a value outside JSON.
    """
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError as error:
        raise InvalidError(what, LONE_SURROGATE) from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidError(what, "is not a JSON value") from error
    if b"\\u0000" in encoded and _has_nul(msgspec.json.decode(encoded)):
        raise InvalidError(what, "must not contain the character NUL")
    if b"null" in encoded and _has_infinity(msgspec.to_builtins(value)):
        raise InvalidError(what, "must not contain a number that is not finite")
    return encoded


def check_name(field_name: str, name: str | None) -> None:
    """Check a name, if there is one.

    Raises:
        InvalidError: when it has not 1 to 128 characters, or has control characters.
    """
    if name is None:
        return
    if not 1 <= len(name) <= NAME_CHARS_MAX:
        raise InvalidError(field_name, f"must have 1 to {NAME_CHARS_MAX} characters")
    if name.isprintable():  # most are, and told at once
        return
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise InvalidError(field_name, "must not contain control characters or lone surrogates")


def check_shape(what: str, encoded: bytes) -> None:
    """Check the nesting and the number of values of JSON.

    Raises:
        InvalidError: naming `what`, when it is nested too deep or has too many values.
    """
    if has_more_values(encoded):
        raise InvalidError(what, f"has more than {VALUES_MAX} values")
    if is_deeper(encoded):
        raise InvalidError(what, f"is nested more than {DEPTH_MAX} levels deep")


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _has_nul(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def _has_infinity(value: object) -> bool:
    """Tell whether the value has a number outside JSON; the encoder writes it as null."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return any(map(_has_infinity, value))
    return isinstance(value, float) and not math.isfinite(value)
