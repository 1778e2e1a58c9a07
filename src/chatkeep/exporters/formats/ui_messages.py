"""Messages of the AI SDK's user interfaces: `{"id": ..., "messages": [...]}`, on one line for each session.

An answer is one message with parts: the model's thinking, its words, and each call of a tool with its result. Messages
of the assistant that stand next to each other are steps of one answer.

A message that the adapter `ai_sdk` or the npm package stored comes back as it came.

Source: the reference of AI SDK 5, `UIMessage`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from chatkeep.core.history.shapes import only_text
from chatkeep.core.history.turns import PROMPT_ROLES, ContentPart
from chatkeep.core.model import Json, Message, Session
from chatkeep.core.standing import said
from chatkeep.exporters.exchanges import Exchange, exchanges, field_of, json_documents

_STEP: Final = {"type": "step-start"}
_OWN: Final = "ai_sdk"


class UiMessagesExporter:
    """The format `ai-sdk`."""

    name: Final = "ai-sdk"
    media_type: Final = "application/jsonl"
    suffix: Final = ".jsonl"
    has_logs: Final = False
    is_binary: Final = False

    def exported(self, sessions: Iterable[Session], *, single: bool) -> Iterator[bytes]:
        """Yield a line for each session."""
        documents = (
            (
                session.header.key,
                {"id": session.header.key, "messages": [_encoded(one) for one in ui_messages(session)]},
            )
            for session in sessions
        )
        return json_documents(documents, single=single)


def ui_messages(session: Session) -> list[dict[str, Json]]:
    """Return a session as the messages of a user interface."""
    shaped: list[dict[str, Json]] = []
    last_own = 0
    converted = {exchange.message.seq: exchange for exchange in exchanges(session)}
    for message in said(session.messages):
        own = _own_message(message)
        if own is not None:
            shaped.append(own)
            last_own = len(shaped)
        elif message.seq in converted:
            _add(shaped, converted[message.seq], may_join=len(shaped) > last_own)
    return shaped


def _add(shaped: list[dict[str, Json]], exchange: Exchange, *, may_join: bool) -> None:
    given, message = exchange.utterance.role, exchange.message
    role = "system" if given in PROMPT_ROLES else "assistant" if given == "assistant" else "user"
    parts = list(_parts(exchange))
    if role == "assistant" and may_join and shaped[-1]["role"] == role:
        shaped[-1]["parts"] += [_STEP, *parts]
    elif parts:
        metadata = {"createdAt": message.sent_at}
        parts = [_STEP, *parts] if role == "assistant" else parts
        shaped.append({"id": message.id, "role": role, "metadata": metadata, "parts": parts})


def _own_message(message: Message) -> dict[str, Json] | None:
    """Return a message as the AI SDK had it; None if another program wrote it, or if it cannot be one."""
    item = field_of(message.metadata, _OWN, "item")
    encoded = field_of(message.metadata, _OWN, "base64")
    if isinstance(encoded, str):
        try:
            item = json.loads(base64.b64decode(encoded, validate=True))
        except (ValueError, RecursionError):
            return None
    return item if _is_ui_message(item) else None


def _is_ui_message(item: Json) -> bool:
    parts = field_of(item, "parts")
    return (
        isinstance(field_of(item, "id"), str)
        and field_of(item, "role") in ("system", "user", "assistant")
        and isinstance(parts, list)
        and all(isinstance(field_of(part, "type"), str) for part in parts)
    )


def _encoded(message: dict[str, Json]) -> msgspec.Raw:
    """Return a message in JSON; half characters of its program as escapes."""
    try:
        return msgspec.Raw(msgspec.json.encode(message))
    except (UnicodeEncodeError, RecursionError):
        return msgspec.Raw(json.dumps(message, default=str).encode("ascii"))


def _parts(exchange: Exchange) -> Iterator[dict[str, Json]]:
    if exchange.message.reasoning.strip():
        yield {"type": "reasoning", "text": exchange.message.reasoning, "state": "done"}
    yield from map(_part, exchange.utterance.parts)
    for one, call in zip(exchange.answered, exchange.utterance.calls, strict=True):
        ending: dict[str, Json] = {"state": "output-available", "output": only_text(one.result.parts)}
        if one.result.is_error:
            ending = {"state": "output-error", "errorText": only_text(one.result.parts) or "failed"}
        yield {
            "type": "dynamic-tool",
            "toolName": call.name,
            "toolCallId": one.call_id,
            "input": msgspec.json.decode(call.arguments),
            **ending,
        }


def _part(part: ContentPart) -> dict[str, Json]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    head, _, encoded = part.url.partition(";base64,")
    return {"type": "file", "mediaType": head.removeprefix("data:") if encoded else "image/*", "url": part.url}
