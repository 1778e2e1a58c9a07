"""A session as other programs write it down, and what Chatkeep makes of it.

A record may lack nearly everything: ids, times, even the time of its beginning. What is missing is
worked out from the rest alone, so that the same record read twice gives the same session, and
importing it again adds nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import accumulate
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct, field

from chatkeep.bodies import with_choices
from chatkeep.core.bounds import DEPTH_MAX, check_depth
from chatkeep.core.keys import channel_of
from chatkeep.core.model import Header, Json, Message, Role, Session, utc
from chatkeep.errors import InvalidError, TooLargeError

RECORD_DEPTH_MAX: Final = DEPTH_MAX + 3  # of a message that stands in a list in a session in a list
RECORD_BYTES_MAX: Final = 1 << 28
BOM: Final = b"\xef\xbb\xbf"
Time = datetime | float | None


class Said(Struct, frozen=True, kw_only=True):
    """A message as it is written down elsewhere. A time is RFC 3339 or Unix seconds."""

    role: Role
    content: str | list[Json] | None = None
    timestamp: Time = None
    id: str | None = None
    name: str | None = None
    tool_calls: list[Json] | None = None
    tool_call_id: str | None = None
    metadata: dict[str, Json] | None = None


class Record(Struct, frozen=True, kw_only=True):
    """A session as it is written down elsewhere."""

    key: str
    messages: Sequence[Said]
    channel: str | None = None
    title: str | None = None
    created_at: Time = None
    metadata: dict[str, Json] = field(default_factory=dict)
    archived: bool = False
    pinned: bool = False
    tags: tuple[str, ...] = ()


def session_of(record: Record, *, now: Callable[[], datetime], zone: tzinfo | None = UTC) -> Session:
    """Return the session that a record tells of; times without an offset are of `zone` (None: of this machine).

    A message without a time has the time of the one before it, else of the beginning; a session
    without a beginning begins with its earliest message; and if no time is known at all, it is now.

    Raises:
        InvalidError: when a time is out of range.
    """
    known = [instant(said.timestamp, zone) for said in record.messages]
    begun = instant(record.created_at, zone) or min(filter(None, known), default=None) or now()
    times = list(accumulate(known, lambda before, at: at or before, initial=begun))[1:]
    return Session(
        header=Header(
            key=record.key,
            channel=record.channel or channel_of(record.key),
            title=record.title,
            created_at=begun,
            metadata=record.metadata,
            archived=record.archived,
            pinned=record.pinned,
            tags=record.tags,
        ),
        messages=_messages(record, known, [at or begun for at in times]),
    )


def document_in(stream: BinaryIO) -> bytes:
    """Return the JSON that a stream holds, without what may stand around it; it is not parsed yet.

    Raises:
        TooLargeError: when it is larger than 256 MiB.
        BrokenInputError: when it is nested too deep.
    """
    data = stream.read(RECORD_BYTES_MAX + 1)
    if len(data) > RECORD_BYTES_MAX:
        raise TooLargeError("JSON document", RECORD_BYTES_MAX)
    data = data.removeprefix(BOM).strip()
    check_depth(data, RECORD_DEPTH_MAX)
    return data


def instant(at: Time, zone: tzinfo | None = UTC) -> datetime | None:
    """Return the time in UTC; one without an offset is of `zone` (None: of this machine).

    Raises:
        InvalidError: when it is out of range.
    """
    if at is None:
        return None
    try:
        if isinstance(at, datetime):
            return utc(at.replace(tzinfo=zone).astimezone(UTC) if at.tzinfo is None else at)
        return datetime.fromtimestamp(at, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise InvalidError("timestamp", "lies outside the years 1 to 9999") from error


def why(error: Exception) -> str:
    """Return what is wrong with a record, as a sentence for people."""
    if isinstance(error, msgspec.ValidationError):
        reason, at, place = str(error).partition(" - at ")
        return f"{with_choices(reason, place.strip('`'))}{at}{place}."
    if isinstance(error, msgspec.DecodeError | UnicodeDecodeError):
        return f"It is not JSON: {error}."
    return "It is nested too deep." if isinstance(error, RecursionError) else str(error)


def _messages(record: Record, known: Sequence[datetime | None], times: Sequence[datetime]) -> tuple[Message, ...]:
    met: Counter[bytes] = Counter()
    messages = []
    for seq, (said, told_at, sent_at) in enumerate(zip(record.messages, known, times, strict=True), start=1):
        messages.append(
            Message(
                seq=seq,
                role=said.role,
                content=said.content,
                sent_at=sent_at,
                id=_made_id(record.key, said, told_at, met) if said.id is None else said.id,
                name=said.name,
                tool_calls=said.tool_calls or None,
                tool_call_id=said.tool_call_id,
                metadata=said.metadata or None,
            )
        )
    return tuple(messages)


def _made_id(key: str, said: Said, told_at: datetime | None, met: Counter[bytes]) -> str:
    """Return an id that depends on nothing but what is said, when, and how often it was said before.

    The place is counted among equal messages only: a program that forgets old messages, or puts
    one in between, does not make the others look new.
    """
    words = (key, said.role, said.content, said.name, said.tool_calls or None, said.tool_call_id, told_at)
    encoded = msgspec.json.encode(words)
    met[encoded] += 1
    return hashlib.blake2b(b"%d " % met[encoded] + encoded, digest_size=16).hexdigest()
