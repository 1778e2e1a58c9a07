"""What a handler gets: the caller's own sessions, threads to work in, and the rule that let it in.

A rule is the first thing that runs for a route. It also notes the route's template, by which requests
are counted and logged: addresses hold keys, templates do not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Final, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request
from starlette.responses import Response

from chatkeep.http.guard import Grant, authorise, authorise_everywhere
from chatkeep.sessions import Sessions

READS_AT_ONCE: Final = 8
WRITES_AT_ONCE: Final = 16
SEARCHES_AT_ONCE: Final = 2
JSON_TYPE: Final = "application/json"
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Rule:
    """Who may use a route: lets a request with the right grant pass, raises for every other."""

    def __init__(self, check: Callable[[Grant | None], None]) -> None:
        """Take what checks a grant."""
        self._check = check

    async def __call__(self, request: Request) -> None:
        """Let the request pass or raise."""
        request.state.route = getattr(request.scope["route"], "path_format", "")
        self._check(getattr(request.state, "grant", None))


PUBLIC: Final = Rule(lambda _: None)
READ: Final = Rule(partial(authorise, scope="read"))
READ_EVERYWHERE: Final = Rule(partial(authorise_everywhere, scope="read"))
WRITE: Final = Rule(partial(authorise, scope="write"))
DELETE: Final = Rule(partial(authorise, scope="delete"))


class Pools:
    """Bounded threads for what would hold up the event loop: a burst of one kind does not starve the others."""

    def __init__(self) -> None:
        """Start without threads; they are made when they are needed."""
        self._reads = CapacityLimiter(READS_AT_ONCE)
        self._writes = CapacityLimiter(WRITES_AT_ONCE)
        self._searches = CapacityLimiter(SEARCHES_AT_ONCE)

    async def read(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what the work returns, done among the reads."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._reads)

    async def write(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what the work returns, done among the writes."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._writes)

    async def search(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what the work returns, done among the searches."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._searches)


async def _own(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    grant: Grant = request.state.grant
    return sessions.confined(grant.prefix)


async def _pools(request: Request) -> Pools:
    pools: Pools = request.app.state.pools
    return pools


Own = Annotated[Sessions, Depends(_own)]
"""The sessions that the caller's token is confined to."""

Threads = Annotated[Pools, Depends(_pools)]


def json_response(encoded: bytes, status: int = 200) -> Response:
    """Return ready bytes as an answer."""
    return Response(encoded, status, media_type=JSON_TYPE)
