"""Five ways to use OpenAI's Python client for a conversation; `js/talk.mjs` does the same in JavaScript.

A talk returns the results of its calls and the conversation at the end, as JSON.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import openai

from chatkeep.core.history.completions import EXTRA
from chatkeep.core.model import Draft, Message
from chatkeep.core.text.reasoning import FIELD, Parted

Json = Any
Client = openai.OpenAI | openai.AsyncOpenAI

MODEL = "small-model"
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
FAILURES = (429, 500, 400, 401)
STYLES = ("plain", "stream", "tools", "parts", "errors")


def talk(client: Client, style: str, turns: int) -> Json:
    """Return what became of a conversation with either of the Python clients."""
    return asyncio.run(_talk(client, style, turns))


async def _talk(client: Client, style: str, turns: int) -> Json:
    one = _Talk(client)
    one.messages.append({"role": "system", "content": f"Style {style}."})
    for turn in range(turns):
        await _TURNS[style](one, turn)
    if isinstance(client, openai.AsyncOpenAI):
        await client.close()
    return {"results": one.results, "messages": one.messages}


def message_of(said: Message | Draft) -> Json:
    """Return a message of ours as OpenAI's: what `draft_of` was given, or the like."""
    fields = {name: getattr(said, name) for name in ("role", "content", "name", "tool_calls", "tool_call_id")}
    extra = (said.metadata or {}).get(EXTRA)
    thought = (said.metadata or {}).get(FIELD)
    if thought and thought["from"] == "content":
        tags = tuple((place, tag) for place, tag in thought["tags"])
        fields["content"] = Parted(fields["content"], thought["text"], tags).as_written()
    elif thought:
        extra = {thought["from"]: thought["text"], **(extra or {})}
    return {name: value for name, value in (fields | (extra or {})).items() if value is not None or name == "content"}


class _Talk:
    def __init__(self, client: Client) -> None:
        self.results: list[Json] = []
        self.messages: list[Json] = []
        self._create: Any = client.chat.completions.create

    async def whole(self, **options: Json) -> Json:
        answer = await _awaited(self._create(model=MODEL, messages=self.messages, **options))
        self.results.append(answer.model_dump())
        return answer.choices[0].message.model_dump(exclude_none=True)

    async def streamed(self, **options: Json) -> Json:
        asked = {"model": MODEL, "messages": self.messages, "stream": True, "stream_options": {"include_usage": True}}
        stream = await _awaited(self._create(**asked, **options))
        text = ""
        calls: dict[int, Json] = {}
        chunks = [chunk async for chunk in stream] if isinstance(stream, openai.AsyncStream) else list(stream)
        for chunk in chunks:
            self.results.append(chunk.model_dump())
            delta = chunk.choices[0].delta if chunk.choices else None
            text += (delta and delta.content) or ""
            for call in (delta and delta.tool_calls) or ():
                held = calls.setdefault(call.index, {"id": call.id, "type": "function", "function": {"arguments": ""}})
                held["function"]["name"] = held["function"].get("name") or call.function.name
                held["function"]["arguments"] += call.function.arguments
        return {"role": "assistant", "content": text or None, **({"tool_calls": [*calls.values()]} if calls else {})}

    async def plain(self, turn: int) -> None:
        self.messages.append({"role": "user", "content": f"question {turn}"})
        self.messages.append(await self.whole())

    async def stream(self, turn: int) -> None:
        self.messages.append({"role": "user", "content": f"question {turn}"})
        self.messages.append(await self.streamed())

    async def tools(self, turn: int) -> None:
        ask = self.streamed if turn % 2 else self.whole
        self.messages.append({"role": "user", "content": f"weather {turn}"})
        asked = await ask(tools=TOOLS)
        self.messages.append(asked)
        for call in asked["tool_calls"]:
            self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": f"rain {turn}"})
        self.messages.append(await ask(tools=TOOLS))

    async def parts(self, turn: int) -> None:
        self.messages.append({"role": "user", "content": [{"type": "text", "text": f"image {turn}"}, IMAGE]})
        self.messages.append(await self.whole(n=2))

    async def errors(self, turn: int) -> None:
        self.messages.append({"role": "user", "content": f"fail:{FAILURES[turn % 4]} {turn}"})
        try:
            self.messages.append(await self.whole())
        except openai.APIStatusError as error:
            self.results.append([type(error).__name__, error.status_code, error.code, error.message])
            self.messages.append(await self.whole())


_TURNS: dict[str, Callable[[_Talk, int], Awaitable[None]]] = {style: getattr(_Talk, style) for style in STYLES}


async def _awaited(value: Any) -> Any:  # noqa: ANN401 - what either client returns
    return await value if inspect.isawaitable(value) else value
