"""The Model Context Protocol: each request of it is one request here, with one answer in JSON and no state between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from chatkeep.errors import ForbiddenError, NotFoundError
from chatkeep.http.gate.body import json_of
from chatkeep.http.gate.guard import authorise
from chatkeep.http.services import Own, PoolsParameter, Services, ServicesParameter

if TYPE_CHECKING:
    from chatkeep.mcp.tools import Lane

_ANYTHING: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(msgspec.Raw)
_T = TypeVar("_T")


class _Passed(Response):
    """A response that another application gives."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


async def answer_mcp(request: Request, services: ServicesParameter, sessions: Own, threads: PoolsParameter) -> Response:
    """Answer one message of the Model Context Protocol (streamable HTTP, without a stream of the server's own).

    The tools that the token may use are those of its scopes, on the sessions within its prefix.
    """
    if find_spec("mcp") is None:
        raise NotFoundError("This server has no MCP. Install it there: pip install 'chatkeep[mcp]'")
    _check_origin(services, request)
    body = bytes(await json_of(request, threads, _ANYTHING))
    made = await threads.read(_loaded)  # the SDK takes a second to load, once

    def run(lane: Lane, work: Callable[[], _T]) -> Awaitable[_T]:
        lanes = {"read": threads.read, "write": threads.write, "search": threads.search}
        return lanes[lane](work)

    return _Passed(made(sessions, partial(authorise, request.state.grant), run, body))


def _loaded() -> Callable[..., ASGIApp]:
    from chatkeep.mcp.doors import http_answer  # noqa: PLC0415 - loads the SDK

    return http_answer


def _check_origin(services: Services, request: Request) -> None:
    """Check that no page of an unknown site asks, as the protocol demands.

    Raises:
        ForbiddenError: when one does.
    """
    for origin in request.headers.getlist("origin"):
        host = origin.partition("://")[2]
        if origin not in services.origins and not services.guard.is_known(host):
            raise ForbiddenError("Pages of this origin may not call this server; allow it with --cors-origin.")
