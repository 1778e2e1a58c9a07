"""Errors as clients see them: `application/problem+json`, one shape everywhere.

The status comes from `wire.answers.STATUS`; this module adds the headers of a status. An exception of
Starlette becomes an error of ours first, so all errors leave in one way.
"""

from __future__ import annotations

import re

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from chatkeep.errors import (
    ChatkeepError,
    MethodError,
    ModelLimitedError,
    NotFoundError,
    RateLimitedError,
    UnauthorizedError,
)
from chatkeep.wire import answers, errors

PROBLEM_TYPE = "application/problem+json"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_TRY_AGAIN = 503
_OPENAI = ("/v1/", "/v1beta/")
_UNROUTED = (answers.STATUS[NotFoundError], answers.STATUS[MethodError])
_SESSION_MESSAGES = re.compile(r"/api/(?:v1/)?sessions/.+/messages/?")  # other APIs have messages here
_MESSAGES_ELSEWHERE = "The messages of a session are at /api/v1/messages?session=KEY."


def response(error: ChatkeepError, scope: Scope) -> Response:
    """Return an error as a response to a request; on the routes of models in the shape of their APIs too."""
    return _response(errors.problem(error), _headers(error), scope)


def unexpected(scope: Scope) -> Response:
    """Return the response to an unexpected error; it does not show the cause."""
    return response(ChatkeepError("Something went wrong; the server's log has the request's id."), scope)


def register(app: Starlette) -> None:
    """Make an application answer every error as a problem."""
    app.add_exception_handler(ChatkeepError, _answer_ours)
    app.add_exception_handler(HTTPException, _answer_unrouted)


def allowed_methods(app: Starlette, scope: Scope) -> tuple[str, ...]:
    """Return all methods of the resource at a request's path."""
    matching = (route for route in app.routes if route.matches(scope)[0] is not Match.NONE)
    template = getattr(next(matching, None), "path", None)
    alike = (route for route in app.routes if getattr(route, "path", "") == template)
    found = {method for route in alike for method in getattr(route, "methods", None) or ()}
    if "GET" in found:
        found.add("HEAD")
    return tuple(method for method in _METHODS if method in found)


async def _answer_ours(request: Request, error: Exception) -> Response:
    return response(error if isinstance(error, ChatkeepError) else ChatkeepError(), request.scope)


async def _answer_unrouted(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 0
    if status == answers.STATUS[MethodError]:
        return response(MethodError(allowed_methods(request.app, request.scope)), request.scope)
    if status != answers.STATUS[NotFoundError]:
        return unexpected(request.scope)
    return response(NotFoundError(), request.scope)


def _is_openai(scope: Scope) -> bool:
    return str(scope["path"]).startswith(_OPENAI)


def _headers(error: ChatkeepError) -> dict[str, str]:
    if isinstance(error, UnauthorizedError):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, MethodError):
        return {"Allow": ", ".join(error.allowed)}
    if isinstance(error, RateLimitedError | ModelLimitedError):
        return {"Retry-After": str(error.retry_after_s)}
    return {"Retry-After": "1"} if answers.status_of(error) == _TRY_AGAIN else {}


def _response(problem: errors.Problem, headers: dict[str, str], scope: Scope) -> Response:
    told = errors.openai_problem(problem) if _is_openai(scope) else problem
    if problem.status in _UNROUTED and _SESSION_MESSAGES.fullmatch(str(scope["path"])):
        told = msgspec.structs.replace(told, help=_MESSAGES_ELSEWHERE)
    return Response(answers.json_bytes(told), problem.status, headers, PROBLEM_TYPE)
