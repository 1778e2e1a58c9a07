"""The guard: every request passes here; except on public paths it needs a valid token.

The guard takes these steps in order:

1. It checks the `Host` header against the server's names. So a page with a foreign name resolving to this
   machine (DNS rebinding) gets nothing.
2. It looks up the token.
3. It counts the request against its limits, with or without a valid token, so that guessing is slow.
4. It refuses a request without a valid token, with the same answer for every path and method.

Later, `authorise` checks the scope of the grant, and `Sessions.confined` its prefix.

A token comes in the `Authorization` header, on the model routes also in `X-Api-Key` or `X-Goog-Api-Key`. A signed-in
browser sends a cookie instead of a token: `http.gate.cookies` defines when a cookie counts.

Requests from this machine get no exception. A token in a URL counts only on Gemini's routes, as their clients send it;
it goes no further, not even into a log. No header proves an identity, except
the client address from a configured proxy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import parse_qsl

from anyio import to_thread
from msgspec import Struct
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatkeep.access.page_sessions import PageSessions
from chatkeep.access.tokens import Token, TokenFile
from chatkeep.errors import (
    ChatkeepError,
    ForbiddenError,
    RateLimitedError,
    UnauthorizedError,
    UnknownHostError,
)
from chatkeep.http.gate import problems
from chatkeep.http.gate.addresses import client_address
from chatkeep.http.gate.cookies import good_cookie, renewed_cookie
from chatkeep.http.gate.heads import has_header, values_of_header
from chatkeep.http.gate.limits import Limits, Standing

PUBLIC_PATHS: Final = frozenset(("/", "/health", "/openapi.json", "/docs"))
PAGE_FILES: Final = "/page/"
SIGN_IN_PATH: Final = "/signin"
UNCOUNTED_PATHS: Final = frozenset(("/metrics",))
"""Paths without limits for valid tokens."""
MODEL_PATHS: Final = ("/v1/", "/v1beta/")
"""The beginnings of the paths of models' servers: OpenAI's and Anthropic's, and Gemini's."""
QUERY_KEY_PATHS: Final = "/v1beta/"
"""The paths that take a token in the query too, as Gemini's clients send it."""
KEY_HEADERS: Final = ("x-api-key", "x-goog-api-key")
KEY_PARAMETER: Final = "key"
RATE_PAGE: Final = 1200
"""Requests a minute for a signed-in browser: enough for scrolling, and for a search at each keystroke."""
RATE_HEADERS: Final = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_HOST = re.compile(r"(\[[0-9a-f.]*:[0-9a-f:.]+\]|[^\s:/?#@\[\]\\]+)(?::[0-9]{1,5})?", re.ASCII)
_ADMIN: Final = "admin"
_MANY: Final = 2  # headers of one name: a request with as many has no token


class Grant(Struct, frozen=True, kw_only=True):
    """The permissions of a request: its scopes, on the keys beginning with its prefix."""

    scopes: frozenset[str]
    prefix: str
    token_id: str

    def allows(self, scope: str) -> bool:
        """Tell whether the grant has the scope, or `admin`."""
        return not self.scopes.isdisjoint((scope, _ADMIN))


def _granted(token: Token) -> Grant:
    return Grant(scopes=frozenset(token.scopes), prefix=token.prefix, token_id=token.id)


def authorise(grant: Grant | None, scope: str | None, also: str | None = None) -> None:
    """Check a grant for a scope, or two; None asks for a grant alone.

    Raises:
        UnauthorizedError: when there is no grant.
        ForbiddenError: when the grant lacks the scope; the error names it.
    """
    if grant is None:
        raise UnauthorizedError
    for needed in (scope, also):
        if needed is not None and not grant.allows(needed):
            raise ForbiddenError(f"This token lacks the scope '{needed}'.")


def authorise_everywhere(grant: Grant | None, scope: str) -> None:
    """Check a grant for a scope on all keys, for answers about the whole server.

    Raises:
        UnauthorizedError, ForbiddenError: as `authorise` says; the latter also for a grant with a prefix.
    """
    authorise(grant, scope)
    if grant is not None and grant.prefix:
        raise ForbiddenError(f"This needs the scope '{scope}' for all sessions; this token is confined to a prefix.")


class Rates(Struct, frozen=True, kw_only=True):
    """The limits of a server, in requests a minute; 0 means no limit."""

    address: int = 60
    """For all valid tokens at one address together, unless they have a limit of their own.

    Requests without a valid token, and sign-ins, have the same limit in separate buckets.
    """
    token: int = 60
    model: int = 600
    """For a token's requests to `/v1/`; they count in this bucket alone."""


UNLIMITED: Final = Rates(address=0, token=0, model=0)


class Guard:
    """The rules of one server: its host names, tokens, limits and trusted proxies."""

    def __init__(
        self,
        tokens: TokenFile,
        limits: Limits,
        *,
        hosts: Iterable[str],
        rates: Rates = Rates(),  # noqa: B008 - an immutable value
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        """Take the tokens, the limits, the host names without ports, and the addresses or networks of proxies.

        Raises:
            ValueError: when a proxy is neither an address nor a network.
        """
        self.tokens = tokens
        self.pages = PageSessions(tokens)
        self._limits = limits
        self._hosts = frozenset(host.lower().strip("[]") for host in hosts)
        self._rates = rates
        self._proxies = tuple(ipaddress.ip_network(proxy) for proxy in trusted_proxies)

    def check_host(self, scope: Scope) -> None:
        """Check for exactly one `Host` header naming this server, as host or host:port.

        Raises:
            UnknownHostError: for any other request.
        """
        named = values_of_header(scope, b"host")
        if len(named) != 1 or not self.is_known(named[0]) or not scope["path"].startswith("/"):
            raise UnknownHostError

    def is_known(self, host: str) -> bool:
        """Tell whether a host, with a port or without, names this server."""
        found = _HOST.fullmatch(host.lower())
        return found is not None and found[1].strip("[]") in self._hosts

    def find(self, scope: Scope) -> Token:
        """Return the token of a request: from its `Authorization` header, else from the cookie of the page.

        Clients of models' servers may send it as `X-Api-Key`, and some send something else beside it.

        Raises:
            UnauthorizedError: when there is no token, more than one, or an invalid one.
            StorageError: when the tokens or page sessions cannot be read.
        """
        if not _bears(scope):
            return good_cookie(scope, self.pages).token
        borne = values_of_header(scope, b"authorization")
        scheme, _, secret = borne[0].partition(" ") if len(borne) == 1 else ("", "", "")
        own = _own_keys(scope) if len(borne) < _MANY else []
        secrets = [*([secret.strip(" ")] if scheme.lower() == "bearer" else []), *(own if len(own) == 1 else [])]
        for other in secrets[:-1]:
            with suppress(UnauthorizedError):
                return self.tokens.find(other)
        if not secrets:
            raise UnauthorizedError
        return self.tokens.find(secrets[-1])

    def is_cookie_due(self, scope: Scope) -> bool:
        """Tell whether the cookie of an admitted request should be renewed."""
        if _bears(scope):
            return False
        with suppress(ChatkeepError):
            cookie = good_cookie(scope, self.pages)
            return self.pages.is_due(cookie.page, cookie.token)
        return False

    def count(self, scope: Scope, token: Token | None) -> Standing | None:
        """Count a request in its buckets, and return the standing of the tightest one; None without limits.

        Requests without a valid token have a separate bucket at each address, and so have sign-ins. So a guesser,
        or a misconfigured program, uses up nothing of the limit for valid tokens there.

        Raises:
            RateLimitedError, BusyError: as `Limits.take` says.
        """
        buckets = self._buckets(scope, token)
        if token is not None and token.prefix:  # it must not see the traffic of others at its address
            return self._limits.take(buckets, hidden="address")
        return self._limits.take(buckets)

    def _buckets(self, scope: Scope, token: Token | None) -> list[tuple[str, int]]:
        rates, path = self._rates, scope["path"]
        if path == SIGN_IN_PATH:
            return [(f"sign-in:{self.address(scope)}", rates.address)]
        if token is None:
            return [(f"tries:{self.address(scope)}", rates.address)]
        if token.rate is not None:
            return [(f"own:{token.id}", token.rate)]
        if not _bears(scope):
            return [(f"page:{token.id}", RATE_PAGE)]
        if _is_of_model(scope):
            return [(f"model:{token.id}", rates.model)]
        return [(f"address:{self.address(scope)}", rates.address), (f"token:{token.id}", rates.token)]

    def address(self, scope: Scope) -> str:
        """Return the client address of a request, under its one name."""
        return client_address(scope, self._proxies)


class GuardMiddleware:
    """An ASGI middleware: it passes admitted requests to the application, and answers the others itself."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        """Take the application to protect, and the guard."""
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; its token and grant (None on public paths) go into `scope["state"]`."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:  # no WebSockets: a browser cannot send an Authorization header with one
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp
        headers: dict[str, str] = {}
        try:
            token = self._admitted(scope, headers)
        except ChatkeepError as error:
            app = problems.response(error, scope)
        else:
            scope.setdefault("state", {}).update(token=token, grant=None if token is None else _granted(token))
            app = self._app
            if token is not None and self._guard.is_cookie_due(scope):
                renewed = await to_thread.run_sync(renewed_cookie, scope, self._guard.pages)
                headers.update({"Set-Cookie": renewed} if renewed else {})
        await app(scope, receive, _adding(headers, send) if headers else send)

    def _admitted(self, scope: Scope, headers: dict[str, str]) -> Token | None:
        """Return the token of a request, and put the rate-limit headers for its answer into `headers`."""
        self._guard.check_host(scope)
        path = scope["path"]
        if is_public(path):
            return None
        token = self._bearer(scope)
        if token is None or path not in UNCOUNTED_PATHS:
            try:
                headers.update(_rate_headers(self._guard.count(scope, token)))
            except RateLimitedError as error:
                headers.update(_rate_headers(Standing(error.limit, 0, error.retry_after_s)))
                raise
        if path == SIGN_IN_PATH:
            return None  # signing in needs no token yet, signing out none any more
        if token is None:
            raise UnauthorizedError
        return token

    def _bearer(self, scope: Scope) -> Token | None:
        try:
            return self._guard.find(scope)
        except UnauthorizedError:
            return None  # the caller refuses it after counting it


def _bears(scope: Scope) -> bool:
    """Tell whether a request brings a token, good or bad, and so is no signed-in browser's."""
    return has_header(scope, b"authorization") or bool(_own_keys(scope))


def _own_keys(scope: Scope) -> list[str]:
    """Return the keys in the headers of models' clients, else those in the query; only the model routes take them."""
    if not _is_of_model(scope):
        return []
    found = [key for name in KEY_HEADERS for key in Headers(scope=scope).getlist(name)]
    if found or not scope["path"].startswith(QUERY_KEY_PATHS):
        return found
    query = scope.get("query_string", b"").decode("latin-1")
    return [key for name, key in parse_qsl(query, keep_blank_values=True) if name == KEY_PARAMETER]


def _is_of_model(scope: Scope) -> bool:
    path: str = scope.get("path", "")
    return path.startswith(MODEL_PATHS)


def is_public(path: str) -> bool:
    """Tell whether this path is open to everybody."""
    return path in PUBLIC_PATHS or path.startswith(PAGE_FILES)


def _rate_headers(standing: Standing | None) -> dict[str, str]:
    if standing is None:
        return {}
    values = (standing.limit, standing.remaining, standing.reset_s)
    return {name: str(value) for name, value in zip(RATE_HEADERS, values, strict=True)}


def _adding(headers: dict[str, str], send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return send_with_headers
