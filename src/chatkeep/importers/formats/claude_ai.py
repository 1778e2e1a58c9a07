"""Claude.ai's data export: `conversations.json`, a list of conversations or one on each line, in a folder or a zip.

An answer of Claude may be thinking, text, calls of tools and their results by turns. Each call ends a message, and its
results follow as messages of their own. The text that Claude.ai took from an attached file becomes a part of the
message. Newer exports name the parent of each message, so they have branches.

Source: exports of the years 2024 to 2026, and the schemas that polylogue inferred from 316 conversations (MIT).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from chatkeep.core.model import Json
from chatkeep.errors import BrokenInputError
from chatkeep.importers.records import lenient_json
from chatkeep.importers.shaping import (
    SOURCE,
    epoch,
    list_in,
    object_in,
    rest_of,
    text_in,
)
from chatkeep.importers.threads.steps import Steps
from chatkeep.importers.threads.trees import (
    Saying,
    SourceTree,
    TreeImporter,
    fields_of,
    in_a_row,
    items_of,
)

_ROLES: Final = {"human": "user", "user": "user", "assistant": "assistant", "system": "system"}
_HEAD: Final = ("uuid", "conversation_id", "name", "title", "created_at", "create_time", "chat_messages", "is_starred")
_TIMED: Final = ("type", "start_timestamp", "stop_timestamp")
_SAID: Final = ("uuid", "sender", "text", "content", "created_at", "attachments", "parent_message_uuid")


class _Entry(msgspec.Struct):
    uuid: str | None = None
    parent_message_uuid: str | None = None


class ClaudeAiImporter(TreeImporter):
    """Claude.ai's export, or a file of it."""

    name = "claude-ai"
    reason = "it has conversations with Claude's chat_messages"
    lists = ("conversations",)
    beginning = "conversations"

    def is_tree(self, value: Json) -> bool:
        """Recognise a conversation by its list of messages."""
        return isinstance(value, dict) and isinstance(value.get("chat_messages"), list)

    def tree_of(self, raw: bytes) -> SourceTree:
        """Return the tree of a conversation."""
        fields, messages = _parsed(raw)
        entries = [_entry(message) for message in messages]
        ids = [entry.uuid or f"#{number}" for number, entry in enumerate(entries, start=1)]
        given = fields.get("uuid") or fields.get("conversation_id")
        outside_id = given if isinstance(given, str) else next((entry.uuid for entry in entries if entry.uuid), None)
        if outside_id is None:
            raise BrokenInputError("It has no uuid.")
        has_parents = any(entry.parent_message_uuid for entry in entries)
        said = dict(zip(ids, messages, strict=True))
        return SourceTree(
            name="claude-ai",
            id=outside_id,
            fields={
                "channel": "claude-ai",
                "title": fields.get("name") or fields.get("title") or None,
                "created_at": epoch(fields.get("created_at") or fields.get("create_time")),
                "pinned": fields.get("is_starred") is True,
                "metadata": {SOURCE: {"format": "claude-ai", "id": outside_id, **rest_of(fields, *_HEAD)}},
            },
            parents=dict(zip(ids, (one.parent_message_uuid for one in entries), strict=True))
            if has_parents
            else in_a_row(ids),
            said=lambda path: _said(path, said),
        )


def _parsed(raw: bytes) -> tuple[dict[str, Json], list[bytes]]:
    """Return the fields besides the messages, and the bytes of each message."""
    parts = fields_of(raw)
    messages = items_of(parts.pop("chat_messages", b"null"))
    return {name: lenient_json(part).value for name, part in parts.items()}, messages


def _entry(message: bytes) -> _Entry:
    try:
        return msgspec.json.decode(message, type=_Entry)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        fields = object_in(lenient_json(message).value)
        return _Entry(text_in(fields.get("uuid")) or None, text_in(fields.get("parent_message_uuid")) or None)


def _said(path: Sequence[str], messages: Mapping[str, bytes]) -> Iterator[Saying]:
    for one in path:
        value, told = lenient_json(messages[one])
        if not isinstance(value, dict):
            yield Saying(one, {}, told)
            continue
        for number, fields in enumerate(_segments(value)):
            uuid = text_in(value.get("uuid"))
            fields["id"] = None if not uuid else f"{uuid}.{number}" if number else uuid
            yield Saying(one, fields, told if number == 0 else ())


def _segments(value: dict[str, Json]) -> list[dict[str, Json]]:
    """Return the messages in a message: one, or several parted by tool calls. The first has its other fields."""
    sender = text_in(value.get("sender"))
    role = _ROLES.get(sender, "user")
    steps = Steps(role, value.get("created_at"))
    listed = list_in(value.get("content"))
    blocks = [one if isinstance(one, dict) else {"type": "text", "text": text_in(one)} for one in listed]
    for block in blocks:
        _take(block, steps, role)
    if text_in(value.get("text")) and not any(text_in(block.get("text")) for block in blocks):
        steps.say(value["text"])
    for attached in map(object_in, list_in(value.get("attachments"))):
        words = {"text": attached["extracted_content"]} if text_in(attached.get("extracted_content")) else {}
        steps.say({"type": "attachment", **words, **rest_of(attached, "extracted_content")})
    rest = rest_of(value, *_SAID) | ({} if sender in _ROLES or not sender else {"sender": sender})
    return steps.messages(rest)


def _take(block: dict[str, Json], steps: Steps, role: str) -> None:
    kind = block.get("type")
    if kind == "tool_use":
        steps.call(block.get("id"), block.get("name"), block.get("input"))
        steps.keep(rest_of(block, "id", "name", "input", *_TIMED))
    elif kind == "tool_result":
        rest = rest_of(block, "tool_use_id", "name", "content", *_TIMED)
        result = (block.get("tool_use_id"), block.get("name"), block.get("content"))
        steps.result(*result, rest, block.get("start_timestamp"))
    elif kind == "thinking" and role == "assistant":
        steps.think(text_in(block.get("thinking")), "thinking")
        steps.keep(rest_of(block, "thinking", *_TIMED))
    elif kind == "text" and isinstance(block.get("text"), str):
        steps.say(block["text"])
        steps.keep(rest_of(block, "text", *_TIMED))
    else:
        steps.say(block if isinstance(kind, str) else {"type": "unknown", **block})
