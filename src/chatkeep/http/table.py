"""The table of all routes: each states its rule, its body, its answer and its problems.

`http.app` makes the application from it, and `http.openapi` the description of the API. The examples of the
description are in `examples.json`, under the names of the handlers.
"""

from __future__ import annotations

from typing import Final, get_args

from chatkeep import errors, exporters
from chatkeep.core.blobs.media_types import SAFE_TYPES
from chatkeep.core.feed import ChangeKind
from chatkeep.core.history.windows import Window
from chatkeep.core.life.people import Person
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
from chatkeep.http.openai_table import CONVERSATIONS, KEPT_RESPONSES
from chatkeep.http.openapi import Body, Route, RouteAnswer
from chatkeep.http.refusals import ADDRESSED, ASKED, GUARDED, OPEN, PASSED, SENT
from chatkeep.http.routes import (
    chat,
    events,
    keeping,
    keys,
    mcp,
    page,
    server,
    session_log,
    sessions,
)
from chatkeep.http.routes.attached import blob_bytes
from chatkeep.http.routes.recording import proxy, telemetry
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
from chatkeep.wire.links import LinkBody, PeopleList, PersonHistoryAnswer, UnlinkAnswer, UnlinkBody

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
    Route("GET", "/api/sessions", READ, sessions.list_sessions, RouteAnswer(SessionPage), GUARDED),
    Route("GET", "/api/sessions/search", READ, sessions.search_sessions, RouteAnswer(HitPage), ADDRESSED),
    Route("GET", "/api/memory/session", READ, sessions.read_history, RouteAnswer(tuple[Message, ...]), ADDRESSED),
    Route(
        "POST",
        "/api/sessions/{id:path}/title",
        WRITE,
        sessions.rename_session,
        RouteAnswer(Done),
        (*ADDRESSED, *SENT),
        Body(bodies.TitleBody),
    ),
    Route("GET", "/api/sessions/{id:path}", READ, sessions.get_session_object, RouteAnswer(SessionObject), ADDRESSED),
    Route("DELETE", "/api/sessions/{id:path}", DELETE, sessions.delete_session, RouteAnswer(Done), ADDRESSED),
)
"""The object dialect."""

KEYS: Final = (
    Route("GET", "/api/v1/sessions", READ, keys.list_keys, RouteAnswer(KeyList), GUARDED),
    Route(
        "POST",
        "/api/v1/sessions/delete",
        DELETE,
        keys.delete_sessions,
        RouteAnswer(BulkAnswer),
        (*ADDRESSED, *SENT),
        Body(bodies.BulkBody),
    ),
    Route("GET", "/api/v1/sessions/{key:path}", READ, keys.get_session, RouteAnswer(SessionDetail), ADDRESSED),
    Route("DELETE", "/api/v1/sessions/{key:path}", DELETE, keys.delete_key, RouteAnswer(DeletedAnswer), ADDRESSED),
    Route(
        "PATCH",
        "/api/v1/sessions/{key:path}",
        WRITE,
        keys.revise_session,
        RouteAnswer(SessionDetail),
        (*ADDRESSED, *SENT),
        Body(bodies.RevisionBody),
    ),
    Route(
        "POST",
        "/api/v1/sessions",
        WRITE,
        keys.create_session,
        RouteAnswer(lives.CreatedAnswer, (201,)),
        (*GUARDED, *SENT, errors.SessionExistsError, errors.MessageConflictError),
        Body(lives.NewSessionBody),
    ),
    Route(
        "POST",
        "/api/v1/fork",
        FORK,
        keys.fork_session,
        RouteAnswer(lives.CreatedAnswer, (201,)),
        (*ADDRESSED, *SENT, errors.MessageNotFoundError, errors.SessionExistsError),
        Body(lives.ForkBody),
    ),
    Route(
        "GET",
        "/api/v1/messages",
        READ,
        session_log.read_messages,
        RouteAnswer(Window, has_shapes=True),
        (*ADDRESSED, errors.MessageNotFoundError),
    ),
    Route(
        "POST",
        "/api/v1/messages",
        WRITE,
        session_log.append_messages,
        RouteAnswer(AppendAnswer, (200, 201)),
        (*ADDRESSED, *SENT, errors.MessageConflictError, errors.CountConflictError),
        Body(bodies.DraftsBody),
    ),
    Route(
        "PUT",
        "/api/v1/messages",
        REPLACE,
        session_log.replace_messages,
        RouteAnswer(AppendAnswer, (200, 201)),
        (*ADDRESSED, *SENT, errors.MessageConflictError, errors.CountConflictError),
        Body(lives.Messages),
    ),
    Route(
        "DELETE",
        "/api/v1/messages",
        DELETE,
        session_log.drop_messages,
        RouteAnswer(lives.DropAnswer),
        (*ADDRESSED, errors.MessageNotFoundError, errors.MessageConflictError, errors.CountConflictError),
    ),
    Route(
        "POST",
        "/api/v1/compact",
        DELETE,
        keeping.compact_sessions,
        RouteAnswer(lives.CompactAnswer),
        (*ADDRESSED, *SENT),
        Body(lives.CompactBody),
    ),
    Route("GET", "/api/v1/trash", READ, keeping.list_trash, RouteAnswer(lives.TrashList), GUARDED),
    Route(
        "POST",
        "/api/v1/trash/restore",
        WRITE,
        keeping.restore_session,
        RouteAnswer(SessionDetail),
        (*ADDRESSED, *SENT, errors.SessionExistsError),
        Body(lives.RestoreBody),
    ),
    Route(
        "POST",
        "/api/v1/trash/purge",
        DELETE,
        keeping.purge_trash,
        RouteAnswer(lives.PurgeAnswer),
        (*ADDRESSED, *SENT),
        Body(lives.PurgeBody),
    ),
    Route("GET", "/api/v1/export", READ, keys.export_sessions, RouteAnswer(media_types=_EXPORTS), ADDRESSED),
    Route(
        "POST",
        "/api/v1/import",
        WRITE,
        keys.import_sessions,
        RouteAnswer(ImportAnswer),
        (*ADDRESSED, *SENT, errors.SessionDeletedError),
        Body(),
    ),
    Route(
        "GET",
        "/api/v1/blobs/{sha256}",
        READ,
        blob_bytes.get_blob,
        RouteAnswer(media_types=SAFE_TYPES, statuses=(206, 200)),
        (*GUARDED, errors.BlobNotFoundError),
    ),
    Route(
        "GET",
        "/api/v1/events",
        READ,
        events.follow_events,
        RouteAnswer(media_types=(EVENT_STREAM_TYPE,), events=_FEED),
        (*GUARDED, errors.TooManyStreamsError),
    ),
)
"""The key dialect, and the feed of changes."""

PEOPLE: Final = (
    Route("GET", "/api/v1/people", READ, keys.list_people, RouteAnswer(PeopleList), GUARDED),
    Route(
        "POST",
        "/api/v1/people/link",
        WRITE,
        keys.link_sessions,
        RouteAnswer(Person),
        (*ADDRESSED, *SENT, errors.ConflictError),
        Body(LinkBody),
    ),
    Route(
        "POST",
        "/api/v1/people/unlink",
        WRITE,
        keys.unlink_sessions,
        RouteAnswer(UnlinkAnswer),
        (*ADDRESSED, *SENT, errors.NotFoundError),
        Body(UnlinkBody),
    ),
    Route(
        "GET",
        "/api/v1/people/history",
        READ,
        keys.read_person,
        RouteAnswer(PersonHistoryAnswer),
        (*GUARDED, errors.NotFoundError),
    ),
)
"""People, and their links to sessions."""

CHAT: Final = (
    Route(
        "POST",
        "/api/v1/chat",
        WRITE,
        chat.answer_chat,
        RouteAnswer(ChatAnswer),
        ASKED,
        Body(bodies.ChatBody),
        lasts=True,
    ),
    Route(
        "POST",
        "/api/v1/chat/stream",
        WRITE,
        chat.stream_chat,
        RouteAnswer(media_types=(EVENT_STREAM_TYPE,), events=_TURN),
        ASKED,
        Body(bodies.ChatBody),
        lasts=True,
    ),
    Route(
        "POST",
        "/v1/chat/completions",
        WRITE,
        proxy.complete_chat,
        RouteAnswer(media_types=(JSON_TYPE, EVENT_STREAM_TYPE)),
        ASKED,
        Body(),
        lasts=True,
    ),
    Route(
        "POST",
        "/v1/messages",
        FORWARD,
        proxy.create_message,
        RouteAnswer(media_types=(JSON_TYPE, EVENT_STREAM_TYPE)),
        ASKED,
        Body(),
        lasts=True,
    ),
    Route(
        "POST",
        "/v1/responses",
        FORWARD,
        proxy.create_response,
        RouteAnswer(media_types=(JSON_TYPE, EVENT_STREAM_TYPE)),
        ASKED,
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
            (*ASKED, errors.NotFoundError),
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
    *(
        Route(
            "POST",
            f"/v1/{signal}",
            WRITE,
            handler,
            RouteAnswer(dict),
            (*GUARDED, *SENT),
            Body(),
        )
        for signal, handler in (("logs", telemetry.take_logs), ("traces", telemetry.take_traces))
    ),
    Route("GET", "/v1/models", FORWARD_READ, proxy.list_models, RouteAnswer(), PASSED),
    *(
        route
        for path, name in (("/v1beta/{path:path}", "pass_beta"), ("/v1/{path:path}", "pass"))
        for route in (
            Route("GET", path, FORWARD_READ, proxy.pass_on, RouteAnswer(), PASSED, named=f"{name}_get"),
            Route(
                "POST",
                path,
                FORWARD,
                proxy.pass_on,
                RouteAnswer(),
                (*PASSED, *SENT),
                Body(),
                lasts=True,
                named=f"{name}_post",
            ),
            Route("DELETE", path, FORWARD, proxy.pass_on, RouteAnswer(), PASSED, named=f"{name}_delete"),
        )
    ),
)
"""Chat, and the protocols of models' servers: recorded, or only passed on."""

PAGE: Final = (
    Route("GET", "/", PUBLIC, page.get_page, _PAGE, OPEN),
    Route(
        "GET",
        "/page/{edition}/{name:path}",
        PUBLIC,
        page.get_page_file,
        RouteAnswer(media_types=page.MEDIA_TYPES),
        (*OPEN, errors.NotFoundError, errors.InvalidError),
    ),
    Route("POST", "/signin", SIGN_IN, page.sign_in, RouteAnswer(Done), (*GUARDED, *SENT), Body(bodies.SignInBody)),
    Route("DELETE", "/signin", SIGN_IN, page.sign_out, RouteAnswer(Done), GUARDED),
)
"""The page, and the sign-in of a browser."""

SERVER: Final = (
    Route("GET", "/api/v1/status", READ, server.get_status, RouteAnswer(StatusAnswer), GUARDED),
    Route("GET", "/api/v1/stats", READ, server.get_stats, RouteAnswer(Stats), GUARDED),
    Route("GET", "/api/v1/usage", READ, server.get_usage, RouteAnswer(UsageReport), ADDRESSED),
    Route("GET", "/api/v1/token", ANY, server.get_token, RouteAnswer(lives.TokenAnswer), GUARDED),
    Route("GET", "/metrics", READ_EVERYWHERE, server.get_metrics, RouteAnswer(media_types=("text/plain",)), GUARDED),
    Route("GET", "/health", PUBLIC, server.get_health, RouteAnswer(Done), OPEN),
    Route("GET", "/openapi.json", PUBLIC, server.get_openapi, RouteAnswer(dict), OPEN),
    Route("GET", "/docs", PUBLIC, server.get_docs, _PAGE, OPEN),
)
"""The server itself."""

MCP: Final = (
    Route(
        "POST",
        "/mcp",
        ANY,
        mcp.answer_mcp,
        RouteAnswer(statuses=(202, 200)),
        (*GUARDED, *SENT, errors.NotFoundError),
        Body(),
    ),
)
"""The Model Context Protocol: every tool in it names its scope, which the gate checks."""

ROUTES: Final = (*OBJECTS, *KEYS, *PEOPLE, *CONVERSATIONS, *KEPT_RESPONSES, *CHAT, *MCP, *PAGE, *SERVER)
"""All routes; the first match of a path answers."""
