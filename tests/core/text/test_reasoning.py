"""What a model thinks is parted from what it answers, however it is written and however it comes."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.digest import Digest
from chatkeep.core.model import Message
from chatkeep.core.standing import Role
from chatkeep.core.text.reasoning import Parted, Splitter, parted, reasoning_of, without_reasoning

SPOKEN = [
    "<think>", "</think>", "<thinking>", "</thinking>", "<Reasoning>", "</reasoning>", "[THINK]", "[/THINK]", "<thi",
    "◁think▷", "◁/think▷", "<seed:", "<|START_THINKING|>", "<|END_THINKING|>",
    "nk>", "</", "\n", " ", "\u00a0", "a", "İ", "\u212a", "```", "`<think>`",
]  # fmt: skip
texts = st.lists(st.sampled_from(SPOKEN), max_size=12).map("".join)


def message(content: Any, role: Role = "assistant", **more: Any) -> Message:  # noqa: ANN401 - what messages hold
    """Return a message with a content."""
    return Message(seq=1, role=role, content=content, sent_at=datetime(2030, 1, 1, tzinfo=UTC), id="m1", **more)


@pytest.mark.parametrize(
    "written,text,thought",
    [
        ("<think>\nTwo and two.\n</think>\n\nFour.", "Four.", "\nTwo and two.\n"),
        ("\n <THINKING>a</Thinking> b", "b", "a"),
        ("<reasoning>a</reasoning>b", "b", "a"),
        ("[THINK]a[/THINK]b", "b", "a"),
        ("◁think▷a◁/think▷b", "b", "a"),
        ("<seed:think>a</seed:think>\nb", "b", "a"),
        ("<|START_THINKING|>a<|END_THINKING|>b", "b", "a"),
        ("<think>a</think>\n<think>b</think>c", "c", "a\nb"),
        ("<think></think>Yes", "Yes", ""),
        ("<think>never closed", "", "never closed"),
        ("<think>a</thinking>b", "", "a</thinking>b"),
        ("<thinker>a</thinker>", "<thinker>a</thinker>", ""),
        ("```\n<think>a</think>\n```", "```\n<think>a</think>\n```", ""),
        ("The tag `<think>` opens it.", "The tag `<think>` opens it.", ""),
        ("A <think>b</think> c", "A <think>b</think> c", ""),
        ("a</think>b", "a</think>b", ""),
        ("  <thi", "  <thi", ""),
        ("", "", ""),
    ],
)
def test_part_thinking_from_an_answer(written: str, text: str, thought: str) -> None:
    """Blocks at its start are thinking; a tag anywhere else is text, and so is all that only looks like one."""
    found = parted(written)
    assert (text, thought) == (found.text, found.reasoning)
    assert written == found.as_written()


@given(texts, st.lists(st.integers(0, 60), max_size=12))
def test_part_a_text_that_is_cut_anywhere(written: str, cuts: list[int]) -> None:
    """In pieces of any size a text says the same as whole, and not a character of it is lost."""
    places = sorted({0, len(written), *(cut for cut in cuts if cut < len(written))})
    splitter = Splitter()
    found = [one for start, end in pairwise(places) for one in splitter.feed(written[start:end])]
    found += splitter.end()
    assert all(one.text for one in found)
    assert written == "".join(one.text for one in found)
    whole = parted(written)
    assert written == whole.as_written()
    for kind, text in (("text", whole.text), ("reasoning", whole.reasoning)):
        assert text == "".join(one.text for one in found if one.kind == kind)


def test_part_a_long_text_of_blanks_in_linear_work() -> None:
    """What may yet become a tag is kept, but not looked at again and again."""
    splitter = Splitter()
    pieces = [*(one for _ in range(200_000) for one in splitter.feed(" \n")), *splitter.feed("x"), *splitter.end()]
    assert ["text", "text"] == [one.kind for one in pieces]
    assert " \n" * 200_000 + "x" == "".join(one.text for one in pieces)


@pytest.mark.parametrize(
    "content,metadata,text,thought",
    [
        ("4", {"reasoning": {"text": "2 + 2", "from": "reasoning_content"}}, "4", "2 + 2"),
        ("4", {"openai": {"reasoning_content": "2 + 2"}}, "4", "2 + 2"),
        ("4", {"openai": {"reasoning": "2 + 2", "reasoning_details": [{"text": "2 + 2"}]}}, "4", "2 + 2"),
        ("4", {"openai": {"reasoning": {"summary": [{"type": "summary_text", "text": "2 + 2"}]}}}, "4", "2 + 2"),
        ("4", {"openai": {"reasoning_details": [{"type": "reasoning.text", "text": "2 + 2"}]}}, "4", "2 + 2"),
        ("<think>2 + 2</think>4", None, "4", "2 + 2"),
        ([{"type": "thinking", "thinking": "2 + 2", "signature": "s"}, {"type": "text", "text": "4"}], None, "4",
         "2 + 2"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "2 + 2"}]}, {"type": "text", "text": "4"}], None,
         "4", "2 + 2"),
        ([{"type": "redacted_thinking", "data": "xyz"}, {"type": "text", "text": "4"}], None, "4", ""),
        ([{"type": "think", "think": "2 + 2"}, {"type": "text", "text": "4"}], None, "4", "2 + 2"),
        ([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "2 + 2"}]}, "4"], None, "4", "2 + 2"),
        ([{"text": "2 + 2", "thought": True}, {"text": "4"}], None, "4", "2 + 2"),
        ([{"type": "text", "text": "<think>2 + 2</think>4"}], None, "4", "2 + 2"),
        (["4", "<think>5"], None, "4\n<think>5", ""),
        (None, {"openai": {"reasoning": 7}}, "", ""),
    ],
)  # fmt: skip
def test_find_thinking_wherever_it_stands(content: Any, metadata: Any, text: str, thought: str) -> None:  # noqa: ANN401
    """Tags, parts and fields of every server: the answer's text is without them, and what they say is known."""
    said = message(content, metadata=metadata)
    assert (text, thought) == (said.text, said.reasoning)


@pytest.mark.parametrize("role", ["user", "system", "tool"])
def test_leave_what_no_model_said(role: Role) -> None:
    """People may write about tags."""
    said = message("<think>What is this tag?</think>", role)
    assert ("<think>What is this tag?</think>", "") == (said.text, said.reasoning)


def test_leave_thinking_out_of_previews_and_titles() -> None:
    """A list shows what was answered; of an answer that is all thinking, what was said before."""
    asked = message("<think> is a tag?", "user")
    answered = message("<think>Hm.</think>Yes.")
    assert ("<think> is a tag?", "Yes.") == ((digest := Digest().plus(asked, answered)).auto_title, digest.preview)
    assert "Yes." == digest.plus(message("<think>Nothing more.")).preview


def test_leave_a_content_without_thinking_as_it_is() -> None:
    """Nothing but thinking is taken away."""
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://a/b.png"}}, "b"]
    assert parts == without_reasoning(parts)
    assert Parted("a") == parted("a")
    assert without_reasoning(None) is None
    assert "" == reasoning_of(None, None)


def test_parted_of_blocks_without_end() -> None:
    """Many blocks one after the other are parted and put together as they were written."""
    text = "<think>a</think> <Thinking></thinking>\n" * 1000 + "answer <think>"
    found = parted(text)
    assert ("answer <think>", text) == (found.text, found.as_written())
