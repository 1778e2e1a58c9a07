"""What a search asks for, and what counts as its answer.

A message is a candidate when its role is among `roles`, its time lies in [since, until) and its
session is in the selection. It matches in mode `all` when it has every term, in mode `any` when it
has one of them; `any` is used only when `all` finds nothing. With `unit="session"` a session is
answered once, by its best message; `match_count` counts its matching messages. Deleted sessions and
messages are never answered.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from chatkeep.core.model import Role, Selection, Sort, Unit
from chatkeep.core.query import Query

DEFAULT_ROLES: tuple[Role, ...] = ("user", "assistant")


class Search(Struct, frozen=True, kw_only=True):
    """A query with its filters. `roles` None means every role; `deadline_s` bounds the time spent."""

    query: Query
    selection: Selection = Selection(archived=None)
    roles: tuple[Role, ...] | None = DEFAULT_ROLES
    since: datetime | None = None
    until: datetime | None = None
    sort: Sort = "relevance"
    unit: Unit = "session"
    limit: int = 20
    deadline_s: float = 1.0
