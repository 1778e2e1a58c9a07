"""Chats of the AI SDK: kept exactly, one answer growing under its id."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.adapters.ai_sdk import ChatkeepChat, UIMessage
from chatkeep.core.model import Draft
from chatkeep.errors import InvalidError
from chatkeep.exporters import exported
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore

_VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(st.characters()), st.lists, max_leaves=5)
_PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(("text", "data-x"))}, optional={"text": st.text(), "data": _VALUES}
)
_MESSAGES = st.fixed_dictionaries(
    {
        "id": st.text(st.characters()),
        "role": st.sampled_from(("user", "assistant", "system")),
        "parts": st.lists(_PARTS),
    },
    optional={"metadata": _VALUES},
)


@given(said=st.lists(st.lists(_MESSAGES, max_size=4), min_size=1, max_size=3))
def test_save_and_load(said: list[list[UIMessage]]) -> None:
    """The last saved list comes back equal, whatever was saved before; an export has it in JSON."""
    sessions = Sessions(MemoryStore())
    chat = ChatkeepChat("c", sessions)
    for messages in said:
        asyncio.run(chat.save(messages))
        assert messages == asyncio.run(chat.load())
    if any(said):
        document = json.loads(b"".join(exported([sessions.read("c")], "ai-sdk", single=True)))
        assert said[-1] == document["messages"]


def test_add_and_take_back() -> None:
    """Messages are added, popped and cleared; those of other programs are converted."""
    sessions = Sessions(MemoryStore())
    chat = ChatkeepChat("c", sessions)
    message = {"id": "u", "role": "user", "parts": [{"type": "text", "text": "Where?"}]}
    asyncio.run(chat.add([message]))
    sessions.append("c", [Draft(role="assistant", content="There.", metadata={"ai_sdk": {"item": {"id": 1}}})])
    assert {"type": "text", "text": "There."} in asyncio.run(chat.load())[1]["parts"]
    assert message == asyncio.run(chat.load())[0]
    found = asyncio.run(chat.pop())
    assert found is not None
    assert ("assistant", [message]) == (found["role"], asyncio.run(chat.load()))
    asyncio.run(chat.clear())
    assert ([], None) == (asyncio.run(chat.load()), asyncio.run(chat.pop()))


@pytest.mark.parametrize("message", [{}, {"id": 1, "role": "user", "parts": []}, {"id": "1", "role": "x", "parts": []}])
def test_refuse_no_message(message: UIMessage) -> None:
    """A value that is no message is refused, and nothing is stored."""
    sessions = Sessions(MemoryStore())
    with pytest.raises(InvalidError, match="UIMessage"):
        asyncio.run(ChatkeepChat("c", sessions).save([message]))
    assert () == sessions.keys().keys


@pytest.mark.parametrize("encoded", ["!", "bnVsbA==", "W1tb", "eyJpZCI6MX0="])
def test_survive_broken_items(encoded: str) -> None:
    """An item that is no JSON, or no message, leaves the words of the message."""
    sessions = Sessions(MemoryStore())
    sessions.append("c", [Draft(role="user", content="words", metadata={"ai_sdk": {"base64": encoded}})])
    assert [{"type": "text", "text": "words"}] == asyncio.run(ChatkeepChat("c", sessions).load())[0]["parts"]
