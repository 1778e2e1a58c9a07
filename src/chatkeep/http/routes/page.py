"""The page: its public files, and the sign-in of a browser.

The server sends the files in `static/` as they are. Their URLs contain a digest of all files, so browsers may
cache them for ever and never mix two editions. The page gets its data from the API. `index.html` lists all
modules imported by `main.js`, directly or not, so that a browser loads them at once. The server makes this list
from the imports when it reads the files.

To sign in, the page sends the code of a sign-in link, printed by `serve` or `open`, or a token. The response puts the
secret of a page session into a cookie hidden from scripts: see `access.page_sessions`.
"""

from __future__ import annotations

import gzip
import hashlib
import posixpath
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Final

from msgspec import Struct
from msgspec.json import Decoder
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from chatkeep.access.page_sessions import PageSession
from chatkeep.errors import ForbiddenError, InvalidError, NotFoundError, UnauthorizedError
from chatkeep.http.gate.binding import InPath
from chatkeep.http.gate.body import json_of
from chatkeep.http.gate.cookies import good_cookies, is_from_page, is_over_tls, remove_cookies, set_cookie
from chatkeep.http.gate.rules import json_response
from chatkeep.http.services import Services, ServicesParameter
from chatkeep.wire.answers import Done, json_bytes
from chatkeep.wire.bodies import SignInBody

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types dompurify chatkeep"
)
_FILE_POLICY: Final = "default-src 'none'; script-src 'self'; frame-ancestors 'none'"  # for the imports of a worker
_TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".woff2": "font/woff2",
}
MEDIA_TYPES: Final = tuple(_TYPES.values())
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_EDITION: Final = b"{edition}"

EditionName = Annotated[str, InPath(description="The edition of the page, named in `index.html`.")]
PageFileName = Annotated[str, InPath(description="The path of the file within the page.")]
_FRONT: Final = "index.html"
_FIRST: Final = "main.js"
_PRELOADS: Final = b"{preloads}"
_IMPORT: Final = re.compile(r'^(?:import|export)\b[^;"]*"(\.[^"]+)"', re.MULTILINE)
_BODY: Final = Decoder(SignInBody)


class PageFile(Struct, frozen=True):
    """A file of the page, plain and as gzip."""

    plain: bytes
    compressed: bytes
    media_type: str


class Edition(Struct, frozen=True):
    """The files of the page by name, and a digest of all of them."""

    name: str
    files: dict[str, PageFile]


async def get_page(request: Request) -> Response:
    """Send the page showing the sessions."""
    front = edition().files[_FRONT]
    alone = {"Content-Security-Policy": PAGE_POLICY, "Cross-Origin-Opener-Policy": "same-origin"}
    return _sent(front, request, {**alone, "Cache-Control": "no-cache"})


async def get_page_file(request: Request, edition: EditionName, name: PageFileName) -> Response:
    """Send a file of the page."""
    found = _current(edition).get(name)
    if found is None:
        raise NotFoundError("The page has no such file; load it again.")
    return _sent(found, request, {"Content-Security-Policy": _FILE_POLICY, "Cache-Control": _FOR_EVER})


async def sign_in(request: Request, services: ServicesParameter) -> Response:
    """Make a page session for a sign-in code or a token, and put its secret into a cookie."""
    if not is_from_page(request.scope):
        raise ForbiddenError("Only the page of this server signs in here; programs send `Authorization`.")
    body = await json_of(request, services.pools, _BODY)
    if bool(body.code) == bool(body.token):
        raise InvalidError("code", "give either a code or a token")
    secret, page = await services.pools.write(_opened, services, request, body)
    answer = json_response(json_bytes(Done()))
    set_cookie(answer, request.scope, secret, page, services.guard.pages.lifetime_s(page))
    return answer


async def sign_out(request: Request, services: ServicesParameter) -> Response:
    """End the page session, and remove its cookie."""
    if not is_from_page(request.scope):
        raise ForbiddenError("Only the page of this server signs out here.")
    guard = services.guard
    for cookie in good_cookies(request.scope, guard.pages):
        with suppress(NotFoundError):  # it is gone already
            await services.pools.write(guard.pages.leave, cookie.page)
    answer = json_response(json_bytes(Done()))
    remove_cookies(answer, request.scope)
    return answer


@cache
def edition() -> Edition:
    """Return the files of the page, read once."""
    plain = dict(_read(files("chatkeep.http") / "static"))
    preloads = [f'<link rel="modulepreload" href="/page/{{edition}}/{path}">' for path in modules_needed(plain)]
    plain[_FRONT] = plain[_FRONT].replace(_PRELOADS, "\n".join(preloads).encode())
    name = hashlib.sha256(repr(sorted(plain.items())).encode()).hexdigest()[:16]
    plain[_FRONT] = plain[_FRONT].replace(_EDITION, name.encode())
    return Edition(
        name, {path: PageFile(data, gzip.compress(data, 9, mtime=0), _type_of(path)) for path, data in plain.items()}
    )


def modules_needed(plain: Mapping[str, bytes]) -> list[str]:
    """Return all modules imported by `main.js`, directly or through others, sorted by path."""
    needed: set[str] = set()
    waiting = [_FIRST]
    while waiting:
        found = imports_of(waiting.pop(), plain) - needed
        needed |= found
        waiting += found
    return sorted(needed)


def imports_of(path: str, plain: Mapping[str, bytes]) -> set[str]:
    """Return the static imports of a module, without the modules it loads later on demand."""
    folder = posixpath.dirname(path)
    return {
        posixpath.normpath(posixpath.join(folder, address)) for address in _IMPORT.findall(plain[path].decode("utf-8"))
    }


def _current(name: str) -> dict[str, PageFile]:
    known = edition()
    return known.files if name == known.name else {}


def _read(folder: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
        else:
            found.append((prefix + entry.name, entry.read_bytes()))
    return found


def _type_of(path: str) -> str:
    return _TYPES.get(path[path.rfind(".") :], _TYPES[".txt"])


def _sent(file: PageFile, request: Request, headers: dict[str, str]) -> Response:
    takes_gzip = _takes_gzip(Headers(scope=request.scope).get("accept-encoding", ""))
    coding = {"Content-Encoding": "gzip"} if takes_gzip else {}
    return Response(
        file.compressed if takes_gzip else file.plain,
        headers={**headers, **coding, "Vary": "Accept-Encoding"},
        media_type=file.media_type,
    )


def _takes_gzip(accepted: str) -> bool:
    """Tell whether an `Accept-Encoding` header accepts gzip. Source: RFC 9110, 12.5.3."""
    codings = (coding.lower().replace(" ", "").partition(";q=") for coding in accepted.split(","))
    weights = {name: weight or "1" for name, _, weight in codings}
    return weights.get("gzip", weights.get("*", "0")).strip("0.") != ""


def _opened(services: Services, request: Request, body: SignInBody) -> tuple[str, PageSession]:
    """Return a secret and a new page session, replacing the earlier sessions of the browser."""
    guard, code = services.guard, services.code
    token = guard.tokens.find(body.token) if body.token else None
    made = partial(
        guard.pages.open,
        token,
        browser=request.headers.get("user-agent", ""),
        is_secure=is_over_tls(request.scope),
        instead_of={cookie.page.id for cookie in good_cookies(request.scope, guard.pages)},
    )
    if token is not None:
        return made()
    try:
        if code is not None:
            return code.spend(body.code or "", made)
    except UnauthorizedError:
        pass  # it may be the code of a link that was made later
    services.links.spend(body.code or "")
    return made()
