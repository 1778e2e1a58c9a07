"""A search: its filters, and the messages that answer it.

A search looks at messages of the selected sessions, if their role is among `roles` and their time in [since, until).
In mode `all`, every answer has every term of the query. If no message has, messages with some terms, or some of their
parts, are the answer: mode `any`. The answer to a question rarely has all its words. So a question gets such messages
too if too few have every term.

With `unit="session"` a session is answered once, by its best message; `match_count` counts its matching messages.
A session is also answered if its names have every term: its title, its key and its tags. Titles rank as messages do,
keys and tags below these.
`ranker` decides the best. When very many messages match, a store ranks a bounded number of them: the newest, or
those with the rarest terms. `sort="recent"` always answers the newest. Deleted sessions and messages are never
answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core.model import Elsewhere, Header, Hit, Hits, Message, Selection, Sort, Unit, given_title
from chatkeep.core.search.query import Query
from chatkeep.core.standing import ROLES, Role
from chatkeep.errors import StorageError

_WANTED_LEAST: Final = 30  # results; a lower limit must not change the order of the best
DEFAULT_ROLES: tuple[Role, ...] = ("user", "assistant")


class Search(Struct, frozen=True, kw_only=True):
    """A query with its filters. `roles` None means every role; `deadline_s` bounds the time spent.

    With `session`, a search looks only at the messages of the session with this key. `cursor` goes on where a page of
    the same search ended.
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
    cursor: str | None = None
    deadline_s: float = 0.8

    @property
    def looked_for(self) -> int:
        """The number of results to look for, with the one that tells whether another page follows."""
        return max(self.wanted, self.limit + 1)

    @property
    def covers_work(self) -> bool:
        """Whether the search looks at the work behind the answers, too: thinking, calls and results of tools."""
        return self.roles is None or "tool" in self.roles

    @property
    def covers_names(self) -> bool:
        """Whether the search looks at titles, keys and tags, too: for sessions of any time, by what was said."""
        is_of_talk = self.roles is None or set(DEFAULT_ROLES) <= set(self.roles)
        is_narrow = self.session is not None or self.since is not None or self.until is not None
        return self.unit == "session" and is_of_talk and not is_narrow

    @property
    def unfiltered(self) -> Search:
        """The same search of any session under the same prefix, and of any time."""
        selection = Selection(prefixes=self.selection.prefixes, archived=None)
        return msgspec.structs.replace(self, selection=selection, session=None, since=None, until=None)

    @property
    def wanted(self) -> int:
        """The number of results to look for: a lower limit only cuts the list of the best."""
        return self.limit if self.sort == "recent" else max(self.limit, _WANTED_LEAST)


def hits_shown(shown: Sequence[Hit | StorageError | None], answer: Hits) -> Hits:
    """Return an answer with the hits among these results; an unreadable one makes it partial.

    Raises:
        StorageError: when there were results, and the disk lets none of them be read.
    """
    hits = tuple(hit for hit in shown if isinstance(hit, Hit))
    refused = [error for error in shown if isinstance(error, StorageError)]
    if refused and not hits:
        raise refused[0]
    return msgspec.structs.replace(answer, hits=hits, partial=answer.partial or bool(refused))


def is_enough(search: Search, message_count: int, session_count: int) -> bool:
    """Tell whether the messages with every term are the answer."""
    count = session_count if search.unit == "session" else message_count
    return count >= search.wanted if search.query.is_question else message_count > 0


def searched_texts(message: Message, search: Search) -> tuple[str, ...]:
    """Return the texts of a message that a search looks at: what it says, and the work behind it.

    A phrase stands within one of them. The work is searched with the role `tool`, and with every role.
    """
    is_heard = search.roles is None or message.role in search.roles
    found = (message.text if is_heard else "", message.work if search.covers_work else "")
    return tuple(filter(None, found))


def names_of(header: Header) -> tuple[str, ...]:
    """Return the searched names of a session: the title that the user or a model gave it, its key, and its tags."""
    return (given_title(header) or "", header.key, *header.tags)


def elsewhere_of(search: Search, count: Callable[[Search], int]) -> Elsewhere | None:
    """Return where a search without hits would have some, None for nowhere; `count` counts messages with every term."""
    other = [role for role in ROLES if search.roles is not None and role not in search.roles]
    counts = {role: count(msgspec.structs.replace(search, roles=(role,))) for role in other}
    wide = search.unfiltered
    unfiltered = count(wide) if wide != search else 0
    found = {role: number for role, number in counts.items() if number}
    return Elsewhere(roles=found, unfiltered=unfiltered) if found or unfiltered else None
