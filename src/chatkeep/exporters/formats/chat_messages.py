"""Messages of OpenAI's Chat Completions: `{"messages": [...]}`, on one line for each session.

Content parts and fields of that protocol stay as they came. Thinking is left out, for requests cannot have it.

Source: the API reference of OpenAI's Chat Completions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from chatkeep.core.history.completions import EXTRA
from chatkeep.core.history.shapes import only_text, openai_content
from chatkeep.core.history.turns import Image, utterance_of
from chatkeep.core.model import Json, Message, Session
from chatkeep.exporters.exchanges import Exchange, exchanges, field_of, flat, json_documents, parts_in

_HELD: Final = {"input_audio": "data", "file": "file_data"}
"""Types of a user's parts beside text and pictures, each with a field of the object under its name."""
_FIELDS: Final = ("refusal", "audio")
_NO_OUTPUT: Final = "(no output)"


class OpenAIExporter:
    """The format `openai`."""

    name: Final = "openai"
    media_type: Final = "application/jsonl"
    suffix: Final = ".jsonl"
    has_logs: Final = False
    is_binary: Final = False

    def exported(self, sessions: Iterable[Session], *, single: bool) -> Iterator[bytes]:
        """Yield a line for each session."""
        documents = (
            (session.header.key, {"messages": flat(map(_messages, exchanges(session)))}) for session in sessions
        )
        return json_documents(documents, single=single)


def _messages(exchange: Exchange) -> Iterator[dict[str, Json]]:
    """Yield a message and the results of its calls."""
    said, message = exchange.utterance, exchange.message
    fields = {name: value for name in _FIELDS if (value := field_of(message.metadata, EXTRA, name)) is not None}
    content = _raw_parts(message) or openai_content(said.parts)
    if content is None and not said.calls and not fields:
        return  # thinking alone
    shaped: dict[str, Json] = {"role": said.role, "content": content, **fields}
    if said.name:
        shaped["name"] = said.name
    if said.calls:
        shaped["tool_calls"] = [
            {"id": one.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for one, call in zip(exchange.answered, said.calls, strict=True)
        ]
    yield shaped
    for one in exchange.answered:
        yield {"role": "tool", "tool_call_id": one.call_id, "content": only_text(one.result.parts) or _NO_OUTPUT}


def _raw_parts(message: Message) -> list[Json] | None:
    """Return a user's content parts as they came, if all of them are ones of this protocol."""
    parts = list(parts_in(message)) if message.role == "user" else []
    return parts if parts and all(_is_part(part, message) for part in parts) else None


def _is_part(part: Json, message: Message) -> bool:
    kind = field_of(part, "type")
    if kind == "text":
        return isinstance(text := field_of(part, "text"), str) and bool(text.strip())
    if kind == "image_url":
        alone = utterance_of(msgspec.structs.replace(message, content=[part])).parts
        return isinstance(field_of(part, "image_url"), dict) and any(isinstance(one, Image) for one in alone)
    held = field_of(part, kind, _HELD[kind]) if isinstance(kind, str) and kind in _HELD else None
    return isinstance(held, str) and bool(held)
