"""A history as each protocol has it, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from chatkeep.core.history.protocols.anthropic import draft_of_message
from chatkeep.core.history.protocols.items import draft_of_item, gathered
from chatkeep.core.model import Draft
from tests.http.conftest import Server

Json = Any
ITEMS: list[Json] = [
    {"role": "user", "content": "Weather?"},
    {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gA=="},
    {
        "id": "fc_1",
        "type": "function_call",
        "call_id": "c1",
        "name": "weather",
        "arguments": "{}",
        "status": "completed",
    },
    {"type": "function_call_output", "call_id": "c1", "output": "rain"},
    {
        "id": "m_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Rain.", "annotations": []}],
    },
]
MESSAGES: list[Json] = [
    {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "tool_use", "id": "t1", "name": "weather", "input": {"a": 1}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "rain"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "Rain."}]},
]


def shaped(client: httpx.Client, key: str, shape: str, **more: Json) -> Json:
    """Return a history in a shape."""
    answer = client.get("/api/v1/messages", params={"session": key, "shape": shape, **more})
    assert 200 == answer.status_code, answer.text
    return answer.json()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of a server with a history of each protocol."""
    server.sessions.delete_all(["shape:items", "shape:messages", "shape:plain"])
    server.sessions.append("shape:items", gathered([draft_of_item(item) for item in ITEMS]))
    server.sessions.append("shape:messages", [draft_of_message(said) for said in MESSAGES])
    server.sessions.append("shape:plain", [Draft(role="user", content="Hi"), Draft(role="assistant", content="Ho")])
    with server.client() as client:
        yield client


def test_give_a_history_back_as_it_came(client: httpx.Client) -> None:
    """In the shape of its own protocol, a history is what came: items and blocks, with thinking and ids."""
    assert {"input": ITEMS, "has_more": False} == shaped(client, "shape:items", "responses")
    assert {"messages": MESSAGES, "has_more": False} == shaped(client, "shape:messages", "anthropic")
    plain = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    assert {"messages": plain, "has_more": False} == shaped(client, "shape:plain", "openai")


def test_give_a_history_to_another_protocol(client: httpx.Client) -> None:
    """Every history is valid in every shape: a call has its result, and no result stands alone."""
    for key in ("shape:items", "shape:messages"):
        user, call, result, answer = shaped(client, key, "openai")["messages"]
        assert "Weather?" in str(user["content"])
        assert "weather" == call["tool_calls"][0]["function"]["name"]
        assert (call["tool_calls"][0]["id"], "rain", "Rain.") == (
            result["tool_call_id"],
            result["content"],
            answer["content"],
        )
        assert ["user", "assistant"] == [one["role"] for one in shaped(client, key, "ui")["messages"]]
        assert ["user", "assistant", "user", "assistant"] == [
            one["role"] for one in shaped(client, key, "anthropic")["messages"]
        ]
    assert "function_call_output" == shaped(client, "shape:messages", "responses")["input"][2]["type"]


def test_shape_a_part_of_a_history(client: httpx.Client) -> None:
    """A window that begins behind a call leaves its result out, and says that there is more."""
    found = shaped(client, "shape:items", "openai", limit=2)
    assert {"messages": [{"role": "assistant", "content": "Rain."}], "has_more": True} == found
    assert 422 == client.get("/api/v1/messages", params={"session": "shape:items", "shape": "xml"}).status_code
    assert 404 == client.get("/api/v1/messages", params={"session": "none", "shape": "openai"}).status_code
