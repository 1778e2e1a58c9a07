"""Fields unknown to Chatkeep, kept as another program wrote them beside the known ones.

In JSON they stand among the known fields; in a `Message` or `Session` they stand in `extra`. Session files, exports,
imports, HTTP and its client all read and write messages through this module, so none loses a field. An append refuses
unknown fields: such a name is a mistake, or asks for a feature of another version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Raw

from chatkeep.core.history.windows import Window
from chatkeep.core.model import Header, Json, Message, utc
from chatkeep.errors import InvalidError

FORMAT: Final = 2
"""The number of the format of session files and exports, in their header."""
FORMATS: Final = (1, FORMAT)
"""The numbers of readable formats. In a session of format 1 every line is a message that stands."""
MESSAGES_OPEN: Final = b',"messages":['
"""The bytes between the fields of a header and the messages."""
_ONLY_WHEN_SET: Final = frozenset(("archived", "pinned", "tags", "held"))  # header fields left out while false or empty
_MESSAGE_FIELDS: Final = frozenset(Message.__struct_encode_fields__) - {""}
_SESSION_FIELDS: Final = frozenset((*Header.__struct_encode_fields__, "format", "messages", "message_count"))
_UNNAMED: Final = re.compile(rb'""\s*:')  # a field whose name is empty; its value may be null, as that of no `extra`
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Message).decode


def encoded_message(message: Message) -> bytes:
    """Return a message as JSON on one line, with its unknown fields at the end."""
    if not message.extra:
        return _encode(message)
    known = _encode(msgspec.structs.replace(message, extra=None))
    return known[:-1] + b"," + _encode(message.extra)[1:]


def encoded_opening(header: Header, extra: Mapping[str, Json]) -> bytes:
    """Return the JSON of a session up to its first message, with its unknown fields after the known ones."""
    told = msgspec.structs.asdict(header).items()
    fields = {name: value for name, value in told if value or name not in _ONLY_WHEN_SET}
    return _encode({"format": FORMAT, **fields, **extra})[:-1] + MESSAGES_OPEN


def message_in(raw: bytes) -> Message:
    """Return the message in these JSON bytes.

    Raises:
        msgspec.MsgspecError, UnicodeDecodeError, RecursionError: when they hold none.
    """
    try:
        message = _decode(raw)
    except msgspec.ValidationError:  # an unknown field, or a wrong value
        return message_of(_fields(raw))
    data = bytes(raw)  # a client has them as a part of an answer, undecoded
    is_unnamed = b'""' in data and _UNNAMED.search(data)
    is_timed = message.stored_at is None or _is_time(message.stored_at)
    return message if message.extra is None and is_timed and not is_unnamed else message_of(_fields(raw))


def message_of(fields: Mapping[str, Json]) -> Message:
    """Return the message of these fields.

    Raises:
        msgspec.ValidationError: when they make none.
    """
    if not isinstance(fields, Mapping):
        return msgspec.convert(fields, Message)  # raises, with the reason
    names = _MESSAGE_FIELDS if _is_time(fields.get("stored_at")) else _MESSAGE_FIELDS - {"stored_at"}
    known = {name: value for name, value in fields.items() if name in names}
    message = msgspec.convert(known, Message)
    extra = {name: value for name, value in fields.items() if name not in names}
    return msgspec.structs.replace(message, extra=extra) if extra else message


def unknown_of_session(fields: Mapping[str, Json]) -> dict[str, Json]:
    """Return the fields of a session unknown to Chatkeep."""
    return {name: value for name, value in fields.items() if name not in _SESSION_FIELDS}


def written(messages: Iterable[Message]) -> tuple[Message | Raw, ...]:
    """Return messages ready to be encoded within another value."""
    return tuple(Raw(encoded_message(message)) if message.extra else message for message in messages)


def written_window(window: Window) -> Json:
    """Return a window ready to be encoded."""
    if not any(message.extra for message in window.messages):
        return window
    return {**msgspec.structs.asdict(window), "messages": written(window.messages)}


def _is_time(value: Json) -> bool:
    """Tell whether a value may be a `stored_at` of ours; another program may have a field of this name."""
    try:
        utc(msgspec.convert(value, datetime))
    except (msgspec.ValidationError, InvalidError):
        return False
    return True


def _fields(raw: bytes) -> dict[str, Json]:
    """Return the fields of JSON, without unknown ones with text or numbers that cannot be kept."""
    fields: dict[str, Json] = {}
    for name, value in msgspec.json.decode(raw, type=dict[str, Raw]).items():
        try:
            fields[name] = msgspec.json.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if name in _MESSAGE_FIELDS and name != "stored_at":
                raise
    return fields
