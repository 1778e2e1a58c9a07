"""The rules by which histories are judged let valid ones pass, and find each thing that is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.history.provider_rules import refused_by_anthropic, refused_by_openai

USER = {"role": "user", "content": "add"}
CALL = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "2"}
ASKED = {"role": "user", "content": [{"type": "text", "text": "add"}]}
USE = {"type": "tool_use", "id": "c", "name": "add", "input": {}}
USING = {"role": "assistant", "content": [USE]}
SEEN = {"type": "tool_result", "tool_use_id": "c", "content": []}
USED = {"role": "user", "content": [SEEN]}
TEXT = {"type": "text", "text": "so"}


def said(role: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    """Return an Anthropic message."""
    return {"role": role, "content": [*blocks]}


def test_valid_histories_pass() -> None:
    """A question, a call, its result and an answer are valid for both."""
    system = {"role": "system", "content": "Be kind."}
    assert [] == refused_by_openai([system, USER, CALLING, RESULT, {"role": "assistant", "content": "2"}])
    assert [] == refused_by_anthropic({"system": "Be kind.", "messages": [ASKED, USING, USED, said("assistant", TEXT)]})


@pytest.mark.parametrize(
    "messages",
    [
        [CALLING, RESULT],
        [USER, RESULT],
        [USER, CALLING],
        [USER, CALLING, USER, RESULT],
        [USER, CALLING, RESULT, RESULT],
        [USER, {**CALLING, "tool_calls": [CALL, CALL]}, RESULT, RESULT],
        [USER, {**CALLING, "tool_calls": []}],
        [{**USER, "content": " "}],
        [{**USER, "content": None}],
        [{**USER, "content": []}],
        [{**USER, "content": [{"type": "text", "text": ""}]}],
        [{**USER, "content": [{"type": "image_url", "image_url": {"url": "file:x"}}]}],
        [{**USER, "content": [{"type": "tool_result"}]}],
        [{**USER, "name": "a b"}],
        [{**USER, "role": "developer"}],
        [{**USER, "seq": 1}],
        [USER, {**CALLING, "tool_calls": [{**CALL, "id": "c" * 41}]}, {**RESULT, "tool_call_id": "c" * 41}],
        [USER, {**CALLING, "tool_calls": [{**CALL, "function": {"name": "a.b", "arguments": "{}"}}]}, RESULT],
        [USER, {**CALLING, "tool_calls": [{**CALL, "function": {"name": "a", "arguments": "[]"}}]}, RESULT],
        [USER, CALLING, {**RESULT, "content": [{"type": "text", "text": "2"}]}],
    ],
)
def test_openai_refuses(messages: list[dict[str, Any]]) -> None:
    """Each of these breaks one rule."""
    assert [] != refused_by_openai(messages)


@pytest.mark.parametrize(
    "messages",
    [
        [said("assistant", TEXT)],
        [ASKED, ASKED],
        [ASKED, USING],
        [ASKED, USING, ASKED],
        [ASKED, USING, said("user", SEEN, SEEN)],
        [ASKED, USING, said("user", TEXT, SEEN)],
        [ASKED, USING, USED, USING, USED],
        [ASKED, said("assistant", USE, USE), said("user", SEEN, SEEN)],
        [ASKED, said("assistant", USE, TEXT), USED],
        [USED],
        [ASKED, said("assistant", TEXT), USED],
        [said("user")],
        [said("user", {"type": "text", "text": "\n"})],
        [said("user", {"type": "thinking", "thinking": "x"})],
        [said("user", {"type": "image", "source": {"type": "url", "url": "http://a"}})],
        [said("user", {"type": "image", "source": {"type": "base64", "media_type": "image/bmp", "data": "AAAA"}})],
        [said("user", {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "?"}})],
        [ASKED, said("assistant", {**USE, "id": "a b"}), said("user", {**SEEN, "tool_use_id": "a b"})],
        [ASKED, said("assistant", {**USE, "input": "{}"}), USED],
        [ASKED, USING, said("user", {**SEEN, "content": [{"type": "text", "text": ""}]})],
        [ASKED, USING, said("user", {**SEEN, "content": [USE]})],
        [ASKED, said("assistant", {"type": "text", "text": "so "})],
    ],
)
def test_anthropic_refuses(messages: list[dict[str, Any]]) -> None:
    """Each of these breaks one rule."""
    assert [] != refused_by_anthropic({"messages": messages})
    assert [] != refused_by_anthropic({"system": " ", "messages": [ASKED]})
