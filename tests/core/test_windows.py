"""Windows for a model fit their budget and never part a tool call from its results."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.model import Message, Role, Window
from chatkeep.core.windows import fitting, token_estimate
from chatkeep.testing import draft, session

CALL = [{"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}]
kinds = st.sampled_from(["user", "assistant", "call", "tool", "tool"])


def messages_of(*kinds_said: str) -> tuple[Message, ...]:
    """Return messages of these roles; `call` is an assistant's with tool calls."""
    said = []
    for kind in kinds_said:
        role: Role = "user" if kind == "user" else "tool" if kind == "tool" else "assistant"
        said.append(draft("x" * 40, role=role, tool_calls=CALL if kind == "call" else None))
    return session("a", said).messages


@pytest.mark.parametrize("text,tokens", [("", 4), ("abcd", 5), ("abcde", 6), ("東京", 6), ("ab東京cd", 7), ("🎉", 5)])
def test_token_estimate(text: str, tokens: int) -> None:
    """Four ASCII characters or one other character are a token; each message has a frame of four."""
    assert tokens == token_estimate(session("a", [draft(text)]).messages[0])


def test_token_estimate_counts_calls_and_parts() -> None:
    """Tool calls and content parts count too."""
    plain, parts, called = session(
        "a", [draft("x"), draft([{"type": "text", "text": "x"}]), draft(None, role="assistant", tool_calls=CALL)]
    ).messages
    assert token_estimate(plain) < token_estimate(parts)
    assert token_estimate(plain) < token_estimate(called)


def test_fitting_all() -> None:
    """A window that fits stays as it is."""
    window = Window(messages=messages_of("user", "call", "tool", "assistant"), has_more=False)
    assert window == fitting(window, 10_000)


@pytest.mark.parametrize(
    "budget,seqs", [(0, []), (13, []), (14, [5]), (28, [4, 5]), (50, [4, 5]), (1000, [1, 2, 3, 4, 5])]
)
def test_fitting_keeps_exchanges_whole(budget: int, seqs: list[int]) -> None:
    """A call with its result fits as a whole or not at all; `has_more` tells what was left out."""
    window = Window(messages=messages_of("user", "call", "tool", "user", "assistant"), has_more=False)
    fit = fitting(window, budget)
    assert (seqs, len(seqs) < 5) == ([message.seq for message in fit.messages], fit.has_more)


def test_fitting_leaves_out_orphans() -> None:
    """Results whose call is not in the window are left out."""
    window = Window(messages=messages_of("call", "tool", "tool", "user")[1:], has_more=True)
    assert (["user"], True) == ([message.role for message in fitting(window, 10_000).messages], True)


@given(st.lists(kinds, max_size=12), st.integers(0, 300), st.booleans())
def test_fitting_of_any_window(said: list[str], budget: int, has_more: bool) -> None:  # noqa: FBT001 - drawn
    """What is answered is the end of the window without orphaned results, and fits."""
    messages = messages_of(*said)
    fit = fitting(Window(messages=messages, has_more=has_more), budget)
    assert sum(map(token_estimate, fit.messages)) <= budget
    start = fit.messages[0].seq if fit.messages else len(messages) + 1
    answered = [n for n, kind in enumerate(said, start=1) if kind != "tool" or _is_answer(said[: n - 1])]
    assert [n for n in answered if n >= start] == [message.seq for message in fit.messages]
    assert (has_more or start > 1) == fit.has_more


def _is_answer(before: list[str]) -> bool:
    """Tell whether a result that comes now has its call."""
    others = [kind for kind in before if kind != "tool"]
    return others[-1:] == ["call"]
