"""Changes as server-sent events: the server encodes them, the client decodes them.

An event has the position of the change as its id, the kind as its name, and the facts as JSON data.
One of two more events comes before the new changes. `ready` comes after all missed changes; `reset` comes when
the store does not know them any more.
"""

from __future__ import annotations

from typing import Final, cast, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType

from chatkeep.core.feed import Change, ChangeKind
from chatkeep.core.sse import Event, event_bytes
from chatkeep.core.standing import Drops
from chatkeep.errors import UnreachableError
from chatkeep.wire import answers
from chatkeep.wire.answers import SessionItem
from chatkeep.wire.errors import UNREADABLE

READY: Final = "ready"
RESET: Final = "reset"
RETRY_MS: Final = 1000  # a client waits so long before it reconnects
_KINDS: Final[frozenset[str]] = frozenset(get_args(ChangeKind))


class EventData(Struct, frozen=True, kw_only=True):
    """The data of an event; `ready` and `reset` have none.

    `drops` are the ranges of seqs dropped by the new lines. `session` has the state at the time of sending, as in a
    list of the object dialect; null when it is deleted.
    """

    key: str | UnsetType = UNSET
    first_seq: int | UnsetType = UNSET
    last_seq: int | UnsetType = UNSET
    drops: Drops | UnsetType = UNSET
    session: SessionItem | UnsetType | None = UNSET


def change_of(event: Event) -> Change | None:
    """Return the change in an event; None for an event of another kind.

    Raises:
        UnreachableError: when the event has other data than Chatkeep sends.
    """
    if event.name not in _KINDS:
        return None
    try:
        told = msgspec.json.decode(event.data, type=EventData)
    except UNREADABLE as error:
        raise UnreachableError("The server sent an event, but not as Chatkeep does.") from error
    return Change(
        position=event.id,
        kind=cast("ChangeKind", event.name),
        key=told.key or "",
        first_seq=told.first_seq or None,
        last_seq=told.last_seq or None,
        drops=told.drops or None,
        summary=answers.summary_of(told.session) if told.session else None,
    )


def event_of(change: Change) -> bytes:
    """Return a change as an encoded event."""
    data = EventData(
        key=change.key,
        first_seq=change.first_seq or UNSET,
        last_seq=change.last_seq or UNSET,
        drops=change.drops or UNSET,
        session=None if change.summary is None else answers.summary_item(change.summary),
    )
    return event_bytes(Event(change.kind, answers.json_bytes(data), change.position))


def first_event(name: str, position: str) -> bytes:
    """Return the encoded event `ready` or `reset`, with the position before all further changes."""
    return event_bytes(Event(name, answers.json_bytes(EventData()), position), retry_ms=RETRY_MS)
