"""Items of conversations and of responses as a list: what a client may ask of it, and its page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Final, Literal, NamedTuple

from starlette.responses import Response

from chatkeep.core.history.state.conversation_items import INCLUDES
from chatkeep.errors import InvalidError
from chatkeep.http.gate.binding import Computed, InQuery
from chatkeep.http.gate.rules import json_response
from chatkeep.http.services import PoolsParameter
from chatkeep.model.state.conversations import ItemPage
from chatkeep.wire.answers import json_bytes
from chatkeep.wire.conversation_objects import item_list

_PAGE_MAX: Final = 100  # conversations or items in a list

PageLimit = Annotated[int, InQuery(ge=1, le=_PAGE_MAX, description="Return at most so many.")]
AfterItem = Annotated[str | None, InQuery(description="`last_id` of the page before, to continue there.")]
ItemOrder = Annotated[Literal["asc", "desc"], InQuery(description="`asc`: the first item first. `desc`: the last one.")]
Included = Annotated[
    tuple[str, ...],
    InQuery(
        alias="include",
        max_length=len(INCLUDES),
        description="Return these fields of items, too. Repeat it for several.",
        schema={"items": {"enum": [*INCLUDES]}},
    ),
]
IncludedToo = Annotated[
    tuple[str, ...],
    InQuery(
        alias="include[]",
        max_length=len(INCLUDES),
        description="The same, as OpenAI's own clients write it.",
        schema={"items": {"enum": [*INCLUDES]}},
    ),
]


def _include(some: Included = (), others: IncludedToo = ()) -> frozenset[str]:
    """Return the fields to include.

    Raises:
        InvalidError: for an unknown one.
    """
    named = frozenset((*some, *others))
    if unknown := sorted(named.difference(INCLUDES)):
        raise InvalidError("include", f"{unknown[0][:64]!r} is none of {', '.join(INCLUDES)}")
    return named


IncludedFields = Annotated[frozenset[str], Computed(_include)]


class AskedPage(NamedTuple):
    """The part of a list that a client asks for, and the fields to include."""

    include: frozenset[str]
    limit: int
    after: str | None
    is_rising: bool


def _asked_page(
    include: IncludedFields, *, limit: PageLimit = 20, after: AfterItem = None, order: ItemOrder = "desc"
) -> AskedPage:
    return AskedPage(include, limit, after, order == "asc")


PageParameter = Annotated[AskedPage, Computed(_asked_page)]


async def page_response(threads: PoolsParameter, listed: Callable[..., ItemPage], asked: AskedPage) -> Response:
    """Return the answer with a page of items, which `listed` returns for the place and the order asked for."""
    return json_response(await threads.read(partial(_page_bytes, listed, asked)))


def _page_bytes(listed: Callable[..., ItemPage], asked: AskedPage) -> bytes:
    page = listed(after=asked.after, limit=asked.limit, is_rising=asked.is_rising)
    return json_bytes(item_list(page.items, asked.include, has_more=page.has_more))
