"""The HTTP application: the routes of `http.table`, behind the guard, over one set of services.

A request passes the envelope (id, headers, log), the guard (host, token, limits), and in `http.dispatch` the rule of
its route (scope). Then its handler runs: a few lines over `Sessions`, with encoded bytes as the result. Errors leave
through `http.gate.problems`. A handler runs on the event loop if it only walks an index or answers from memory; the
others use bounded threads.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route as Path

from chatkeep.access.page_sessions import SignInCode
from chatkeep.access.sign_in_links import SignInLinks
from chatkeep.core.life.retention import RetentionRule
from chatkeep.http import docs
from chatkeep.http.dispatch import Endpoint, ThinApplication
from chatkeep.http.gate.envelope import Envelope
from chatkeep.http.gate.guard import RATE_HEADERS, Guard, GuardMiddleware
from chatkeep.http.gate.rules import Pools
from chatkeep.http.metrics import Metrics
from chatkeep.http.openai_table import CONVERSATIONS, KEPT_RESPONSES
from chatkeep.http.openapi import described
from chatkeep.http.purging import pruning, purging
from chatkeep.http.services import Description, Services, services_of
from chatkeep.http.streams.followers import Feed
from chatkeep.http.streams.relay import Relay
from chatkeep.http.streams.upstreams import Upstreams
from chatkeep.http.table import ROUTES
from chatkeep.model.chat import Chats
from chatkeep.model.prices import price_table
from chatkeep.model.upstream import NoModel
from chatkeep.sessions.sessions import Sessions


def create_app(
    sessions: Sessions,
    guard: Guard,
    *,
    chats: Chats | None = None,
    relay: Relay | Upstreams | None = None,
    pools: Pools | None = None,
    cors_origins: Sequence[str] = (),
    code: SignInCode | None = None,
) -> Starlette:
    """Return the application serving these sessions behind the guard.

    `chats` and `relay` are the ways to a model; without them there is none. Pages from `cors_origins` may call the
    API from a browser, with a token. `code` lets one browser sign in. `pools` bound the threads and the memory.
    """
    upstreams = relay if isinstance(relay, Upstreams) else Upstreams(relay or Relay(None))
    left = (
        *(CONVERSATIONS if upstreams.keeps_conversations else ()),
        *(() if upstreams.lacks_state else KEPT_RESPONSES),
    )
    app = ThinApplication(
        routes=[Path(route.path, Endpoint(route), methods=[route.method]) for route in ROUTES if route not in left],
        lifespan=_life,
    )
    keep_by(app, ())
    metrics = Metrics(sessions)
    app.add_middleware(GuardMiddleware, guard=guard)
    if cors_origins:
        _let_pages_call(app, cors_origins)
    app.add_middleware(Envelope, seen=metrics.seen)
    document = described(ROUTES)
    threads = pools or Pools()
    app.state.services = Services(
        sessions=sessions,
        guard=guard,
        pools=threads,
        chats=chats or Chats(NoModel(), history_tokens=0),
        upstreams=upstreams,
        feed=Feed(sessions, threads),
        metrics=metrics,
        description=Description(document=msgspec.json.encode(document), page=docs.page(document)),
        prices=price_table(),
        started_s=time.monotonic(),
        links=SignInLinks(guard.tokens),
        origins=frozenset(cors_origins),
        code=code,
    )
    return app


def keep_by(app: Starlette, rules: Sequence[RetentionRule]) -> None:
    """Let an application run these retention rules once a day while it lives."""
    app.state.retention = tuple(rules)


def _let_pages_call(app: Starlette, origins: Sequence[str]) -> None:
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
async def _life(app: Starlette) -> AsyncIterator[None]:
    """Purge and prune; at shutdown, wait until cancelled answers are stored: uvicorn does not wait for them."""
    services = services_of(app)
    sessions, threads = services.sessions, services.pools
    async with purging(sessions, threads), pruning(sessions, threads, app.state.retention):
        yield
    await services.chats.close()
    await services.upstreams.close()
