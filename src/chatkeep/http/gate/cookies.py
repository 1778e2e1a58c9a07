"""The cookie of the page: its name, the rules for accepting it, and the headers for setting it.

Browsers send cookies with requests from other pages too, and to servers on other ports of the same host. So a
cookie counts only in a request from a page of this very server, as `Sec-Fetch-Site` or `Origin` shows. Its
secret is good nowhere else (see `access.page_sessions`).

A cookie set over TLS has a name beginning with `__Host-`: browsers then accept it from this host alone, over TLS
alone. Each name ends with the port of the `Host` header, if there is one. So servers on one host do not overwrite
each other's cookies.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from chatkeep.access.page_sessions import PageSession, PageSessions
from chatkeep.access.tokens import Token
from chatkeep.errors import ChatkeepError, UnauthorizedError

_HOST_ONLY: Final = "__Host-"
_VALUES_MAX: Final = 8  # cookies of ours in a request; each costs a look-up, and a request with more has none
_SAFE_METHODS: Final = frozenset(("GET", "HEAD"))


class Cookie(Struct, frozen=True):
    """A valid cookie of ours, with its page session and token."""

    secret: str
    page: PageSession
    token: Token

    def __repr__(self) -> str:
        """Leave the secret out."""
        return f"Cookie(page={self.page.id!r})"


def is_from_page(scope: Scope) -> bool:
    """Tell whether a request comes from a page of this very server, as the browser states.

    Browsers leave `Sec-Fetch-Site` out over plain HTTP, unless the host is local. Then `Origin` decides: browsers
    send it with every request except `GET` and `HEAD`. Without both headers only these two methods pass.
    """
    headers = Headers(scope=scope)
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site == "same-origin"
    if origin is not None:
        return origin.partition("://")[2].lower() == headers["host"].lower()
    return scope["method"] in _SAFE_METHODS


def is_over_tls(scope: Scope) -> bool:
    """Tell whether the asking page was loaded over TLS, by the request's `Origin`."""
    return Headers(scope=scope).get("origin", "").lower().startswith("https:")


def good_cookies(scope: Scope, pages: PageSessions) -> list[Cookie]:
    """Return the valid cookies of ours in a request; more than one is possible, as other ports can add cookies."""
    if not is_from_page(scope):
        return []
    names = {_name(scope, is_secure=is_secure): is_secure for is_secure in (True, False)}
    borne = {(name, value) for name, value in _pairs(scope) if name in names}
    if len(borne) > _VALUES_MAX:
        return []
    found = (_found(value, pages, is_secure=names[name]) for name, value in borne)
    return [cookie for cookie in found if cookie is not None]


def good_cookie(scope: Scope, pages: PageSessions) -> Cookie:
    """Return the only valid cookie of ours.

    Cookies with an unknown secret do not count. So a server on another port cannot lock a browser out by setting
    one. Of two valid cookies none counts: one of them would be somebody else's.

    Raises:
        UnauthorizedError: when there is none, or more than one.
        StorageError: when the page sessions or tokens cannot be read.
    """
    good = good_cookies(scope, pages)
    if len(good) != 1:
        raise UnauthorizedError
    return good[0]


def set_cookie(answer: Response, scope: Scope, secret: str, page: PageSession, lifetime_s: int) -> None:
    """Add the cookie of a page session to a response."""
    answer.set_cookie(
        _name(scope, is_secure=page.is_secure),
        secret,
        max_age=lifetime_s,
        path="/",
        httponly=True,
        samesite="strict",
        secure=page.is_secure,
    )


def renewed_cookie(scope: Scope, pages: PageSessions) -> str | None:
    """Renew the page session of a request, and return the `Set-Cookie` header; None when renewing fails.

    Blocks while the file is changed, about once a day for a browser in use.
    """
    with suppress(ChatkeepError):  # the old cookie keeps its lifetime
        cookie = good_cookie(scope, pages)
        page = pages.renew(cookie.page)
        answer = Response()
        set_cookie(answer, scope, cookie.secret, page, pages.lifetime_s(page))
        return answer.headers["set-cookie"]
    return None


def remove_cookies(answer: Response, scope: Scope) -> None:
    """Remove every cookie of ours in the request, through headers of the response."""
    borne = {name for name, _ in _pairs(scope)}
    for is_secure in (True, False):
        name = _name(scope, is_secure=is_secure)
        if name in borne:
            answer.set_cookie(name, "", max_age=0, path="/", httponly=True, samesite="strict", secure=is_secure)


def _found(secret: str, pages: PageSessions, *, is_secure: bool) -> Cookie | None:
    try:
        page, token = pages.find(secret)
    except UnauthorizedError:
        return None
    return Cookie(secret, page, token) if page.is_secure == is_secure else None


def _name(scope: Scope, *, is_secure: bool) -> str:
    """Return the name of our cookie, with the port: servers on other ports of the host get the same cookies."""
    port = re.search(r":([0-9]+)$", Headers(scope=scope).get("host", ""))
    return (_HOST_ONLY if is_secure else "") + (f"chatkeep-{port[1]}" if port else "chatkeep")


def _pairs(scope: Scope) -> list[tuple[str, str]]:
    texts = ";".join(Headers(scope=scope).getlist("cookie")).split(";")
    return [(name, value) for name, _, value in (text.strip().partition("=") for text in texts)]
