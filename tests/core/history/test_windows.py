"""Windows for a model fit their budget, are valid wherever they are cut, and hold the newest that fits."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatkeep.core.history.turns import utterance_of
from chatkeep.core.history.windows import Window, estimate, fitting, for_anthropic, for_openai, tokens
from chatkeep.core.model import Json, Message
from chatkeep.core.standing import Role
from chatkeep.errors import InvalidError
from chatkeep.testing import draft, session
from tests.core.history.histories import PIXEL, orderly, stored, wild
from tests.core.history.provider_rules import refused_by_anthropic, refused_by_openai

PLENTY = 1 << 40
SENT_AT = datetime(2030, 1, 1, tzinfo=UTC)
EXAMPLES = int(os.environ.get("CHATKEEP_WINDOWS", "0"))
CALL = [{"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}]
kinds = st.sampled_from(["user", "assistant", "call", "tool", "tool"])
many = settings(max_examples=EXAMPLES or 40, deadline=None)


def messages_of(*kinds_said: str) -> tuple[Message, ...]:
    """Return messages of these kinds; `call` is an assistant's with a tool call, `tool` is a result of the latest."""
    said = []
    for kind in kinds_said:
        if kind == "call":
            said.append(draft("x" * 40, role="assistant", tool_calls=CALL))
        elif kind == "tool":
            said.append(draft("x" * 40, role="tool", tool_call_id="c"))
        else:
            said.append(draft("x" * 40, role="user" if kind == "user" else "assistant"))
    return session("a", said).messages


def openai_tokens(messages: Sequence[dict[str, Any]]) -> int:
    """Count chat messages anew: a character is a token, a picture 1,600, a frame 4, a break 1; 3 open the answer."""
    total = 3
    for message in messages:
        parts = message["content"] or []
        total += 4 + (1 + len(message["name"]) if "name" in message else 0)
        total += max(0, len(parts) - 1) if isinstance(parts, list) else 0
        for part in [parts] if isinstance(parts, str) else parts:
            total += len(part) if isinstance(part, str) else len(part["text"]) if "text" in part else 1600
        for call in message.get("tool_calls", []):
            total += 4 + len(call["function"]["name"]) + len(call["function"]["arguments"])
    return total


def unnamed(messages: Sequence[dict[str, Any]]) -> list[Json]:
    """Return chat messages without the ids of calls, which may depend on what stands before."""
    return [
        {**message, "tool_call_id": 0, "tool_calls": [call["function"] for call in message.get("tool_calls", [])]}
        for message in messages
    ]


@pytest.mark.parametrize(
    "text,count",
    [("", 0), ("abcd", 1), ("abcde", 2), ("東京", 3), ("東京東", 4), ("ab東京cd", 4), ("🎉", 2), ("{1}", 2)],
)
def test_estimate(text: str, count: int) -> None:
    """Four letters are a token, three other ASCII characters two, three characters of another script four."""
    assert count == estimate(text)


def test_tokens_of_a_message() -> None:
    """The same words count the same in a part; a call counts, and a picture 1,600, however long its data are."""
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    plain, parts, called, seen = session(
        "a",
        [
            draft("abcd"),
            draft([{"type": "text", "text": "abcd"}]),
            draft(None, role="assistant", tool_calls=CALL),
            draft([picture]),
        ],
    ).messages
    assert [5, 5, 11, 1604] == [tokens(utterance_of(message), estimate) for message in (plain, parts, called, seen)]


@many
@given(wild(), st.integers(0, 900))
def test_any_history_is_valid(history: list[Message], budget: int) -> None:
    """Whatever is stored, both providers take what is sent, and the same again; it fits by an independent count."""
    try:
        chat = for_openai(history, budget=budget, count=len, system="S")
    except InvalidError:
        prompted, *body = for_openai(history, budget=PLENTY, count=len, system="S")
        question = next((said for said in reversed(body) if said["role"] == "user"), None)
        assert openai_tokens([prompted, *([question] if question else [])]) > budget
        return
    request = for_anthropic(history, budget=budget, count=len, system="S")
    assert ([], []) == (refused_by_openai(chat), refused_by_anthropic(request))
    assert openai_tokens(chat) <= budget
    assert (chat, request) == (
        for_openai(history, budget=budget, count=len, system="S"),
        for_anthropic(history, budget=budget, count=len, system="S"),
    )


@many
@given(orderly())
def test_an_orderly_history_is_sent_as_it_is(messages: list[dict[str, Any]]) -> None:
    """What a tidy client stored goes back to the model word by word."""
    assert messages == for_openai(stored(messages), budget=PLENTY)


@many
@given(orderly(), st.integers(0, 300))
def test_the_newest_turns_that_fit(messages: list[dict[str, Any]], budget: int) -> None:
    """What is sent is the end of the history from a question on, and with one turn more it would not fit."""
    starts = [place for place, said in enumerate(messages) if said["role"] == "user"]
    fit = [start for start in starts if openai_tokens(messages[start:]) <= budget]
    try:
        chat = for_openai(stored(messages), budget=budget, count=len)
    except InvalidError:
        assert openai_tokens(messages[starts[-1] : starts[-1] + 1] if starts else []) > budget
        return
    if fit or not starts:
        assert messages[min(fit, default=0) :] == chat
        return
    newest = messages[starts[-1] + 1 :]
    assert messages[starts[-1]] == chat[0]
    assert newest[len(newest) - len(chat) + 1 :] == chat[1:]
    left = newest[: len(newest) - len(chat) + 1]
    step = max(place for place, said in enumerate(left) if said["role"] == "assistant")
    assert openai_tokens([*chat, *left[step:]]) > budget


@many
@given(wild(), st.integers(0, 900))
def test_a_smaller_budget_leaves_out_the_older(history: list[Message], budget: int) -> None:
    """Of any history, what is sent in a budget is the end of what is sent without one, from a question on."""
    whole = for_openai(history, budget=PLENTY, count=len)
    prompts = [said for said in whole if said["role"] == "system"]
    body = unnamed(whole[len(prompts) :])
    starts = [place for place, said in enumerate(body) if said["role"] == "user"]
    try:
        chat = unnamed(for_openai(history, budget=budget, count=len))[len(prompts) :]
    except InvalidError:
        return
    ends = [body[start:] for start in starts]
    assert (
        chat in ends or not starts or (chat[:1] == [body[starts[-1]]] and body[len(body) - len(chat) + 1 :] == chat[1:])
    )
    assert bool(starts) == bool(chat)


@many
@given(wild())
def test_nothing_that_was_said_is_lost(history: list[Message]) -> None:
    """Every word of users and models from the first question on is sent to both, and the system's always."""
    begun = False
    sent = json.dumps(for_openai(history, budget=PLENTY), ensure_ascii=False)
    request = json.dumps(for_anthropic(history, budget=PLENTY), ensure_ascii=False)
    for message in history:
        text = message.content if isinstance(message.content, str) else ""
        begun = begun or (message.role == "user" and bool(text.strip()))
        if text.strip() and message.role != "tool" and (begun or message.role in {"system", "developer"}):
            assert json.dumps(text.rstrip(), ensure_ascii=False)[1:-1] in sent
            assert json.dumps(text.rstrip(), ensure_ascii=False)[1:-1] in request


def test_only_what_fits_and_one_turn_more_is_counted() -> None:
    """A history a hundred times as long costs no more tokens to count."""

    def counted(length: int) -> list[str]:
        texts: list[str] = []
        drafts = [draft(f"{n % 10}", role="user" if n % 2 else "assistant") for n in range(length)]
        for_openai(session("a", drafts).messages, budget=100, count=lambda text: texts.append(text) or 1)  # type: ignore[func-returns-value]
        return texts

    assert counted(60) == counted(6000)


def test_the_newest_question_is_too_long() -> None:
    """A question that does not fit is told, with the budget; so is a system prompt."""
    history = session("a", [draft("x" * 400)]).messages
    for system in ("", "y" * 400):
        with pytest.raises(InvalidError, match="does not fit 50 tokens"):
            for_openai(history[: 0 if system else 1], budget=50, system=system)


def test_a_long_run_of_tool_calls_keeps_its_question() -> None:
    """When the newest turn is too long, its question and the newest calls with their results are sent."""
    history = messages_of("user", "assistant", "user", "call", "tool", "call", "tool")
    sent = for_openai(history, budget=60)
    assert ["user", "assistant", "tool"] == [said["role"] for said in sent]
    assert [] == refused_by_openai(sent)


def test_tools_and_system_count() -> None:
    """Definitions of tools and the system prompt take their part of the budget."""
    history = messages_of("user", "assistant", "user")
    assert 3 == len(for_openai(history, budget=50))
    assert 1 == len(for_openai(history, budget=50, tools=[{"type": "function"}]))
    assert ["system", "user"] == [said["role"] for said in for_openai(history, budget=50, system="Be kind.")]


def test_real_sessions_cut_at_every_place() -> None:
    """The sessions of the demo are valid for both providers from any message to any other."""
    lines = (Path(__file__).parents[3] / "src/chatkeep/demo/sessions.jsonl").read_bytes().splitlines()
    cuts = 0
    for line in lines:
        messages = [msgspec.convert(said, Message) for said in json.loads(line)["messages"]]
        for first in range(len(messages)):
            for last in range(first, len(messages) + 1):
                part = messages[first:last]
                assert [] == refused_by_openai(for_openai(part, budget=PLENTY))
                assert [] == refused_by_anthropic(for_anthropic(part, budget=PLENTY))
                cuts += 1
    assert 1000 < cuts


def test_fitting_all() -> None:
    """A window that fits stays as it is."""
    window = Window(messages=messages_of("user", "call", "tool", "assistant"), has_more=False)
    assert window == fitting(window, 10_000)


@pytest.mark.parametrize(
    "budget,seqs", [(0, []), (13, []), (14, [5]), (28, [4, 5]), (60, [4, 5]), (1000, [1, 2, 3, 4, 5])]
)
def test_fitting_keeps_exchanges_whole(budget: int, seqs: list[int]) -> None:
    """A call with its result fits as a whole or not at all; `has_more` tells what was left out."""
    window = Window(messages=messages_of("user", "call", "tool", "user", "assistant"), has_more=False)
    fit = fitting(window, budget)
    assert (seqs, len(seqs) < 5) == ([message.seq for message in fit.messages], fit.has_more)


def test_fitting_keeps_a_late_result_with_its_call() -> None:
    """A question between parallel results parts nothing: call, question and results stay together."""
    calls = [{**CALL[0], "id": call_id} for call_id in ("a", "b")]
    drafts = [
        draft("x" * 40),
        draft(None, role="assistant", tool_calls=calls),
        draft("x", role="tool", tool_call_id="b"),
        draft("wait"),
        draft("x", role="tool", tool_call_id="a"),
        draft("done", role="assistant"),
    ]
    window = Window(messages=session("a", drafts).messages, has_more=False)
    assert [6] == [message.seq for message in fitting(window, 30).messages]
    assert [2, 3, 4, 5, 6] == [message.seq for message in fitting(window, 50).messages]


def test_fitting_leaves_out_orphans() -> None:
    """Results whose call is not in the window are left out, and so are results given twice."""
    window = Window(messages=messages_of("call", "tool", "tool", "user")[1:], has_more=False)
    fit = fitting(window, 10_000)
    assert (["user"], True) == ([message.role for message in fit.messages], fit.has_more)
    twice = fitting(Window(messages=messages_of("call", "tool", "tool"), has_more=False), 10_000)
    assert [1, 2] == [message.seq for message in twice.messages]


@given(st.lists(kinds, max_size=12), st.integers(0, 300), st.booleans())
def test_fitting_of_any_window(said: list[str], budget: int, has_more: bool) -> None:  # noqa: FBT001 - drawn
    """What is answered is the end of the window without orphaned results, and fits."""
    messages = messages_of(*said)
    fit = fitting(Window(messages=messages, has_more=has_more), budget)
    assert sum(tokens(utterance_of(message), estimate) for message in fit.messages) <= budget
    start = fit.messages[0].seq if fit.messages else len(messages) + 1
    answered = [n for n, kind in enumerate(said, start=1) if kind != "tool" or _is_answer(said[: n - 1])]
    assert [n for n in answered if n >= start] == [message.seq for message in fit.messages]
    assert (has_more or start > 1) == fit.has_more


def _is_answer(before: list[str]) -> bool:
    """Tell whether a result that comes now is the first of the latest call."""
    return next((kind == "call" for kind in reversed(before) if kind in ("call", "tool")), False)


def test_fit_without_what_models_thought() -> None:
    """Thinking is no part of a window unless it is asked for, and takes room only then."""
    thought = "word " * 1000
    said = [
        message_with(1, "user", "Two and two?"),
        message_with(2, "assistant", f"<think>{thought}</think>Four."),
        message_with(3, "assistant", "", {"reasoning": {"text": thought, "from": "reasoning"}, "model": "m"}),
        message_with(4, "assistant", "Five.", {"reasoning": {"text": thought, "from": "reasoning"}, "model": "m"}),
        message_with(5, "user", "<think> is what?"),
    ]
    window = Window(messages=tuple(said), has_more=False)
    fit = fitting(window, 100).messages
    assert ["Two and two?", "Four.", "Five.", "<think> is what?"] == [one.content for one in fit]
    assert {"model": "m"} == fit[2].metadata
    assert said[4:] == list(fitting(window, 100, with_reasoning=True).messages)
    assert window == fitting(window, 10_000, with_reasoning=True)


@many
@given(said=st.lists(kinds, max_size=12), first=st.integers(0, 11))
def test_window_in_the_shapes_of_models(said: list[str], first: int) -> None:
    """A window is given as providers take it, or refused when only the middle of a turn is left of it."""
    messages = messages_of(*said)[first:]
    window = Window(messages=messages, has_more=first > 0)
    if messages and first and not any(message.role == "user" for message in messages):
        for shape in (window.for_openai, window.for_anthropic):
            with pytest.raises(InvalidError, match="begin behind their question"):
                shape()
        return
    assert for_openai(messages, budget=PLENTY) == window.for_openai()
    assert for_anthropic(messages, budget=PLENTY, system="S") == window.for_anthropic(system="S")
    assert [] == refused_by_openai(window.for_openai())


def test_window_in_the_shapes_of_models_that_fits() -> None:
    """With a budget these are the newest turns that fit, counted with the function that is given."""
    window = Window(messages=messages_of("user", "assistant", "user", "assistant"), has_more=False)
    newest = for_openai(window.messages, budget=100, count=len)
    assert 2 == len(newest)
    assert newest == window.for_openai(max_tokens=100, count=len)
    assert for_anthropic(window.messages, budget=100, count=len) == window.for_anthropic(max_tokens=100, count=len)
    with pytest.raises(InvalidError, match="does not fit 5 tokens"):
        window.for_openai(max_tokens=5)
    assert [] == Window(messages=(), has_more=False).for_openai()


def message_with(seq: int, role: Role, content: str, metadata: Json = None) -> Message:
    """Return a message."""
    return Message(seq=seq, role=role, content=content, sent_at=SENT_AT, id=f"m{seq}", metadata=metadata)
