"""Halves of surrogate pairs: JSON can write one alone, and Unicode text cannot hold it.

Servers and clients that cut texts into pieces cut pairs as well. Neighbouring halves are joined again. A lone one is
refused in our own requests, and replaced in recorded and imported text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

LONE_SURROGATE: Final = "has a lone surrogate: text must be valid Unicode"
"""The reason of an `InvalidError`."""
_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_FIRST_HALF: Final = re.compile("[\ud800-\udbff]")
_SLICE_CHARS: Final = 1 << 16
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
    return text if text.isascii() else "".join(map(_joined, _slices(text)))


def storable_text(text: str) -> str:
    """Return the text with U+FFFD in place of NUL and lone surrogates, as neither can be stored."""
    if text.isascii():
        return text.replace("\0", "\ufffd")
    return "".join(UNSTORABLE.sub("\ufffd", _joined(piece)) for piece in _slices(text))


def _slices(text: str) -> Iterator[str]:
    """Yield a text in slices, none of which ends between two halves: other threads run between two slices."""
    start = 0
    while start < len(text):
        end = start + _SLICE_CHARS
        end += _FIRST_HALF.match(text, end - 1) is not None
        yield text[start:end]
        start = end


def _joined(text: str) -> str:
    return _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)


def has_lone_escape(data: bytes) -> bool:
    """Tell, without parsing, whether JSON has an escaped surrogate without its other half."""
    end = 0
    while paired := _PAIRED.match(data, end):
        end = paired.end()
    return _SURROGATE.match(data, end) is not None
