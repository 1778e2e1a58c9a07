"""Open WebUI's export of chats in JSON, of all or of one, and the tables of its database as JSON.

A chat keeps a tree of messages, so it has branches. An answer's `output` lists its steps: thinking, calls, results and
words. Older versions write them as `<details>` at the beginning of the text; these take the same form.

Source: Open WebUI 0.3 to 0.8, its export of chats.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Final

from chatkeep.core.model import Json
from chatkeep.errors import BrokenInputError
from chatkeep.importers.records import lenient_json
from chatkeep.importers.shaping import SOURCE, epoch, list_in, object_in, rest_of, text_in
from chatkeep.importers.threads.steps import Steps, content_from
from chatkeep.importers.threads.trees import SourceTree, TreeImporter, fields_of, in_a_row, in_parts_of, items_of

_ROLES: Final = frozenset(("system", "user", "assistant", "tool"))
_LONG: Final = frozenset(("chat", "history", "messages"))
_HEAD: Final = ("id", "title", "chat", "history", "messages", "created_at", "updated_at", "archived", "pinned")
_SAID: Final = ("id", "parentId", "childrenIds", "role", "content", "timestamp", "model", "usage", "output")
_DETAILS: Final = re.compile(r"\s*<details\b([^>]*)>\s*(?:<summary>(.*?)</summary>)?(.*?)</details>", re.DOTALL)
_ATTRIBUTE: Final = re.compile(r'([\w-]+)="([^"]*)"')
_QUOTED: Final = re.compile(r"^> ?", re.MULTILINE)


class OpenWebUiImporter(TreeImporter):
    """Open WebUI's export of chats."""

    name = "open-webui"
    reason = "it has chats with Open WebUI's history"

    def is_tree(self, value: Json) -> bool:
        """Recognise a chat by its history of messages."""
        if not isinstance(value, dict):
            return False
        chat = object_in(value.get("chat")) if "chat" in value else value
        history = chat.get("history")
        is_tree = isinstance(history, dict) and ("messages" in history or "currentId" in history)
        return is_tree or (bool(chat) and chat is not value and "models" in chat)

    def tree_of(self, raw: bytes) -> SourceTree:
        """Return the tree of a chat."""
        outer = fields_of(raw)
        inner = fields_of(outer["chat"]) if outer.get("chat", b"null") != b"null" else outer
        history = fields_of(inner.get("history", b"{}"))
        messages = fields_of(history.get("messages", b"{}"))
        if not messages:
            listed = items_of(inner.get("messages", b"[]"))
            messages = {_id_of(one, number): one for number, one in enumerate(listed, start=1)}
        known, told = _values(outer), _values(inner)
        outside_id = text_in(known.get("id")) or text_in(told.get("id")) or next(iter(messages), "")
        if not outside_id:
            raise BrokenInputError("It has neither an id nor messages.")
        tags = [*list_in(told.get("tags")), *list_in(object_in(known.get("meta")).get("tags"))]
        names = [text_in(one.get("name")) if isinstance(one, dict) else text_in(one) for one in tags]
        source = {"format": "open-webui", "id": outside_id, **rest_of(told, *_HEAD), **rest_of(known, *_HEAD)}
        parents = _parents(messages)
        return SourceTree(
            name="open-webui",
            id=outside_id,
            fields={
                "channel": "open-webui",
                "title": known.get("title") or told.get("title") or None,
                "created_at": epoch(known.get("created_at") or told.get("timestamp")),
                "archived": bool(known.get("archived")),
                "pinned": bool(known.get("pinned")),
                "tags": [name for name in dict.fromkeys(names) if name],
                "metadata": {SOURCE: source},
            },
            parents=parents if any(parents.values()) else in_a_row(messages),
            said=lambda path: in_parts_of(path, messages, _messages),
            active=text_in(lenient_json(history.get("currentId", b"null")).value) or None,
        )


def _values(parts: Mapping[str, bytes]) -> dict[str, Json]:
    return {name: lenient_json(part).value for name, part in parts.items() if name not in _LONG}


def _id_of(message: bytes, number: int) -> str:
    return text_in(object_in(lenient_json(message).value).get("id")) or f"#{number}"


def _parents(messages: Mapping[str, bytes]) -> dict[str, str | None]:
    fields = ((one, object_in(lenient_json(raw).value)) for one, raw in messages.items())
    return {one: text_in(message.get("parentId")) or None for one, message in fields}


def _messages(value: dict[str, Json]) -> list[dict[str, Json]]:
    role = text_in(value.get("role"))
    steps = Steps(role if role in _ROLES else "user", epoch(value.get("timestamp")))
    rest = rest_of(value, *_SAID)
    if role not in _ROLES:
        rest["role"] = role
    output = [one for one in list_in(value.get("output")) if isinstance(one, dict)]
    if role == "assistant" and output:
        for item in output:
            _take(item, steps)
        if any(item.get("type") not in _ITEMS for item in output):
            rest["content"] = value.get("content")
    elif role == "assistant" and isinstance(value.get("content"), str):
        _take_text(value["content"], steps)
    else:
        content = content_from(value.get("content"))
        for part in content if isinstance(content, list) else [content] if content else []:
            steps.say(part)
    usage = object_in(value.get("usage")) or object_in(value.get("info"))
    return steps.messages(rest, model=value.get("model"), usage=usage)


_ITEMS: Final = frozenset(("reasoning", "function_call", "function_call_output", "message"))


def _take(item: dict[str, Json], steps: Steps) -> None:
    kind = item.get("type")
    words = "\n".join(text_in(object_in(part).get("text")) for part in list_in(item.get("content")))
    if kind == "reasoning":
        summary = "\n".join(text_in(object_in(part).get("text")) for part in list_in(item.get("summary")))
        steps.think(words or summary, text_in(object_in(item.get("attributes")).get("type")) or "reasoning")
        steps.keep(rest_of(item, "type", "content", "summary", "status", "start_tag", "end_tag", "attributes"))
    elif kind == "function_call":
        steps.call(item.get("call_id") or item.get("id"), item.get("name"), item.get("arguments"))
    elif kind == "function_call_output":
        rest = rest_of(item, "type", "id", "call_id", "output", "status")
        steps.result(item.get("call_id"), item.get("name"), item.get("output"), rest)
    elif kind == "message":
        for part in list_in(item.get("content")):
            steps.say(content_from([part]) if isinstance(content_from([part]), str) else part)
    else:
        steps.say({"type": "unknown", **item})


def _take_text(text: str, steps: Steps) -> None:
    """Take a text with blocks of thinking and calls at its beginning."""
    at = 0
    while found := _DETAILS.match(text, at):
        facts = {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(found[1])}
        if facts.get("type") == "reasoning":
            words = _QUOTED.sub("", html.unescape(found[3]).strip())
            steps.think(words, "details")
        elif facts.get("type") == "tool_calls" and "name" in facts:
            steps.call(facts.get("id"), facts["name"], facts.get("arguments"))
            steps.result(facts.get("id"), facts["name"], facts.get("result", html.unescape(found[3]).strip()), {})
        else:
            break
        at = found.end()
    if (rest := text[at:].lstrip("\n") if at else text) or not at:
        steps.say(rest)
