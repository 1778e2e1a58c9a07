"""Items of OpenAI's Responses: `{"input": [...]}`, on one line for each session.

Items of that protocol stay as they came, with reasoning, searches and calls of every kind. Messages of other origin
become items. A call of a tool of the client has its output behind it, and no output stands without its call.

Source: the API reference of OpenAI's Responses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from chatkeep.core.history.protocols.items import ITEMS_EXTRA, response_items
from chatkeep.core.history.shapes import only_text
from chatkeep.core.history.turns import ContentPart, Image
from chatkeep.core.model import Json, Message, Session
from chatkeep.core.standing import said
from chatkeep.exporters.exchanges import AnsweredCall, Exchange, exchanges, field_of, json_documents

_OUTPUT: Final = "_output"
_ANSWERED: Final = frozenset(
    (
        *("function_call", "custom_tool_call", "local_shell_call", "shell_call", "computer_call"),
        *("apply_patch_call", "tool_search_call"),
    )
)
"""Calls of tools of the client: each needs an output."""


class ResponsesExporter:
    """The format `responses`."""

    name: Final = "responses"
    media_type: Final = "application/jsonl"
    suffix: Final = ".jsonl"
    has_logs: Final = False
    is_binary: Final = False

    def exported(self, sessions: Iterable[Session], *, single: bool) -> Iterator[bytes]:
        """Yield a line for each session."""
        documents = (
            (session.header.key, {"input": [item for _, item in input_items(session)]}) for session in sessions
        )
        return json_documents(documents, single=single)


def input_items(session: Session) -> list[tuple[Message, Json]]:
    """Return the items of all messages, each result behind its call, each with its message."""
    known = {exchange.message.seq: exchange for exchange in exchanges(session)}
    brought = {one.message.seq for exchange in known.values() for one in exchange.answered}
    items: list[tuple[Message, Json]] = []
    for message in said(session.messages):
        exchange = known.get(message.seq)
        raw = _raw(message)
        if raw and (exchange is not None or message.seq not in brought):
            items += [(message, item) for item in raw]
        elif exchange is not None:
            items += [(message, item) for item in _converted(exchange)]
        items += [(one.message, _output(one)) for one in (exchange.answered if exchange is not None else ())]
    gone = _unpaired([item for _, item in items])
    return [item for place, item in enumerate(items) if place not in gone]


def _raw(message: Message) -> list[Json]:
    """Return the items of a message as they came; none for a message of other origin."""
    items = response_items(message) if field_of(message.metadata, ITEMS_EXTRA, "items") else []
    return items if all(isinstance(item, dict) and _is_item(item) for item in items) else []


def _is_item(item: dict[str, Json]) -> bool:
    return isinstance(item.get("type"), str) or "role" in item


def _converted(exchange: Exchange) -> Iterator[Json]:
    said = exchange.utterance
    if said.parts:
        has_pictures = any(isinstance(part, Image) for part in said.parts)
        yield {"role": said.role, "content": [*map(_part, said.parts)] if has_pictures else only_text(said.parts)}
    for one, call in zip(exchange.answered, said.calls, strict=True):
        yield {"type": "function_call", "call_id": one.call_id, "name": call.name, "arguments": call.arguments}


def _part(part: ContentPart) -> Json:
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    return {"type": "input_image", "image_url": part.url, "detail": "auto"}


def _output(one: AnsweredCall) -> Json:
    """Return the item of a result, as it came if it did come as one."""
    for item in _raw(one.message):
        if str(field_of(item, "type")).endswith(_OUTPUT) and field_of(item, "call_id") == one.result.call_id:
            return {**item, "call_id": one.call_id}
    text = only_text(one.result.parts)
    return {"type": "function_call_output", "call_id": one.call_id, "output": text}


def _unpaired(items: Sequence[Json]) -> set[int]:
    """Return the places of outputs without a call before them, and of calls without an output."""
    called: dict[tuple[str, str], int] = {}
    gone: set[int] = set()
    for place, item in enumerate(items):
        kind, call_id = field_of(item, "type"), f"{field_of(item, 'call_id')}"
        if isinstance(kind, str) and kind in _ANSWERED:
            gone.add(place)
            called[kind, call_id] = place
        elif isinstance(kind, str) and kind.endswith(_OUTPUT):
            call = called.pop((_call_of(kind), call_id), None)
            gone.add(place) if call is None else gone.discard(call)
    return gone


def _call_of(kind: str) -> str:
    return kind.removesuffix(_OUTPUT)
