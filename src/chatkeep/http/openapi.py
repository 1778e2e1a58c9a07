"""The OpenAPI document: FastAPI's description of the routes, and the schemas of `wire`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from msgspec import Struct

from chatkeep.core.history.windows import Window
from chatkeep.core.model import Message
from chatkeep.core.stats import Stats
from chatkeep.http.docs import Document
from chatkeep.http.gate.problems import PROBLEM_TYPE
from chatkeep.http.gate.rules import JSON_TYPE, PUBLIC, SIGN_IN, Rule
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
    SessionPage,
    StatusAnswer,
)
from chatkeep.wire.chat import ChatAnswer, ChatDone, ChatReasoning, ChatStart, ChatToken
from chatkeep.wire.errors import Problem
from chatkeep.wire.events import EventData

_REF: Final = "#/components/schemas/{name}"
_BEARER: Final[Document] = {"type": "http", "scheme": "bearer"}
_ALWAYS: Final = {
    401: "No token, or one that is not valid.",
    403: "The token lacks a scope, or a prefix.",
    421: "The server is not known by this host name.",
    422: "A value breaks a rule.",
    429: "Too many requests.",
    503: "Busy, or the disk refused; try again.",
}
_ADDRESSED: Final = {404: "There is no such session.", 409: "The session is damaged."}
_WITH_BODY: Final = {
    400: "The body is broken.",
    409: "What is stored contradicts the request.",
    413: "The body or a message is too large.",
    415: "The body has another media type.",
    507: "No space is left.",
}
_KINDS: Final[tuple[Any, ...]] = (
    SessionPage,
    HitPage,
    tuple[Message, ...],
    Done,
    KeyList,
    SessionDetail,
    DeletedAnswer,
    AppendAnswer,
    Window,
    BulkAnswer,
    ImportAnswer,
    StatusAnswer,
    Stats,
    Problem,
    ChatAnswer,
    ChatStart,
    ChatReasoning,
    ChatToken,
    ChatDone,
    bodies.ChatBody,
    EventData,
    bodies.TitleBody,
    bodies.SignInBody,
    bodies.RevisionBody,
    bodies.DraftsBody,
    bodies.BulkBody,
)


class RouteAnswer(Struct, frozen=True):
    """The answer of a route to a good request: a type of JSON, or another media type."""

    kind: Any = None
    statuses: tuple[int, ...] = (200,)
    media_types: tuple[str, ...] = (JSON_TYPE,)


class Body(Struct, frozen=True):
    """The body of a route: a type of JSON, or any JSON."""

    kind: Any = None


def responses(answer: RouteAnswer, body: Body | None, rule: Rule, path: str) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` argument for FastAPI: all answers of a route, errors included."""
    problems = {421: _ALWAYS[421]} if rule is PUBLIC else dict(_ALWAYS)
    problems |= {} if rule is PUBLIC or path.endswith(("/status", "/stats", "/metrics", "/events")) else _ADDRESSED
    problems |= {404: "There is no such file.", 422: _ALWAYS[422]} if rule is PUBLIC and "{" in path else {}
    problems |= _WITH_BODY if body else {}
    problems |= {502: "The model's server failed, or refuses."} if "chat" in path else {}
    problems |= {507: _WITH_BODY[507]} if rule is not PUBLIC else {}
    problem = {PROBLEM_TYPE: {"schema": _schema(Problem)}}
    schema = _schema(answer.kind) if answer.kind else {}
    good = {media_type: {"schema": schema} for media_type in answer.media_types}
    return {
        **{status: {"description": "Done.", "content": good} for status in answer.statuses},
        **{status: {"description": why, "content": problem} for status, why in problems.items()},
    }


def extra(body: Body | None, rule: Rule) -> Document:
    """Return the `openapi_extra` argument for FastAPI: the body of a route, and its need of a token."""
    told: Document = {"security": [] if rule in (PUBLIC, SIGN_IN) else [{"bearer": []}]}
    if body is not None:
        schema = _schema(body.kind) if body.kind else {}
        told["requestBody"] = {"required": True, "content": {JSON_TYPE: {"schema": schema}}}
    return told


def described(app: FastAPI) -> Document:
    """Return the OpenAPI document of an application."""
    document: Document = app.openapi()
    components = document.setdefault("components", {})
    components["schemas"] = dict(sorted(_components(_KINDS).items()))
    components["securitySchemes"] = {"bearer": _BEARER}
    return document


def _schema(kind: object) -> Document:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema


def _components(kinds: Iterable[object]) -> Document:
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    for name, rules in bodies.RULES.items():
        components[name].update(rules)
    if message := components.get(Message.__name__):  # unknown fields come back beside the known ones
        del message["properties"][""]
        message["additionalProperties"] = True
    return components
