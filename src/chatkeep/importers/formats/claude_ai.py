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
    FIELD,
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
from chatkeep.importers.trees import (
    Saying,
    SourceTree,
    TreeImporter,
    fields_of,
    in_a_row,
    items_of,
)

_ROLES: Final = {"human": "user", "user": "user", "assistant": "assistant", "system": "system"}
_HEAD: Final = ("uuid", "conversation_id", "name", "title", "created_at", "create_time", "chat_messages", "is_starred")
_SAID: Final = ("uuid", "sender", "text", "content", "created_at", "attachments", "parent_message_uuid")


class _Entry(msgspec.Struct):
    uuid: str | None = None
    parent_message_uuid: str | None = None


class ClaudeAiImporter(TreeImporter):
    """Claude.ai's export, or a file of it."""

    name = "claude-ai"
    reason = "it has conversations with Claude's chat_messages"

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
    answer = _Answer(role, value.get("created_at"))
    for block in list_in(value.get("content")):
        answer.add(block if isinstance(block, dict) else {"type": "text", "text": text_in(block)})
    if not answer.has_words and text_in(value.get("text")):
        answer.add({"type": "text", "text": value["text"]})
    for attached in map(object_in, list_in(value.get("attachments"))):
        words = {"text": attached["extracted_content"]} if text_in(attached.get("extracted_content")) else {}
        answer.add({"type": "attachment", **words, **rest_of(attached, "extracted_content")})
    messages = answer.messages()
    rest = rest_of(value, *_SAID) | ({} if sender in _ROLES or not sender else {"sender": sender})
    if rest:
        known = messages[0].get("metadata") or {}
        messages[0]["metadata"] = {**known, SOURCE: {**known.get(SOURCE, {}), **rest}}
    return messages


class _Answer:
    """The content of a message on its way to becoming messages of ours."""

    def __init__(self, role: str, sent_at: Json) -> None:
        self._role = role
        self._sent_at = sent_at
        self._done: list[dict[str, Json]] = []
        self._open: dict[str, str] = {}
        self._begin()
        self.has_words = False

    def add(self, block: dict[str, Json]) -> None:
        kind = block.get("type")
        if kind == "tool_result":
            self._take_result(block)
            return
        if self._calls and kind in {"text", "thinking"}:
            self._end()
        if kind == "tool_use":
            self._take_call(block)
        elif kind == "thinking" and self._role == "assistant":
            self._thoughts.append(text_in(block.get("thinking")))
            self._keep(block, "type", "thinking", "start_timestamp", "stop_timestamp")
        elif kind == "text" and isinstance(block.get("text"), str):
            self.has_words |= bool(block["text"])
            self._parts.append({"type": "text", "text": block["text"]})
            self._keep(block, "type", "text", "start_timestamp", "stop_timestamp")
        else:
            self.has_words |= bool(text_in(block.get("text")))
            self._parts.append(block if isinstance(kind, str) else {"type": "unknown", **block})

    def messages(self) -> list[dict[str, Json]]:
        """Return the messages; an empty one for an empty content."""
        if self._parts or self._thoughts or self._calls or not self._done:
            self._end()
        return self._done

    def _begin(self) -> None:
        self._parts: list[dict[str, Json]] = []
        self._thoughts: list[str] = []
        self._calls: list[dict[str, Json]] = []
        self._kept: list[dict[str, Json]] = []

    def _end(self) -> None:
        plain = [part["text"] for part in self._parts if part.keys() == {"type", "text"} and part["type"] == "text"]
        is_plain = len(plain) == len(self._parts) <= 1
        content: Json = "".join(plain) if is_plain else self._parts
        thought = thinking("\n\n".join(self._thoughts), "thinking")
        fields: dict[str, Json] = {
            "role": self._role,
            "content": content or (None if self._calls else ""),
            "timestamp": self._sent_at,
            "metadata": metadata_of({"blocks": self._kept} if self._kept else {}, **{FIELD: thought}),
        }
        if self._calls:
            fields["tool_calls"] = self._calls
        self._done.append(fields)
        self._begin()

    def _keep(self, block: dict[str, Json], *taken: str) -> None:
        if rest := rest_of(block, *taken):
            self._kept.append(rest)

    def _take_call(self, block: dict[str, Json]) -> None:
        name = text_in(block.get("name"))
        call_id = text_in(block.get("id")) or f"call-{len(self._done) + len(self._calls) + 1}"
        self._open[name] = call_id
        self._calls.append(call_of(call_id, name, block.get("input")))
        self._keep(block, "type", "id", "name", "input", "start_timestamp", "stop_timestamp")

    def _take_result(self, block: dict[str, Json]) -> None:
        if self._parts or self._thoughts or self._calls:
            self._end()
        name, content = text_in(block.get("name")), block.get("content")
        parts = [
            part if isinstance(part, dict | str) else {"type": "unknown", "value": part} for part in list_in(content)
        ]
        only = parts[0] if len(parts) == 1 else None
        is_text = isinstance(only, dict) and only.keys() <= {"type", "text"} and isinstance(only.get("text"), str)
        rest = rest_of(block, "type", "tool_use_id", "name", "content", "start_timestamp", "stop_timestamp")
        self._done.append(
            {
                "role": "tool",
                "content": only["text"] if is_text and isinstance(only, dict) else parts or text_in(content),
                "timestamp": block.get("start_timestamp") or self._sent_at,
                "name": name or None,
                "tool_call_id": text_in(block.get("tool_use_id")) or self._open.get(name),
                "metadata": metadata_of(rest),
            }
        )
