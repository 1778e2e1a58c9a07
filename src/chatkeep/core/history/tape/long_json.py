"""JSON with long texts, decoded in short steps.

A call of a library keeps all other threads waiting: a text of 24 MB takes 60 ms. So long texts are first cut out, a
piece in each step. The rest is decoded with marks in their places, then the marks give way to the texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

import msgspec

from chatkeep.core.model import Json

SHORT_JSON_BYTES: Final = 1 << 18  # of JSON; a shorter one is decoded at once, in 1 ms
_REST_BYTES_MAX: Final = 4 << 20  # of JSON without its long texts: 20 ms
_TEXT_BYTES: Final = 1 << 12  # of a text; longer ones are cut out
_OTHERS: Final = re.compile(rb'(?:[^"]{1,%d}+|"(?:[^"\\]|\\.){0,%d}+"){1,256}+' % (_TEXT_BYTES, _TEXT_BYTES), re.DOTALL)
_PIECE: Final = re.compile(rb'(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u]){1,65536}+', re.DOTALL)
_IN_A_CHARACTER: Final = range(0x80, 0xC0)  # bytes of UTF-8 that begin no character
_HIGH, _LOW = re.compile("[\ud800-\udbff]$"), re.compile("^[\udc00-\udfff]")
_QUOTE: Final = b'"'


def decoded_json(data: bytes) -> Json:
    """Return a JSON value; half characters stay as they are.

    Raises:
        ValueError: when it is not JSON, or too long without its long texts.
        RecursionError: when it is nested without end.
    """
    if len(data) <= SHORT_JSON_BYTES:
        return _at_once(data)
    name = blake2b(data, digest_size=16).hexdigest()  # no data can have this within
    rest = bytearray()
    texts: list[str] = []
    for part, text in _parts_of(data):
        rest += part
        if text is not None:
            rest += f'"{name}{len(texts)}"'.encode()
            texts.append(text)
        if len(rest) > _REST_BYTES_MAX:
            raise ValueError("too long without its texts")
    value = _at_once(bytes(rest))
    return _with_texts(value, {f"{name}{place}": text for place, text in enumerate(texts)}) if texts else value


def _at_once(data: bytes) -> Json:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):  # json takes lone surrogates, msgspec does not: keep the answer
        return json.loads(data.decode())


def _parts_of(data: bytes) -> Iterator[tuple[bytes, str | None]]:
    """Yield JSON without its long texts, and each of these behind its part."""
    at = 0
    while at < len(data):
        if found := _OTHERS.match(data, at):
            yield found[0], None
            at = found.end()
        else:
            text, at = _text_from(data, at + 1)
            yield b"", text


def _text_from(data: bytes, at: int) -> tuple[str, int]:
    """Return the text that begins at an offset, and the offset behind its closing quote."""
    texts: list[str] = []
    while data[at : at + 1] != _QUOTE:
        found = _PIECE.match(data, at)
        if found is None:
            raise ValueError("a text does not end")
        end = found.end()
        while at < end < len(data) and data[end] in _IN_A_CHARACTER:
            end -= 1
        if end == at:
            raise ValueError("no UTF-8")
        text: str = _at_once(b'"%b"' % data[at:end])
        if texts and _HIGH.search(texts[-1]) and _LOW.match(text):  # one character in two escapes
            texts[-1], text = texts[-1][:-1], _joined(texts[-1][-1], text[0]) + text[1:]
        texts.append(text)
        at = end
    return "".join(texts), at + 1


def _joined(high: str, low: str) -> str:
    return (high + low).encode("utf-16", "surrogatepass").decode("utf-16")


def _with_texts(value: Json, texts: dict[str, str]) -> Json:
    """Return a value with the texts in place of their marks; its depth is bounded by the parser."""
    if isinstance(value, str):
        return texts.get(value, value)
    if isinstance(value, dict):
        return {texts.get(name, name): _with_texts(inner, texts) for name, inner in value.items()}
    return [_with_texts(inner, texts) for inner in value] if isinstance(value, list) else value
