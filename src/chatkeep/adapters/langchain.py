"""LangChain: a `BaseChatMessageHistory` kept by Chatkeep, also for chains with `RunnableWithMessageHistory`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict

from chatkeep.adapters.backing import SessionItems, Verbs, key_for_name
from chatkeep.adapters.exact import Spoken, item_of_message, message_of_item
from chatkeep.core.bounds import BATCH_MAX
from chatkeep.core.life.dropping import Chosen
from chatkeep.core.model import Draft, Json, Message
from chatkeep.core.standing import Role, said
from chatkeep.errors import MessageNotFoundError, SessionNotFoundError

if TYPE_CHECKING:
    from chatkeep.client import AsyncClient, Client
    from chatkeep.sessions.sessions import Sessions

_KIND: Final = "langchain"
_ROLES: Final[dict[str, Role]] = {"human": "user", "ai": "assistant", "tool": "tool", "function": "tool"}
_TYPES: Final = {"user": "human", "assistant": "ai"}


class ChatkeepChatMessageHistory(BaseChatMessageHistory):
    """The history of one session. The key is `prefix` and the session id; an id that no key can have is hashed.

    `clear` takes back, so it needs the scope `delete`; the log keeps what was said. With an AsyncClient only the
    methods that begin with `a` work.
    """

    def __init__(self, session_id: str, place: Client | AsyncClient | Sessions, *, prefix: str = "") -> None:
        """Take the id, and a client or the sessions of a workspace; the caller closes it."""
        self.session_id = session_id
        self._verbs = Verbs(place)
        self._items = SessionItems(key_for_name(prefix, session_id), self._verbs)

    @property
    def key(self) -> str:
        """The key of the session in Chatkeep."""
        return self._items.key

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """All messages, oldest first."""
        try:
            return _messages(said(self._verbs.call("read", self.key).messages))
        except SessionNotFoundError:
            return []

    @messages.setter
    def messages(self, messages: Sequence[BaseMessage]) -> None:
        if messages:
            self._verbs.call("replace", self.key, [_draft_of(message) for message in messages])
        else:
            self.clear()

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Store messages at the end."""
        drafts = [_draft_of(message) for message in messages]
        for first in range(0, len(drafts), BATCH_MAX):
            self._verbs.call("append", self.key, drafts[first : first + BATCH_MAX])

    def clear(self) -> None:
        """Take back all messages."""
        with suppress(SessionNotFoundError, MessageNotFoundError):
            self._verbs.call("drop", self.key, Chosen(everything=True))

    async def aget_messages(self) -> list[BaseMessage]:
        """Return all messages, oldest first."""
        return _messages(await self._items.read())

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Store messages at the end."""
        await self._items.add([_draft_of(message) for message in messages])

    async def aclear(self) -> None:
        """Take back all messages."""
        await self._items.clear()


def _messages(stored: Sequence[Message]) -> list[BaseMessage]:
    return messages_from_dict([item_of_message(_KIND, message) or _foreign(message) for message in stored])


def _foreign(message: Message) -> dict[str, Any]:
    """Return a message of another program as LangChain has it."""
    data: dict[str, Json] = {"content": message.content or "", "id": message.id}
    if message.role == "tool":
        return {"type": "tool", "data": {**data, "tool_call_id": message.tool_call_id or ""}}
    return {"type": _TYPES.get(message.role, "system"), "data": data}


def _draft_of(message: BaseMessage) -> Draft:
    item = message_to_dict(message)
    calls = [_call(one) for one in getattr(message, "tool_calls", None) or ()]
    spoken = Spoken(
        role=_ROLES.get(item["type"].removesuffix("MessageChunk").lower(), "system"),
        path=("data", "content"),
        tool_calls=calls or None,
        tool_call_id=getattr(message, "tool_call_id", None),
        name=message.name,
    )
    return message_of_item(_KIND, item, spoken)


def _call(call: dict[str, Any]) -> Json:
    arguments = json.dumps(call.get("args", {}))
    return {"id": call.get("id") or "", "type": "function", "function": {"name": call["name"], "arguments": arguments}}
