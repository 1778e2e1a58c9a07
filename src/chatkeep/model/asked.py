"""The messages of a request to a model, ready to be recorded. A bad field never costs its neighbours.

The protocol of the request (`core.history.protocols.speaking`) says where it has messages, and how each is read.

A parser takes most requests whole. `core.scanning` first takes apart a request nested too deep or with too many
values. Each field of each message is then parsed alone, and a notice replaces a field too large to keep. Equal
messages give equal drafts, so a resent message is recognised.
"""

from __future__ import annotations

import hashlib
import json
import re
from io import BytesIO
from typing import Final, NamedTuple

import msgspec

from chatkeep.core.bounds import DEPTH_MAX, VALUES_MAX, count_of, is_deeper, is_nested_deeper, structure_of
from chatkeep.core.history.mending import SHORTENED, marked, storable
from chatkeep.core.history.protocols.chat_completions import COMPLETIONS
from chatkeep.core.history.protocols.speaking import ModelProtocol
from chatkeep.core.model import Draft, Json
from chatkeep.core.scanning import BrokenValueError, LongValueError, Scanner
from chatkeep.errors import ChatkeepError
from chatkeep.wire.bodies import check_values

_KEPT_VALUES_MAX: Final = 4 * VALUES_MAX  # values in all messages together: about 30 MiB once parsed
_FIELD_BYTES_MAX: Final = 256 << 10  # bytes of each field besides `messages`; larger fields are dropped
_LOOKED_INTO_BYTES: Final = 1 << 20  # bytes; a deeply nested field above this is kept or replaced whole
_PARSED_LEVELS: Final = 2 * DEPTH_MAX  # nesting levels the parser takes; `storable` then cuts to the levels we keep
_BEGINNINGS: Final = b",[{"
_BRACKET: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_OPEN: Final = (b"[", b"{")
_CLOSE: Final = (b"]", b"}")
_TOO_DEEP: Final = b'"[nested too deep, left out]"'


class Asked(NamedTuple):
    """The messages of a request, its other fields, and its protocol."""

    request: dict[str, Json]
    drafts: list[Draft]
    protocol: ModelProtocol = COMPLETIONS


def asked_in(body: bytes, protocol: ModelProtocol = COMPLETIONS) -> Asked | None:
    """Return the messages and fields of a request; None for other bytes, as the model's server refuses them."""
    try:
        check_values(body)
        return _whole(body, protocol)
    except (ChatkeepError, RecursionError):
        return _taken_apart(body, protocol)


def _whole(body: bytes, protocol: ModelProtocol) -> Asked | None:
    """Parse a request in one go.

    Raises:
        RecursionError: when the request is nested too deep for the parser.
    """
    try:
        request, is_odd = msgspec.json.decode(body), False
    except (msgspec.DecodeError, UnicodeDecodeError):  # lone surrogates, other numbers such as NaN, or no JSON
        try:
            request, is_odd = json.loads(body), True
        except ValueError:
            return None
    items = _items(request, protocol) if isinstance(request, dict) else None
    if items is None:
        return None
    is_odd = is_odd or is_nested_deeper(items, DEPTH_MAX + 1)
    said = [_draft(one, protocol) for one in items]
    return _asked(request, list(map(storable, said)) if is_odd else said, protocol)


def _items(request: dict[str, Json], protocol: ModelProtocol) -> list[Json] | None:
    """Return the listed messages of a request, None if it has none."""
    items = request.get(protocol.items)
    if protocol.takes_text and isinstance(items, str | None):
        return [items] if items else []
    return items if isinstance(items, list) and (items or protocol.takes_text) else None


def _asked(request: dict[str, Json], said: list[Draft], protocol: ModelProtocol) -> Asked | None:
    """Return a request with its listed messages read; None if it has no message at all."""
    drafts = [*protocol.opening(request), *protocol.gathered(said)]
    return Asked(request, drafts, protocol) if drafts else None


def _draft(said: Json, protocol: ModelProtocol) -> Draft:
    """Return a message as a draft; treat a value other than an object as a user's content."""
    return protocol.draft(said if isinstance(said, dict) else {"content": said})


def _taken_apart(body: bytes, protocol: ModelProtocol) -> Asked | None:
    scanner = Scanner(BytesIO(body), levels_max=len(body))
    request: dict[str, Json] = {}
    drafts: list[Draft] = []
    budget = _Budget()
    try:
        if not scanner.skip(b"{"):
            return None
        while not scanner.skip(b"}"):
            name = scanner.name()
            if name == protocol.items and scanner.skip(b"["):
                drafts = []
                while not scanner.skip(b"]"):
                    drafts.append(_message(scanner, budget, protocol))
                    scanner.skip(b",")
            elif len(raw := scanner.value()) <= _FIELD_BYTES_MAX:
                request[name] = _field(raw, _Budget())[0]
            scanner.skip(b",")
    except (BrokenValueError, LongValueError):
        return None
    if not drafts and (items := _items(request, protocol)):
        drafts = [_draft(one, protocol) for one in items]
    return _asked(request, drafts, protocol) if drafts else None


def _message(scanner: Scanner, budget: _Budget, protocol: ModelProtocol) -> Draft:
    """Return the next message, parsing each field alone.

    Raises:
        BrokenValueError, LongValueError: when the request is not JSON.
    """
    if not scanner.skip(b"{"):
        value, is_cut = _field(scanner.value(), budget)
        return _cut_draft({"content": value}, protocol, is_cut=is_cut)
    fields: dict[str, Json] = {}
    is_cut = False
    while not scanner.skip(b"}"):
        name = scanner.name()
        raw = scanner.value()
        fields[name], is_lost = _field(raw, budget)
        is_cut |= is_lost or bool(scanner.cuts)
        scanner.skip(b",")
    return _cut_draft(fields, protocol, is_cut=is_cut)


def _cut_draft(fields: dict[str, Json], protocol: ModelProtocol, *, is_cut: bool) -> Draft:
    draft = storable(protocol.draft(fields))
    return marked(draft, SHORTENED) if is_cut else draft


class _Budget:
    """The number of values left to keep of a request."""

    def __init__(self) -> None:
        self._left = _KEPT_VALUES_MAX

    def take(self, count: int) -> bool:
        """Take `count` values from the budget and return True; return False, taking none, if they do not fit."""
        is_taken = count <= min(self._left, VALUES_MAX)
        self._left -= count * is_taken
        return is_taken


def _field(raw: bytes, budget: _Budget) -> tuple[Json, bool]:
    """Return the parsed value, or a notice in its place, and whether anything was lost."""
    count = sum(count_of(piece, _BEGINNINGS) for piece in structure_of(raw))
    if not budget.take(count):
        return f"[{count} values, too many to keep, SHA-256 {hashlib.sha256(raw).hexdigest()}]", True
    is_cut = len(raw) <= _LOOKED_INTO_BYTES and is_deeper(raw, _PARSED_LEVELS)
    try:
        return _parsed(_shallow(raw) if is_cut else raw), is_cut
    except RecursionError:
        return f"[nested too deep to keep, SHA-256 {hashlib.sha256(raw).hexdigest()}]", True


def _parsed(raw: bytes) -> Json:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = raw.decode(errors="replace")
    try:
        return json.loads(text, strict=False)
    except ValueError:
        return text


def _shallow(raw: bytes) -> bytes:
    """Return the JSON with a notice in place of each value nested too deep for the parser."""
    kept, start, depth = bytearray(), 0, 0
    for found in _BRACKET.finditer(raw):
        is_open = found[0] in _OPEN
        if is_open and depth == _PARSED_LEVELS:
            kept += raw[start : found.start()] + _TOO_DEEP
        depth += 1 if is_open else -(found[0] in _CLOSE)
        if depth >= _PARSED_LEVELS and not (is_open and depth == _PARSED_LEVELS):
            start = found.end()
    return bytes(kept + raw[start:])
