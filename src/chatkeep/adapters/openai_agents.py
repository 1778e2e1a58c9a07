"""OpenAI Agents SDK: a `Session` kept by Chatkeep, for `Runner.run(..., session=...)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from agents.memory.session import SessionABC
from agents.memory.session_settings import SessionSettings, coerce_session_settings, resolve_session_limit

from chatkeep.adapters.backing import SessionItems, Verbs, key_for_name
from chatkeep.adapters.exact import Spoken, item_of_message, message_of_item, words_within
from chatkeep.core.life.dropping import Chosen
from chatkeep.core.model import Draft, Json, Message
from chatkeep.core.standing import Role

if TYPE_CHECKING:
    from agents.items import TResponseInputItem

    from chatkeep.client import AsyncClient, Client
    from chatkeep.sessions.sessions import Sessions

_KIND: Final = "openai_agents"
_ROLES: Final[dict[str, Role]] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
    "tool": "tool",
}


class ChatkeepSession(SessionABC):
    """A session of the SDK: its items are the messages of the Chatkeep session with this key.

    The key is `prefix` and the session id; an id that no key can have is hashed. `pop_item` and `clear_session` take
    back, so they need the scope `delete`; the log keeps what was said.
    """

    def __init__(
        self,
        session_id: str,
        place: Client | AsyncClient | Sessions,
        *,
        prefix: str = "",
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        """Take the id, and a client or the sessions of a workspace; the caller closes it."""
        self.session_id = session_id
        self.session_settings = coerce_session_settings(session_settings or SessionSettings())
        self._items = SessionItems(key_for_name(prefix, session_id), Verbs(place))

    @property
    def key(self) -> str:
        """The key of the session in Chatkeep."""
        return self._items.key

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the items, oldest first: all of them, or the last ones."""
        last = resolve_session_limit(limit, self.session_settings)
        if last is not None and last <= 0:
            return []
        return [_item(message) for message in await self._items.read(last)]

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Store items at the end."""
        await self._items.add([_draft_of(item) for item in items])

    async def pop_item(self) -> TResponseInputItem | None:
        """Take back the last item and return it; None if there is none."""
        dropped = await self._items.drop(Chosen(last=1))
        return _item(dropped[-1]) if dropped else None

    async def clear_session(self) -> None:
        """Take back all items."""
        await self._items.clear()


def _item(message: Message) -> TResponseInputItem:
    found = item_of_message(_KIND, message)
    if found is None:
        found = _foreign(message)
    return cast("TResponseInputItem", found)


def _foreign(message: Message) -> Json:
    """Return a message of another program as an item."""
    if message.role == "tool" and message.tool_call_id:
        return {"type": "function_call_output", "call_id": message.tool_call_id, "output": message.text}
    return {"role": message.role if message.role != "tool" else "assistant", "content": message.text}


def _draft_of(item: TResponseInputItem) -> Draft:
    value: Json = item if isinstance(item, dict) else cast("Any", item).model_dump(exclude_unset=True)
    return message_of_item(_KIND, value, _spoken(value))


def _spoken(item: dict[str, Any]) -> Spoken:
    kind, call_id = item.get("type"), item.get("call_id")
    role = item.get("role")
    if isinstance(role, str) and role in _ROLES and kind in (None, "message"):
        return Spoken(role=_ROLES[role], path=("content",))
    if kind == "function_call" and isinstance(call_id, str) and isinstance(item.get("name"), str):
        function = {"name": item["name"], "arguments": item.get("arguments", "")}
        call = {"id": call_id, "type": "function", "function": function}
        return Spoken(role="assistant", tool_calls=[call])
    if kind == "function_call_output" and isinstance(call_id, str):
        return Spoken(role="tool", path=("output",), tool_call_id=call_id)
    return Spoken(
        role="system", words=words_within({name: item.get(name) for name in ("summary", "content", "output")})
    )
