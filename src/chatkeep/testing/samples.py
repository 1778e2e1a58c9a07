"""Sample messages and sessions for tests: short to write, with fixed times."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from chatkeep.core.keys import channel_of
from chatkeep.core.model import Draft, Header, Hits, Json, Message, Selection, Session, Sort, Unit
from chatkeep.core.search.query import parse_query
from chatkeep.core.search.search import DEFAULT_ROLES, Search
from chatkeep.core.standing import Role

START: Final = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
_PATIENCE_S: Final = 30.0  # seconds; so long a deadline that a busy machine cuts no test off


def at(seconds: float) -> datetime:
    """Return the time `seconds` after `START`."""
    return START + timedelta(seconds=seconds)


def draft(
    content: str | list[Json] | None = "Hello",
    seconds: float = 0,
    *,
    id: str | None = None,  # noqa: A002 - it is the message's id
    role: Role = "user",
    **fields: Json,
) -> Draft:
    """Return a message to append, with a random id by default."""
    return Draft(role=role, content=content, sent_at=at(seconds), id=id or secrets.token_hex(8), **fields)


def talk(count: int) -> tuple[Draft, ...]:
    """Return `count` messages, `line 1`, `line 2` ..., one each second, from user and assistant in turn."""
    roles: tuple[Role, Role] = ("user", "assistant")
    return tuple(draft(f"line {n}", n, id=f"id-{n}", role=roles[(n - 1) % 2]) for n in range(1, count + 1))


def session(key: str, drafts: Sequence[Draft] = (), *, extra: dict[str, Json] | None = None, **fields: Json) -> Session:
    """Return a whole session; `fields` are of its header, `extra` has its unknown fields."""
    header = Header(key=key, channel=channel_of(key), title=None, created_at=START)
    said = [msgspec.structs.asdict(each) for each in drafts]
    return Session(
        header=msgspec.structs.replace(header, **fields),
        messages=tuple(Message(seq=seq, **each) for seq, each in enumerate(said, start=1)),
        extra=extra or {},
    )


def search_for(  # noqa: PLR0913 - the filters of a search
    text: str,
    *,
    selection: Selection = Selection(archived=None),  # noqa: B008 - an immutable value
    session: str | None = None,
    roles: tuple[Role, ...] | None = DEFAULT_ROLES,
    since: datetime | None = None,
    until: datetime | None = None,
    sort: Sort = "relevance",
    unit: Unit = "session",
    limit: int = 20,
) -> Search:
    """Return the search for a query as typed, with a deadline of 30 seconds."""
    return Search(
        query=parse_query(text),
        selection=selection,
        session=session,
        roles=roles,
        since=since,
        until=until,
        sort=sort,
        unit=unit,
        limit=limit,
        deadline_s=_PATIENCE_S,
    )


def places_of(hits: Hits) -> list[tuple[str, int]]:
    """Return the places of hits: key and seq."""
    return [(hit.key, hit.seq) for hit in hits.hits]


def slices_of(hits: Hits) -> list[str]:
    """Return the highlighted pieces of all hits."""
    return [hit.excerpt[start:end] for hit in hits.hits for start, end in hit.highlights]
