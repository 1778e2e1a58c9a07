"""Responses of a server without state: the items that a request leaves out, and a response built from its message.

Source: the API reference of OpenAI's Responses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from chatkeep.core.history.protocols.items import is_instruction
from chatkeep.core.history.state.conversation_items import ConversationItem, conversation_items_of, plain_items
from chatkeep.core.model import Json, Message

_DEFAULTS: Final[dict[str, Json]] = {
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "text": {"format": {"type": "text"}},
    "truncation": "disabled",
    "background": False,
    "store": True,
    "usage": None,
}
"""What a response says where neither the request nor the server said something else."""
_REPEATED: Final = frozenset(
    (
        *_DEFAULTS,
        *("model", "reasoning", "service_tier", "user", "safety_identifier", "prompt_cache_key", "max_tool_calls"),
        *("top_logprobs", "prompt", "conversation"),
    )
)
"""Fields of a request that its response repeats."""


def earlier_items(messages: Iterable[Message]) -> list[dict[str, Json]]:
    """Return the items of stored messages for another request: without cut-off answers and instructions."""
    return [item for message in messages if _counts(message) for item in plain_items(message)]


def input_items_of(messages: Iterable[Message]) -> list[ConversationItem]:
    """Return the same items as a list of items has them, each with an id."""
    return [item for message in messages if _counts(message) for item in conversation_items_of(message)]


def response_of(response_id: str, answer: Message, request: Mapping[str, Json]) -> dict[str, Json]:
    """Return a response built from the message of its answer and the settings of its request."""
    facts = answer.metadata or {}
    told = facts.get("response")
    own = told if isinstance(told, dict) else {}
    repeated = {name: value for name, value in request.items() if name in _REPEATED and value is not None}
    if isinstance(repeated.get("conversation"), str):
        repeated["conversation"] = {"id": repeated["conversation"]}
    usual = "incomplete" if facts.get("partial") else "completed"
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(answer.sent_at.timestamp()),
        "status": usual,
        **_DEFAULTS,
        **repeated,
        **({"model": facts["model"]} if facts.get("model") else {}),
        **own,
        **({"usage": facts["usage"]} if facts.get("usage") else {}),
        "output": [item.item for item in conversation_items_of(answer)],
    }


def _counts(message: Message) -> bool:
    return not (message.metadata or {}).get("partial") and not is_instruction(message)
