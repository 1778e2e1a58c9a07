"""A module of tests: runs of Pydantic AI with the framework's own model for tests, their history kept by Chatkeep."""

from __future__ import annotations

import asyncio
import itertools

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.test import TestModel
from tools.conformance.homes import place, prefix_of

from chatkeep.adapters.pydantic_ai import ChatkeepMessageHistory

_numbers = itertools.count()


def _history(name: str = "h") -> ChatkeepMessageHistory:
    home = place(f"pydantic-{next(_numbers)}")
    return ChatkeepMessageHistory(name, home, prefix=prefix_of(home))


def test_run_with_a_kept_history() -> None:
    """What a run said with a tool comes back equal, and the next run goes on behind it."""
    history = _history()
    agent = Agent(TestModel())

    @agent.tool_plain
    def where(place: str) -> str:
        return f"{place}: 59.9 \0"

    async def told() -> None:
        first = await agent.run("Where is Oslo?", message_history=await history.messages())
        await history.add(first.new_messages())
        assert first.all_messages() == await history.messages()
        second = await agent.run("And Bergen?", message_history=await history.messages())
        await history.add(second.new_messages())
        assert second.all_messages() == await history.messages()

    asyncio.run(told())


def test_take_back() -> None:
    """Messages are popped, replaced in one step and cleared; an empty history has nothing to pop."""
    history = _history("a\nb")
    said: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart(content="x")]),
        ModelResponse(parts=[TextPart(content="y")]),
    ]

    async def told() -> None:
        await history.add(said)
        assert said[1] == await history.pop()
        await history.replace([*said, said[0]])
        assert [*said, said[0]] == await history.messages()
        assert [said[0]] == await history.messages(last=1)
        await history.clear()
        assert [] == await history.messages()
        assert None is await history.pop()

    asyncio.run(told())
