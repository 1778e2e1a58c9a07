"""The guard: every request passes here, and gets in with a grant or not at all.

In this order: the `Host` must be one the server is known by (a page that has a foreign name resolve
to this machine gets nothing); the token is looked up; the request is counted against its limits,
refused ones too, so that guessing is slow; without a valid token it ends here, with the same answer
at every address and for every method. What a grant allows is checked by `authorise`, and its prefix by
`Sessions.confined`.

A token comes in the `Authorization` header. A browser that signed in sends a cookie instead, which is no
token: `cookies` says when it counts.

There is no exception for requests from this machine, no token in an address, and no identity taken
from a header, except the address that a configured proxy has seen.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

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
from chatkeep.http.gate.limits import Limits, Standing

PUBLIC_PATHS: Final = frozenset(("/", "/health", "/openapi.json", "/docs"))
PAGE_FILES: Final = "/page/"
SIGN_IN_PATH: Final = "/signin"
UNCOUNTED_PATHS: Final = frozenset(("/metrics",))
"""Valid tokens may ask here as often as they like."""
MODEL_PATHS: Final = "/v1/"
RATE_PAGE: Final = 1200
"""What a page that scrolls and searches as one types may ask in a minute."""
RATE_HEADERS: Final = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_HOST = re.compile(r"(\[[0-9a-f.]*:[0-9a-f:.]+\]|[^\s:/?#@\[\]\\]+)(?::[0-9]{1,5})?", re.ASCII)
_ADMIN: Final = "admin"


class Grant(Struct, frozen=True, kw_only=True):
    """What a request may do: these scopes, on the keys that begin with the prefix."""

    scopes: frozenset[str]
    prefix: str
    token_id: str

    def allows(self, scope: str) -> bool:
        """Tell whether the scope, or `admin`, is among those granted."""
        return not self.scopes.isdisjoint((scope, _ADMIN))


def authorise(grant: Grant | None, scope: str) -> None:
    """Let pass who has been granted the scope.

    Raises:
        UnauthorizedError: when there is no grant.
        ForbiddenError: when the grant lacks the scope; it names it.
    """
    if grant is None:
        raise UnauthorizedError
    if not grant.allows(scope):
        raise ForbiddenError(f"This token lacks the scope '{scope}'.")


def authorise_everywhere(grant: Grant | None, scope: str) -> None:
    """Let pass who has been granted the scope for all keys: for answers that cannot be confined.

    Raises:
        UnauthorizedError, ForbiddenError: as `authorise` says; the latter also for a grant with a prefix.
    """
    authorise(grant, scope)
    if grant is not None and grant.prefix:
        raise ForbiddenError(f"This needs the scope '{scope}' for all sessions; this token is confined to a prefix.")


class Rates(Struct, frozen=True, kw_only=True):
    """The limits of a server, in requests a minute; 0 is no limit."""

    address: int = 60
    """Valid tokens without a limit of their own, all of one address together; and as many requests without one."""
    token: int = 60
    model: int = 600
    """A token's calls of the model routes, which are no calls of sessions."""


UNLIMITED: Final = Rates(address=0, token=0, model=0)


class Guard:
    """The rules of one server: its names, its tokens, its limits and the proxies it believes."""

    def __init__(
        self,
        tokens: TokenFile,
        limits: Limits,
        *,
        hosts: Iterable[str],
        rates: Rates = Rates(),  # noqa: B008 - an immutable value
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        """Take names without ports, the limits, and addresses or networks of proxies.

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
        """Let pass a request that names this server, once, as host or host:port.

        Raises:
            UnknownHostError: for any other.
        """
        named = Headers(scope=scope).getlist("host")
        found = _HOST.fullmatch(named[0].lower()) if len(named) == 1 else None
        if not found or found[1].strip("[]") not in self._hosts or not scope["path"].startswith("/"):
            raise UnknownHostError

    def find(self, scope: Scope) -> Token:
        """Return the token that a request bears in its header, or else the one that the cookie of our page stands for.

        Raises:
            UnauthorizedError: when it bears none, several, or one that is not valid.
        """
        borne = Headers(scope=scope).getlist("authorization")
        if not borne:
            return good_cookie(scope, self.pages).token
        scheme, _, secret = borne[0].partition(" ") if len(borne) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            raise UnauthorizedError
        return self.tokens.find(secret.strip(" "))

    def is_cookie_due(self, scope: Scope) -> bool:
        """Tell whether an admitted request came with a cookie that should be renewed."""
        if "authorization" in Headers(scope=scope):
            return False
        with suppress(ChatkeepError):
            cookie = good_cookie(scope, self.pages)
            return self.pages.is_due(cookie.page, cookie.token)
        return False

    def count(self, scope: Scope, token: Token | None) -> Standing | None:
        """Count a request in the buckets that it belongs to, and return what is left of them.

        Requests without a valid token have a bucket of their own at each address: whoever guesses, or is lost,
        uses up no room of those who are known there. So have the tries to sign in.

        Raises:
            RateLimitedError, BusyError: as `Limits.take` says.
        """
        buckets = self._buckets(scope, token)
        if token is not None and token.prefix:  # it must not see how busy others are at its address
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
        if "authorization" not in Headers(scope=scope):
            return [(f"page:{token.id}", RATE_PAGE)]
        if path.startswith(MODEL_PATHS):
            return [(f"model:{token.id}", rates.model)]
        return [(f"address:{self.address(scope)}", rates.address), (f"token:{token.id}", rates.token)]

    def address(self, scope: Scope) -> str:
        """Return the one name of the address that a request comes from."""
        return client_address(scope, self._proxies)


class GuardMiddleware:
    """An ASGI application that lets only guarded requests through to another one."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        """Take the application to protect and the rules."""
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, put its grant (or None, on public paths) into `scope["state"]["grant"]`."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:  # no door of this kind: WebSockets know no Authorization header from a browser
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp
        headers: dict[str, str] = {}
        try:
            grant = self._admitted(scope, headers)
        except ChatkeepError as error:
            app = problems.response(error, scope)
        else:
            scope.setdefault("state", {})["grant"] = grant
            app = self._app
            if grant is not None and self._guard.is_cookie_due(scope):
                renewed = await to_thread.run_sync(renewed_cookie, scope, self._guard.pages)
                headers.update({"Set-Cookie": renewed} if renewed else {})
        await app(scope, receive, _adding(headers, send) if headers else send)

    def _admitted(self, scope: Scope, headers: dict[str, str]) -> Grant | None:
        """Return the grant of a request, and fill in the headers that any answer to it gets."""
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
            return None  # here one gets a token, or lets go of it
        if token is None:
            raise UnauthorizedError
        return Grant(scopes=frozenset(token.scopes), prefix=token.prefix, token_id=token.id)

    def _bearer(self, scope: Scope) -> Token | None:
        try:
            return self._guard.find(scope)
        except UnauthorizedError:
            return None  # refused further on, when it has been counted


def is_public(path: str) -> bool:
    """Tell whether everybody may read what is at this path."""
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
