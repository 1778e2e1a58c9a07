"""The two shapes in which models take a history: OpenAI's chat messages and Anthropic's messages.

`turns` does the work common to both; this module does the differences. OpenAI has results as messages of their own,
and pictures from users only. With Anthropic, roles alternate and the system prompt stands apart. Results open the
message behind their calls, and the last answer ends without white space.

Source: OpenAI, API reference, Create chat completion; Anthropic, Messages API and Handle tool calls.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from chatkeep.core.history.turns import ContentPart, ToolResult, Utterance
from chatkeep.core.model import Json

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")  # Anthropic: ^[a-zA-Z0-9_-]+$; OpenAI: at most 40 characters


def openai_messages(prompt: str, talk: Sequence[Utterance]) -> list[dict[str, Json]]:
    """Return OpenAI's chat messages. The prompt is one `system` message, as every compatible server takes it."""
    shaped: list[dict[str, Json]] = [{"role": "system", "content": prompt}] if prompt else []
    for said, ids in with_call_ids(talk):
        message: dict[str, Json] = {"role": said.role, "content": openai_content(said.parts)}
        if said.name:
            message["name"] = said.name
        if said.calls:
            message["tool_calls"] = [
                {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call_id, call in zip(ids, said.calls, strict=True)
            ]
        shaped.append(message)
        for call_id, result in zip(ids, said.results, strict=True):
            shaped.append({"role": "tool", "tool_call_id": call_id, "content": only_text(result.parts)})
    return shaped


def anthropic_messages(prompt: str, talk: Sequence[Utterance]) -> dict[str, Json]:
    """Return `messages`, and `system` if there is a prompt: arguments of `messages.create`."""
    shaped: list[dict[str, Json]] = []
    for said, ids in with_call_ids(talk):
        blocks = [*map(anthropic_block, said.parts)]
        blocks += [
            {"type": "tool_use", "id": call_id, "name": call.name, "input": msgspec.json.decode(call.arguments)}
            for call_id, call in zip(ids, said.calls, strict=True)
        ]
        add_blocks(shaped, said.role, blocks)
        add_blocks(shaped, "user", [anthropic_result(*pair) for pair in zip(ids, said.results, strict=True)])
    if shaped and shaped[-1]["role"] == "assistant":
        last = shaped[-1]["content"][-1]
        last["text"] = last["text"].rstrip()
    return {"system": prompt, "messages": shaped} if prompt else {"messages": shaped}


def with_call_ids(talk: Iterable[Utterance]) -> Iterator[tuple[Utterance, list[str]]]:
    """Yield each message with the ids of its calls: their own, unless invalid for a provider or used before."""
    taken: set[str] = set()
    for said in talk:
        ids = []
        for number, call in enumerate(said.calls):
            made = (f"call_{said.seq}_{number}{'_' * more}" for more in itertools.count())
            wanted = itertools.chain([call.id] if _ID.fullmatch(call.id) else [], made)
            ids.append(next(call_id for call_id in wanted if call_id not in taken))
            taken.add(ids[-1])
        yield said, ids


def openai_content(parts: Sequence[ContentPart]) -> Json:
    """Return one string for text alone, as every compatible server takes it, and parts only for pictures."""
    if all(isinstance(part, str) for part in parts):
        return only_text(parts) or None
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": part.url}}
        for part in parts
    ]


def only_text(parts: Iterable[ContentPart]) -> str:
    """Return the texts, one per line, with a word in place of a picture."""
    return "\n".join(part if isinstance(part, str) else "[image]" for part in parts)


def anthropic_block(part: ContentPart) -> dict[str, Json]:
    """Return a text or a picture as a block of content."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if part.url.startswith("https:"):
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    head, _, encoded = part.url.partition(";base64,")
    if not encoded:
        return {"type": "text", "text": "[image]"}  # Anthropic refuses http addresses
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": head.removeprefix("data:"), "data": encoded},
    }


def anthropic_result(call_id: str, result: ToolResult) -> dict[str, Json]:
    """Return a tool's answer to the call with this id as a block of content."""
    block: dict[str, Json] = {
        "type": "tool_result",
        "tool_use_id": call_id,
        "content": [*map(anthropic_block, result.parts)],
    }
    return {**block, "is_error": True} if result.is_error else block


def add_blocks(shaped: list[dict[str, Json]], role: str, blocks: list[dict[str, Json]]) -> None:
    """Add blocks to the last message if the role is the same, else as a new message."""
    if not blocks:
        return
    if shaped and shaped[-1]["role"] == role:
        shaped[-1]["content"] += blocks
    else:
        shaped.append({"role": role, "content": blocks})
