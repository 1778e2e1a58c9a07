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

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from chatkeep.core.model import Hit, Hits, Message, Mode, Role, Selection, Sort, Unit
from chatkeep.core.search.query import Query
from chatkeep.errors import StorageError

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


def hits_shown(shown: Sequence[Hit | StorageError | None], *, mode: Mode, partial: bool) -> Hits:
    """Return the hits among what came of showing them; where some cannot be read, that is not all there is.

    Raises:
        StorageError: when there were hits, and the disk lets none of them be read.
    """
    hits = tuple(hit for hit in shown if isinstance(hit, Hit))
    refused = [error for error in shown if isinstance(error, StorageError)]
    if refused and not hits:
        raise refused[0]
    return Hits(hits=hits, mode=mode, partial=partial or bool(refused))


def is_enough(search: Search, message_count: int, session_count: int) -> bool:
    """Tell whether messages that have every term are the answer."""
    count = session_count if search.unit == "session" else message_count
    return count >= search.wanted if search.query.is_question else message_count > 0


def searched_text(message: Message, search: Search) -> str:
    """Return what a search looks at of a message: what a model thought, too, where every role is asked for."""
    if search.roles is not None:
        return message.text
    return "\n\n".join(filter(None, (message.text, message.reasoning)))
