"""The services of a running server, and the parameters that hand them to the handlers.

An application has one `Services`. Handlers ask for it with `ServicesParameter`, and for its most used parts with
`Own` and `PoolsParameter`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final

from msgspec import Struct, field
from starlette.applications import Starlette
from starlette.requests import Request

from chatkeep.access.page_sessions import SignInCode
from chatkeep.access.sign_in_links import SignInLinks
from chatkeep.core.usage.spending import PriceTable
from chatkeep.http.gate.binding import Computed
from chatkeep.http.gate.guard import Grant, Guard
from chatkeep.http.gate.rules import Pools, room_for
from chatkeep.http.metrics import Metrics
from chatkeep.http.streams.followers import Feed
from chatkeep.http.streams.upstreams import Upstreams
from chatkeep.model.chat import Chats
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.ready import ReadyAnswers

_REACHES_MAX: Final = 256  # prefixes of tokens


class Description(Struct, frozen=True, kw_only=True):
    """The API in words, encoded: the OpenAPI document, and the page made from it."""

    document: bytes
    page: bytes


class Reaches:
    """The use cases within each caller's reach, made once: they have no state of their own."""

    def __init__(self) -> None:
        """Begin without any."""
        self._made: dict[tuple[str, bool], tuple[Sessions, Sessions]] = {}

    def within(self, sessions: Sessions, prefix: str, *, may_drop: bool) -> Sessions:
        """Return the use cases on the keys under a prefix, as `Sessions.confined` does."""
        reach = (prefix, may_drop)
        of, made = self._made.get(reach, (None, sessions))
        if of is not sessions:
            if len(self._made) >= _REACHES_MAX:
                self._made.clear()
            made = sessions.confined(prefix, may_drop=may_drop)
            self._made[reach] = (sessions, made)
        return made


class Services(Struct, kw_only=True):
    """All that the handlers of one server work with."""

    sessions: Sessions
    guard: Guard
    pools: Pools
    chats: Chats
    upstreams: Upstreams
    feed: Feed
    metrics: Metrics
    description: Description
    prices: PriceTable
    started_s: float
    """When the server started, on the monotonic clock."""
    links: SignInLinks
    """The sign-in links made beside this server."""
    ready: ReadyAnswers = field(default_factory=ReadyAnswers)
    reaches: Reaches = field(default_factory=Reaches)
    origins: frozenset[str] = frozenset()
    """The origins of other sites whose pages may call the API."""
    code: SignInCode | None = None
    """The code of the printed sign-in link; None without one."""


def services_of(app: Starlette) -> Services:
    """Return the services of an application."""
    services: Services = app.state.services
    return services


@asynccontextmanager
async def room_for_body(request: Request) -> AsyncIterator[None]:
    """Reserve memory for the body of a request until it is answered."""
    room = await room_for(request, services_of(request.app).pools.body_memory)
    try:
        yield
    finally:
        room.give_back()


def _services(request: Request) -> Services:
    return services_of(request.app)


def _own(request: Request) -> Sessions:
    grant: Grant = request.scope["state"]["grant"]
    services = services_of(request.app)
    return services.reaches.within(services.sessions, grant.prefix, may_drop=grant.allows("delete"))


def _pools(request: Request) -> Pools:
    return services_of(request.app).pools


def _ready(request: Request) -> ReadyAnswers:
    return services_of(request.app).ready


ServicesParameter = Annotated[Services, Computed(_services)]
"""All services."""

Own = Annotated[Sessions, Computed(_own)]
"""The sessions within the caller's prefix."""

ReadyParameter = Annotated[ReadyAnswers, Computed(_ready)]
"""The last lists and histories, encoded."""

PoolsParameter = Annotated[Pools, Computed(_pools)]
