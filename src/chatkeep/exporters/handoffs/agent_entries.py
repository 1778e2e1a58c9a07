"""A session for OpenClaw, among those of its agent `main`.

Source: pi-coding-agent 0.73, `docs/session.md`; folders of OpenClaw 2026.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from chatkeep.core.history.turns import PROMPT_ROLES, ContentPart
from chatkeep.core.model import Json, Session
from chatkeep.exporters.exchanges import Exchange, exchanges
from chatkeep.exporters.handoffs.handing import Handed, inside, line_id, named_model, stamp

_FORMAT: Final = 3
_USAGE: Final = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "totalTokens": 0}
_COST: Final = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0}


class OpenClawHandOff:
    """The tool `openclaw`."""

    name: Final = "openclaw"
    home: Final = ("OPENCLAW_STATE_DIR", ".openclaw")

    def place(self, handed: Handed) -> str:
        """Return the path of the log."""
        return f"agents/main/sessions/{handed.session_id}.jsonl"

    def command(self, handed: Handed) -> str:
        """Return the command that resumes the session."""
        return f"openclaw agent --session-id {handed.session_id} --message TEXT"

    def lines(self, session: Session, handed: Handed) -> Iterator[dict[str, Json]]:
        """Yield the header, and an entry for each message and each result, each naming the one before."""
        begun = stamp(session.header.created_at)
        yield {
            "type": "session",
            "version": _FORMAT,
            "id": handed.session_id,
            "timestamp": begun,
            "cwd": handed.work_folder,
        }
        before: str | None = None
        entries = (entry for exchange in exchanges(session) for entry in _entries(exchange, handed))
        if session.header.title:
            named = {"type": "session_info", "id": handed.session_id, "timestamp": begun, "name": session.header.title}
            yield {**named, "parentId": None}
            before = handed.session_id
        for entry in entries:
            yield {**entry, "parentId": before}
            before = entry["id"]


def _entries(exchange: Exchange, handed: Handed) -> Iterator[dict[str, Json]]:
    message, said = exchange.message, exchange.utterance
    head = {"id": line_id(handed, message), "timestamp": stamp(message.sent_at)}
    sent_ms = int(message.sent_at.timestamp() * 1000)
    if said.role in PROMPT_ROLES:
        yield {**head, "type": "custom_message", "customType": "chatkeep", "content": message.text, "display": True}
    elif said.role == "assistant" and (said.parts or said.calls):
        yield {**head, "type": "message", "message": {**_answer(exchange), "timestamp": sent_ms}}
    elif said.parts:
        told = {"role": "user", "content": _content(said.parts), "timestamp": sent_ms}
        yield {**head, "type": "message", "message": told}
    for number, (one, call) in enumerate(zip(exchange.answered, said.calls, strict=True), start=1):
        result = {
            "role": "toolResult",
            "toolCallId": one.call_id,
            "toolName": call.name,
            "content": _content(one.result.parts),
            "isError": one.result.is_error,
            "timestamp": int(one.message.sent_at.timestamp() * 1000),
        }
        head = {"id": line_id(handed, one.message, number), "timestamp": stamp(one.message.sent_at)}
        yield {**head, "type": "message", "message": result}


def _answer(exchange: Exchange) -> dict[str, Json]:
    calls = [
        {"type": "toolCall", "id": one.call_id, "name": call.name, "arguments": msgspec.json.decode(call.arguments)}
        for one, call in zip(exchange.answered, exchange.utterance.calls, strict=True)
    ]
    return {
        "role": "assistant",
        "content": [*_content(exchange.utterance.parts), *calls],
        "api": "openai-completions",
        "provider": "chatkeep",
        "model": named_model(exchange.message),
        "usage": {**_USAGE, "cost": _COST},
        "stopReason": "toolUse" if calls else "stop",
    }


def _content(parts: Sequence[ContentPart]) -> list[dict[str, Json]]:
    return [_part(part) for part in parts]


def _part(part: ContentPart) -> dict[str, Json]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    found = inside(part)
    if found is None:
        return {"type": "text", "text": f"[picture: {part.url}]"}
    return {"type": "image", "data": found[1], "mimeType": found[0]}
