"""AI SDK (Vercel): the messages of a user interface, for a backend in Python behind `useChat`.

chat = ChatkeepChat("user:alice", client)
messages = await chat.load()
await chat.save([*messages, posted, answer])

A `UIMessage` is JSON; this module needs no framework. The npm package `chatkeep` (`clients/js`) stores the same way
from JavaScript, so both may serve one chat.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from chatkeep.adapters.backing import SessionItems, Verbs, key_for_name
from chatkeep.adapters.exact import Spoken, message_of_item
from chatkeep.core.life.dropping import Chosen
from chatkeep.core.model import Draft, Header, Json, Message, Session
from chatkeep.core.standing import Role
from chatkeep.errors import InvalidError
from chatkeep.exporters.formats.ui_messages import ui_messages

if TYPE_CHECKING:
    from chatkeep.client import AsyncClient, Client
    from chatkeep.sessions.sessions import Sessions

_KIND: Final = "ai_sdk"
_ROLES: Final[dict[str, Role]] = {"user": "user", "assistant": "assistant", "system": "system"}
_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
UIMessage = dict[str, Any]


class ChatkeepChat:
    """The messages of one chat. The key is `prefix` and the chat's id; an id that no key can have is hashed.

    Saving a changed message, and `pop` and `clear`, take back, so they need the scope `delete`; the log keeps what was
    said.
    """

    def __init__(self, chat_id: str, place: Client | AsyncClient | Sessions, *, prefix: str = "") -> None:
        """Take the id, and a client or the sessions of a workspace; the caller closes it."""
        self.chat_id = chat_id
        self._items = SessionItems(key_for_name(prefix, chat_id), Verbs(place))

    @property
    def key(self) -> str:
        """The key of the session in Chatkeep."""
        return self._items.key

    async def load(self, last: int | None = None) -> list[UIMessage]:
        """Return all messages, or the last ones, oldest first, as `validateUIMessages` takes them."""
        return _ui_messages(self.key, await self._items.read(last))

    async def save(self, messages: Sequence[UIMessage]) -> None:
        """Keep these messages as the whole chat, in one step; those that begin both alike stay untouched."""
        await self._items.replace([_draft_of(message) for message in messages])

    async def add(self, messages: Sequence[UIMessage]) -> None:
        """Store messages at the end."""
        await self._items.add([_draft_of(message) for message in messages])

    async def pop(self) -> UIMessage | None:
        """Take back the last message and return it; None if there is none."""
        found = _ui_messages(self.key, await self._items.drop(Chosen(last=1)))
        return found[-1] if found else None

    async def clear(self) -> None:
        """Take back all messages."""
        await self._items.clear()


def _ui_messages(key: str, messages: Iterable[Message]) -> list[UIMessage]:
    header = Header(key=key, channel="", title=None, created_at=_NO_TIME)
    return ui_messages(Session(header=header, messages=tuple(messages)))


def _draft_of(message: UIMessage) -> Draft:
    parts = message.get("parts") if isinstance(message, Mapping) else None
    role = _ROLES.get(str(message.get("role"))) if isinstance(parts, list) else None
    if role is None or not isinstance(message.get("id"), str):
        raise InvalidError("messages", "hold no UIMessage: each has an id, a role (system, user, assistant) and parts")
    words = "\n".join(_words(part) for part in parts or () if isinstance(part, Mapping) and part.get("type") == "text")
    return message_of_item(_KIND, message, Spoken(role=role, words=words))


def _words(part: Mapping[str, Json]) -> str:
    text = part.get("text")
    return text if isinstance(text, str) else ""
