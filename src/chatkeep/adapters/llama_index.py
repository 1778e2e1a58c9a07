"""LlamaIndex: a `BaseChatStore` kept by Chatkeep, for `ChatMemoryBuffer.from_defaults(chat_store=...)`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.storage.chat_store.base import BaseChatStore

from chatkeep.adapters.backing import Verbs, key_for_name
from chatkeep.adapters.exact import Spoken, item_of_message, message_of_item, words_within
from chatkeep.core.life.dropping import Chosen
from chatkeep.core.model import Draft, Message, Selection
from chatkeep.core.standing import EVENT, Role, said
from chatkeep.errors import CountConflictError, MessageNotFoundError, SessionNotFoundError

if TYPE_CHECKING:
    from chatkeep.client import Client
    from chatkeep.sessions.sessions import Sessions

_KIND: Final = "llama_index"
_ROLES: Final[dict[str, Role]] = {
    "user": "user",
    "assistant": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "developer": "developer",
    "tool": "tool",
    "function": "tool",
}
_TRIES: Final = 20


class ChatkeepChatStore(BaseChatStore):
    """Chats as sessions: the key is `prefix` and the chat's own key; one that no key can have is hashed.

    Deleting messages takes back, so it needs the scope `delete`; the log keeps what was said. A chat without messages
    is none.
    """

    _verbs: Verbs = PrivateAttr()
    _prefix: str = PrivateAttr()

    def __init__(self, place: Client | Sessions, *, prefix: str = "") -> None:
        """Take a client or the sessions of a workspace; the caller closes it."""
        super().__init__()
        self._verbs = Verbs(place)
        self._prefix = prefix

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class."""
        return "ChatkeepChatStore"

    def set_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Replace all messages of a chat, in one step."""
        if messages:
            self._verbs.call("replace", self._key(key), [_draft_of(message) for message in messages])
        else:
            self.delete_messages(key)

    def get_messages(self, key: str) -> list[ChatMessage]:
        """Return the messages of a chat, oldest first."""
        return [_message(message) for message in self._stored(key)]

    def add_message(self, key: str, message: ChatMessage, idx: int | None = None) -> None:
        """Store a message at the end of a chat, or at a place in it; what follows is said again then."""
        draft = _draft_of(message)
        if idx is None:
            self._verbs.call("append", self._key(key), [draft])
            return
        for _ in range(_TRIES):
            own = self._key(key)
            lines, stored = self._counted(own)
            drafts = [_again(one) for one in stored]
            drafts.insert(_place(stored, idx), draft)
            try:
                self._verbs.call("replace", own, drafts, expect_count=lines)
            except CountConflictError:
                continue  # somebody wrote meanwhile: once more, with what they said
            return
        raise TimeoutError("Others keep writing to this chat; nothing was inserted.")

    def delete_messages(self, key: str) -> list[ChatMessage] | None:
        """Take back all messages of a chat, and return them; None if there are none."""
        found = self._stored(key)
        if not found or self._dropped(key, Chosen(everything=True)) is None:
            return None
        return [_message(message) for message in found]

    def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Take back the message at a place, and return it; None if there is none."""
        found = self._stored(key)
        if not -len(found) <= idx < len(found):
            return None
        dropped = self._dropped(key, Chosen(id=found[idx].id))
        return _message(dropped[0]) if dropped else None

    def delete_last_message(self, key: str) -> ChatMessage | None:
        """Take back the last message, and return it; None if there is none."""
        dropped = self._dropped(key, Chosen(last=1))
        return _message(dropped[-1]) if dropped else None

    def get_keys(self) -> list[str]:
        """Return the keys of all chats under the prefix that have messages."""
        chosen, cursor, found = Selection(prefixes=(self._prefix,), archived=None), None, list[str]()
        while True:
            page = self._verbs.call("list", chosen, limit=500, cursor=cursor)
            found += [known.header.key.removeprefix(self._prefix) for known in page.sessions if known.message_count]
            cursor = page.next_cursor
            if cursor is None:
                return sorted(found)

    def _key(self, key: str) -> str:
        return key_for_name(self._prefix, key)

    def _stored(self, key: str) -> Sequence[Message]:
        try:
            found: Sequence[Message] = self._verbs.call("read", self._key(key)).messages
        except SessionNotFoundError:
            return ()
        return said(found)

    def _counted(self, key: str) -> tuple[int, Sequence[Message]]:
        """Return the number of lines of a session, and its messages at that number or a later one."""
        try:
            return self._verbs.call("get", key).line_count, self._verbs.call("read", key).messages
        except SessionNotFoundError:
            return 0, ()

    def _dropped(self, key: str, lines: Chosen) -> Sequence[Message] | None:
        try:
            dropped: Sequence[Message] = self._verbs.call("drop", self._key(key), lines).messages
        except (SessionNotFoundError, MessageNotFoundError):
            return None
        return dropped


def _place(stored: Sequence[Message], idx: int) -> int:
    """Return the place among messages and events for the place `idx` among the messages, as a list inserts."""
    places = [place for place, one in enumerate(stored) if one.role != EVENT]
    return [*places, len(stored)][slice(idx, None).indices(len(places))[0]]


def _again(message: Message) -> Draft:
    """Return a stored message to be said again in its place: unchanged, so that what begins alike stays."""
    return Draft(
        role=message.role,
        content=message.content,
        sent_at=message.sent_at,
        name=message.name,
        tool_calls=message.tool_calls,
        tool_call_id=message.tool_call_id,
        metadata=message.metadata,
    )


def _message(stored: Message) -> ChatMessage:
    found = item_of_message(_KIND, stored)
    if found is None:
        role = stored.role if stored.role in ("user", "assistant", "system", "developer", "tool") else "system"
        return ChatMessage(role=role, content=stored.text)
    return cast("ChatMessage", ChatMessage.model_validate(found))


def _draft_of(message: ChatMessage) -> Draft:
    item: dict[str, Any] = json.loads(json.dumps(message.model_dump(mode="json")))
    role = _ROLES.get(str(item.get("role")), "system")
    blocks = item.get("blocks") or []
    words = "\n".join(words_within(block.get("text") or "") for block in blocks if isinstance(block, dict))
    call_id = item.get("additional_kwargs", {}).get("tool_call_id")
    return message_of_item(
        _KIND, item, Spoken(role=role, words=words, tool_call_id=call_id if isinstance(call_id, str) else None)
    )
