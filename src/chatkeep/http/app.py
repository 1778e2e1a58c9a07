"""The HTTP application: one table of all routes, with the rule, body and answer of each.

A request passes the envelope (id, headers, log), the guard (host, token, limits) and the rule of its route
(scope). Then its handler runs: a few lines over `Sessions`, with encoded bytes as the result. Errors leave through
`http.gate.problems`. A handler runs on the event loop if it only walks an index; the others use bounded threads.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from fastapi import Depends, FastAPI
from msgspec import Struct
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

import chatkeep
from chatkeep import exporters
from chatkeep.access.page_sessions import SignInCode
from chatkeep.core.history.windows import Window
from chatkeep.core.model import Message
from chatkeep.core.sse import EVENT_STREAM_TYPE
from chatkeep.core.stats import Stats
from chatkeep.http import docs
from chatkeep.http.gate import problems
from chatkeep.http.gate.envelope import Envelope
from chatkeep.http.gate.guard import RATE_HEADERS, Guard, GuardMiddleware
from chatkeep.http.gate.rules import (
    DELETE,
    JSON_TYPE,
    PUBLIC,
    READ,
    READ_EVERYWHERE,
    SIGN_IN,
    WRITE,
    Pools,
    Rule,
    room_for_body,
)
from chatkeep.http.metrics import Metrics
from chatkeep.http.openapi import Body, RouteAnswer, described, extra, responses
from chatkeep.http.routes import chat, events, keys, page, proxy, server, sessions
from chatkeep.http.streams.followers import Feed
from chatkeep.http.streams.relay import Relay
from chatkeep.model.chat import Chats
from chatkeep.model.upstream import NoModel
from chatkeep.sessions import Sessions
from chatkeep.wire import bodies
from chatkeep.wire.answers import (
    AppendAnswer,
    BulkAnswer,
    DeletedAnswer,
    Done,
    HitPage,
    ImportAnswer,
    KeyList,
    SessionDetail,
    SessionObject,
    SessionPage,
    StatusAnswer,
)
from chatkeep.wire.chat import ChatAnswer
from chatkeep.wire.events import EventData


class Route(Struct, frozen=True):
    """One line of the table."""

    method: str
    path: str
    rule: Rule
    endpoint: Callable[..., Coroutine[Any, Any, Response]]
    answer: RouteAnswer
    body: Body | None = None
    lasts: bool = False
    """The handler waits for the model's server, so it reserves and releases the memory of its body itself."""


_EXPORTS: Final = tuple(sorted({known.media_type.partition(";")[0] for known in exporters.EXPORT_FORMATS.values()}))
_TEXT: Final = ("text/plain",)
_HTML: Final = ("text/html",)
_EVENTS: Final = (EVENT_STREAM_TYPE,)

ROUTES: Final = (
    # the object dialect
    Route("GET", "/api/sessions", READ, sessions.list_sessions, RouteAnswer(SessionPage)),
    Route("GET", "/api/sessions/search", READ, sessions.search_sessions, RouteAnswer(HitPage)),
    Route("GET", "/api/memory/session", READ, sessions.read_history, RouteAnswer(tuple[Message, ...])),
    Route(
        "POST",
        "/api/sessions/{id:path}/title",
        WRITE,
        sessions.rename_session,
        RouteAnswer(Done),
        Body(bodies.TitleBody),
    ),
    Route("GET", "/api/sessions/{id:path}", READ, sessions.get_session_object, RouteAnswer(SessionObject)),
    Route("DELETE", "/api/sessions/{id:path}", DELETE, sessions.delete_session, RouteAnswer(Done)),
    # the key dialect
    Route("GET", "/api/v1/sessions", READ, keys.list_keys, RouteAnswer(KeyList)),
    Route(
        "POST",
        "/api/v1/sessions/delete",
        DELETE,
        keys.delete_sessions,
        RouteAnswer(BulkAnswer),
        Body(bodies.BulkBody),
    ),
    Route("GET", "/api/v1/sessions/{key:path}", READ, keys.get_session, RouteAnswer(SessionDetail)),
    Route("DELETE", "/api/v1/sessions/{key:path}", DELETE, keys.delete_key, RouteAnswer(DeletedAnswer)),
    Route(
        "PATCH",
        "/api/v1/sessions/{key:path}",
        WRITE,
        keys.revise_session,
        RouteAnswer(SessionDetail),
        Body(bodies.RevisionBody),
    ),
    Route("GET", "/api/v1/messages", READ, keys.read_messages, RouteAnswer(Window)),
    Route(
        "POST",
        "/api/v1/messages",
        WRITE,
        keys.append_messages,
        RouteAnswer(AppendAnswer, (200, 201)),
        Body(bodies.DraftsBody),
    ),
    Route("GET", "/api/v1/export", READ, keys.export_sessions, RouteAnswer(media_types=_EXPORTS)),
    Route("POST", "/api/v1/import", WRITE, keys.import_sessions, RouteAnswer(ImportAnswer), Body()),
    Route("POST", "/api/v1/chat", WRITE, chat.answer_chat, RouteAnswer(ChatAnswer), Body(bodies.ChatBody), lasts=True),
    Route(
        "POST",
        "/api/v1/chat/stream",
        WRITE,
        chat.stream_chat,
        RouteAnswer(media_types=_EVENTS),
        Body(bodies.ChatBody),
        lasts=True,
    ),
    # OpenAI's API, recorded
    Route(
        "POST",
        "/v1/chat/completions",
        WRITE,
        proxy.complete_chat,
        RouteAnswer(media_types=(JSON_TYPE, EVENT_STREAM_TYPE)),
        Body(),
        lasts=True,
    ),
    Route("GET", "/v1/models", READ, proxy.list_models, RouteAnswer()),
    Route("GET", "/api/v1/events", READ, events.follow_events, RouteAnswer(EventData, media_types=_EVENTS)),
    # the page
    Route("GET", "/", PUBLIC, page.get_page, RouteAnswer(media_types=_HTML)),
    Route("GET", "/page/{edition}/{name:path}", PUBLIC, page.get_page_file, RouteAnswer(media_types=page.MEDIA_TYPES)),
    Route("POST", "/signin", SIGN_IN, page.sign_in, RouteAnswer(Done), Body(bodies.SignInBody)),
    Route("DELETE", "/signin", SIGN_IN, page.sign_out, RouteAnswer(Done)),
    # the server itself
    Route("GET", "/api/v1/status", READ, server.get_status, RouteAnswer(StatusAnswer)),
    Route("GET", "/api/v1/stats", READ, server.get_stats, RouteAnswer(Stats)),
    Route("GET", "/metrics", READ_EVERYWHERE, server.get_metrics, RouteAnswer(media_types=_TEXT)),
    Route("GET", "/health", PUBLIC, server.get_health, RouteAnswer(Done)),
    Route("GET", "/openapi.json", PUBLIC, server.get_openapi, RouteAnswer(dict)),
    Route("GET", "/docs", PUBLIC, server.get_docs, RouteAnswer(media_types=_HTML)),
)


def create_app(
    sessions: Sessions,
    guard: Guard,
    *,
    chats: Chats | None = None,
    relay: Relay | None = None,
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
    document = described(app)
    app.state.sessions = sessions
    app.state.chats = chats or Chats(NoModel(), history_tokens=0)
    app.state.relay = relay or Relay(None)
    app.state.guard = guard
    app.state.code = code
    app.state.pools = pools or Pools()
    app.state.feed = Feed(sessions, app.state.pools)
    app.state.metrics = metrics
    app.state.started = time.monotonic()
    app.state.description = msgspec.json.encode(document)
    app.state.docs = docs.page(document)
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
    await app.state.chats.close()
    await app.state.relay.close()


def _add(app: FastAPI, route: Route) -> None:
    app.add_api_route(
        route.path,
        route.endpoint,
        methods=[route.method],
        dependencies=[Depends(route.rule), *([Depends(room_for_body)] if route.body and not route.lasts else [])],
        operation_id=route.endpoint.__name__,
        status_code=route.answer.statuses[-1],
        response_class=Response,
        response_model=None,
        responses=responses(route.answer, route.body, route.rule, route.path),
        openapi_extra=extra(route.body, route.rule),
    )
