"""The table of all routes: each states its rule, its body, its answer and its problems.

`http.app` makes the application from it, and `http.openapi` the description of the API. The examples of the
description are in `examples.json`, under the names of the handlers.
"""

from __future__ import annotations

from typing import Final, get_args

from chatkeep import errors, exporters
from chatkeep.core.feed import ChangeKind
from chatkeep.core.history.windows import Window
from chatkeep.core.model import Message
from chatkeep.core.sse import EVENT_STREAM_TYPE
from chatkeep.core.stats import Stats
from chatkeep.core.usage.spending import UsageReport
from chatkeep.http.gate.rules import (
    ANY,
    DELETE,
    FORK,
    FORWARD,
    FORWARD_READ,
    JSON_TYPE,
    PUBLIC,
    READ,
    READ_EVERYWHERE,
    REPLACE,
    SIGN_IN,
    WRITE,
)
from chatkeep.http.openapi import Body, Problems, Route, RouteAnswer
from chatkeep.http.routes import chat, events, keeping, keys, mcp, page, proxy, server, session_log, sessions
from chatkeep.wire import bodies, lives
from chatkeep.wire.answers import (
    AppendAnswer,
    BulkAnswer,
    DeletedAnswer,
    Done,
    ImportAnswer,
    KeyList,
    SessionDetail,
    SessionObject,
    SessionPage,
    StatusAnswer,
)
from chatkeep.wire.chat import ChatAnswer, ChatDone, ChatReasoning, ChatStart, ChatToken
from chatkeep.wire.errors import Problem
from chatkeep.wire.events import READY, EventData
from chatkeep.wire.hits import HitPage

_OPEN: Final[Problems] = (errors.UnknownHostError,)
"""The problems of every route."""
_GUARDED: Final[Problems] = (
    *_OPEN,
    errors.UnauthorizedError,
    errors.ForbiddenError,
    errors.InvalidError,
    errors.RateLimitedError,
    errors.BusyError,
    errors.StorageError,
    errors.StorageFullError,
    errors.StorageReadOnlyError,
    errors.StorageDeniedError,
)
"""The problems of a route with a token, parameters, and sessions to read."""
_ADDRESSED: Final[Problems] = (*_GUARDED, errors.SessionNotFoundError, errors.SessionDamagedError)
"""Those of a route about one session."""
_SENT: Final[Problems] = (errors.BrokenInputError, errors.TooLargeError, errors.UnsupportedTypeError)
"""Those of a body."""
_MODEL: Final[Problems] = (errors.ModelUnsetError, errors.ModelLimitedError, errors.ModelError)
"""Those of a model's server."""
_PASSED: Final[Problems] = (*_GUARDED, *_MODEL, errors.NotFoundError)
"""Those of a route that only passes a request on."""
_ASKED: Final[Problems] = (*_ADDRESSED, *_SENT, *_MODEL, errors.ContextTooLongError)
"""Those of a route that stores a request and passes it on."""

_EXPORTS: Final = tuple(sorted({known.media_type.partition(";")[0] for known in exporters.EXPORT_FORMATS.values()}))
_PAGE: Final = RouteAnswer(media_types=("text/html",))
_FEED: Final = dict.fromkeys((READY, *get_args(ChangeKind)), EventData)
_TURN: Final = {
    "start": ChatStart,
    "reasoning": ChatReasoning,
    "token": ChatToken,
    "done": ChatDone,
    "error": Problem,
}

OBJECTS: Final = (
    Route("GET", "/api/sessions", READ, sessions.list_sessions, RouteAnswer(SessionPage), _GUARDED),
    Route("GET", "/api/sessions/search", READ, sessions.search_sessions, RouteAnswer(HitPage), _ADDRESSED),
    Route("GET", "/api/memory/session", READ, sessions.read_history, RouteAnswer(tuple[Message, ...]), _ADDRESSED),
    Route(
        "POST",
        "/api/sessions/{id:path}/title",
        WRITE,
        sessions.rename_session,
        RouteAnswer(Done),
        (*_ADDRESSED, *_SENT),
        Body(bodies.TitleBody),
    ),
    Route("GET", "/api/sessions/{id:path}", READ, sessions.get_session_object, RouteAnswer(SessionObject), _ADDRESSED),
    Route("DELETE", "/api/sessions/{id:path}", DELETE, sessions.delete_session, RouteAnswer(Done), _ADDRESSED),
)
"""The object dialect."""

KEYS: Final = (
    Route("GET", "/api/v1/sessions", READ, keys.list_keys, RouteAnswer(KeyList), _GUARDED),
    Route(
        "POST",
        "/api/v1/sessions/delete",
        DELETE,
        keys.delete_sessions,
        RouteAnswer(BulkAnswer),
        (*_ADDRESSED, *_SENT),
        Body(bodies.BulkBody),
    ),
    Route("GET", "/api/v1/sessions/{key:path}", READ, keys.get_session, RouteAnswer(SessionDetail), _ADDRESSED),
    Route("DELETE", "/api/v1/sessions/{key:path}", DELETE, keys.delete_key, RouteAnswer(DeletedAnswer), _ADDRESSED),
    Route(
        "PATCH",
        "/api/v1/sessions/{key:path}",
        WRITE,
        keys.revise_session,
        RouteAnswer(SessionDetail),
        (*_ADDRESSED, *_SENT),
        Body(bodies.RevisionBody),
    ),
    Route(
        "POST",
        "/api/v1/sessions",
        WRITE,
        keys.create_session,
        RouteAnswer(lives.CreatedAnswer, (201,)),
        (*_GUARDED, *_SENT, errors.SessionExistsError, errors.MessageConflictError),
        Body(lives.NewSessionBody),
    ),
    Route(
        "POST",
        "/api/v1/fork",
        FORK,
        keys.fork_session,
        RouteAnswer(lives.CreatedAnswer, (201,)),
        (*_ADDRESSED, *_SENT, errors.MessageNotFoundError, errors.SessionExistsError),
        Body(lives.ForkBody),
    ),
    Route(
        "GET",
        "/api/v1/messages",
        READ,
        session_log.read_messages,
        RouteAnswer(Window, has_shapes=True),
        (*_ADDRESSED, errors.MessageNotFoundError),
    ),
    Route(
        "POST",
        "/api/v1/messages",
        WRITE,
        session_log.append_messages,
        RouteAnswer(AppendAnswer, (200, 201)),
        (*_ADDRESSED, *_SENT, errors.MessageConflictError, errors.CountConflictError),
        Body(bodies.DraftsBody),
    ),
    Route(
        "PUT",
        "/api/v1/messages",
        REPLACE,
        session_log.replace_messages,
        RouteAnswer(AppendAnswer, (200, 201)),
        (*_ADDRESSED, *_SENT, errors.MessageConflictError, errors.CountConflictError),
        Body(lives.Messages),
    ),
    Route(
        "DELETE",
        "/api/v1/messages",
        DELETE,
        session_log.drop_messages,
        RouteAnswer(lives.DropAnswer),
        (*_ADDRESSED, errors.MessageNotFoundError, errors.MessageConflictError, errors.CountConflictError),
    ),
    Route(
        "POST",
        "/api/v1/compact",
        DELETE,
        keeping.compact_sessions,
        RouteAnswer(lives.CompactAnswer),
        (*_ADDRESSED, *_SENT),
        Body(lives.CompactBody),
    ),
    Route("GET", "/api/v1/trash", READ, keeping.list_trash, RouteAnswer(lives.TrashList), _GUARDED),
    Route(
        "POST",
        "/api/v1/trash/restore",
        WRITE,
        keeping.restore_session,
        RouteAnswer(SessionDetail),
        (*_ADDRESSED, *_SENT, errors.SessionExistsError),
        Body(lives.RestoreBody),
    ),
    Route(
        "POST",
        "/api/v1/trash/purge",
        DELETE,
        keeping.purge_trash,
        RouteAnswer(lives.PurgeAnswer),
        (*_ADDRESSED, *_SENT),
        Body(lives.PurgeBody),
    ),
    Route("GET", "/api/v1/export", READ, keys.export_sessions, RouteAnswer(media_types=_EXPORTS), _ADDRESSED),
    Route(
        "POST",
        "/api/v1/import",
        WRITE,
        keys.import_sessions,
        RouteAnswer(ImportAnswer),
        (*_ADDRESSED, *_SENT, errors.SessionDeletedError),
        Body(),
    ),
    Route(
        "GET",
        "/api/v1/events",
        READ,
        events.follow_events,
        RouteAnswer(media_types=(EVENT_STREAM_TYPE,), events=_FEED),
        (*_GUARDED, errors.TooManyStreamsError),
    ),
)
"""The key dialect, and the feed of changes."""

CHAT: Final = (
    Route(
        "POST",
        "/api/v1/chat",
        WRITE,
        chat.answer_chat,
        RouteAnswer(ChatAnswer),
        _ASKED,
        Body(bodies.ChatBody),
        lasts=True,
    ),
    Route(
        "POST",
        "/api/v1/chat/stream",
        WRITE,
        chat.stream_chat,
        RouteAnswer(media_types=(EVENT_STREAM_TYPE,), events=_TURN),
        _ASKED,
        Body(bodies.ChatBody),
        lasts=True,
    ),
    Route(
        "POST",
        "/v1/chat/completions",
        WRITE,
        proxy.complete_chat,
        RouteAnswer(media_types=(JSON_TYPE, EVENT_STREAM_TYPE)),
        _ASKED,
        Body(),
        lasts=True,
    ),
    Route(
        "POST",
        "/v1/messages",
        FORWARD,
        proxy.create_message,
        RouteAnswer(media_types=(JSON_TYPE, EVENT_STREAM_TYPE)),
        _ASKED,
        Body(),
        lasts=True,
    ),
    Route(
        "POST",
        "/v1/responses",
        FORWARD,
        proxy.create_response,
        RouteAnswer(media_types=(JSON_TYPE, EVENT_STREAM_TYPE)),
        _ASKED,
        Body(),
        lasts=True,
    ),
    *(
        Route(
            "POST",
            f"{base}/{{model:path}}:{verb}",
            FORWARD,
            handler,
            RouteAnswer(media_types=(JSON_TYPE, EVENT_STREAM_TYPE) if "stream" in verb else (JSON_TYPE,)),
            (*_ASKED, errors.NotFoundError),
            Body(),
            lasts=True,
            named=name,
        )
        for base, verb, handler, name in (
            ("/v1", "generateContent", proxy.generate_content, "generate_content"),
            ("/v1", "streamGenerateContent", proxy.stream_content, "stream_content"),
            ("/v1beta", "generateContent", proxy.generate_content, "generate_beta_content"),
            ("/v1beta", "streamGenerateContent", proxy.stream_content, "stream_beta_content"),
        )
    ),
    Route("GET", "/v1/models", FORWARD_READ, proxy.list_models, RouteAnswer(), _PASSED),
    *(
        route
        for path, name in (("/v1beta/{path:path}", "pass_beta"), ("/v1/{path:path}", "pass"))
        for route in (
            Route("GET", path, FORWARD_READ, proxy.pass_on, RouteAnswer(), _PASSED, named=f"{name}_get"),
            Route(
                "POST",
                path,
                FORWARD,
                proxy.pass_on,
                RouteAnswer(),
                (*_PASSED, *_SENT),
                Body(),
                lasts=True,
                named=f"{name}_post",
            ),
            Route("DELETE", path, FORWARD, proxy.pass_on, RouteAnswer(), _PASSED, named=f"{name}_delete"),
        )
    ),
)
"""Chat, and the protocols of models' servers: recorded, or only passed on."""

PAGE: Final = (
    Route("GET", "/", PUBLIC, page.get_page, _PAGE, _OPEN),
    Route(
        "GET",
        "/page/{edition}/{name:path}",
        PUBLIC,
        page.get_page_file,
        RouteAnswer(media_types=page.MEDIA_TYPES),
        (*_OPEN, errors.NotFoundError, errors.InvalidError),
    ),
    Route("POST", "/signin", SIGN_IN, page.sign_in, RouteAnswer(Done), (*_GUARDED, *_SENT), Body(bodies.SignInBody)),
    Route("DELETE", "/signin", SIGN_IN, page.sign_out, RouteAnswer(Done), _GUARDED),
)
"""The page, and the sign-in of a browser."""

SERVER: Final = (
    Route("GET", "/api/v1/status", READ, server.get_status, RouteAnswer(StatusAnswer), _GUARDED),
    Route("GET", "/api/v1/stats", READ, server.get_stats, RouteAnswer(Stats), _GUARDED),
    Route("GET", "/api/v1/usage", READ, server.get_usage, RouteAnswer(UsageReport), _ADDRESSED),
    Route("GET", "/api/v1/token", ANY, server.get_token, RouteAnswer(lives.TokenAnswer), _GUARDED),
    Route("GET", "/metrics", READ_EVERYWHERE, server.get_metrics, RouteAnswer(media_types=("text/plain",)), _GUARDED),
    Route("GET", "/health", PUBLIC, server.get_health, RouteAnswer(Done), _OPEN),
    Route("GET", "/openapi.json", PUBLIC, server.get_openapi, RouteAnswer(dict), _OPEN),
    Route("GET", "/docs", PUBLIC, server.get_docs, _PAGE, _OPEN),
)
"""The server itself."""

MCP: Final = (
    Route(
        "POST",
        "/mcp",
        ANY,
        mcp.answer_mcp,
        RouteAnswer(statuses=(202, 200)),
        (*_GUARDED, *_SENT, errors.NotFoundError),
        Body(),
    ),
)
"""The Model Context Protocol: every tool in it names its scope, which the gate checks."""

ROUTES: Final = (*OBJECTS, *KEYS, *CHAT, *MCP, *PAGE, *SERVER)
"""All routes; the first match of a path answers."""
