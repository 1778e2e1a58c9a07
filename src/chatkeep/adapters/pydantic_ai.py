"""Pydantic AI: the message history of runs kept by Chatkeep.

history = ChatkeepMessageHistory("user:alice", client)
result = await agent.run("Hello", message_history=await history.messages())
await history.add(result.new_messages())
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelRequest, ModelResponse

from chatkeep.adapters.backing import SessionItems, Verbs, key_for_name
from chatkeep.adapters.exact import Spoken, item_of_message, message_of_item, words_within
from chatkeep.core.life.dropping import Chosen
from chatkeep.core.model import Draft, Json, Message
from chatkeep.core.standing import Role

if TYPE_CHECKING:
    from chatkeep.client import AsyncClient, Client
    from chatkeep.sessions.sessions import Sessions

_KIND: Final = "pydantic_ai"
_SAID: Final = ("text", "user-prompt")
_RETURNED: Final = ("tool-return", "retry-prompt")


class ChatkeepMessageHistory:
    """The messages of one session. The key is `prefix` and the session id; an id that no key can have is hashed.

    `pop`, `replace` and `clear` take back, so they need the scope `delete`; the log keeps what was said.
    """

    def __init__(self, session_id: str, place: Client | AsyncClient | Sessions, *, prefix: str = "") -> None:
        """Take the id, and a client or the sessions of a workspace; the caller closes it."""
        self.session_id = session_id
        self._items = SessionItems(key_for_name(prefix, session_id), Verbs(place))

    @property
    def key(self) -> str:
        """The key of the session in Chatkeep."""
        return self._items.key

    async def messages(self, last: int | None = None) -> list[ModelMessage]:
        """Return all messages, or the last ones, oldest first."""
        stored = await self._items.read(last)
        return ModelMessagesTypeAdapter.validate_python([_item(message) for message in stored])

    async def add(self, messages: Sequence[ModelMessage]) -> None:
        """Store messages at the end, as `result.new_messages()` has them."""
        await self._items.add([_draft_of(item) for item in _dumped(messages)])

    async def replace(self, messages: Sequence[ModelMessage]) -> None:
        """Replace all messages in one step, as a history processor leaves them; those that begin both alike stay."""
        await self._items.replace([_draft_of(item) for item in _dumped(messages)])

    async def pop(self) -> ModelMessage | None:
        """Take back the last message and return it; None if there is none."""
        dropped = await self._items.drop(Chosen(last=1))
        found = ModelMessagesTypeAdapter.validate_python([_item(message) for message in dropped[-1:]])
        return found[0] if found else None

    async def clear(self) -> None:
        """Take back all messages."""
        await self._items.clear()


def _dumped(messages: Sequence[ModelMessage]) -> list[dict[str, Any]]:
    for message in messages:
        if not isinstance(message, ModelRequest | ModelResponse):
            raise TypeError(f"an object of type {type(message).__name__} is no message of Pydantic AI")
    dumped: list[dict[str, Any]] = json.loads(ModelMessagesTypeAdapter.dump_json([*messages]))
    return dumped


def _item(message: Message) -> Json:
    found = item_of_message(_KIND, message)
    if found is not None:
        return found
    at = message.sent_at.isoformat()
    if message.role == "assistant":
        return {"kind": "response", "parts": [{"part_kind": "text", "content": message.text}], "timestamp": at}
    part = "user-prompt" if message.role == "user" else "system-prompt"
    return {"kind": "request", "parts": [{"part_kind": part, "content": message.text, "timestamp": at}]}


def _draft_of(item: dict[str, Any]) -> Draft:
    parts = [part for part in item.get("parts", ()) if isinstance(part, dict)]
    said = "\n".join(words_within(part.get("content")) for part in parts if part.get("part_kind") in _SAID)
    returned = [part for part in parts if part.get("part_kind") in _RETURNED]
    role: Role = "assistant" if item.get("kind") == "response" else "user" if said else "system"
    if role == "assistant":
        return message_of_item(_KIND, item, Spoken(role=role, words=said, tool_calls=_calls(parts) or None))
    if len(returned) == len(parts) == 1 and isinstance(returned[0].get("tool_call_id"), str):
        words, call_id = words_within(returned[0].get("content")), returned[0]["tool_call_id"]
        return message_of_item(_KIND, item, Spoken(role="tool", words=words, tool_call_id=call_id))
    words = said or "\n".join(words_within(part.get("content")) for part in parts)
    return message_of_item(_KIND, item, Spoken(role=role, words=words))


def _calls(parts: Sequence[dict[str, Any]]) -> list[Json]:
    calls = [part for part in parts if part.get("part_kind") == "tool-call"]
    return [
        {
            "id": str(part.get("tool_call_id") or ""),
            "type": "function",
            "function": {"name": str(part.get("tool_name")), "arguments": _arguments(part.get("args"))},
        }
        for part in calls
    ]


def _arguments(given: Json) -> str:
    return given if isinstance(given, str) else json.dumps(given or {})
