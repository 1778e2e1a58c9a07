"""The rules of messages that their types cannot express: sizes, shapes, names, and what a message may drop."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

from chatkeep.core.bounds import DROPS_MAX, MESSAGE_BYTES_MAX, METADATA_BYTES_MAX
from chatkeep.core.checks import check_name, check_shape, encoded_json
from chatkeep.core.model import Draft, Json, Message
from chatkeep.core.standing import EVENT, Drops
from chatkeep.errors import InvalidError, TooLargeError

PARTS_OF_MESSAGES: Final = frozenset(
    (
        *("reasoning", "openai", "anthropic", "gemini", "source"),
        *("adk", "ai_sdk", "chainlit", "claude", "langchain", "llama_index", "openai_agents", "pydantic_ai"),
    )
)
"""Names in the metadata of a message for the rest of it: a model's reasoning, a provider's, program's or framework's
fields. They count with the message, not with its metadata."""

_NO_TIMES: Final = {"sent_at": datetime(1, 1, 1, tzinfo=UTC), "stored_at": None}


def check_draft(draft: Draft) -> None:
    """Check the rules of an incoming message that types cannot express.

    Raises:
        InvalidError: for content of another kind, NUL or a lone surrogate, a bad id, a time out of range, drops that
            are no ranges, metadata of more than 256 KiB, and for a message nested too deep or with too many values.
        TooLargeError: when the message is larger than 16 MiB as JSON, its id and times not counted.
    """
    if draft.content is None and not draft.tool_calls:
        raise InvalidError("content", "is missing: it may be null or left out only beside tool_calls")
    for part in draft.content if isinstance(draft.content, list) else ():
        if not isinstance(part, dict | str):
            raise InvalidError("content", "a list of parts holds objects or strings")
    for name in ("id", "name", "tool_call_id"):
        check_name(name, getattr(draft, name))
    check_drops(draft.drops)
    try:
        encoded = encoded_json("message", draft)
    except InvalidError:
        for name in ("content", "tool_calls", "metadata"):
            encoded_json(name, getattr(draft, name))
        raise
    if len(encoded) > MESSAGE_BYTES_MAX and len(encoded) - _given_bytes(draft) > MESSAGE_BYTES_MAX:
        raise TooLargeError("message", MESSAGE_BYTES_MAX)
    if len(encoded) > METADATA_BYTES_MAX:
        _check_metadata(draft)
    check_shape("message", encoded)


def check_drops(drops: Drops | None) -> None:
    """Check the ranges that a message drops, if it does.

    Raises:
        InvalidError: when there are none or more than 1,000, or one does not go from a seq to the same or a later one.
    """
    if drops is None:
        return
    if not 1 <= len(drops) <= DROPS_MAX:
        raise InvalidError("drops", f"must have 1 to {DROPS_MAX} ranges")
    if not all(1 <= first <= last < 1 << 53 for first, last in drops):
        raise InvalidError("drops", "must be ranges [first, last] of earlier seqs, such as [[5, 6]]")


def check_reach(lines: Iterable[Message]) -> None:
    """Check numbered lines: each may drop earlier ones only.

    Raises:
        InvalidError: when one drops itself or a later one.
    """
    for line in lines:
        last = max((one.last for one in line.drops or ()), default=0)
        if last >= line.seq:
            raise InvalidError("drops", f"reach up to message {last}, but this is {line.seq}: drop earlier ones")


def check_extra(message: Message) -> None:
    """Check a message's unknown fields together with its known ones.

    Raises:
        InvalidError, TooLargeError: as for `check_draft`.
    """
    if not message.extra:
        return
    known = encoded_json("message", msgspec.structs.replace(message, extra=None, id="", **_NO_TIMES))
    encoded = known[:-1] + b"," + encoded_json("message", message.extra)[1:]
    if len(encoded) > MESSAGE_BYTES_MAX:
        raise TooLargeError("message", MESSAGE_BYTES_MAX)
    check_shape("message", encoded)


def notes_of(metadata: dict[str, Json]) -> dict[str, Json]:
    """Return the metadata that counts toward its bound."""
    return {name: value for name, value in metadata.items() if name not in PARTS_OF_MESSAGES}


def _check_metadata(draft: Draft) -> None:
    """Check the size of the metadata; an event has nothing else, so that its metadata may be as large as a message."""
    if draft.metadata and draft.role != EVENT:
        size_bytes = len(encoded_json("metadata", notes_of(draft.metadata)))
        if size_bytes > METADATA_BYTES_MAX:
            raise InvalidError("metadata", f"must be at most {METADATA_BYTES_MAX} bytes of JSON")


def _given_bytes(draft: Draft) -> int:
    """Return the bytes of id and times in a message as JSON.

    They do not count toward its bound, as the store may have added them.
    """
    empty = Draft(role=draft.role, content=None)
    given = msgspec.structs.replace(empty, id=draft.id, sent_at=draft.sent_at, stored_at=draft.stored_at)
    return len(msgspec.json.encode(given)) - len(msgspec.json.encode(empty))
