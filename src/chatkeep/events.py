"""Changes as server-sent events, both ways: the server writes them, the client reads them.

An event has the change's position as its id, its kind as its name and its facts as JSON. Two more begin
what is told live: `ready`, when all was told that was missed, and `reset`, when that cannot be told.

Source: the WHATWG HTML standard, section 9.2, server-sent events.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType

from chatkeep import wire
from chatkeep.core.feed import Change, ChangeKind
from chatkeep.wire import SessionItem

MEDIA_TYPE: Final = "text/event-stream"
READY: Final = "ready"
RESET: Final = "reset"
HEARTBEAT: Final = b":\n\n"
RETRY_MS: Final = 1000
_KINDS: Final[frozenset[str]] = frozenset(get_args(ChangeKind))


class EventData(Struct, frozen=True, kw_only=True):
    """What an event says; `ready` and `reset` say nothing.

    `session` is as lists of the object dialect show it when this is sent, null when it is gone by then.
    """

    key: str | UnsetType = UNSET
    first_seq: int | UnsetType = UNSET
    last_seq: int | UnsetType = UNSET
    session: SessionItem | UnsetType | None = UNSET


class Event(Struct, frozen=True):
    """An event as it came: its name, its id, its data."""

    name: str
    id: str
    data: bytes

    @property
    def change(self) -> Change | None:
        """The change that it tells of; None for an event of another kind."""
        if self.name not in _KINDS:
            return None
        told = msgspec.json.decode(self.data, type=EventData)
        return Change(
            position=self.id,
            kind=cast("ChangeKind", self.name),
            key=told.key or "",
            first_seq=told.first_seq or None,
            last_seq=told.last_seq or None,
            summary=wire.summary_of(told.session) if told.session else None,
        )


def event_of(change: Change) -> bytes:
    """Return the event that tells of a change."""
    data = EventData(
        key=change.key,
        first_seq=change.first_seq or UNSET,
        last_seq=change.last_seq or UNSET,
        session=None if change.summary is None else wire.summary_item(change.summary),
    )
    return _event(change.kind, change.position, data)


def beginning(name: str, position: str) -> bytes:
    """Return the event, `ready` or `reset`, after which all is told that follows this position."""
    return b"retry: %d\n" % RETRY_MS + _event(name, position, EventData())


class EventReader:
    """Puts the pieces of a stream together again."""

    def __init__(self) -> None:
        """Begin before the first byte."""
        self._rest = b""

    def read(self, piece: bytes) -> Iterator[Event]:
        """Yield the events that this piece makes whole."""
        *blocks, self._rest = (self._rest + piece).split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
            if b"event" in fields and b"id" in fields:
                yield Event(fields[b"event"].decode(), fields[b"id"].decode(), fields.get(b"data", b"{}"))


def _event(name: str, position: str, data: EventData) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (position.encode(), name.encode(), wire.encoded(data))
