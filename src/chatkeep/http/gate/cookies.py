"""The cookie of the page: what it is called, when it counts, and how a browser is given it.

Browsers send cookies with requests of other pages too, and to servers on other ports of the same host. So ours
counts only beside what shows that a page of this very server asks; and what is in it is good nowhere else (see
`page_sessions`). Where the page came over TLS its name begins with `__Host-`: browsers then take it from this
host alone, over TLS alone. Elsewhere the name has the port, so that servers on one host do not take each
other's away.
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
_VALUES_MAX: Final = 8
_SAFE_METHODS: Final = frozenset(("GET", "HEAD"))


class Cookie(Struct, frozen=True):
    """A cookie of ours that is good, and who comes with it."""

    secret: str
    page: PageSession
    token: Token

    def __repr__(self) -> str:
        """Leave the secret out."""
        return f"Cookie(page={self.page.id!r})"


def is_from_page(scope: Scope) -> bool:
    """Tell whether a browser says that a page of this very server asks.

    Browsers leave `Sec-Fetch-Site` out where a server is reached by plain HTTP under a name of its own;
    then `Origin` decides, which they send with every request that changes something.
    """
    headers = Headers(scope=scope)
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site == "same-origin"
    if origin is not None:
        return origin.partition("://")[2].lower() == headers["host"].lower()
    return scope["method"] in _SAFE_METHODS


def is_over_tls(scope: Scope) -> bool:
    """Tell whether the page that asks came over TLS, as its browser says of it."""
    return Headers(scope=scope).get("origin", "").lower().startswith("https:")


def good_cookies(scope: Scope, pages: PageSessions) -> list[Cookie]:
    """Return the cookies of ours in a request that are good; whoever can set one can add a second."""
    if not is_from_page(scope):
        return []
    names = {_name(scope, is_secure=is_secure): is_secure for is_secure in (True, False)}
    borne = {(name, value) for name, value in _pairs(scope) if name in names}
    if len(borne) > _VALUES_MAX:
        return []
    found = (_found(value, pages, is_secure=names[name]) for name, value in borne)
    return [cookie for cookie in found if cookie is not None]


def good_cookie(scope: Scope, pages: PageSessions) -> Cookie:
    """Return the one cookie of ours that is good.

    What is no secret of ours does not count, wherever it comes from, so nobody is kept out by one that another
    port has set. Of two that are good none counts: one would be somebody else's.

    Raises:
        UnauthorizedError: when there is none, or more than one.
        StorageError: when the sessions cannot be read.
    """
    good = good_cookies(scope, pages)
    if len(good) != 1:
        raise UnauthorizedError
    return good[0]


def set_cookie(answer: Response, scope: Scope, secret: str, page: PageSession, lifetime_s: int) -> None:
    """Let an answer hand over the cookie of a session."""
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
    """Return the header that lets a browser keep its cookie for longer; None when that is not possible.

    Blocks while the file is changed, which is about once a day for a browser in use.
    """
    with suppress(ChatkeepError):  # it stays good for as long as it was
        cookie = good_cookie(scope, pages)
        page = pages.renew(cookie.page)
        answer = Response()
        set_cookie(answer, scope, cookie.secret, page, pages.lifetime_s(page))
        return answer.headers["set-cookie"]
    return None


def remove_cookies(answer: Response, scope: Scope) -> None:
    """Let an answer take away every cookie of ours that the request came with."""
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
    """Return the name of our cookie: servers on other ports of the same machine share its cookies."""
    port = re.search(r":([0-9]+)$", Headers(scope=scope).get("host", ""))
    return (_HOST_ONLY if is_secure else "") + (f"chatkeep-{port[1]}" if port else "chatkeep")


def _pairs(scope: Scope) -> list[tuple[str, str]]:
    texts = ";".join(Headers(scope=scope).getlist("cookie")).split(";")
    return [(name, value) for name, _, value in (text.strip().partition("=") for text in texts)]
