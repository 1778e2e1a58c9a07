"""Requests and answers of OpenAI's chat completions become messages of ours and come back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.bounds import MESSAGE_BYTES_MAX
from chatkeep.core.history.completions import draft_of_completion, drafts_of_request
from chatkeep.core.history.folding import ModelAnswer
from chatkeep.core.history.mending import storable
from chatkeep.core.life.message_rules import check_draft
from chatkeep.core.model import Draft
from tests.chat.completions import Answer as Scripted
from tests.chat.completions import chunks, whole
from tests.chat.talks import message_of

Json = dict[str, Any]
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
REQUEST: Json = {
    "model": "m",
    "messages": [{"role": "user", "content": "hi"}],
    "stream_options": {"include_usage": True},
}
texts = st.text(st.sampled_from("ab \0é字\ud800\n"), max_size=5)
scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | texts
nested = st.lists(scalars, max_size=3) | st.dictionaries(texts, scalars, max_size=3)
values = scalars | nested | st.lists(nested, max_size=3) | st.dictionaries(texts, nested, max_size=3)
fields = st.sampled_from(
    ["role", "content", "name", "tool_calls", "tool_call_id", "refusal", "audio", "function_call", "metadata", "x"]
)
deltas_ = st.fixed_dictionaries({"delta": st.dictionaries(fields, values, max_size=4), "index": values})


@pytest.mark.parametrize(
    "said",
    [
        {"role": "system", "content": "Be brief."},
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        },
        {"role": "user", "content": "hi\r\n", "name": "alice"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "assistant", "content": None, "audio": {"id": "audio_1"}},
        {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}},
        {"role": "assistant", "content": "4", "reasoning_content": "2 + 2"},
        {"role": "assistant", "content": "4", "reasoning": "2 + 2", "reasoning_content": "2 + 2"},
        {"role": "assistant", "content": "4", "reasoning_details": [{"type": "reasoning.text", "text": "2 + 2"}]},
        {"role": "assistant", "content": "\n<think>2 + 2</think>\n<think>= 4</think>\n\n4"},
        {"role": "assistant", "content": "<think>2 + 2", "reasoning": "Or so."},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "2", "signature": "s"}]},
        {"role": "tool", "content": "3", "tool_call_id": "call_1"},
        {"role": "function", "content": "3", "name": "add"},
        {"role": "tool", "content": "3", "tool_call_id": "c" * 200},
    ],
)
def test_keep_messages_exactly(said: Json) -> None:
    """A message of a request comes back from what is stored as it was sent."""
    draft = draft_of_completion(said)
    check_draft(draft)
    assert said | {"content": said["content"] or ("" if "tool_calls" not in said else None)} == message_of(draft)


@given(st.dictionaries(fields, values, max_size=6))
def test_keep_whatever_is_sent(said: Json) -> None:
    """What is no message at all is kept too, but for nulls and empty lists."""
    draft = storable(draft_of_completion(said))
    check_draft(draft)
    told = {name: value for name, value in message_of(draft).items() if value not in (None, [])}
    if "altered" not in (draft.metadata or {}):
        sent = {name: value for name, value in said.items() if value not in (None, [])}
        assert {"role": "user", "content": ""} | sent == {"content": ""} | told


@pytest.mark.parametrize("request_", [None, [], {}, {"messages": []}, {"messages": "hi"}, {"messages": ["hi"]}])
def test_find_no_messages(request_: Any) -> None:  # noqa: ANN401
    """A request without messages has none."""
    assert drafts_of_request(request_) is None


def test_store_what_can_be_stored() -> None:
    """Characters that cannot be stored are replaced, and that is marked."""
    draft = storable(Draft(role="user", content="a\0b\ud800", metadata={"openai": {"x": float("inf"), "y": 1 << 70}}))
    check_draft(draft)
    assert "a\ufffdb\ufffd" == draft.content
    assert {"openai": {"x": "inf", "y": str(1 << 70)}, "altered": ["characters replaced"]} == draft.metadata


def test_store_the_words_beside_a_large_image() -> None:
    """Of a message with large data its words stay, and what the data was can be told."""
    url = "data:image/png;base64," + "QUJD" * (MESSAGE_BYTES_MAX // 4)
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    draft = storable(draft_of_completion({"role": "user", "content": parts}))
    assert isinstance(draft.content, list)
    assert parts[0] == draft.content[0]
    assert draft.content[1]["image_url"]["url"].startswith("data:image/png;base64,QUJD")
    assert f"{len(url)} characters, SHA-256" in draft.content[1]["image_url"]["url"]
    assert {"altered": ["shortened"]} == draft.metadata


@pytest.mark.parametrize(
    "content",
    [
        "word " * (MESSAGE_BYTES_MAX // 5),
        "字" * (MESSAGE_BYTES_MAX // 3),
        [{"type": "text", "text": "word " * 1000}] * 4000,
        ["w"] * 400_000,
    ],
    ids=["long", "chinese", "long parts", "many parts"],
)
def test_store_something_of_what_is_too_large(content: Any) -> None:  # noqa: ANN401
    """Whatever is too large is cut until it fits; the same is cut the same, other things otherwise."""
    draft = storable(draft_of_completion({"role": "user", "content": content}))
    check_draft(draft)
    assert len(msgspec.json.encode(draft)) <= MESSAGE_BYTES_MAX
    assert (draft.metadata or {})["altered"][-1] in ("shortened", "left out")
    assert draft == storable(draft_of_completion({"role": "user", "content": content}))
    other = [*content[:-1], "v"] if isinstance(content, list) else content + "v"
    assert draft.content != storable(draft_of_completion({"role": "user", "content": other})).content


@pytest.mark.parametrize(
    "scripted",
    [
        Scripted("Hello there, you."),
        Scripted("Four.", reasoning="Two and two."),
        Scripted("I call.", tool_calls=[("add", {"a": 1}), ("sub", {"b": [2]})]),
        Scripted(tool_calls=[("add", {})]),
    ],
    ids=["text", "reasoning", "text and tools", "tool"],
)
@pytest.mark.parametrize("n", [1, 3])
def test_fold_a_stream_into_what_is_answered_whole(scripted: Scripted, n: int) -> None:
    """The chunks of an answer say what the same answer says when it is not streamed."""
    streamed, at_once = ModelAnswer(), ModelAnswer()
    for chunk, _ in chunks(scripted, REQUEST | {"n": n}):
        assert not streamed.has_ended or not chunk["choices"]
        streamed.add(chunk)
    at_once.add(whole(scripted, REQUEST | {"n": n}))
    assert streamed.has_ended
    assert at_once.draft({}) == streamed.draft({})
    assert (draft := streamed.draft({"latency_ms": 7})) is not None
    assert draft.metadata is not None
    assert {"model", "response_id", "usage", "finish_reason", "latency_ms"} <= draft.metadata.keys()
    assert n - 1 == len(draft.metadata.get("other_choices", ()))


def test_fold_every_beginning_of_a_stream() -> None:
    """An answer that is cut off anywhere is what came of it; a call that lacks its end was not made."""
    scripted = Scripted("I call.", tool_calls=[("add", {"a": 1})])
    answer = ModelAnswer()
    drafts = [answer.draft({})]
    for chunk, _ in chunks(scripted, REQUEST):
        assert not answer.has_ended or not chunk["choices"]
        answer.add(chunk)
        drafts.append(answer.draft({}))
    texts = [draft.content for draft in drafts if draft]
    assert ["I ", "I call."] == list(dict.fromkeys(texts))
    unfinished = [
        draft.metadata["unfinished_tool_calls"]
        for draft in drafts
        if draft and not draft.tool_calls and draft.metadata and "unfinished_tool_calls" in draft.metadata
    ]
    assert ["", '{"a', '{"a": ', '{"a": 1}'] == [calls[0]["function"]["arguments"] for calls in unfinished]
    assert drafts[-1]
    assert drafts[-1].tool_calls


@pytest.mark.parametrize(
    "deltas,said",
    [
        ([{"content": "a"}, {"content": None}, {}, {"content": "b"}], {"content": "ab"}),
        ([{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}], {"content": "ab"}),
        ([{"reasoning": "x"}, {"reasoning": "y"}, {"content": "a"}],
         {"content": "a", "reasoning": {"text": "xy", "from": "reasoning"}}),
        ([{"refusal": "N"}, {"refusal": "o."}], {"content": "No.", "openai": {"refusal": "No."}}),
        ([{"content": [{"type": "text", "text": "a"}]}, {"content": [{"type": "text", "text": "b"}]}],
         {"content": "ab"}),
        ([{"function_call": {"name": "f", "arguments": "{"}}, {"function_call": {"arguments": "}"}}],
         {"content": "", "openai": {"function_call": {"name": "f", "arguments": "{}"}}}),
    ],
    ids=["null", "role again", "reasoning", "refusal", "parts", "old call"],
)  # fmt: skip
def test_fold_what_servers_send(deltas: list[Json], said: Json) -> None:
    """Null deltas, repeated roles, fields of one server alone: all is kept."""
    answer = ModelAnswer()
    for delta in deltas:
        answer.add({"choices": [{"index": 0, "delta": delta}]})
    answer.end()
    draft = answer.draft({})
    assert draft
    assert said == {"content": draft.content, **(draft.metadata or {})}


@pytest.mark.parametrize(
    "deltas",
    [
        [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}},
         {"index": 0, "function": {"arguments": "{}"}},
         {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}],
        [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}},
         {"index": 0, "id": "a", "function": {"name": "f", "arguments": "}"}},
         {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}],
        [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}},
         {"index": 0, "id": "b", "function": {"name": "g", "arguments": "{}"}}],
        [{"id": "a", "function": {"name": "f", "arguments": "{}"}},
         {"id": "b", "function": {"name": "g", "arguments": "{}"}}],
    ],
    ids=["openai", "id again", "one index", "no index"],
)  # fmt: skip
def test_fold_tool_calls_of_many_servers(deltas: list[Json]) -> None:
    """Two calls stay two, however their pieces are numbered."""
    answer = ModelAnswer()
    for delta in deltas:
        answer.add({"choices": [{"index": 0, "delta": {"tool_calls": [delta]}, "finish_reason": None}]})
    answer.add({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    draft = answer.draft({})
    assert draft
    told = [(call["id"], call["function"]) for call in draft.tool_calls or ()]
    assert [("a", {"name": "f", "arguments": "{}"}), ("b", {"name": "g", "arguments": "{}"})] == told


@given(st.lists(values | st.fixed_dictionaries({"choices": st.lists(values | deltas_, max_size=3)}), max_size=6))
def test_fold_anything(pieces: list[Any]) -> None:
    """No piece is too odd; what is made of it can be stored."""
    answer = ModelAnswer()
    for piece in pieces:
        answer.add(piece)
    draft = answer.draft({"latency_ms": 1})
    if draft is not None:
        check_draft(draft)


def test_fold_a_long_answer_quickly() -> None:
    """The time that an answer takes grows with its length, not with its square."""
    answer = ModelAnswer()
    for _ in range(200_000):
        answer.add({"choices": [{"index": 0, "delta": {"content": "word "}}]})
    draft = answer.draft({})
    assert draft
    assert 1_000_000 == len(str(draft.content))
