"""A secret masked in a stream of events, even when a growing text spells it over several events.

An event passes byte for byte unless the secret is in it. Each text is followed by its place in the JSON of its event,
such as `choices` number 0, `delta`, `content`. When a text ends with four or more characters of the secret's
beginning, events wait until its continuation is clear. The secret's characters in them become stars. Up to three
characters may have passed before, such as the `sk-` of all keys. The wait is bounded: more than 256 KiB pass. Data
that do not look like events pass through `MaskedPieces` alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from chatkeep.core.history.completions import END
from chatkeep.core.history.masking import Mask, MaskedPieces
from chatkeep.core.model import Json

WAITING_BYTES_MAX: Final = 1 << 18  # bounds the memory of a stream, and the delay for its reader
_TELLING_CHARS: Final = 4  # of a secret's beginning; shorter ones end many words, and would hold up most streams
_TRAILS_MAX: Final = 256  # texts ending with the secret's beginning; an answer has one or two for each choice
_END: Final = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_END_BYTES_MAX: Final = 4
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_FIELDS: Final = (b"data", b"event", b"id", b"retry", b":")
_BLANKS: Final = b"\xef\xbb\xbf \t\r\n"

JsonPath = tuple[str | int, ...]
"""Names and numbers on the way to a text in the JSON of an event."""


class _Event:
    """An event and its JSON, which may be changed before the event passes."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.is_changed = False
        self.value = _json_of(raw)

    @property
    def is_last(self) -> bool:
        return self.value is None and END in self.raw

    def told(self) -> bytes:
        if not self.is_changed:
            return self.raw
        others = [line for line in _LINE_END.split(self.raw) if line and not line.startswith(b"data")]
        return b"\n".join([*others, b"data: " + msgspec.json.encode(self.value)]) + b"\n\n"


class _Text(NamedTuple):
    """A text in an event, and its place."""

    place: JsonPath
    event: _Event
    holder: dict[str, Json] | list[Json]
    name: str | int

    def read(self) -> str:
        return str(self.holder[self.name])  # type: ignore[index]

    def write(self, text: str) -> None:
        self.holder[self.name] = text  # type: ignore[index]
        self.event.is_changed = True


class _Trail(NamedTuple):
    """A beginning of the secret at the end of the texts at a place, with the length of its part in each."""

    begun: str
    parts: tuple[tuple[_Text, int], ...]


class MaskedEvents:
    """Masks an answer that arrives in pieces; data other than events are masked piece by piece."""

    def __init__(self, mask: Mask) -> None:
        """Begin before the first piece."""
        self._secret = mask.secret
        self._pieces = MaskedPieces(mask)
        self._is_known = self._is_events = False
        self._begun = bytearray()
        self._looked_to = 0
        self._waiting: list[_Event] = []
        self._waiting_bytes = 0
        self._trails: dict[JsonPath, _Trail] = {}

    def take(self, piece: bytes) -> bytes:
        """Add a piece, and return the data now safe to pass on."""
        known = self._pieces.take(piece)
        if not self._secret or (self._is_known and not self._is_events):
            return known
        self._begun += known
        if not self._is_known:
            self._look()
        if not self._is_events:
            return self._rest() if self._is_known else b""
        told = [told for event in self._events() for told in self._heard(event)]
        if len(self._begun) > WAITING_BYTES_MAX:
            told += [*self._released(), self._rest()]
        return b"".join(told)

    def end(self) -> bytes:
        """Return the rest of the data; no more comes."""
        return b"".join((*self._released(), self._rest(), self._pieces.end()))

    def _look(self) -> None:
        """Tell events from other data by the answer's beginning."""
        begun = bytes(self._begun[:64]).lstrip(_BLANKS)
        if begun and not any(field.startswith(begun) and field != begun for field in _FIELDS):
            self._is_known, self._is_events = True, begun.startswith(_FIELDS)

    def _events(self) -> Iterator[_Event]:
        start = 0
        while found := _END.search(self._begun, max(start, self._looked_to)):
            yield _Event(bytes(self._begun[start : found.end()]))
            start = found.end()
        del self._begun[:start]
        self._looked_to = max(0, len(self._begun) - _END_BYTES_MAX)

    def _heard(self, event: _Event) -> Iterator[bytes]:
        """Add an event, and yield the bytes now safe to pass on."""
        for text in _texts_in(event):
            self._follow(text)
        self._waiting.append(event)
        self._waiting_bytes += len(event.raw)
        is_open = any(len(trail.begun) >= _TELLING_CHARS for trail in self._trails.values())
        if event.is_last or self._waiting_bytes > WAITING_BYTES_MAX:
            yield from self._released()
        elif not is_open:
            yield from self._passed()

    def _passed(self) -> Iterator[bytes]:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        yield from (event.told() for event in waiting)

    def _released(self) -> Iterator[bytes]:
        """Yield the waiting events, whatever may follow."""
        self._trails.clear()
        yield from self._passed()

    def _rest(self) -> bytes:
        rest, self._begun, self._looked_to = bytes(self._begun), bytearray(), 0
        return rest

    def _follow(self, text: _Text) -> None:
        """Go on with the text at a place: mask each whole secret, and note a beginning of it at the end."""
        trail = self._trails.pop(text.place, _Trail("", ()))
        said = text.read()
        if self._secret in said:
            said = said.replace(self._secret, "*" * len(self._secret))
            text.write(said)
        at = (trail.begun + said[: len(self._secret)]).find(self._secret)
        if 0 <= at < len(trail.begun):
            said = self._masked(trail, text, said, at)
            trail = _Trail("", ())
        ending = (trail.begun + said)[-len(self._secret) + 1 :]
        starts = (place for place in _places(ending, self._secret[0]) if self._secret.startswith(ending[place:]))
        if (start := next(starts, None)) is not None:
            begun = ending[start:]
            own = min(len(begun), len(said))
            before = trail.parts if len(begun) > len(said) else ()
            if len(self._trails) >= _TRAILS_MAX:
                del self._trails[next(iter(self._trails))]
            self._trails[text.place] = _Trail(begun, (*before, (text, own)) if own else before)

    def _masked(self, trail: _Trail, text: _Text, said: str, at: int) -> str:
        """Put stars over a secret that began in earlier texts and ends in this one; return this one."""
        left = len(trail.begun) - at
        own = len(self._secret) - left
        masked = "*" * own + said[own:]
        text.write(masked)
        for part, count in reversed(trail.parts):
            many = min(count, left)
            if many:
                part.write(part.read()[:-many] + "*" * many)
            left -= many
        return masked


def _places(text: str, character: str) -> Iterator[int]:
    place = text.find(character)
    while place >= 0:
        yield place
        place = text.find(character, place + 1)


def _json_of(raw: bytes) -> Json:
    """Return the JSON of an event, None for none."""
    lines = [line.partition(b":")[2] for line in _LINE_END.split(raw) if line.startswith(b"data")]
    try:
        return msgspec.json.decode(b"\n".join(lines))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _texts_in(event: _Event) -> Iterator[_Text]:
    """Yield the texts of an event, each with its place; choices and calls count by their own `index`."""
    todo: list[tuple[JsonPath, Json]] = [((), event.value)]
    while todo:
        place, value = todo.pop()
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, inner in pairs:
            if isinstance(inner, str):
                yield _Text((*place, name), event, value, name)
            elif isinstance(inner, dict | list):
                number = inner.get("index") if isinstance(inner, dict) and isinstance(value, list) else None
                todo.append(((*place, number if isinstance(number, int) else name), inner))
