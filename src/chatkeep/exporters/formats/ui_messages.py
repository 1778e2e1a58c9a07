"""Messages of the AI SDK's user interfaces: `{"id": ..., "messages": [...]}`, on one line for each session.

An answer is one message with parts: the model's thinking, its words, and each call of a tool with its result. Messages
of the assistant that stand next to each other are steps of one answer.

Source: the reference of AI SDK 5, `UIMessage`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from chatkeep.core.history.shapes import only_text
from chatkeep.core.history.turns import PROMPT_ROLES, ContentPart
from chatkeep.core.model import Json, Session
from chatkeep.exporters.exchanges import Exchange, exchanges, json_documents

_STEP: Final = {"type": "step-start"}


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
            (session.header.key, {"id": session.header.key, "messages": _messages(session)}) for session in sessions
        )
        return json_documents(documents, single=single)


def _messages(session: Session) -> list[dict[str, Json]]:
    shaped: list[dict[str, Json]] = []
    for exchange in exchanges(session):
        given, message = exchange.utterance.role, exchange.message
        role = "system" if given in PROMPT_ROLES else "assistant" if given == "assistant" else "user"
        parts = list(_parts(exchange))
        if role == "assistant" and shaped and shaped[-1]["role"] == role:
            shaped[-1]["parts"] += [_STEP, *parts]
        elif parts:
            metadata = {"createdAt": message.sent_at}
            parts = [_STEP, *parts] if role == "assistant" else parts
            shaped.append({"id": message.id, "role": role, "metadata": metadata, "parts": parts})
    return shaped


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
