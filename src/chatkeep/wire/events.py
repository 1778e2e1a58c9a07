"""Changes as server-sent events, both ways: the server writes them, the client reads them.

An event has the change's position as its id, its kind as its name and its facts as JSON. Two more begin
what is told live: `ready`, when all was told that was missed, and `reset`, when that cannot be told.
"""

from __future__ import annotations

from typing import Final, cast, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType

from chatkeep.core.feed import Change, ChangeKind
from chatkeep.core.sse import Event, event_bytes
from chatkeep.wire import answers
from chatkeep.wire.answers import SessionItem

READY: Final = "ready"
RESET: Final = "reset"
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


def change_of(event: Event) -> Change | None:
    """Return the change that an event tells of; None for an event of another kind."""
    if event.name not in _KINDS:
        return None
    told = msgspec.json.decode(event.data, type=EventData)
    return Change(
        position=event.id,
        kind=cast("ChangeKind", event.name),
        key=told.key or "",
        first_seq=told.first_seq or None,
        last_seq=told.last_seq or None,
        summary=answers.summary_of(told.session) if told.session else None,
    )


def event_of(change: Change) -> bytes:
    """Return the event that tells of a change."""
    data = EventData(
        key=change.key,
        first_seq=change.first_seq or UNSET,
        last_seq=change.last_seq or UNSET,
        session=None if change.summary is None else answers.summary_item(change.summary),
    )
    return event_bytes(Event(change.kind, answers.json_bytes(data), change.position))


def first_event(name: str, position: str) -> bytes:
    """Return the event, `ready` or `reset`, after which all is told that follows this position."""
    return event_bytes(Event(name, answers.json_bytes(EventData()), position), retry_ms=RETRY_MS)
