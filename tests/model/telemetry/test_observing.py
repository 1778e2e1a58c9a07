"""Conversations that instrumentation tells of become sessions: each message once, whatever comes twice or apart."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.bounds import BATCH_MAX
from chatkeep.core.model import Message, Selection
from chatkeep.model.telemetry.observing import NO_CONTENT, observe
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from tests.model.telemetry.told import SESSION, agent_event, answer_body, in_json, logs, span, traces

Json = Any
TEXT: Json = {"type": "text", "text": "I look."}
USE: Json = {"type": "tool_use", "id": "t-1", "name": "Bash", "input": {"command": "ls"}}
DONE: Json = {"type": "text", "text": "There is one file."}
RESULT: Json = {"type": "tool_result", "tool_use_id": "t-1", "content": "a.txt"}
PROMPT = agent_event("user_prompt", 4, {"prompt": "What is here?"})
WORDS = agent_event("assistant_response", 6, {"response": "I look.", "query_source": "sdk"})
WHOLE = agent_event("api_response_body", 7, answer_body("msg_1", TEXT, USE))
ASKED = agent_event(
    "api_request_body",
    9,
    {
        "body": json.dumps(
            {"messages": [{"role": "assistant", "content": [TEXT, USE]}, {"role": "user", "content": [RESULT]}]}
        )[:-1]
        + ', "system": "cut her',
        "body_truncated": "true",
        "query_source": "sdk",
    },
)
LAST = agent_event("api_response_body", 12, answer_body("msg_2", DONE))
TALK = [
    ("user", "What is here?"),
    ("assistant", [TEXT, USE]),
    ("tool", "a.txt"),
    ("assistant", "There is one file."),
]


@pytest.fixture
def sessions() -> Sessions:
    """Sessions in memory."""
    return Sessions(MemoryStore())


def kept(sessions: Sessions) -> dict[str, list[Message]]:
    """Return all messages by their sessions."""
    return {key: list(sessions.read(key).messages) for key in sessions.keys(Selection(archived=None)).keys}


def said(sessions: Sessions) -> list[tuple[str, Json]]:
    """Return roles and contents of the only session."""
    ((_, messages),) = kept(sessions).items()
    return [(one.role, one.content) for one in messages]


def test_store_a_coding_agents_events(sessions: Sessions) -> None:
    """A prompt, the whole answers and the results of tools make one session; the words of a whole answer no second."""
    observe(sessions, in_json(logs(PROMPT, WORDS, WHOLE, ASKED, LAST)), "t")
    assert [f"claude-code:{SESSION}"] == list(kept(sessions))
    assert TALK == said(sessions)
    last = next(iter(kept(sessions).values()))[-1]
    assert ("msg_2", {"input": 11, "output": 7}) == (
        (last.metadata or {})["response_id"],
        (last.metadata or {})["tokens"],
    )


@pytest.mark.parametrize("place", range(16))
def test_store_events_however_they_are_cut_and_repeated(sessions: Sessions, place: int) -> None:
    """Events in several requests, and sent twice, make the same messages."""
    events = [PROMPT, WORDS, WHOLE, ASKED, LAST]
    cuts = [0, *(number + 1 for number in range(4) if place >> number & 1), len(events)]
    for start, end in itertools.pairwise(cuts):
        for _ in range(2):
            observe(sessions, in_json(logs(*events[start:end])), "t")
    if place & 2:  # the words came alone: the rest of the answer follows them
        assert [TALK[0], ("assistant", "I look."), ("assistant", [USE]), *TALK[2:]] == said(sessions)
    else:
        assert TALK == said(sessions)


def test_go_on_with_a_resumed_session(sessions: Sessions) -> None:
    """A resumed session counts its events anew, and loses none of them."""
    for prompt in ("p-1", "p-2"):
        for number, one in enumerate(("user_prompt", "api_response_body")):
            told = {"prompt": f"Ask {prompt}"} if number == 0 else answer_body(f"msg_{prompt}", DONE)
            observe(sessions, in_json(logs(agent_event(one, number + 1, told, prompt))), "t")
    assert ["Ask p-1", DONE["text"], "Ask p-2", DONE["text"]] == [content for _, content in said(sessions)]


def test_store_more_messages_than_an_append_takes(sessions: Sessions) -> None:
    """A request that was held back for long tells of any number of messages."""
    count = BATCH_MAX + 2
    events = [agent_event("user_prompt", n, {"prompt": f"{n}"}, f"p-{n}") for n in range(1, count + 1)]
    for _ in range(2):
        observe(sessions, in_json(logs(*events)), "t")
    assert [f"{n}" for n in range(1, count + 1)] == [content for _, content in said(sessions)]


def test_leave_out_side_calls_of_an_agent(sessions: Sessions) -> None:
    """Titles, summaries and sub-agents are no part of the conversation."""
    for source in ("generate_session_title", "compact", "agent:builtin:explore", "prompt_suggestion"):
        told = answer_body("msg_9", DONE) | {"query_source": source}
        observe(sessions, in_json(logs(agent_event("api_response_body", 3, told))), "t")
    assert {} == kept(sessions)
    main = answer_body("msg_9", DONE) | {"query_source": "repl_main_thread:outputStyle:custom"}
    observe(sessions, in_json(logs(agent_event("api_response_body", 3, main))), "t")
    assert [("assistant", "There is one file.")] == said(sessions)


def test_take_calls_from_tools_where_answers_come_without(sessions: Sessions) -> None:
    """Without whole answers, a tool's event tells its call, and its span what it returned."""
    call = {"tool_name": "Bash", "tool_use_id": "t-1", "tool_input": '{"command":"ls"}', "success": "true"}
    observe(sessions, in_json(logs(PROMPT, WORDS, agent_event("tool_result", 8, call))), "t")
    output = {
        "name": "tool.output",
        "timeUnixNano": "1",
        "attributes": [{"key": "output", "value": {"stringValue": "a"}}],
    }
    told = {"session.id": SESSION, "tool_name": "Bash", "tool_use_id": "t-1"}
    observe(sessions, in_json(traces(span(told, name="claude_code.tool", events=[output]))), "t")
    messages = next(iter(kept(sessions).values()))
    assert ["user", "assistant", "assistant", "tool"] == [one.role for one in messages]
    assert "ls" in json.dumps(messages[2].tool_calls)
    assert ("t-1", "a") == (messages[3].tool_call_id, messages[3].content)
    observe(sessions, in_json(logs(WHOLE, agent_event("tool_result", 8, call))), "t")
    assert 5 == len(next(iter(kept(sessions).values())))  # the whole answer has the same call


def test_take_a_hidden_prompt_from_the_request(sessions: Sessions) -> None:
    """Where the prompt's event hides it, the request tells it, without what the program adds."""
    words = "<system-reminder>\nToday is <b>Monday</b>.\n</system-reminder>\nWhat is here?"
    body = json.dumps({"messages": [{"role": "user", "content": [{"type": "text", "text": words}]}]})
    hidden = agent_event("user_prompt", 4, {"prompt": "<REDACTED>"})
    asked = agent_event("api_request_body", 5, {"body": body, "query_source": "sdk"})
    observe(sessions, in_json(logs(hidden, asked)), "t")
    assert [("user", "What is here?")] == said(sessions)


PARTS = (
    {"role": "user", "parts": [{"type": "text", "content": "Weather in Oslo?"}]},
    {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Oslo"}}],
    },
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "rain"}]},
)
ANSWER = {"role": "assistant", "parts": [{"type": "text", "content": "Rain."}], "finish_reason": "stop"}
FLAT = {
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": "Weather in Oslo?",
    "llm.input_messages.1.message.role": "assistant",
    "llm.input_messages.1.message.tool_calls.0.tool_call.id": "c1",
    "llm.input_messages.1.message.tool_calls.0.tool_call.function.name": "weather",
    "llm.input_messages.1.message.tool_calls.0.tool_call.function.arguments": '{"city":"Oslo"}',
    "llm.input_messages.2.message.role": "tool",
    "llm.input_messages.2.message.tool_call_id": "c1",
    "llm.input_messages.2.message.content": "rain",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "Rain.",
    "session.id": "trip 7",
}
INDEXED = {
    "gen_ai.prompt.0.role": "user",
    "gen_ai.prompt.0.content": "Weather in Oslo?",
    "gen_ai.prompt.1.role": "assistant",
    "gen_ai.prompt.1.tool_calls.0.id": "c1",
    "gen_ai.prompt.1.tool_calls.0.name": "weather",
    "gen_ai.prompt.1.tool_calls.0.arguments": '{"city":"Oslo"}',
    "gen_ai.prompt.2.role": "tool",
    "gen_ai.prompt.2.tool_call_id": "c1",
    "gen_ai.prompt.2.content": "rain",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "Rain.",
    "gen_ai.completion.0.finish_reason": "stop",
    "gen_ai.conversation.id": "trip 7",
}
NAMED = {"gen_ai.conversation.id": "trip 7", "gen_ai.operation.name": "chat", "gen_ai.response.model": "m-1"}
SDK = {
    "ai.prompt.messages": json.dumps(
        [
            {"role": "user", "content": "Weather in Oslo?"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "weather"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        ]
    ),
    "ai.response.text": "Rain.",
    "ai.telemetry.metadata.sessionId": "trip 7",
}


@pytest.mark.parametrize(
    "told",
    [
        NAMED | {"gen_ai.input.messages": json.dumps(PARTS), "gen_ai.output.messages": json.dumps([ANSWER])},
        NAMED | {"gen_ai.input.messages": list(PARTS), "gen_ai.output.messages": [ANSWER]},
        FLAT,
        INDEXED,
        SDK,
    ],
    ids=["JSON", "values", "OpenInference", "OpenLLMetry", "AI SDK"],
)
def test_store_a_call_of_any_convention(sessions: Sessions, told: dict[str, Json]) -> None:
    """The request and the answer make a session with the program's own name for it; sent again, it is no other."""
    for _ in range(2):
        observe(sessions, in_json(traces(span(told), service="travel")), "t")
    assert ["otel:travel:trip 7"] == list(kept(sessions))
    (messages,) = kept(sessions).values()
    assert ["user", "assistant", "tool", "assistant"] == [one.role for one in messages]
    assert ["Weather in Oslo?", None, "rain", "Rain."] == [one.content for one in messages]
    assert ("c1", "weather") == (messages[1].tool_calls[0]["id"], messages[1].tool_calls[0]["function"]["name"])  # type: ignore[index]
    assert "c1" == messages[2].tool_call_id


def test_store_a_call_told_by_an_event_of_its_own(sessions: Sessions) -> None:
    """A record, or an event of a span, tells the same as a span; instructions are the system prompt."""
    told = NAMED | {
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
        "gen_ai.input.messages": json.dumps(PARTS[:1]),
        "gen_ai.output.messages": json.dumps([ANSWER]),
    }
    name = "gen_ai.client.inference.operation.details"
    record = {"eventName": name, "timeUnixNano": "5", "attributes": span(told)["attributes"]}
    event = {"name": name, "timeUnixNano": "5", "attributes": span(told)["attributes"]}
    observe(sessions, in_json(logs(record)), "t")
    observe(sessions, in_json(traces(span({"http.method": "POST"}, events=[event]))), "t")
    assert [("system", "Be brief."), ("user", "Weather in Oslo?"), ("assistant", "Rain.")] == said(sessions)


def test_store_a_call_of_one_event_a_message(sessions: Sessions) -> None:
    """Until version 1.36 each message was an event of its own, and the choice the answer."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    bodies = (
        ("gen_ai.system.message", {"content": "Be brief."}),
        ("gen_ai.user.message", {"content": "Weather in Oslo?"}),
        ("gen_ai.assistant.message", {"tool_calls": [call]}),
        ("gen_ai.tool.message", {"id": "c1", "content": "rain"}),
        ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Rain."}}),
    )
    records = [
        {
            "eventName": name,
            "traceId": "a" * 32,
            "spanId": "b" * 16,
            "timeUnixNano": "5",
            "body": span({"x": body})["attributes"][0]["value"],
        }
        for name, body in bodies
    ]
    observe(sessions, in_json(logs(*records)), "t")
    (messages,) = kept(sessions).values()
    assert ["system", "user", "assistant", "tool", "assistant"] == [one.role for one in messages]
    assert ["c1", "Rain."] == [messages[3].tool_call_id, messages[4].content]


def test_go_on_with_a_conversation_without_a_name(sessions: Sessions) -> None:
    """Each call has the conversation so far; calls make one session in any order, and another caller has another."""
    said_before: list[Json] = []
    calls = []
    for number in range(4):
        said_before.append({"role": "user", "parts": [{"type": "text", "content": f"Question {number}"}]})
        answer = {"role": "assistant", "parts": [{"type": "text", "content": f"Answer {number}"}]}
        told = {"gen_ai.input.messages": json.dumps(said_before), "gen_ai.output.messages": json.dumps([answer])}
        calls.append(span(told, seconds=number))
        said_before.append(answer)
    observe(sessions, in_json(traces(*calls[2::-1])), "t")
    observe(sessions, in_json(traces(calls[1], calls[3])), "t")
    assert 8 == len(said(sessions))
    observe(sessions, in_json(traces(calls[0])), "somebody else")
    assert [2, 8] == sorted(map(len, kept(sessions).values()))


def test_leave_out_what_an_agent_repeats(sessions: Sessions) -> None:
    """The span of a whole run repeats what its calls tell, and is no call."""
    told = {"gen_ai.operation.name": "invoke_agent", "gen_ai.input.messages": json.dumps(PARTS[:1])}
    assert NO_CONTENT == observe(sessions, in_json(traces(span(told))), "t").warning
    assert {} == kept(sessions)


def test_warn_where_content_is_not_sent(sessions: Sessions) -> None:
    """A program that keeps its messages to itself is told how to send them; any other telemetry is none of ours."""
    assert NO_CONTENT == observe(sessions, in_json(traces(span({"gen_ai.request.model": "m"}))), "t").warning
    assert "" == observe(sessions, in_json(traces(span({"http.method": "GET"}))), "t").warning


def test_store_below_the_prefix_of_a_token() -> None:
    """A confined token stores only below its prefix, whatever a program calls its conversation."""
    store = MemoryStore()
    observe(Sessions(store).confined("alice:"), in_json(logs(PROMPT)), "t")
    observe(Sessions(store).confined("alice:"), in_json(traces(span(FLAT | {"session.id": "x" * 900}))), "t")
    observe(Sessions(store).confined("alice:"), in_json(traces(span(INDEXED))), "t")
    assert all(key.startswith("alice:") for key in kept(Sessions(store)))
    assert 3 == len(kept(Sessions(store)))


def test_take_names_of_any_depth(sessions: Sessions) -> None:
    """A name with thousands of dots costs only its own value, and many names take no longer for being many."""
    deep = {f"llm.input_messages.0.message.{'x.' * 5000}y": "deep"}
    many = {f"llm.input_messages.0.x{number}.y": "" for number in range(15_000)}
    observe(sessions, in_json(traces(span(FLAT | deep | many))), "t")
    assert ["Weather in Oslo?", None, "rain", "Rain."] == [content for _, content in said(sessions)]


def test_take_reminders_without_end(sessions: Sessions) -> None:
    """Beginnings of reminders without an end are words; to look for the end of each would take minutes."""
    words = f"<system-reminder>a</system-reminder>\nHello {'<system-reminder>' * 50_000}"
    body = json.dumps({"messages": [{"role": "user", "content": words}]})
    observe(sessions, in_json(logs(agent_event("api_request_body", 5, {"body": body, "query_source": "sdk"}))), "t")
    assert [("user", words.partition("\n")[2])] == said(sessions)


_NAMES = st.sampled_from(
    [*FLAT, *INDEXED, *SDK, *NAMED, "gen_ai.input.messages", "prompt", "body", "response", "x.1.y"]
)
_HELD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([json.dumps(PARTS), "[]", "{"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(_NAMES, _HELD, max_size=8), st.sampled_from(["chat", "gen_ai.choice", "user_prompt", "tool.output"])
)
def test_take_any_values(told: dict[str, Json], name: str) -> None:
    """No value is too odd: it is stored, or left out."""
    sessions = Sessions(MemoryStore())
    agent = {"session.id": "s", "event.name": name, "tool_use_id": "t", **told}
    observe(
        sessions,
        in_json(traces(span(told, name=name, events=[{"name": name, "attributes": span(agent)["attributes"]}]))),
        "t",
    )
    observe(sessions, in_json(logs({"attributes": span(agent)["attributes"]})), "t")
    for messages in kept(sessions).values():
        assert messages
