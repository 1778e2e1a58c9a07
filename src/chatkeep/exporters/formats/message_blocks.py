"""Anthropic's messages: `{"system": ..., "messages": [...]}`, on one line for each session.

Blocks of that protocol stay as they came, thinking with its signature too. Thinking without one is left out, for the
server refuses it. Roles alternate, and the first message is a user's: a session that its assistant began gets a short
one before it. Results open the message behind their calls.

Source: the API reference of Anthropic's Messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from chatkeep.core.history.shapes import add_blocks, anthropic_block, anthropic_result
from chatkeep.core.history.turns import PROMPT_ROLES, prompt, utterance_of
from chatkeep.core.model import Json, Message, Session
from chatkeep.exporters.exchanges import AnsweredCall, Exchange, exchanges, field_of, json_documents, parts_in

_NO_OUTPUT: Final = "(no output)"
_BEGUN: Final = "(The assistant begins.)"
_THOUGHTS: Final = {"thinking": "signature", "redacted_thinking": "data"}
_NATIVE: Final[Mapping[str, Mapping[str, str]]] = {
    "user": {"document": "source", "search_result": "source"},
    "assistant": {
        **_THOUGHTS,
        "server_tool_use": "id",
        "web_search_tool_result": "tool_use_id",
        "web_fetch_tool_result": "tool_use_id",
        "code_execution_tool_result": "tool_use_id",
    },
}
"""By role, the blocks of this protocol alone, each with a field that it needs."""


class AnthropicExporter:
    """The format `anthropic`."""

    name: Final = "anthropic"
    media_type: Final = "application/jsonl"
    suffix: Final = ".jsonl"
    has_logs: Final = False
    is_binary: Final = False

    def exported(self, sessions: Iterable[Session], *, single: bool) -> Iterator[bytes]:
        """Yield a line for each session."""
        return json_documents(((session.header.key, _document(session)) for session in sessions), single=single)


def _document(session: Session) -> dict[str, Json]:
    said = exchanges(session)
    shaped: list[dict[str, Json]] = []
    for exchange in said:
        if exchange.utterance.role in PROMPT_ROLES:
            continue
        role = "assistant" if exchange.utterance.role == "assistant" else "user"
        blocks = list(blocks_of(exchange))
        if all(block["type"] in _THOUGHTS for block in blocks):
            continue  # thinking alone, which the server refuses
        if not shaped and role == "assistant":
            shaped.append({"role": "user", "content": [{"type": "text", "text": _BEGUN}]})
        add_blocks(shaped, role, blocks)
        add_blocks(shaped, "user", [result_block(one) for one in exchange.answered])
    _trim(shaped)
    system = prompt([exchange.utterance for exchange in said])
    return {"system": system, "messages": shaped} if system else {"messages": shaped}


def blocks_of(exchange: Exchange) -> Iterator[dict[str, Json]]:
    """Yield the blocks of a message, its answered calls last."""
    calls = {
        call.id or one.call_id: {
            "type": "tool_use",
            "id": one.call_id,
            "name": call.name,
            "input": msgspec.json.decode(call.arguments),
        }
        for one, call in zip(exchange.answered, exchange.utterance.calls, strict=True)
    }
    content = exchange.message.content
    native = _NATIVE.get(exchange.message.role, {})
    parts: list[Json] = content if isinstance(content, list) else [content]
    for part in parts:
        kind = field_of(part, "type")
        if kind == "tool_use" and isinstance(call_id := field_of(part, "id"), str) and call_id in calls:
            calls[call_id] = {**part, **calls[call_id]}
        elif isinstance(kind, str) and field_of(part, native.get(kind, "")):
            yield part
        else:
            yield from _converted(exchange.message, part)
    yield from calls.values()


def _converted(message: Message, part: Json) -> Iterator[dict[str, Json]]:
    alone = msgspec.structs.replace(message, content=part if isinstance(part, str | None) else [part], tool_calls=None)
    for one in utterance_of(alone).parts:
        kept = field_of(part, "cache_control")
        yield {**anthropic_block(one), **({"cache_control": kept} if kept else {})}


def result_block(one: AnsweredCall) -> dict[str, Json]:
    """Return the block of a result, with its text and its marks as they came if it did come as a block."""
    result = one.result if one.result.parts else msgspec.structs.replace(one.result, parts=(_NO_OUTPUT,))
    block = anthropic_result(one.call_id, result)
    for part in parts_in(one.message):
        if field_of(part, "type") != "tool_result" or field_of(part, "tool_use_id") != one.result.call_id:
            continue
        content = field_of(part, "content")
        if _is_text(content) or (isinstance(content, list) and content and all(map(_is_text_block, content))):
            block["content"] = content
        if isinstance(kept := field_of(part, "cache_control"), dict):
            block["cache_control"] = kept
    return block


def _is_text(value: Json) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_text_block(value: Json) -> bool:
    return field_of(value, "type") == "text" and _is_text(field_of(value, "text"))


def _trim(shaped: list[dict[str, Json]]) -> None:
    """Cut the white space behind the last answer, which the server refuses."""
    last = shaped[-1]["content"][-1] if shaped and shaped[-1]["role"] == "assistant" else {}
    if isinstance(last.get("text"), str):
        shaped[-1]["content"][-1] = {**last, "text": last["text"].rstrip()}
