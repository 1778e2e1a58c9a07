"""What a search asks for, and what counts as its answer.

A message is looked at when its role is among `roles`, its time lies in [since, until) and its session
is in the selection. In mode `all` each that is answered has every term of the query. When none has,
those are answered that have some of them, or some of their parts: mode `any`. To a question, which
has words that its answer has not, these are added when there are too few of the others.

With `unit="session"` a session is answered once, by its best message; `match_count` counts its
messages that match. Which is best, `core.ranking` says. When very many messages match, the newest
thousand of them are ranked, or those with the rarest terms; `sort="recent"` always answers the newest.
Deleted sessions and messages are never answered.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct

from chatkeep.core.model import Role, Selection, Sort, Unit
from chatkeep.core.query import Query

_WANTED_LEAST: Final = 30
DEFAULT_ROLES: tuple[Role, ...] = ("user", "assistant")


class Search(Struct, frozen=True, kw_only=True):
    """A query with its filters. `roles` None means every role; `deadline_s` bounds the time spent.

    With `session` only the messages of the session with this key are looked at.
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
        """As many results are looked for: a lower limit only cuts the list of the best."""
        return self.limit if self.sort == "recent" else max(self.limit, _WANTED_LEAST)


def is_enough(search: Search, message_count: int, session_count: int) -> bool:
    """Tell whether messages that have every term are the answer."""
    count = session_count if search.unit == "session" else message_count
    return count >= search.wanted if search.query.is_question else message_count > 0
