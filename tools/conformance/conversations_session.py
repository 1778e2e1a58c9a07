"""A module of tests: the SDK's `OpenAIConversationsSession` with our Conversations in place of those of OpenAI."""

from __future__ import annotations

import asyncio
from typing import Any

from agents import Agent, Runner
from agents.memory import OpenAIConversationsSession
from agents.testing import ScriptedModel, assistant_message
from openai import AsyncOpenAI
from tools.conformance.homes import address_of, is_over_http, place

if is_over_http():  # as the SDK speaks it alone

    def _session(conversation_id: str | None = None) -> OpenAIConversationsSession:
        url, token = address_of(place("conversations"))
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0)
        return OpenAIConversationsSession(conversation_id=conversation_id, openai_client=client)

    def _texts(items: list[Any]) -> list[str]:
        return [item["content"] if isinstance(item["content"], str) else item["content"][0]["text"] for item in items]

    def test_keep_items() -> None:
        """Items are added, read, limited to the last, popped and cleared."""

        async def told() -> None:
            session = _session()
            said = [
                {"role": role, "content": text} for role, text in (("user", "a"), ("assistant", "b"), ("user", "c"))
            ]
            await session.add_items(said)
            assert ["a", "b", "c"] == _texts(await session.get_items())
            assert ["b", "c"] == _texts(await session.get_items(limit=2))
            assert ["c"] == _texts([await session.pop_item()])
            assert ["a", "b"] == _texts(await session.get_items())
            await session.clear_session()
            assert [] == await session.get_items()

        asyncio.run(told())

    def test_go_on_in_a_conversation() -> None:
        """A run's input and answer are in the conversation, and another process goes on there by its id."""

        async def told() -> None:
            session = _session()
            agent = Agent(
                "Guide", model=ScriptedModel([[assistant_message("In Norway.")], [assistant_message("Yes.")]])
            )
            await Runner.run(agent, "Where is Oslo?", session=session)
            again = _session(await session._get_session_id())  # noqa: SLF001 - the class has no public way
            await Runner.run(agent, "Sure?", session=again)
            assert ["Where is Oslo?", "In Norway.", "Sure?", "Yes."] == _texts(await again.get_items())

        asyncio.run(told())
