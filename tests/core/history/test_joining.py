"""Joins keep both sides, in their order; only what says the same again is not repeated."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from chatkeep.core.history.folding import CHOICES_MAX, ModelAnswer
from chatkeep.core.model import Draft

Json = dict[str, Any]


def folded(*deltas: Any, **chunk: Any) -> Draft:  # noqa: ANN401 - what servers send
    """Return what an answer says whose chunks have these deltas."""
    answer = ModelAnswer()
    for delta in deltas:
        answer.add({**chunk, "choices": [{"index": 0, "delta": delta}]})
    answer.end()
    return said_by(answer)


def said_by(answer: ModelAnswer) -> Draft:
    """Return what an answer says."""
    draft = answer.draft({})
    assert draft
    return draft


@pytest.mark.parametrize(
    "contents,kept",
    [
        (["A", [{"type": "text", "text": "B"}], "C"], "ABC"),
        ([[{"type": "text", "text": "A"}], "B", [{"type": "text", "text": "C"}]], "ABC"),
        (["A", {"type": "text", "text": "B"}, None, 4, True, 4.5, ["C", "D"]], "AB4true4.5CD"),
        (["A", [{"type": "image", "x": 1}], "B"],
         [{"type": "text", "text": "A"}, {"type": "image", "x": 1}, {"type": "text", "text": "B"}]),
        (["A", [{"type": "text", "text": "B", "annotations": [{"url": "u"}]}], "C"],
         [{"type": "text", "text": "A"}, {"type": "text", "text": "B", "annotations": [{"url": "u"}]},
          {"type": "text", "text": "C"}]),
        ([[{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}],
          [{"type": "thinking", "thinking": [{"type": "text", "text": "b"}]}], "C"],
         [{"type": "thinking", "thinking": [{"type": "text", "text": "ab"}]}, {"type": "text", "text": "C"}]),
        ([[{"type": "thinking", "thinking": "a"}], [{"type": "thinking", "thinking": "", "signature": "s"}],
          [{"type": "thinking", "thinking": "b"}]],
         [{"type": "thinking", "thinking": "a", "signature": "s"}, {"type": "thinking", "thinking": "b"}]),
        ([[{"type": "redacted_thinking", "data": "x"}], [{"type": "redacted_thinking", "data": "y"}]],
         [{"type": "redacted_thinking", "data": "x"}, {"type": "redacted_thinking", "data": "y"}]),
        ([[["A"]], "B"], [{"unknown": ["A"]}, {"type": "text", "text": "B"}]),
    ],
)  # fmt: skip
def test_join_contents_of_every_type(contents: list[Any], kept: Any) -> None:  # noqa: ANN401 - a content
    """A text, parts, an object, a number, nothing: nothing is lost and the order stays."""
    assert kept == folded(*({"content": content} for content in contents)).content


@pytest.mark.parametrize(
    "pieces,calls",
    [
        ([{"index": 0, "id": "a", "function": {"name": "get_", "arguments": ""}},
          {"index": 0, "function": {"name": "weather", "arguments": "{}"}}], [("a", "get_weather", "{}")]),
        ([{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}},
          {"index": 0, "id": "a", "function": {"name": "f", "arguments": "}"}}], [("a", "f", "{}")]),
        ([{"index": 1, "id": "b", "function": {"name": "g", "arguments": "1"}},
          {"index": 0, "id": "a", "function": {"name": "f", "arguments": "2"}},
          {"index": 1, "function": {"arguments": "3"}}], [("b", "g", "13"), ("a", "f", "2")]),
        ([{"index": -1, "id": "a", "function": {"name": "f", "arguments": "1"}},
          {"index": 1 << 70, "id": "b", "function": {"name": "g", "arguments": "2"}},
          {"index": -1, "function": {"arguments": "3"}}], [("a", "f", "13"), ("b", "g", "2")]),
        ([{"id": "a", "function": {"name": "f", "arguments": "1"}},
          {"id": "b", "function": {"name": "g", "arguments": "2"}},
          {"id": "a", "function": {"arguments": "3"}}], [("a", "f", "13"), ("b", "g", "2")]),
        ([{"function": {"name": "f", "arguments": "{}"}}, {"function": {"name": "f", "arguments": "{}"}}],
         [(None, "f", "{}"), (None, "f", "{}")]),
        ([{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}], [("a", "f", {"x": 1})]),
        ([{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x":'}},
          {"index": 0, "function": {"arguments": {"y": 1}}}], [("a", "f", '{"x":{"y":1}')]),
        ([{"index": 0, "id": "a", "function": {"name": "f", "arguments": None}},
          {"index": 0, "function": {"arguments": "{}"}}], [("a", "f", "{}")]),
        ([{"index": "0", "id": "a", "function": {"name": "f", "arguments": "{"}},
          {"index": 0.0, "function": {"arguments": "}"}}], [("a", "f", "{}")]),
    ],
    ids=["split name", "name again", "out of order", "odd index", "by id", "no index, no id", "object", "both", "null",
         "index as text"],
)  # fmt: skip
def test_join_calls_however_they_are_numbered(pieces: list[Json], calls: list[Any]) -> None:
    """Each call keeps its name and all that it is called with."""
    draft = folded(*({"tool_calls": [piece]} for piece in pieces))
    told = [
        (call.get("id"), call["function"]["name"], call["function"]["arguments"]) for call in draft.tool_calls or ()
    ]
    assert calls == told


def test_join_calls_that_come_together_without_numbers() -> None:
    """Names in one list are calls of their own; what is no call is kept too."""
    draft = folded(
        {"tool_calls": [{"function": {"name": "f"}}, {"function": {"name": "g"}}, "odd"]}, {"tool_calls": {}}
    )
    assert [{"function": {"name": "f"}}, {"function": {"name": "g"}}, {"unknown": "odd"}] == (draft.tool_calls or [])[
        :3
    ]


@pytest.mark.parametrize(
    "deltas,kept",
    [
        ([{"x": "a"}, {"x": ["b"]}, {"x": "c"}], {"x": ["a", "b", "c"]}),
        ([{"x": {"a": "b"}}, {"x": "c"}], {"x": [{"a": "b"}, "c"]}),
        ([{"x": 1}, {"x": 1}, {"x": 1.5}], {"x": [1, 1.5]}),
        ([{"audio": {"id": "a", "transcript": "Hel"}}, {"audio": {"id": "a", "transcript": "lo", "expires_at": 7}}],
         {"audio": {"id": "a", "transcript": "Hello", "expires_at": 7}}),
        ([{"annotations": [{"type": "citation", "url": "u"}]}, {"annotations": [{"type": "citation", "url": "v"}]}],
         {"annotations": [{"type": "citation", "url": "u"}, {"type": "citation", "url": "v"}]}),
        ([{"function_call": {"name": "f", "arguments": "{"}}, {"function_call": {"name": "f", "arguments": "}"}}],
         {"function_call": {"name": "f", "arguments": "{}"}}),
        ([{"role": "model", "x": 1}], {"role": "model", "x": 1}),
    ],
)  # fmt: skip
def test_join_fields_of_every_type(deltas: list[Json], kept: Json) -> None:
    """What does not fit together stands side by side; whoever is told to speak, it is the model's answer."""
    draft = folded({"content": "Hi"}, *deltas)
    assert ("assistant", "Hi") == (draft.role, draft.content)
    assert kept == (draft.metadata or {})["openai"]


@pytest.mark.parametrize(
    "messages",
    [
        [{"content": "He"}, {"content": "Hello"}, {"content": "Hello"}, {"content": "Hell"}],
        [{"content": ""}, {"content": "Hello"}, {"content": None}, {"role": "assistant"}],
    ],
)
def test_join_messages_that_say_all_again(messages: list[Json]) -> None:
    """Whole messages that grow, and that follow their own pieces, say it once."""
    answer = ModelAnswer()
    answer.add({"choices": [{"delta": {"content": "He"}}]})
    for message in messages:
        answer.add({"choices": [{"message": message}]})
    draft = said_by(answer)
    assert "Hello" == draft.content
    assert "Hello" == "".join(piece.text for piece in answer.take())


def test_keep_facts_that_come_with_every_piece() -> None:
    """Facts that are told again are kept once; what beside the words is too large goes before the words do."""
    answer = ModelAnswer()
    for number in range(3):
        choice = {"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [{"token": "a", "logprob": -number}]}}
        usage = {"total_tokens": number, "cost": None}
        answer.add({"choices": [choice], "service_tier": "default", "citations": ["u"], "usage": usage})
    draft = said_by(answer)
    metadata = draft.metadata or {}
    assert {"service_tier": "default", "citations": ["u"]} == metadata["response"]
    assert [0, -1, -2] == [one["logprob"] for one in metadata["choice"]["logprobs"]["content"]]
    assert {"total_tokens": 2} == metadata["usage"]
    large = folded({"content": "Hi"}, extra=["word " * 100_000 + str(number) for number in range(40)])
    assert ("Hi", ["shortened"]) == (large.content, (large.metadata or {})["altered"])
    assert "response" not in (large.metadata or {})


def test_keep_choices_that_are_too_many() -> None:
    """Of more choices than anybody asks for, the further ones are kept together."""
    answer = ModelAnswer()
    answer.add({"choices": [{"index": index, "delta": {"content": "ab"}} for index in range(CHOICES_MAX + 2)]})
    draft = said_by(answer)
    *others, last = (draft.metadata or {})["other_choices"]
    assert [*range(1, CHOICES_MAX)] == [other["index"] for other in others]
    assert {"index": None, "role": "assistant", "content": "abab"} == last


def _calls_taken(delta: Callable[[int], Json], count: int) -> int:
    """Return how many functions are called to take in so many pieces."""
    taken = 0

    def note(*_: object) -> None:
        nonlocal taken
        taken += 1

    pieces = [delta(number) for number in range(count)]
    answer = ModelAnswer()
    sys.setprofile(note)
    try:
        for piece in pieces:
            answer.add(piece)
            answer.take()
        answer.close()
        answer.draft({})
    finally:
        sys.setprofile(None)
    return taken


def _tool(**call: Any) -> Json:  # noqa: ANN401 - what servers send
    return {"choices": [{"delta": {"tool_calls": [call]}}]}


def _whole(**message: Any) -> Json:  # noqa: ANN401 - what servers send
    return {"choices": [{"message": message}]}


MANY: dict[str, Callable[[int], Json]] = {
    "calls": lambda n: _tool(index=n, id=f"c{n}", function={"name": "f", "arguments": "{}"}),
    "calls without numbers": lambda n: _tool(id=f"c{n}", function={"name": "f", "arguments": "{}"}),
    "objects": lambda n: _tool(index=0, function={"arguments": {f"k{n}": 1}}),
    "deep objects": lambda n: _tool(index=0, function={"arguments": {"a": {f"k{n}": 1}}}),
    "pieces and objects": lambda n: _tool(index=0, function={"arguments": {"k": n} if n % 2 else "x"}),
    "names": lambda n: _tool(index=0, function={"name": f"n{n}"}),
    "types": lambda n: _tool(index=0, type=f"t{n}"),
    "whole calls": lambda n: _whole(tool_calls=[{"id": f"c{n}", "function": {"name": "f", "arguments": "{}"}}]),
    "whole calls without ids": lambda n: _whole(tool_calls=[{"function": {"name": f"f{n}", "arguments": "{}"}}]),
    "whole texts": lambda n: _whole(content=f"w{n} "),
    "whole parts": lambda n: _whole(content=[{"type": "image_url", "x": n}]),
    "whole fields": lambda n: _whole(x={f"k{n}": n}, y=[n], z=f"w{n}"),
    "facts": lambda n: {"a": f"f{n}", "b": [n], "c": {f"k{n}": n}, "usage": {f"k{n}": n}, "choices": [{"d": n}]},
    "roles": lambda n: {"choices": [{"delta": {"role": f"r{n}"}}]},
}


@pytest.mark.parametrize("kind", MANY)
def test_cost_of_many_pieces_is_that_of_each(kind: str) -> None:
    """Twice as many pieces of whatever kind take twice as many steps: no piece looks through all that came before."""
    assert _calls_taken(MANY[kind], 800) < 2.3 * _calls_taken(MANY[kind], 400)
