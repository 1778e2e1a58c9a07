"""Calls of tools, read from whatever shape a provider or a framework gives them.

A call is an object with a tool's name, mostly an id, and arguments: a JSON value, or a text with one. Programs name
these fields differently, and some put them into an object of their own.

Source: Chat Completions (`function`, `custom`), Responses (`call_id`), Anthropic (`input`), Gemini (`functionCall`),
Bedrock's Converse (`toolUse`), Cohere (`parameters`), the Vercel AI SDK (`toolCallId`), LangChain (`args`), Pydantic AI
(`tool_name`), LlamaIndex (`tool_kwargs`).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

_Json = Any
_ENVELOPES: Final = (
    "function",
    "custom",
    "functionCall",
    "function_call",
    "toolUse",
    "tool_use",
    "toolCall",
    "tool_call",
)
_IDS: Final = ("id", "call_id", "tool_call_id", "toolCallId", "toolUseId", "tool_use_id", "callId", "tool_id")
_NAMES: Final = ("name", "tool_name", "toolName", "tool", "recipient_name")
_INPUTS: Final = (
    *("arguments", "input", "args", "parameters", "params", "kwargs"),
    *("tool_input", "tool_args", "tool_arguments", "tool_kwargs", "toolInput", "rawArguments"),
)


class CallFields(NamedTuple):
    """The fields of a call as they came: an `id` without one is empty, missing `arguments` are None."""

    id: str
    name: str
    arguments: _Json


def call_in(value: _Json) -> CallFields | None:
    """Return the call in a JSON value, None if there is no name of a tool."""
    if not isinstance(value, dict):
        return None
    envelope = next((name for name in _ENVELOPES if isinstance(value.get(name), dict)), None)
    inner = value if envelope is None else value[envelope]
    name = next((inner[field] for field in _NAMES if isinstance(inner.get(field), str) and inner[field]), None)
    if name is None:
        return None
    ids = (one[field] for one in (value, inner) for field in _IDS if isinstance(one.get(field), str) and one[field])
    arguments = next((inner[field] for field in _INPUTS if inner.get(field) is not None), None)
    if envelope == "custom":  # a tool that takes a text: Anthropic and most servers know objects alone
        arguments = {"input": inner.get("input")}
    return CallFields(next(ids, ""), name, arguments)
