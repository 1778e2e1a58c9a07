"""Calls are read from the shapes of all providers and frameworks."""

from __future__ import annotations

from typing import Any

import pytest

from chatkeep.core.text.tool_calls import call_in

WHERE = {"q": "a*b", "n": 1312292042121000001}


@pytest.mark.parametrize(
    "call",
    [
        {"id": "c1", "type": "function", "function": {"name": "find", "arguments": WHERE}},
        {"id": "c1", "name": "find", "input": WHERE},
        {"type": "tool_use", "id": "c1", "name": "find", "input": WHERE},
        {"type": "tool_call", "id": "c1", "name": "find", "args": WHERE},
        {"type": "function_call", "call_id": "c1", "name": "find", "arguments": WHERE},
        {"id": "c1", "name": "find", "parameters": WHERE},
        {"type": "tool-call", "toolCallId": "c1", "toolName": "find", "input": WHERE},
        {"toolCallId": "c1", "toolName": "find", "args": WHERE},
        {"toolUse": {"toolUseId": "c1", "name": "find", "input": WHERE}},
        {"functionCall": {"id": "c1", "name": "find", "args": WHERE}},
        {"id": "c1", "function_call": {"name": "find", "args": WHERE}},
        {"part_kind": "tool-call", "tool_call_id": "c1", "tool_name": "find", "args": WHERE},
        {"tool_id": "c1", "tool_name": "find", "tool_kwargs": WHERE},
    ],
)
def test_read_a_call_of_any_shape(call: Any) -> None:  # noqa: ANN401 - a foreign value
    """Each has its id, the name of its tool and its arguments, unchanged."""
    assert ("c1", "find", WHERE) == call_in(call)


@pytest.mark.parametrize("value", [None, "find", 7, [], {}, {"id": "c1"}, {"name": 7}, {"function": {"name": ""}}])
def test_read_no_call(value: Any) -> None:  # noqa: ANN401 - a foreign value
    """A value without the name of a tool is no call."""
    assert call_in(value) is None


def test_read_the_input_of_a_custom_tool() -> None:
    """A tool that takes a text gets an object with it."""
    call = {"id": "c1", "type": "custom", "custom": {"name": "run", "input": "x = 1"}}
    assert ("c1", "run", {"input": "x = 1"}) == call_in(call)
