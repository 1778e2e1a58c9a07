"""Errors as clients see them: `application/problem+json`, one shape everywhere.

The status comes from `wire.answers.STATUS`; this module adds the headers of a status.
"""

from __future__ import annotations

import re

import msgspec
from starlette.responses import Response
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
