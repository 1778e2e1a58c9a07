"""The protocol of a hand-off: where a tool keeps its sessions, and the lines of one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple, Protocol

import msgspec

from chatkeep.core.history.turns import Image
from chatkeep.core.model import Json, Message, Session

_NAMES: Final = uuid.UUID("3a4f3c7e-6d0b-5c52-9d9a-3b1c5e2f7a90")


class Handed(NamedTuple):
    """A session of a tool: its id, the folder of the user's work, and the time of its latest message."""

    session_id: str
    work_folder: str
    at: datetime

    @classmethod
    def of(cls, session: Session, work_folder: str) -> Handed:
        """Return the session of a tool for one of ours; as long as ours stays as it is, always the same one."""
        at = max((message.sent_at for message in session.messages), default=session.header.created_at)
        last = session.messages[-1].id if session.messages else ""
        made = uuid.uuid5(_NAMES, f"{session.header.key}\n{len(session.messages)}\n{last}")
        return cls(str(made), work_folder, at)


class HandOff(Protocol):
    """A writer of a tool's sessions."""

    @property
    def name(self) -> str:
        """The name of the tool, for `--to`."""
        ...

    @property
    def home(self) -> tuple[str, str]:
        """The variable with the tool's folder, and the folder below the user's own if it is not set."""
        ...

    def place(self, handed: Handed) -> str:
        """Return the path of the session's file in the tool's folder."""
        ...

    def command(self, handed: Handed) -> str:
        """Return the command that resumes the session."""
        ...

    def lines(self, session: Session, handed: Handed) -> Iterator[dict[str, Json]]:
        """Yield the lines of the session's file, as JSON objects."""
        ...


def encoded_lines(hand_off: HandOff, session: Session, handed: Handed) -> Iterator[bytes]:
    """Yield the bytes of the session's file."""
    return (msgspec.json.encode(line) + b"\n" for line in hand_off.lines(session, handed))


def line_id(handed: Handed, message: Message, number: int = 0) -> str:
    """Return an id for a line about a message, in the form of a UUID; the message's own if it has this form."""
    try:
        own = uuid.UUID(message.id)
    except ValueError:
        return str(uuid.uuid5(_NAMES, f"{handed.session_id}\n{message.seq}\n{number}"))
    return str(uuid.uuid5(own, f"{number}")) if number else str(own)


def stamp(at: datetime) -> str:
    """Return a time as tools write it."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


def named_model(message: Message) -> str:
    """Return the name of the model that gave an answer, if it is known."""
    model = (message.metadata or {}).get("model")
    return model if isinstance(model, str) and model else "unknown"


def inside(picture: Image) -> tuple[str, str] | None:
    """Return the type and the data of a picture inside of a message, None for one elsewhere."""
    head, _, encoded = picture.url.partition(";base64,")
    return (head.removeprefix("data:"), encoded) if encoded else None
