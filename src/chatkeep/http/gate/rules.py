"""What a handler gets: the caller's own sessions, threads to work in, and the rule that let it in.

A rule is the first thing that runs for a route. It also notes the route's template, by which requests
are counted and logged: addresses hold keys, templates do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated, Final, ParamSpec, TypeVar

import msgspec
from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.responses import Response

from chatkeep.core.bounds import LARGE_BODY_BYTES_MAX
from chatkeep.core.search.search import Search
from chatkeep.errors import InvalidError
from chatkeep.http.gate.guard import Grant, authorise, authorise_everywhere
from chatkeep.http.gate.room import BodyMemory, Room
from chatkeep.sessions import Sessions
from chatkeep.wire.answers import hit_page, json_bytes
from chatkeep.workers.appending import Append, StoredAnswer, Task, answer_of, done, handed_over
from chatkeep.workers.beside import Beside

READS_AT_ONCE: Final = 8
WRITES_AT_ONCE: Final = 16
SEARCHES_AT_ONCE: Final = 2
EXPORTS_AT_ONCE: Final = 2
SHORT_BYTES: Final = 8 << 10  # of a body; the slowest text of that size takes the interpreter 30 ms
MIDDLING_BYTES: Final = 1 << 20  # which do not wait for those that are longer
_SECONDS_A_BYTE: Final = 2e-5  # of the slowest text on a busy machine, four times
JSON_TYPE: Final = "application/json"
_NAME_CHARS_MAX: Final = 64  # of a name that is told back
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Rule:
    """Who may use a route: lets a request with the right grant pass, raises for every other.

    It also refuses parameters that the route does not know: a filter that is misspelt must not be none.
    """

    def __init__(self, check: Callable[[Grant | None], None]) -> None:
        """Take what checks a grant."""
        self._check = check

    async def __call__(self, request: Request) -> None:
        """Let the request pass or raise."""
        route: APIRoute = request.scope["route"]
        request.state.route = route.path_format
        grant = getattr(request.state, "grant", None)
        self._check(grant)
        if grant is None:
            return  # a public route filters nothing
        known = _query_names(route.dependant)
        for name in request.query_params:
            if name not in known:
                raise InvalidError(
                    name[:_NAME_CHARS_MAX], f"is no parameter here; there are: {', '.join(known) or 'none'}"
                )


PUBLIC: Final = Rule(lambda _: None)
SIGN_IN: Final = Rule(lambda _: None)
"""As public, but counted."""
READ: Final = Rule(partial(authorise, scope="read"))
READ_EVERYWHERE: Final = Rule(partial(authorise_everywhere, scope="read"))
WRITE: Final = Rule(partial(authorise, scope="write"))
DELETE: Final = Rule(partial(authorise, scope="delete"))


class Pools:
    """Bounded threads for what would hold up the event loop: a burst of one kind does not starve the others.

    And a bounded part of the memory, for what is worked on.
    """

    def __init__(
        self, searcher: Beside | None = None, body_memory: BodyMemory | None = None, writer: Beside | None = None
    ) -> None:
        """Start without threads; they are made when they are needed. Other processes work instead when they can."""
        self.body_memory = body_memory or BodyMemory()
        self._searcher = searcher
        self._writer = writer
        self._lanes = (asyncio.Semaphore(1), asyncio.Semaphore(1))
        self._reads = CapacityLimiter(READS_AT_ONCE)
        self._writes = CapacityLimiter(WRITES_AT_ONCE)
        self._searches = CapacityLimiter(SEARCHES_AT_ONCE)
        self._exports = CapacityLimiter(EXPORTS_AT_ONCE)
        self._imports = CapacityLimiter(1)

    async def read(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what the work returns, done among the reads."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._reads)

    async def write(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what the work returns, done among the writes."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._writes)

    async def append(self, asked: Append, body: bytes, sessions: Sessions) -> StoredAnswer:
        """Return what is told of an append; a long one is done beside this process.

        Raises:
            ChatkeepError: as `appending.done` says.
        """
        answer = await self.beside(asked, body) if len(body) > SHORT_BYTES else None
        return await self.write(done, sessions, asked, body) if answer is None else answer

    async def beside(self, asked: Task, body: bytes) -> StoredAnswer | None:
        """Return what the process beside this one did with a body, in the turn of its size; None to do it here.

        Raises:
            ChatkeepError: what the other process raised.
        """
        if self._writer is None:
            return None
        async with self._lanes[len(body) > MIDDLING_BYTES]:
            told = await self._writer.ask(*handed_over(asked, body), lasts_s=_SECONDS_A_BYTE * len(body))
        return None if told is None else answer_of(told)

    async def page_of(self, sessions: Sessions, search: Search) -> bytes:
        """Return the page that answers a search, found by the process beside this one, else among the searches."""
        if self._searcher is not None and search.query.terms:
            asked = msgspec.msgpack.encode(sessions.own_search(search))
            page = await self._searcher.ask(asked, lasts_s=search.deadline_s)
            if page is not None:
                return page
        return await to_thread.run_sync(_page_of, sessions, search, limiter=self._searches)

    async def export(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what the work returns, done among the exports: they go on for long, and reads do not wait for them."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._exports)

    async def import_(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what the work returns, done alone among the imports: each may take much memory."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._imports)


async def room_for(request: Request) -> Room:
    """Return room for the body of a request, which waits for it with its sender.

    A body that does not say how long it is takes the room of the longest.

    Raises:
        BusyError: when there is none within 30 seconds.
    """
    pools: Pools = request.app.state.pools
    memory = pools.body_memory
    declared = request.headers.get("content-length")
    if declared is None:
        is_coming = "transfer-encoding" in request.headers
        return await memory.room(LARGE_BODY_BYTES_MAX if is_coming else 0)
    size_bytes = int(declared[:20]) if declared.isdecimal() else 0
    return await memory.room(size_bytes if size_bytes <= LARGE_BODY_BYTES_MAX else 0)  # what is longer is not read


async def room_for_body(request: Request) -> AsyncIterator[None]:
    """Hold room for the body of a request until it is answered."""
    room = await room_for(request)
    try:
        yield
    finally:
        room.give_back()


async def _own(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    grant: Grant = request.state.grant
    return sessions.confined(grant.prefix)


async def _pools(request: Request) -> Pools:
    pools: Pools = request.app.state.pools
    return pools


def _page_of(sessions: Sessions, search: Search) -> bytes:
    return json_bytes(hit_page(sessions.search(search)))


def _query_names(dependant: Dependant) -> list[str]:
    own = [field.alias for field in dependant.query_params]
    return own + [name for inner in dependant.dependencies for name in _query_names(inner)]


Own = Annotated[Sessions, Depends(_own)]
"""The sessions that the caller's token is confined to."""

PoolsParameter = Annotated[Pools, Depends(_pools)]


def json_response(encoded: bytes, status: int = 200) -> Response:
    """Return ready bytes as an answer."""
    return Response(encoded, status, media_type=JSON_TYPE)
