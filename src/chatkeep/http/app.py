"""The HTTP application: the routes of `http.table`, behind the guard, over one set of services.

A request passes the envelope (id, headers, log), the guard (host, token, limits) and the rule of its route
(scope). Then its handler runs: a few lines over `Sessions`, with encoded bytes as the result. Errors leave through
`http.gate.problems`. A handler runs on the event loop if it only walks an index; the others use bounded threads.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

import chatkeep
from chatkeep.access.page_sessions import SignInCode
from chatkeep.access.sign_in_links import SignInLinks
from chatkeep.http import docs
from chatkeep.http.gate import problems
from chatkeep.http.gate.envelope import Envelope
from chatkeep.http.gate.guard import RATE_HEADERS, Guard, GuardMiddleware
from chatkeep.http.gate.rules import PUBLIC, SIGN_IN, Pools
from chatkeep.http.metrics import Metrics
from chatkeep.http.openapi import Route, described, extra, responses
from chatkeep.http.services import Description, Services, room_for_body, services_of
from chatkeep.http.streams.followers import Feed
from chatkeep.http.streams.relay import Relay
from chatkeep.http.streams.upstreams import Upstreams
from chatkeep.http.table import ROUTES
from chatkeep.model.chat import Chats
from chatkeep.model.upstream import NoModel
from chatkeep.sessions import Sessions


def create_app(
    sessions: Sessions,
    guard: Guard,
    *,
    chats: Chats | None = None,
    relay: Relay | Upstreams | None = None,
    pools: Pools | None = None,
    cors_origins: Sequence[str] = (),
    code: SignInCode | None = None,
) -> FastAPI:
    """Return the application serving these sessions behind the guard.

    `chats` and `relay` are the ways to a model; without them there is none. Pages from `cors_origins` may call the
    API from a browser, with a token. `code` lets one browser sign in. `pools` bound the threads and the memory.
    """
    app = FastAPI(
        title="Chatkeep",
        summary="Keeps the conversations of AI agents.",
        version=chatkeep.__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_life,
    )
    for route in ROUTES:
        _add(app, route)
    problems.register(app)
    metrics = Metrics(sessions)
    app.add_middleware(GuardMiddleware, guard=guard)
    if cors_origins:
        _let_pages_call(app, cors_origins)
    app.add_middleware(Envelope, seen=metrics.seen)
    document = described(app, ROUTES)
    threads = pools or Pools()
    upstreams = relay if isinstance(relay, Upstreams) else Upstreams(relay or Relay(None))
    app.state.services = Services(
        sessions=sessions,
        guard=guard,
        pools=threads,
        chats=chats or Chats(NoModel(), history_tokens=0),
        upstreams=upstreams,
        feed=Feed(sessions, threads),
        metrics=metrics,
        description=Description(document=msgspec.json.encode(document), page=docs.page(document)),
        started_s=time.monotonic(),
        links=SignInLinks(guard.tokens),
        code=code,
    )
    return app


def _let_pages_call(app: FastAPI, origins: Sequence[str]) -> None:
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=sorted({route.method for route in ROUTES}),
        allow_headers=["Authorization", "Content-Type", "Last-Event-ID", "X-Session-Key"],
        expose_headers=[
            "Retry-After",
            "X-Chatkeep-Left-Out",
            "X-Not-Recorded",
            "X-Request-ID",
            "X-Session-Key",
            *RATE_HEADERS,
        ],
    )


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    """At shutdown, wait until cancelled answers are stored: uvicorn does not wait for them."""
    yield
    services = services_of(app)
    await services.chats.close()
    await services.upstreams.close()


def _add(app: FastAPI, route: Route) -> None:
    app.add_api_route(
        route.path,
        route.endpoint,
        methods=[route.method],
        dependencies=[Depends(route.rule), *([Depends(room_for_body)] if route.body and not route.lasts else [])],
        operation_id=route.name,
        status_code=route.answer.statuses[-1],
        response_class=Response,
        response_model=None,
        responses=responses(route.answer, route.problems),
        openapi_extra=extra(route.body, is_open=route.rule in (PUBLIC, SIGN_IN)),
    )
