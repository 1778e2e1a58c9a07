"""The items of OpenAI's Conversations: what a stored message gives, and what a given item is stored as.

Items of Responses stay as they came. A message of another protocol becomes an item for its words, one for each call,
and one for each result. An item that a client adds is a message of its own, so that it can be found and dropped alone.

Source: the API reference of OpenAI's Conversations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from chatkeep.core.history.protocols.items import ITEMS_EXTRA, draft_of_item, response_items
from chatkeep.core.history.shapes import only_text, with_call_ids
from chatkeep.core.history.state.conversation_ids import item_id
from chatkeep.core.history.turns import ContentPart, Image, utterance_of
from chatkeep.core.model import Draft, Json, Message
from chatkeep.errors import InvalidError

Include = Literal[
    "web_search_call.action.sources",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
]
"""What a list has beside the usual fields of its items. A client's own pictures are always there."""

INCLUDES: Final[tuple[Include, ...]] = get_args(Include)
ITEM_ID: Final = "item_id"
"""Name in the metadata of a message that was stored again: the id on which those of its items stand."""
ITEMS_MAX: Final = 20
"""The most items in one request."""
_ROLES: Final = ("user", "assistant", "system", "developer")
_ASKING: Final = ("user", "system", "developer")
_WITH_STATUS: Final = frozenset(
    (
        *("message", "function_call", "function_call_output", "custom_tool_call", "computer_call"),
        *("computer_call_output", "web_search_call", "file_search_call", "code_interpreter_call"),
        *("image_generation_call", "local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output"),
        *("apply_patch_call", "apply_patch_call_output", "tool_search_call", "tool_search_output"),
    )
)
"""Types of items that say how far they are."""
_NEEDED: Final = {
    "function_call": ("call_id", "name", "arguments"),
    "custom_tool_call": ("call_id", "name", "input"),
    "function_call_output": ("call_id",),
    "custom_tool_call_output": ("call_id",),
}
"""Fields with texts without which a call or its output is none."""
_SAYING: Final = {"message": "content", "function_call_output": "output", "custom_tool_call_output": "output"}
"""Fields with a text or parts."""
_GIVEN: Final = frozenset(("input_text", "input_image", "input_file", "input_audio"))
"""Types of the parts in a message that somebody sends. A plain one is stored as nothing but its role and these."""
_LEFT_OUT: Final[dict[str, tuple[Include, tuple[str, ...]]]] = {
    "web_search_call": ("web_search_call.action.sources", ("action", "sources")),
    "code_interpreter_call": ("code_interpreter_call.outputs", ("outputs",)),
    "file_search_call": ("file_search_call.results", ("results",)),
    "reasoning": ("reasoning.encrypted_content", ("encrypted_content",)),
}
_LOGPROBS: Final[Include] = "message.output_text.logprobs"


class ConversationItem(NamedTuple):
    """An item of a conversation: its id, and itself with all fields."""

    id: str
    item: dict[str, Json]


def conversation_items_of(message: Message) -> list[ConversationItem]:
    """Return the items of a message, at least one."""
    raw = _own_items(message) or list(_converted(message))
    is_partial = bool((message.metadata or {}).get("partial"))
    found = []
    for place, item in enumerate(raw):
        made = item_id(item, base_of(message), place if len(raw) > 1 else None)
        found.append(ConversationItem(made, _dressed(item, made, is_partial=is_partial)))
    return found


def plain_items(message: Message) -> list[dict[str, Json]]:
    """Return the items of a message for a request: as they came, or those of its words, its calls and its results."""
    if own := _own_items(message):
        return own
    if message.role in _ASKING and isinstance(message.content, str):
        return [{"role": message.role, "content": message.content}]
    return [item for item in _converted(message) if item["type"] != "reasoning"]


def base_of(message: Message) -> str:
    """Return the id on which the ids of a message's items stand."""
    named = (message.metadata or {}).get(ITEM_ID)
    return named if isinstance(named, str) and named else message.id


def shown_item(item: Mapping[str, Json], include: Collection[str]) -> dict[str, Json]:
    """Return an item with only the fields that a list has: those that `include` names, and the usual ones."""
    shown = dict(item)
    kind = shown.get("type")
    if isinstance(kind, str) and kind in _LEFT_OUT and _LEFT_OUT[kind][0] not in include:
        _leave_out(shown, _LEFT_OUT[kind][1])
    content = shown.get("content")
    if kind == "message" and isinstance(content, list) and _LOGPROBS not in include:
        shown["content"] = [
            {name: value for name, value in part.items() if name != "logprobs"} if isinstance(part, dict) else part
            for part in content
        ]
    return shown


def draft_of_new_item(item: Mapping[str, Json], message_id: str) -> Draft:
    """Return an item that a client adds as a message with an id.

    Raises:
        InvalidError: when it is no item that a conversation takes.
    """
    _check(item)
    return msgspec.structs.replace(draft_of_item(item), id=message_id)


def _check(item: Mapping[str, Json]) -> None:
    kind = item.get("type", "message" if "role" in item else None)
    if not isinstance(kind, str) or not kind:
        raise InvalidError("type", "must name the type of the item")
    if kind == "item_reference":
        raise InvalidError("type", "item_reference adds nothing: the item is there already")
    if "id" in item and item["id"] is not None and not isinstance(item["id"], str):
        raise InvalidError("id", "must be a string")
    if kind == "message" and item.get("role") not in _ROLES:
        raise InvalidError("role", f"must be one of {', '.join(_ROLES)}")
    for name in _NEEDED.get(kind, ()):
        if not isinstance(item.get(name), str):
            raise InvalidError(name, "must be a string")
    name = _SAYING.get(kind, "")
    if name and not _is_said(item.get(name)):
        raise InvalidError(name, "must be a string, or a list of parts with a type each")


def _is_said(value: Json) -> bool:
    """Tell whether a value is a text, or a list of parts."""
    if isinstance(value, list):
        return all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in value)
    return isinstance(value, str)


def _own_items(message: Message) -> list[dict[str, Json]]:
    """Return the items that a message came as; none for a message of another protocol."""
    if message.role in _ASKING and _is_given(message.content):
        return [{"role": message.role, "content": message.content}]
    told = (message.metadata or {}).get(ITEMS_EXTRA)
    if not isinstance(told, dict) or not told.get("items"):
        return []
    items = response_items(message)
    return [item for item in items if isinstance(item, dict)] if all(map(_is_item, items)) else []


def _is_given(content: Json) -> bool:
    """Tell whether content is a list of parts as Responses has them."""
    return isinstance(content, list) and all(isinstance(one, dict) and one.get("type") in _GIVEN for one in content)


def _is_item(item: Json) -> bool:
    return isinstance(item, dict) and (isinstance(item.get("type"), str) or "role" in item)


def _converted(message: Message) -> Iterator[dict[str, Json]]:
    """Yield the items of a message of another protocol: its reasoning, its words, its calls, its results."""
    ((utterance, call_ids),) = with_call_ids([utterance_of(message)])
    if message.reasoning:
        yield {"type": "reasoning", "summary": [{"type": "summary_text", "text": message.reasoning}]}
    is_work = bool(utterance.calls or utterance.results)
    if utterance.parts or not (is_work or message.reasoning):
        role = message.role if message.role in _ROLES else "tool"
        yield {"type": "message", "role": role, "content": [_part(part, role) for part in utterance.parts]}
    for call_id, call in zip(call_ids, utterance.calls, strict=True):
        yield {"type": "function_call", "call_id": call_id, "name": call.name, "arguments": call.arguments}
    for result in utterance.results:
        output = only_text(result.parts)
        yield {"type": "function_call_output", "call_id": result.call_id, "output": output}


def _part(part: ContentPart, role: str) -> dict[str, Json]:
    if isinstance(part, Image):
        return {"type": "input_image", "image_url": part.url, "detail": "auto"}
    return _text_part(part, role)


def _text_part(text: str, role: str) -> dict[str, Json]:
    return (
        {"type": "output_text", "text": text, "annotations": []}
        if role == "assistant"
        else {"type": "input_text", "text": text}
    )


def _dressed(item: Mapping[str, Json], made_id: str, *, is_partial: bool) -> dict[str, Json]:
    """Return an item with what every item of a conversation has: an id, a type, a status, content in parts."""
    kind = item.get("type", "message")
    told = {"id": made_id, "type": kind, **{name: value for name, value in item.items() if name not in ("id", "type")}}
    if kind == "message":
        role, content = str(told.get("role", "user")), told.get("content")
        if isinstance(content, str) or content is None:
            told["content"] = [_text_part(content, role)] if content else []
        elif isinstance(content, list):
            told["content"] = [_text_part(part, role) if isinstance(part, str) else part for part in content]
    if kind in _WITH_STATUS and not isinstance(told.get("status"), str):
        told["status"] = "incomplete" if is_partial else "completed"
    return told


def _leave_out(item: dict[str, Json], path: Sequence[str]) -> None:
    """Take a field out of an item, at a path of names, without a change to the inner objects of the item."""
    name, *rest = path
    inner = item.get(name)
    if rest and isinstance(inner, dict):
        item[name] = dict(inner)
        _leave_out(item[name], rest)
    elif not rest:
        item.pop(name, None)
