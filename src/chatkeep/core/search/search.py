"""A search: its filters, and the messages that answer it.

A search looks at messages of the selected sessions, if their role is among `roles` and their time in [since, until).
In mode `all`, every answer has every term of the query. If no message has, messages with some terms, or some of their
parts, are the answer: mode `any`. The answer to a question rarely has all its words. So a question gets such messages
too if too few have every term.

With `unit="session"` a session is answered once, by its best message; `match_count` counts its matching messages.
`ranker` decides the best. When very many messages match, a store ranks a bounded number of them: the newest, or
those with the rarest terms. `sort="recent"` always answers the newest. Deleted sessions and messages are never
answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from chatkeep.core.model import Hit, Hits, Message, Mode, Role, Selection, Sort, Unit
from chatkeep.core.search.query import Query
from chatkeep.errors import StorageError

_WANTED_LEAST: Final = 30  # results; a lower limit must not change the order of the best
DEFAULT_ROLES: tuple[Role, ...] = ("user", "assistant")


class Search(Struct, frozen=True, kw_only=True):
    """A query with its filters. `roles` None means every role; `deadline_s` bounds the time spent.

    With `session`, a search looks only at the messages of the session with this key.
    """

    query: Query
    selection: Selection = Selection(archived=None)
    session: str | None = None
    roles: tuple[Role, ...] | None = DEFAULT_ROLES
    since: datetime | None = None
    until: datetime | None = None
    sort: Sort = "relevance"
    unit: Unit = "session"
    limit: int = 20
    deadline_s: float = 0.8

    @property
    def wanted(self) -> int:
        """The number of results to look for: a lower limit only cuts the list of the best."""
        return self.limit if self.sort == "recent" else max(self.limit, _WANTED_LEAST)


def hits_shown(shown: Sequence[Hit | StorageError | None], *, mode: Mode, partial: bool) -> Hits:
    """Return the hits among these results; an unreadable one makes the answer partial.

    Raises:
        StorageError: when there were results, and the disk lets none of them be read.
    """
    hits = tuple(hit for hit in shown if isinstance(hit, Hit))
    refused = [error for error in shown if isinstance(error, StorageError)]
    if refused and not hits:
        raise refused[0]
    return Hits(hits=hits, mode=mode, partial=partial or bool(refused))


def is_enough(search: Search, message_count: int, session_count: int) -> bool:
    """Tell whether the messages with every term are the answer."""
    count = session_count if search.unit == "session" else message_count
    return count >= search.wanted if search.query.is_question else message_count > 0


def searched_text(message: Message, search: Search) -> str:
    """Return the searched text of a message, with the model's thinking if the search covers every role."""
    if search.roles is not None:
        return message.text
    return "\n\n".join(filter(None, (message.text, message.reasoning)))
