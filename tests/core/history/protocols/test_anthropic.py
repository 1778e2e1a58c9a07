"""An answer of Anthropic's Messages is folded as independent code folds it, wherever it is cut.

How many streams are made up is set by the environment: `CHATKEEP_STREAMS=10000`, as `make streams` does.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatkeep.core.history.protocols.anthropic import MESSAGES, draft_of_message
from chatkeep.core.history.protocols.asides import is_aside
from chatkeep.core.history.tape.tape import Tape
from chatkeep.core.model import Draft

Json = Any
COUNT = int(os.environ.get("CHATKEEP_STREAMS", "150"))
MANY = settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))
TEXT_FIELDS = ("text", "thinking")

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
citations = st.fixed_dictionaries({"type": st.just("char_location"), "cited_text": texts})
blocks = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("text"), "text": texts}, optional={"citations": st.lists(citations, min_size=1, max_size=2)}
    ),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": texts, "signature": texts.filter(bool)}),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": texts}),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["tool_use", "server_tool_use", "mcp_tool_use"]),
            "id": st.text("abc", min_size=1),
            "name": st.text("abc", min_size=1),
            "input": st.dictionaries(texts, values, max_size=3),
        }
    ),
    st.fixed_dictionaries({"type": st.just("web_search_tool_result"), "content": st.lists(citations, max_size=2)}),
    st.fixed_dictionaries({"type": st.just("of_tomorrow"), "deep": values}),
)
sizes = st.lists(st.integers(1, 6), min_size=1, max_size=6)
strays = st.sampled_from([{"type": "ping"}, {"type": "of_tomorrow", "error": None}])


def cut(text: str, sizes: Sequence[int]) -> Iterator[str]:
    """Yield a text in pieces of these sizes, which come again and again."""
    place = 0
    while place < len(text):
        for size in sizes:
            yield text[place : place + size]
            place += size


def events_of(said: Sequence[Json], sizes: Sequence[int], reason: str) -> Iterator[Json]:
    """Yield the events of an answer with these blocks."""
    told = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    usage = {"input_tokens": 3, "output_tokens": 1}
    yield {"type": "message_start", "message": {**told, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    for index, block in enumerate(said):
        begun = {name: "" if name in (*TEXT_FIELDS, "signature") else value for name, value in block.items()}
        begun |= {"input": {}} if "input" in block else {}
        begun.pop("citations", None)
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        for delta in deltas_of(block, sizes):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": 7},
    }
    yield {"type": "message_stop"}


def deltas_of(block: Json, sizes: Sequence[int]) -> Iterator[Json]:
    """Yield the deltas of a block."""
    for name in TEXT_FIELDS:
        yield from ({"type": f"{name}_delta", name: piece} for piece in cut(block.get(name, ""), sizes))
    yield from ({"type": "citations_delta", "citation": one} for one in block.get("citations", ()))
    if "signature" in block:
        yield {"type": "signature_delta", "signature": block["signature"]}
    if "input" in block:
        pieces = cut(json.dumps(block["input"]), sizes)
        yield from ({"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces))


def fold(events: Sequence[Json]) -> tuple[list[Json], list[Json], Json]:
    """Return the blocks, the unfinished calls, and the facts of an answer: the fold of these tests."""
    held: list[Json] = []
    facts: Json = {}
    for event in copy.deepcopy(events):
        match event["type"]:
            case "message_start":
                facts = {"usage": event["message"]["usage"]}
            case "content_block_start":
                held.append([event["content_block"], "", False])
            case "content_block_stop":
                held[event["index"]][2] = True
            case "content_block_delta":
                held[event["index"]][1] += grow(held[event["index"]][0], event["delta"])
            case "message_delta":
                facts |= {"usage": facts["usage"] | event["usage"], "finish_reason": event["delta"]["stop_reason"]}
    cut = [(block, text) for block, text, is_whole in held if "input" in block and not is_whole]
    whole = [
        {**block, "input": json.loads(text)} if text else block
        for block, text, is_whole in held
        if is_whole or "input" not in block
    ]
    return whole, [{**block, "partial_json": text or "{}"} for block, text in cut], facts


def grow(block: Json, delta: Json) -> str:
    """Add a delta to a block, and return its piece of JSON."""
    for name in TEXT_FIELDS:
        if name in delta:
            block[name] += delta[name]
    if "citation" in delta:
        block.setdefault("citations", []).append(delta["citation"])
    if "signature" in delta:
        block["signature"] = delta["signature"]
    return str(delta.get("partial_json", ""))


def recorded(events: Sequence[Json], size: int) -> tuple[Draft | None, bool]:
    """Return what the recorder makes of events that come in pieces of a size."""
    tape = Tape("text/event-stream", protocol=MESSAGES)
    said = b"".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events)
    for start in range(0, len(said), size):
        tape.add(said[start : start + size])
    tape.close()
    return tape.draft(1), tape.is_complete


def says_something(block: Json) -> bool:
    """Tell whether a block is not an empty text."""
    if block["type"] in TEXT_FIELDS:
        return bool(block.get("text") or block.get("thinking") or block.get("signature"))
    return True


@MANY
@given(st.lists(blocks, max_size=4), sizes, st.lists(st.tuples(st.integers(0, 30), strays), max_size=3), st.data())
def test_fold_equals_independent_code(
    said: list[Json], sizes: list[int], between: list[tuple[int, Json]], data: st.DataObject
) -> None:
    """Blocks, usage and reason are the same, whole or cut after any event, with strays between the events."""
    events = list(events_of(said, sizes, "end_turn"))
    for place, stray in between:
        events.insert(place, stray)
    end = data.draw(st.integers(0, len(events)))
    for shown in (events, events[:end]):
        draft, is_complete = recorded(shown, data.draw(st.integers(1, 200)))
        whole, unfinished, facts = fold(shown)
        if draft is None:
            assert not any(map(says_something, whole))
            assert not unfinished
            continue
        content = [{"type": "text", "text": draft.content}] if isinstance(draft.content, str) else draft.content
        assert whole == [{**one} for one in content or ()]
        metadata = draft.metadata or {}
        assert unfinished == metadata.get("unfinished_blocks", [])
        assert facts == {name: metadata[name] for name in ("usage", "finish_reason") if name in metadata}
        assert is_complete == ({"type": "message_stop"} in shown) == ("partial" not in metadata)


@MANY
@given(st.lists(blocks, min_size=1, max_size=4), sizes)
def test_streamed_and_whole_are_the_same(said: list[Json], sizes: list[int]) -> None:
    """An answer that comes at once is stored as the one that is streamed."""
    streamed, _ = recorded(list(events_of(said, sizes, "end_turn")), 50)
    tape = Tape("application/json", protocol=MESSAGES)
    usage = {"input_tokens": 3, "output_tokens": 7}
    told = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": said}
    tape.add(json.dumps({**told, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}).encode())
    tape.close()
    assert streamed == tape.draft(1)


@pytest.mark.parametrize(
    "error",
    [{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, {"message": "Overloaded"}],
)
def test_error_ends_an_answer(error: Json) -> None:
    """The part before it is kept, with the server's words."""
    events = [*events_of([{"type": "text", "text": "Hello"}], [3], "end_turn")][:3]
    tape = Tape("text/event-stream", protocol=MESSAGES)
    for one in (*events, error):
        tape.add(b"data: %b\n\n" % json.dumps(one).encode())
    tape.close()
    draft = tape.draft(1)
    assert draft is not None
    assert ("Hel", "model_reported") == (draft.content, (draft.metadata or {})["reason"])
    assert "Overloaded" in (draft.metadata or {})["detail"]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_delta", "index": 10**9, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_delta", "index": None, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "x"}},
        {"type": "content_block_start", "index": 3, "content_block": "x"},
        {"type": "message_start", "message": {"content": [{"type": "text", "text": "x"}]}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{x"}},
    ],
)
def test_keep_what_odd_servers_send(event: Json) -> None:
    """A delta without its block, an index out of range, a block of no type: all of it is stored."""
    draft, _ = recorded([event, {"type": "message_stop"}], 1000)
    assert draft is not None
    assert "x" in json.dumps([draft.content, draft.metadata])


def test_read_messages_of_a_request() -> None:
    """Blocks stay as they came; results of tools alone are the tool's; other fields are kept."""
    results = [{"type": "tool_result", "tool_use_id": "t1", "content": "4", "is_error": False}]
    assert Draft(role="user", content="Hi") == draft_of_message({"role": "user", "content": "Hi"})
    assert Draft(role="tool", content=results, tool_call_id="t1") == draft_of_message(
        {"role": "user", "content": results}
    )
    mixed = [*results, {"type": "text", "text": "And?", "cache_control": {"type": "ephemeral"}}]
    assert Draft(role="user", content=mixed) == draft_of_message({"role": "user", "content": mixed})
    odd = {"role": "robot", "content": 7, "id": "x"}
    assert Draft(role="user", content="", metadata={"anthropic": odd}) == draft_of_message(odd)


AGENT = {"metadata": {"user_id": "user_1_account__session_2"}, "model": "small", "max_tokens": 512}
CLAUDE = [{"type": "text", "text": "You are Claude Code, Anthropic's official CLI for Claude."}]
ASIDES = [
    {"max_tokens": 1, "messages": [{"role": "user", "content": "quota"}]},
    {
        "system": "Analyze if this message indicates a new conversation topic.",
        "messages": [{"role": "user", "content": "a"}],
    },
    {
        "system": [*CLAUDE, {"type": "text", "text": "Generate a concise, sentence-case title (3-7 words)."}],
        "messages": [{"role": "user", "content": "<session>Fix the tests</session>"}],
    },
    {"messages": [{"role": "user", "content": "Please write a 5-10 word title for the following conversation:\nHi"}]},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "{"}]},
    {"output_config": {"format": {"type": "json_schema"}}, "messages": [{"role": "user", "content": "Hi"}]},
]


@pytest.mark.parametrize("request_", ASIDES)
def test_tell_side_calls_of_an_agent(request_: Json) -> None:
    """Titles, topics and tests of the quota are none of the conversation; a request with tools always is."""
    assert is_aside({**AGENT, **request_})
    assert not is_aside({**AGENT, **request_, "tools": [{"name": "Bash"}]})


@pytest.mark.parametrize("request_", ASIDES[1:])
def test_tell_no_side_call_of_another_program(request_: Json) -> None:
    """A person may ask for a title: only an agent's own request for one is a side call."""
    plain = {name: value for name, value in request_.items() if name != "system"}
    assert not is_aside({"model": "small", "max_tokens": 512, **plain})
    assert not is_aside({**AGENT, "system": CLAUDE, "messages": [{"role": "user", "content": "Say hello."}]})
