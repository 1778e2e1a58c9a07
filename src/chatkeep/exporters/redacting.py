"""Sessions without their secrets, as `core.text.redaction` finds them."""

from __future__ import annotations

import msgspec

from chatkeep.core.model import Message, Session
from chatkeep.core.text.redaction import Redaction


def redacted_session(session: Session, redaction: Redaction) -> Session:
    """Return a session without its secrets, in all texts but its key, the ids of its messages and their calls."""
    header = session.header
    masked = msgspec.structs.replace(
        header,
        title=None if header.title is None else redaction.text(header.title),
        metadata=redaction.value(header.metadata),
        tags=tuple(map(redaction.text, header.tags)),
    )
    messages = tuple(_redacted(message, redaction) for message in session.messages)
    return Session(header=masked, messages=messages, extra=redaction.value(session.extra))


def _redacted(message: Message, redaction: Redaction) -> Message:
    return msgspec.structs.replace(
        message,
        content=redaction.value(message.content),
        name=None if message.name is None else redaction.text(message.name),
        tool_calls=redaction.value(message.tool_calls),
        metadata=redaction.value(message.metadata),
        extra=redaction.value(message.extra),
    )
