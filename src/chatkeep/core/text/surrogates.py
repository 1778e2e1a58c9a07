"""Halves of surrogate pairs: JSON can write one alone, and Unicode text cannot hold it.

Servers and clients that cut texts into pieces cut pairs as well. Neighbouring halves are joined again. A lone one is
refused in our own requests, and replaced in recorded and imported text.
"""

from __future__ import annotations

import re
from typing import Final

LONE_SURROGATE: Final = "has a lone surrogate: text must be valid Unicode"
"""The reason of an `InvalidError`."""
_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")  # NUL, and a lone half
_HIGH: Final = rb"[dD][89abAB]"
_LOW: Final = rb"[dD][c-fC-F]"
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_PAIRED: Final = re.compile(  # bounded repeats, so that other threads run between two matches
    rb"(?:[^\\]{1,64}+|\\u%b..\\u%b|\\u(?![dD][89a-fA-F])|\\[^u]){1,4096}+" % (_HIGH, _LOW),
    re.DOTALL,
)


def whole_characters(text: str) -> str:
    """Return the text with adjacent halves of surrogate pairs joined."""
    return _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)


def storable_text(text: str) -> str:
    """Return the text with U+FFFD in place of NUL and lone surrogates, as neither can be stored."""
    return UNSTORABLE.sub("\ufffd", whole_characters(text))


def has_lone_escape(data: bytes) -> bool:
    """Tell, without parsing, whether JSON has an escaped surrogate without its other half."""
    end = 0
    while paired := _PAIRED.match(data, end):
        end = paired.end()
    return _SURROGATE.match(data, end) is not None
