"""LibreChat's export of a conversation in JSON: a list of messages, or a tree of them.

An answer's `content` lists its steps: words, thinking and calls with their results. The newest message ends the active
thread, as the export does not name it.

Source: LibreChat 0.7 to 0.8, its export and its schema of messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from chatkeep.core.model import Json
from chatkeep.errors import BrokenInputError
from chatkeep.importers.glimpse import objects_of
from chatkeep.importers.records import lenient_json
from chatkeep.importers.shaping import SOURCE, list_in, object_in, rest_of, text_in
from chatkeep.importers.threads.steps import Steps
from chatkeep.importers.threads.trees import SourceTree, TreeImporter, fields_of, in_a_row, in_parts_of, items_of

_HEAD: Final = ("conversationId", "title", "messages", "messagesTree", "createdAt", "exportAt", "isArchived", "tags")
_SAID: Final = (
    *("messageId", "parentMessageId", "conversationId", "sender", "text", "content", "isCreatedByUser", "createdAt"),
    *("children", "model", "_id", "__v", "user", "updatedAt", "role"),
)


class LibreChatImporter(TreeImporter):
    """LibreChat's export of a conversation."""

    name = "librechat"
    reason = "it has messages with LibreChat's ids"

    def is_tree(self, value: Json) -> bool:
        """Recognise a conversation by its id and messages."""
        if not isinstance(value, dict) or "conversationId" not in value:
            return False
        messages = [*objects_of(value.get("messages")), *objects_of(value.get("messagesTree"))]
        is_whole = "endpoint" in value or "exportAt" in value or "options" in value
        return any("messageId" in one for one in messages) or (is_whole and "messageId" not in value)

    def tree_of(self, raw: bytes) -> SourceTree:
        """Return the tree of a conversation."""
        parts = fields_of(raw)
        listed = next(
            (parts[name] for name in ("messages", "messagesTree") if parts.get(name, b"null") != b"null"), b"[]"
        )
        messages, parents = _flat(items_of(listed))
        listed_in = {"messages", "messagesTree"}
        fields = {name: lenient_json(part).value for name, part in parts.items() if name not in listed_in}
        outside_id = text_in(fields.get("conversationId")) or next(iter(messages), "")
        if not outside_id:
            raise BrokenInputError("It has neither an id nor messages.")
        newest = max(messages, key=lambda one: _time_of(messages[one]), default=None)
        return SourceTree(
            name="librechat",
            id=outside_id,
            fields={
                "channel": "librechat",
                "title": fields.get("title") or None,
                "created_at": fields.get("createdAt"),
                "archived": fields.get("isArchived") is True,
                "tags": [tag for tag in list_in(fields.get("tags")) if isinstance(tag, str)],
                "metadata": {SOURCE: {"format": "librechat", "id": outside_id, **rest_of(fields, *_HEAD)}},
            },
            parents=parents if any(parents.values()) else in_a_row(parents),
            said=lambda path: in_parts_of(path, messages, _messages),
            active=newest,
        )


def _flat(listed: Iterable[bytes]) -> tuple[dict[str, bytes], dict[str, str | None]]:
    """Return the messages of a list or tree by id, without their answers, and the parent of each."""
    messages: dict[str, bytes] = {}
    parents: dict[str, str | None] = {}
    waiting: list[tuple[bytes, str | None]] = [(one, None) for one in reversed([*listed])]
    while waiting:
        raw, above = waiting.pop()
        try:
            parts = fields_of(raw)
        except BrokenInputError:
            parts = {}
        given = text_in(lenient_json(parts.get("messageId", b"null")).value)
        one = given if given and given not in messages else f"#{len(messages) + 1}"
        parents[one] = above or text_in(lenient_json(parts.get("parentMessageId", b"null")).value) or None
        children = parts.pop("children", b"null")
        messages[one] = _object(parts) if parts else raw
        waiting.extend((child, one) for child in reversed(items_of(children) if children[:1] == b"[" else []))
    return messages, parents


def _object(parts: Mapping[str, bytes]) -> bytes:
    return b"{" + b",".join(msgspec.json.encode(name) + b":" + part for name, part in parts.items()) + b"}"


def _time_of(message: bytes) -> str:
    return text_in(object_in(lenient_json(message).value).get("createdAt"))


def _messages(value: dict[str, Json]) -> list[dict[str, Json]]:
    sender = text_in(value.get("sender"))
    is_user = value["isCreatedByUser"] is True if "isCreatedByUser" in value else sender.lower() == "user"
    role = text_in(value.get("role")) if value.get("role") == "system" else "user" if is_user else "assistant"
    steps = Steps(role, value.get("createdAt"))
    for part in list_in(value.get("content")):
        _take(part, steps)
    if (words := text_in(value.get("text"))) and not list_in(value.get("content")):
        steps.say(words)
    rest = rest_of(value, *_SAID)
    if sender and sender.lower() != "user":
        rest["sender"] = sender
    return steps.messages(rest, model=value.get("model"))


def _take(part: Json, steps: Steps) -> None:
    if not isinstance(part, dict):
        steps.say(text_in(part) or {"type": "unknown", "value": part})
        return
    kind, inner = part.get("type"), part.get(text_in(part.get("type")))
    words = inner.get("value") if isinstance(inner, dict) else inner
    if kind == "text" and isinstance(words, str):
        steps.say(words)
        steps.keep(rest_of(part, "type", "text", "tool_call_ids"))
    elif kind == "think" and isinstance(words, str):
        steps.think(words, "think")
    elif kind == "tool_call" and isinstance(inner, dict):
        call_id = inner.get("id")
        steps.call(call_id, inner.get("name") or inner.get("type"), inner.get("args", inner.get("function")))
        if "output" in inner:
            rest = rest_of(inner, "id", "name", "args", "output", "type")
            steps.result(call_id, inner.get("name"), inner["output"], rest)
    else:
        steps.say({**part, "type": text_in(kind) or "unknown"})
