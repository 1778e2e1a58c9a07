"""What models' servers get from an export is valid for them, and has what their protocols keep."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import MessageParam
from hypothesis import HealthCheck, Phase, given, settings
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseInputItemParam
from pydantic import TypeAdapter

from chatkeep.core.history.protocols.anthropic import MESSAGES
from chatkeep.core.history.protocols.item_folding import RESPONSES
from chatkeep.core.model import Draft, Header, Json, Message, Session
from chatkeep.exporters import EXPORT_FORMATS, exported
from chatkeep.testing import at, draft, session
from tests.core.history.histories import PIXEL, wild
from tests.core.history.provider_rules import refused_by_anthropic, refused_by_openai

MANY = settings(
    max_examples=50,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
PROTOCOLS = ["openai", "responses", "anthropic", "ai-sdk"]
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
TALK = (
    draft("Be kind.", role="system"),
    draft([{"type": "text", "text": "Add"}, PICTURE]),
    draft("One moment", role="assistant", tool_calls=[CALL], metadata={"reasoning": {"text": "hm", "from": "content"}}),
    draft("2", role="tool", tool_call_id="c1", name="add"),
    draft("It is 2. ", role="assistant"),
)


def one(fmt: str, *drafts: Draft) -> dict[str, Any]:
    """Return the export of one session."""
    return document(session("k", drafts), fmt)


def document(whole: Session, fmt: str) -> dict[str, Any]:
    """Return the export of one session, of which nothing but what is exported counts."""
    found: dict[str, Any] = json.loads(b"".join(exported([whole], fmt, single=True)))
    return found


def made_of(history: list[Message]) -> Session:
    """Return a session with these messages."""
    return Session(header=Header(key="k", channel="api", title=None, created_at=at(0)), messages=tuple(history))


@MANY
@given(wild())
def test_export_what_openai_takes(history: list[Message]) -> None:
    """Any history gives chat messages in order, calls before results, and no call without one."""
    messages = document(made_of(history), "openai")["messages"]
    for message in messages:
        message["role"] = "system" if message["role"] == "developer" else message["role"]
        if isinstance(message["content"], list) and message["role"] == "user":
            message["content"] = [part for part in message["content"] if part["type"] != "input_audio"] or "x"
    refused = refused_by_openai(messages)
    assert [] == [reason for reason in refused if "begins without" not in reason]


@MANY
@given(wild())
def test_export_what_anthropic_takes(history: list[Message]) -> None:
    """Any history gives a request of Anthropic's: alternating roles from a user's on, results behind their calls."""
    request = document(made_of(history), "anthropic")
    for message in request["messages"]:
        message["content"] = [block for block in message["content"] if block["type"] != "redacted_thinking"]
        for block in message["content"]:
            if isinstance(block.get("content"), str):
                block["content"] = [{"type": "text", "text": block["content"]}]
    assert [] == refused_by_anthropic(request)


@MANY
@given(wild())
def test_export_what_responses_takes(history: list[Message]) -> None:
    """Any history gives items with an output behind each call, and no other output."""
    open_calls: list[str] = []
    for item in document(made_of(history), "responses")["input"]:
        if item.get("type") == "function_call":
            open_calls.append(item["call_id"])
            assert isinstance(json.loads(item["arguments"]), dict)
        elif item.get("type") == "function_call_output":
            open_calls.remove(item["call_id"])
        else:
            assert item["role"] in {"system", "developer", "user", "assistant"}
            assert item["content"]
    assert [] == open_calls


@MANY
@given(wild())
def test_export_what_user_interfaces_take(history: list[Message]) -> None:
    """Any history gives messages with parts, each call with its result, and unique ids of calls."""
    calls: list[str] = []
    for message in document(made_of(history), "ai-sdk")["messages"]:
        assert message["role"] in {"system", "user", "assistant"}
        assert message["parts"]
        for part in message["parts"]:
            assert part["type"] in {"step-start", "text", "reasoning", "file", "dynamic-tool"}
            if part["type"] == "dynamic-tool":
                calls.append(part["toolCallId"])
                assert ("output" in part) == (part["state"] == "output-available")
                assert ("errorText" in part) == (part["state"] == "output-error")
    assert len(calls) == len(set(calls))


def test_export_openai_messages() -> None:
    """A session is a request's list of messages, each valid for the types of OpenAI's own client."""
    messages = one("openai", *TALK)["messages"]
    adapter: TypeAdapter[Any] = TypeAdapter(ChatCompletionMessageParam)
    for message in messages:
        adapter.validate_python(message)
    assert [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Add"}, PICTURE]},
        {"role": "assistant", "content": "One moment", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
        {"role": "assistant", "content": "It is 2. "},
    ] == messages


def test_export_responses_items() -> None:
    """A session is a list of items, each valid for the types of OpenAI's own client."""
    items = one("responses", *TALK)["input"]
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseInputItemParam)
    for item in items:
        adapter.validate_python(item)
    assert ["system", "user", "assistant", "function_call", "function_call_output", "assistant"] == [
        item.get("type") or item["role"] for item in items
    ]
    assert {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a":1}'} == items[3]


def test_export_anthropic_messages() -> None:
    """A session is a request, each message valid for the types of Anthropic's own client."""
    request = one("anthropic", *TALK)
    adapter: TypeAdapter[Any] = TypeAdapter(MessageParam)
    for message in request["messages"]:
        adapter.validate_python(message)
    assert "Be kind." == request["system"]
    assert ["user", "assistant", "user", "assistant"] == [message["role"] for message in request["messages"]]
    assert {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}} == request["messages"][1]["content"][1]
    assert {"type": "text", "text": "It is 2."} == request["messages"][3]["content"][0]


def test_export_user_interface_messages() -> None:
    """An answer is one message: thinking, words, the call with its result, and the words behind it."""
    told = one("ai-sdk", *TALK)
    system, asked, answer = told["messages"]
    assert ("k", "system", "user", "assistant") == (told["id"], system["role"], asked["role"], answer["role"])
    assert {"type": "file", "mediaType": "image/png", "url": f"data:image/png;base64,{PIXEL}"} == asked["parts"][1]
    kinds = ["step-start", "reasoning", "text", "dynamic-tool", "step-start", "text"]
    assert kinds == [part["type"] for part in answer["parts"]]
    called = {"toolName": "add", "toolCallId": "c1", "input": {"a": 1}, "state": "output-available", "output": "2"}
    assert {"type": "dynamic-tool", **called} == answer["parts"][3]


def test_give_back_blocks_of_anthropic() -> None:
    """What a client of Anthropic said and got stands in the export as it was: signed thinking, documents, results."""
    said: list[dict[str, Json]] = [
        {"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": "x"}, "title": "X"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "text", "text": "So", "cache_control": {"type": "ephemeral"}},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {}, "caller": {"type": "direct"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "seen", "cache_control": {"type": "ephemeral"}}
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "Done"}]},
    ]
    drafts = [MESSAGES.draft(message) for message in said]
    kept = [draft(one.content, role=one.role, tool_call_id=one.tool_call_id) for one in drafts]
    assert said == one("anthropic", *kept)["messages"]


def test_give_back_items_of_responses() -> None:
    """What a client of Responses said and got stands in the export as it was, calls of all kinds with their outputs."""
    items: list[dict[str, Json]] = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go"}], "status": "completed"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xyz"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "custom_tool_call", "id": "ct_1", "call_id": "c1", "name": "run", "input": "ls"},
        {"type": "local_shell_call", "id": "ls_1", "call_id": "c2", "action": {"type": "exec"}, "status": "completed"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "files"},
        {"type": "local_shell_call_output", "id": "c2", "call_id": "c2", "output": "done"},
        {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Ok"}]},
    ]
    drafts = RESPONSES.gathered([RESPONSES.draft(item) for item in items])
    kept = [
        draft(
            one.content, role=one.role, tool_call_id=one.tool_call_id, tool_calls=one.tool_calls, metadata=one.metadata
        )
        for one in drafts
    ]
    assert items == one("responses", *kept)["input"]


FOREIGN: list[tuple[Draft, Draft]] = [
    *(
        (draft(None, role="assistant", tool_calls=[call]), draft("2", role="tool", tool_call_id="c1"))
        for call in (
            {"id": "c1", "name": "add", "input": {"a": 1}},
            {"id": "c1", "type": "tool_call", "name": "add", "args": {"a": 1}},
            {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a":1}'},
            {"id": "c1", "name": "add", "parameters": {"a": 1}},
            {"functionCall": {"id": "c1", "name": "add", "args": {"a": 1}}},
        )
    ),
    (
        draft([{"type": "tool-call", "toolCallId": "c1", "toolName": "add", "input": {"a": 1}}], role="assistant"),
        draft(
            [{"type": "tool-result", "toolCallId": "c1", "toolName": "add", "output": {"type": "text", "value": "2"}}],
            role="tool",
        ),
    ),
    (
        draft([{"toolUse": {"toolUseId": "c1", "name": "add", "input": {"a": 1}}}], role="assistant"),
        draft([{"toolResult": {"toolUseId": "c1", "content": [{"text": "2"}]}}]),
    ),
]


@pytest.mark.parametrize("asked", FOREIGN)
@pytest.mark.parametrize("fmt", PROTOCOLS)
def test_export_calls_of_any_shape(fmt: str, asked: tuple[Draft, Draft]) -> None:
    """A call and its result stay, however another program wrote them down."""
    expected = one(fmt, draft("Add"), TALK[2], TALK[3], TALK[4])
    found = one(fmt, draft("Add"), draft("One moment", role="assistant"), *asked, TALK[4])
    for needed in ('"add"', '"c1"'):
        assert json.dumps(expected).count(needed) == json.dumps(found).count(needed) > 0
    assert all(words in json.dumps(found) for words in ('"2"', "One moment", "It is 2."))


@pytest.mark.parametrize("fmt", PROTOCOLS)
def test_export_many_sessions_line_by_line(fmt: str) -> None:
    """Each session is one line with its key, and a session without messages is one without any."""
    lines = b"".join(exported([session("a", TALK), session("b")], fmt, single=False)).splitlines()
    assert ["a", "b"] == [json.loads(line)["key"] for line in lines]
    assert "key" not in json.loads(b"".join(exported([session("a", TALK)], fmt, single=True)))
    assert not EXPORT_FORMATS[fmt].has_logs


def test_export_what_an_assistant_began() -> None:
    """Words of an assistant before any question stay, in Anthropic's shape behind a short message of a user."""
    greeting = draft("Hello, I can help.", role="assistant")
    assert [{"role": "assistant", "content": "Hello, I can help."}] == one("openai", greeting)["messages"]
    began, said = one("anthropic", greeting)["messages"]
    assert ("user", "Hello, I can help.") == (began["role"], said["content"][0]["text"])
