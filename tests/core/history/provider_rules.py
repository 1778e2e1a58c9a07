"""What OpenAI and Anthropic refuse in a history, told one by one, as their documentation and their errors say it.

Written from the rules alone: it knows nothing of how a history is made.

Source: OpenAI, API reference, Create chat completion, and the errors "An assistant message with 'tool_calls'
must be followed by tool messages responding to each 'tool_call_id'", "messages with role 'tool' must be a response
to a preceeding message with 'tool_calls'", "Image URLs are only allowed for messages with role 'user'".
Anthropic, platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls ("tool result blocks must
immediately follow their corresponding tool use blocks", "must come FIRST in the content array"), and the errors "text
content blocks must contain non-whitespace text", "`tool_use` ids must be unique", "each tool_use must have a single
result", "unexpected `tool_use_id` found in `tool_result` blocks", "final assistant content cannot end with trailing
whitespace", "first message must use the user role", "roles must alternate".
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
PICTURES = {"image/jpeg", "image/png", "image/gif", "image/webp"}


def refused_by_openai(messages: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong with chat messages; nothing for a valid history that begins at a question."""
    said = [*messages]
    while said and said[0]["role"] == "system":
        said.pop(0)
    wrong = [] if not said or said[0]["role"] == "user" else ["begins without a question"]
    waiting: list[str] = []
    for place, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                wrong.append(f"{place}: a result without its call")
            else:
                waiting.remove(message["tool_call_id"])
        elif waiting:
            wrong.append(f"{place}: comes before the results of {waiting}")
            waiting = []
        wrong += (f"{place}: {what}" for what in _wrong_in_openai(message))
        waiting += [call["id"] for call in message.get("tool_calls", [])]
    return wrong + ([f"calls without results: {waiting}"] if waiting else [])


def _wrong_in_openai(message: dict[str, Any]) -> Iterator[str]:
    role, content, calls = message["role"], message["content"], message.get("tool_calls")
    if role not in {"system", "user", "assistant", "tool"}:
        yield f"role {role}"
    if set(message) - {"role", "content", "name", "tool_calls", "tool_call_id"}:
        yield "unknown field"
    if content is None and not (role == "assistant" and calls):
        yield "content is null"
    if isinstance(content, str) and not content.strip():
        yield "content is empty"
    if isinstance(content, list):
        yield from _wrong_in_parts(content, role)
    if "name" in message and not NAME.fullmatch(message["name"]):
        yield "name"
    if calls is not None:
        yield from _wrong_in_calls(calls, role)


def _wrong_in_parts(parts: list[dict[str, Any]], role: str) -> Iterator[str]:
    if not parts or role != "user":
        yield "a list of parts"
    for part in parts:
        if part["type"] == "text":
            if not part["text"].strip():
                yield "a text part is empty"
        elif part["type"] != "image_url" or not _is_picture(part["image_url"]["url"]):
            yield "a part that is neither text nor a picture"


def _wrong_in_calls(calls: list[dict[str, Any]], role: str) -> Iterator[str]:
    if not calls or role != "assistant":
        yield "tool_calls"
    ids = [call["id"] for call in calls]
    if len(set(ids)) < len(ids):
        yield "ids of calls are not unique"
    for call in calls:
        if not 1 <= len(call["id"]) <= 40:
            yield "id of a call"
        if call["type"] != "function" or not NAME.fullmatch(call["function"]["name"]):
            yield "name of a function"
        if not isinstance(json.loads(call["function"]["arguments"]), dict):
            yield "arguments are no object"


def refused_by_anthropic(request: dict[str, Any]) -> list[str]:
    """Return what is wrong with `system` and `messages`; nothing for what is valid."""
    messages = request["messages"]
    wrong = [] if request.get("system", "x").strip() else ["system is empty"]
    if any(message["role"] != ("assistant", "user")[place % 2 == 0] for place, message in enumerate(messages)):
        wrong.append("roles do not alternate from user on")
    seen: set[str] = set()
    asked: list[str] = []
    for place, message in enumerate(messages):
        blocks = message["content"]
        wrong += (f"{place}: {what}" for what in _wrong_in_blocks(blocks, message["role"]))
        answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if sorted(answered) != sorted(asked):
            wrong.append(f"{place}: results {answered} for the calls {asked}")
        asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if seen & set(asked) or len(set(asked)) < len(asked):
            wrong.append(f"{place}: ids of calls are not unique")
        seen |= set(asked)
    if asked:
        wrong.append(f"calls without results: {asked}")
    if messages and messages[-1]["role"] == "assistant":
        last = messages[-1]["content"][-1]
        if last["type"] == "text" and last["text"] != last["text"].rstrip():
            wrong.append("the last answer ends with white space")
    return wrong


ORDER = {"user": ("tool_result", "text image"), "assistant": ("text", "tool_use")}


def _wrong_in_blocks(blocks: list[dict[str, Any]], role: str) -> Iterator[str]:
    if not blocks:
        yield "no content"
    first, then = ORDER[role]
    places = [0 if block["type"] in first.split() else 1 if block["type"] in then.split() else 9 for block in blocks]
    if 9 in places or places != sorted(places):
        yield f"blocks {[block['type'] for block in blocks]} of {role}"
    for block in blocks:
        yield from _wrong_in_block(block)


def _wrong_in_block(block: dict[str, Any]) -> Iterator[str]:
    kind = block["type"]
    if kind == "text" and not block["text"].strip():
        yield "a text block is empty"
    if kind == "image" and not _is_source(block["source"]):
        yield "source of a picture"
    if kind == "tool_use" and not (
        re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"]) and NAME.fullmatch(block["name"]) and type(block["input"]) is dict
    ):
        yield "a tool_use block"
    if kind == "tool_result":
        for inner in block["content"]:
            yield from _wrong_in_block(inner)
            if inner["type"] not in {"text", "image"}:
                yield "a block in a result"


def _is_source(source: dict[str, Any]) -> bool:
    if source["type"] == "url":
        return str(source["url"]).startswith("https://")
    return source["type"] == "base64" and source["media_type"] in PICTURES and _is_base64(source["data"])


def _is_picture(url: str) -> bool:
    head, _, data = url.partition(";base64,")
    return url.startswith(("https://", "http://")) or (head.removeprefix("data:") in PICTURES and _is_base64(data))


def _is_base64(data: str) -> bool:
    try:
        return bool(base64.b64decode(data, validate=True))
    except binascii.Error:
        return False
