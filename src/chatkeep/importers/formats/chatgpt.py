"""ChatGPT's data export: `conversations.json`, or `conversations-000.json` and so on, in a folder or a zip.

A conversation is a tree: `mapping` has a node for each message, and `current_node` ends the visible thread. A message
sent to a tool is a call, and the next one of that tool its result. Messages of the kind `thoughts` become the thinking
of an answer. Hidden messages of the user, such as custom instructions, become system messages.

Source: exports of the years 2023 to 2026, and the schemas that polylogue inferred from 2,122 conversations (MIT).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from chatkeep.core.model import Json
from chatkeep.core.text.reasoning import FIELD
from chatkeep.errors import BrokenInputError
from chatkeep.importers.records import lenient_json
from chatkeep.importers.shaping import (
    SOURCE,
    call_of,
    epoch,
    list_in,
    metadata_of,
    object_in,
    rest_of,
    text_in,
    thinking,
)
from chatkeep.importers.threads.trees import Saying, SourceTree, TreeImporter, fields_of

_ROLES: Final = frozenset(("system", "user", "assistant", "tool", "developer"))
_HIDDEN: Final = "is_visually_hidden_from_conversation"
_TEXT_FIELDS: Final = ("text", "result", "content", "output_str", "model_set_context", "snippet", "summary")
_HEAD: Final = ("title", "create_time", "mapping", "id", "conversation_id", "is_archived", "is_starred", "current_node")


class _Node(Struct):
    parent: str | None = None
    children: list[str] = []
    message: Raw = Raw(b"null")


class ChatGptImporter(TreeImporter):
    """ChatGPT's export, or a file of it."""

    name = "chatgpt"
    reason = "it has conversations with ChatGPT's mapping"
    lists = ("conversations",)
    beginning = "conversations"

    def is_tree(self, value: Json) -> bool:
        """Recognise a conversation by its tree of messages."""
        if not isinstance(value, dict) or not isinstance(mapping := value.get("mapping"), dict):
            return False
        return (not mapping and "current_node" in value) or any(
            isinstance(node, dict) and "message" in node for node in mapping.values()
        )

    def tree_of(self, raw: bytes) -> SourceTree:
        """Return the tree of a conversation."""
        fields, nodes = _parsed(raw)
        given = fields.get("conversation_id") or fields.get("id")
        outside_id = given if isinstance(given, str) else next(iter(nodes), "")
        if not outside_id:
            raise BrokenInputError("It has neither an id nor messages.")
        source = {"format": "chatgpt", "id": outside_id, **rest_of(fields, *_HEAD)}
        return SourceTree(
            name="chatgpt",
            id=outside_id,
            fields={
                "channel": "chatgpt",
                "title": fields.get("title") or None,
                "created_at": epoch(fields.get("create_time")),
                "archived": fields.get("is_archived") is True,
                "pinned": fields.get("is_starred") is True,
                "metadata": {SOURCE: source},
            },
            parents=_parents_of(nodes),
            said=lambda path: _said(path, nodes),
            active=_with_message(fields.get("current_node"), nodes),
        )


def _parsed(raw: bytes) -> tuple[dict[str, Json], dict[str, _Node]]:
    """Return the fields besides the tree, and the nodes of the tree, with their messages still unread."""
    parts = fields_of(raw)
    mapping = parts.pop("mapping", b"null")
    fields = {name: lenient_json(part).value for name, part in parts.items()}
    try:
        return fields, msgspec.json.decode(mapping, type=dict[str, _Node])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return fields, {name: _strange_node(fields_of(node)) for name, node in fields_of(mapping).items()}


def _strange_node(parts: Mapping[str, bytes]) -> _Node:
    """Return a node without its strange links."""
    parent = lenient_json(parts.get("parent", b"null")).value
    children = list_in(lenient_json(parts.get("children", b"null")).value)
    return _Node(
        parent=parent if isinstance(parent, str) else None,
        children=[one for one in children if isinstance(one, str)],
        message=Raw(parts.get("message", b"null")),
    )


def _has_message(node: _Node) -> bool:
    return bytes(memoryview(node.message)[:4]) != b"null"


def _parents_of(nodes: Mapping[str, _Node]) -> dict[str, str | None]:
    """Return the message before each message; nodes without one are passed over."""
    told = {child: name for name, node in nodes.items() for child in node.children}
    above = {name: node.parent or told.get(name) for name, node in nodes.items()}
    return {name: _message_above(name, above, nodes) for name, node in nodes.items() if _has_message(node)}


def _message_above(name: str, above: Mapping[str, str | None], nodes: Mapping[str, _Node]) -> str | None:
    at, passed = above.get(name), {name}
    while at is not None and at in nodes and at not in passed and not _has_message(nodes[at]):
        passed.add(at)
        at = above.get(at)
    return at


def _with_message(current: Json, nodes: Mapping[str, _Node]) -> str | None:
    at = current if isinstance(current, str) and current in nodes else None
    return at if at is None or _has_message(nodes[at]) else nodes[at].parent


def _said(path: Sequence[str], nodes: Mapping[str, _Node]) -> Iterator[Saying]:
    calls: dict[str, str] = {}
    for name in path:
        value, told = lenient_json(bytes(nodes[name].message))
        yield Saying(name, _message(name, value, calls), told) if isinstance(value, dict) else Saying(name, {}, told)


def _message(node: str, value: dict[str, Json], calls: dict[str, str]) -> dict[str, Json]:
    """Return a message in our form; `calls` has the open call of each tool."""
    author, content = object_in(value.get("author")), object_in(value.get("content"))
    facts = object_in(value.get("metadata"))
    role, recipient = text_in(author.get("role")), text_in(value.get("recipient")) or "all"
    is_hidden = facts.get(_HIDDEN) is True or content.get("content_type") == "user_editable_context"
    fields: dict[str, Json] = {
        "id": node,
        "role": "system" if role not in _ROLES or (role == "user" and is_hidden) else role,
        "timestamp": epoch(value.get("create_time")),
        "name": author.get("name") or None,
    }
    shaped = _SHAPES.get(text_in(content.get("content_type")), _other)(content)
    words, thought, rest = shaped
    if role == "assistant" and recipient != "all":
        fields |= {"tool_calls": [call_of(node, recipient, words)], "content": None}
        calls[recipient] = calls[recipient.partition(".")[0]] = node
    else:
        fields["content"] = words
    if role == "tool":
        called = text_in(author.get("name"))
        fields["tool_call_id"] = calls.get(called) or calls.get(called.partition(".")[0])
    elif role == "user" and not is_hidden:
        calls.clear()
    raw = {
        **rest_of(value, "id", "author", "content", "create_time", "metadata", "recipient"),
        **rest_of(
            {"metadata": rest_of(facts, "model_slug"), "content": rest, "author": rest_of(author, "role", "name")}
        ),
    }
    if role != fields["role"]:
        raw["role"] = role
    fields["metadata"] = metadata_of(raw, **{"model": facts.get("model_slug"), FIELD: thought})
    return fields


_Shaped = tuple[Json, dict[str, Json] | None, dict[str, Json]]
"""The content in our form, the thinking, and the fields that found no place in either."""


def _parts(content: dict[str, Json]) -> _Shaped:
    parts = [_part(part) for part in list_in(content.get("parts")) if part is not None]
    rest = rest_of(content, "content_type", "parts")
    if all(isinstance(part, str) for part in parts) and len(parts) <= 1:
        return (parts[0] if parts else ""), None, rest
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts], None, rest


def _part(part: Json) -> Json:
    if isinstance(part, dict) and not isinstance(part.get("type"), str):
        return {"type": text_in(part.get("content_type")) or "unknown", **part}
    return part if isinstance(part, dict | str) else {"type": "unknown", "value": part}


def _thoughts(content: dict[str, Json]) -> _Shaped:
    thoughts = [object_in(one) for one in list_in(content.get("thoughts"))]
    words = ["\n".join(filter(None, (text_in(one.get("summary")), text_in(one.get("content"))))) for one in thoughts]
    rest = rest_of(content, "content_type", "thoughts")
    odd = [more for one in thoughts if (more := rest_of(one, "summary", "content", "finished", "chunks"))]
    return "", thinking("\n\n".join(words), "thoughts"), {**rest, "thoughts": odd} if odd else rest


def _recap(content: dict[str, Json]) -> _Shaped:
    return "", thinking(text_in(content.get("content")), "reasoning_recap"), rest_of(content, "content_type", "content")


def _user_context(content: dict[str, Json]) -> _Shaped:
    words = [text_in(content.get(name)) for name in ("user_profile", "user_instructions")]
    return "\n\n".join(filter(None, words)), None, rest_of(content, "content_type", "user_profile", "user_instructions")


def _quote(content: dict[str, Json]) -> _Shaped:
    words = [text_in(content.get(name)) for name in ("title", "url", "text")]
    return "\n".join(filter(None, words)), None, rest_of(content, "content_type", "title", "url", "text")


def _other(content: dict[str, Json]) -> _Shaped:
    """Return the content of a kind with one field of text, known or not; the other fields are kept beside it."""
    if isinstance(content.get("parts"), list):
        return (*_parts(content)[:2], rest_of(content, "parts"))
    name = next((one for one in _TEXT_FIELDS if text_in(content.get(one))), "")
    return text_in(content.get(name)), None, rest_of(content, name)


_SHAPES: Final[Mapping[str, Callable[[dict[str, Json]], _Shaped]]] = {
    "text": _parts,
    "multimodal_text": _parts,
    "thoughts": _thoughts,
    "reasoning_recap": _recap,
    "user_editable_context": _user_context,
    "tether_quote": _quote,
}
