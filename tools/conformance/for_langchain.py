"""A plugin of pytest: LangChain's tests of chat histories get a history of Chatkeep."""

from __future__ import annotations

import itertools
from typing import Any

from langchain_core import chat_history
from tools.conformance.homes import place, prefix_of

from chatkeep.adapters.langchain import ChatkeepChatMessageHistory

_numbers = itertools.count()


class Replaced(ChatkeepChatMessageHistory):
    """A history of Chatkeep with the parameters of the history in memory."""

    def __init__(self, messages: Any = (), **_: Any) -> None:
        """Make one."""
        home = place("langchain")
        super().__init__(f"history-{next(_numbers)}", home, prefix=prefix_of(home))
        if messages:
            self.add_messages(messages)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Replaced) and self.messages == other.messages

    __hash__ = None  # type: ignore[assignment]


chat_history.InMemoryChatMessageHistory = Replaced  # type: ignore[assignment, misc]
