"""Server-sent events: written whole, and read from bytes in pieces of any size.

Source: the event stream format of the WHATWG HTML standard, section 9.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from chatkeep.errors import BrokenInputError

EVENT_STREAM_TYPE: Final = "text/event-stream"
COMMENT: Final = b":\n\n"
"""A comment without meaning: sent in a silence, it shows a living sender."""

EVENT_BYTES_MAX: Final = 4 << 20  # 4 MiB; bounds the memory of a reader
_LINE_COST_BYTES: Final = 40  # of a buffered line, beside its content
_MARK: Final = b"\xef\xbb\xbf"  # the byte order mark of UTF-8, allowed at the very beginning


class Event(Struct, frozen=True):
    """An event: its name, its data, and an id to resume the stream after it, empty for none."""

    name: str
    data: bytes
    id: str = ""


def event_bytes(event: Event, *, retry_ms: int | None = None) -> bytes:
    """Return an event as bytes. Its data must have no line breaks, as JSON has none.

    `retry_ms` asks the client to reconnect after so many milliseconds.
    """
    retry = b"" if retry_ms is None else b"retry: %d\n" % retry_ms
    mark = b"id: %b\n" % event.id.encode() if event.id else b""
    return b"%b%bevent: %b\ndata: %b\n\n" % (retry, mark, event.name.encode(), event.data)


class EventReader:
    """Reads events from pieces of a stream. It buffers an event until its end; one without data is skipped."""

    def __init__(self, *, bytes_max: int = EVENT_BYTES_MAX) -> None:
        """Begin before the first byte; no event may be longer than `bytes_max`."""
        self._bytes_max = bytes_max
        self._mark = _MARK
        self._rest = bytearray()
        self._has_cr = False
        self._name = ""
        self._id = ""
        self._data: list[bytes] = []
        self._size = 0  # of the data

    @property
    def held_bytes(self) -> int:
        """Bytes buffered of an event without its end yet."""
        return len(self._rest) + self._size

    def read(self, piece: bytes) -> Iterator[Event]:
        """Yield the events completed by this piece.

        Raises:
            BrokenInputError: when one is too long.
        """
        if self._has_cr and piece:  # that CR ended its line, so the LF of the pair ends none
            piece, self._has_cr = piece.removeprefix(b"\n"), False
        first, *others = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._has_cr = piece.endswith(b"\r") or (self._has_cr and not piece)
        self._rest += first
        for after in others:
            if event := self._event_at(bytes(self._rest)):
                yield event
            self._rest = bytearray(after)
        if self.held_bytes > self._bytes_max:
            raise BrokenInputError(f"An event has more than {self._bytes_max} bytes.")

    def end(self) -> Iterator[Event]:
        """Yield the unfinished event at the end of the stream."""
        yield from self.read(b"\n\n")

    def _event_at(self, line: bytes) -> Event | None:
        """Add a line, and return the event if this line ends one."""
        line, self._mark = line.removeprefix(self._mark), b""
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"error":  # llama.cpp sends errors so
            self._name, name = "error", b"data"
        elif line.startswith(b"{"):  # a gateway broke off the stream with plain JSON
            name, value = b"data", line
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + _LINE_COST_BYTES
        elif name == b"event":
            self._name = value.decode(errors="replace")
        elif name == b"id":
            self._id = value.decode(errors="replace")
        if line:
            return None
        event = Event(self._name or "message", b"\n".join(self._data), self._id) if self._data else None
        self._name, self._data, self._size = "", [], 0
        return event
