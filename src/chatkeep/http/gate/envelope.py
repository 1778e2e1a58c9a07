"""The envelope of every response: a request id, safe headers, a line in the log, a count.

The envelope is the outermost layer of the application. It also refuses URLs outside UTF-8, and answers HEAD
through the handler of GET. It turns unexpected errors into a plain 500.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
import traceback
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatkeep.errors import ChatkeepError, InvalidError
from chatkeep.http.gate import problems
from chatkeep.http.gate.heads import values_of_header

URL_BYTES_MAX: Final = 16 << 10  # of path and query string together
UNROUTED: Final = "(none)"
_KNOWN_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ID: Final = b"x-request-id"
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_SAFE_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_log = logging.getLogger("chatkeep.access")

OnRequest = Callable[[str, str, int, float], None]
"""Takes the route template, method, status and seconds of each answer."""


class Envelope:
    """An ASGI middleware: it puts the envelope around the responses of an application."""

    def __init__(self, app: ASGIApp, seen: OnRequest) -> None:
        """Take the application, and the counter of answers."""
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        sent = _Sent(send, _request_id(scope), state, is_head=scope["method"] == "HEAD")
        state["route"] = UNROUTED
        state["is_head"] = sent.is_head
        state["has_begun"] = False
        began = time.perf_counter()
        try:
            await self._answer(scope, receive, sent)
        finally:
            self._note(scope["method"], state["route"], sent, time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, sent: _Sent) -> None:
        try:
            check_url(scope)
            await self._app(_as_get(scope) if sent.is_head else scope, receive, sent)
        except Exception as error:  # noqa: BLE001 - last resort; log only the traceback: messages may quote content
            if isinstance(error, ChatkeepError) and not scope["state"]["has_begun"]:
                await problems.response(error, scope)(scope, receive, sent)
                return
            places = "".join(traceback.format_tb(error.__traceback__))
            _log.error("%s", _line(request_id=sent.request_id, failed=type(error).__name__, at=places))
            await sent.instead(problems.unexpected(scope), scope, receive)

    def _note(self, method: str, route: str, sent: _Sent, seconds: float) -> None:
        known = method if method in _KNOWN_METHODS else "OTHER"
        self._seen(route, known, sent.status, seconds)
        if not _log.isEnabledFor(logging.INFO):
            return
        line = _line(
            request_id=sent.request_id,
            method=known,
            route=route,
            status=sent.status,
            milliseconds=round(seconds * 1000, 2),
        )
        # `info` would look for its caller on the stack, which costs as much as all else here
        _log.handle(logging.LogRecord(_log.name, logging.INFO, "", 0, "%s", (line,), None))


class _Sent:
    """Sends an answer with the envelope's headers, and keeps its status: 0 until it begins."""

    def __init__(self, send: Send, request_id: str, state: dict[str, Any], *, is_head: bool) -> None:
        self._send = send
        self._state = state  # it must not lead back here: a body would stay until the next collection of garbage
        self.request_id = request_id
        self.is_head = is_head
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._state["has_begun"] = True
            given = (header for header in message["headers"] if header[0] != _ID)  # a model's server may send its own
            headers = [*given, (_ID, self.request_id.encode())]
            own = {name for name, _ in headers}
            headers.extend(header for header in _SAFE_HEADERS if header[0] not in own)
            message["headers"] = headers
        elif self.is_head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)

    async def instead(self, answer: ASGIApp, scope: Scope, receive: Receive) -> None:
        """Send this answer if none has begun; else leave the begun one without its end: uvicorn cuts the connection."""
        if not self.status:
            await answer(scope, receive, self)


def check_url(scope: Scope) -> None:
    """Check a URL: at most 16 KiB, UTF-8 after decoding, no control characters in its path.

    Raises:
        InvalidError: when it breaks one of these.
    """
    raw_path, query = scope.get("raw_path") or scope["path"].encode(), scope["query_string"]
    if len(raw_path) + len(query) > URL_BYTES_MAX:
        raise InvalidError("url", f"must be at most {URL_BYTES_MAX} bytes")
    path = unquote_to_bytes(raw_path)
    try:
        path.decode()
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError as error:
        raise InvalidError("url", "must be UTF-8 after decoding") from error
    if _CONTROL.search(path):
        raise InvalidError("url", "must not contain control characters in its path")


def _as_get(scope: Scope) -> Scope:
    return {**scope, "method": "GET"}


def _request_id(scope: Scope) -> str:
    given = next(iter(values_of_header(scope, _ID)), "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(6)


def _line(**facts: str | float) -> str:
    """Return the facts as one line of JSON; JSON escapes control characters."""
    return msgspec.json.encode(facts).decode()
