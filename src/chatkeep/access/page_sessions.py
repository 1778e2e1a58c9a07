"""Page sessions: signed-in browsers, each with a secret valid in its cookie alone.

Cookies ignore ports: a browser sends ours to every server on other ports of this host, too. So a cookie holds no
token but a separate secret for one browser. The server refuses this secret in `Authorization`.

A page session ends after 7 days without a visit, and after 30 days in any case. It also ends when the browser
signs out, and with the token pasted to sign in. It has the permissions of that token; one made from a sign-in
link may do everything.

`pages.json` in the workspace lists the page sessions, with only the SHA-256 of each secret. Losing the file costs
little: every browser signs in again. While the disk refuses writes, a new page session lives in the memory of its
server, and ends with it. So a browser can still read on a full disk.
"""

from __future__ import annotations

import hmac
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from chatkeep.access.tokens import FIRST_SCOPES, SECRET_CHARS_MAX, Token, TokenFile, digest_of
from chatkeep.disk.private import FileState, PrivateFile
from chatkeep.errors import (
    NotFoundError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
    UnauthorizedError,
)

IDLE: Final = timedelta(days=7)  # without a visit
LIFETIME: Final = timedelta(days=30)  # visits or not
RENEWED_AFTER: Final = timedelta(days=1)
"""A renewal has to gain more than this, so that not every visit costs a write."""
SESSIONS_PER_TOKEN: Final = 20  # a new one removes the oldest
_MARK: Final = "ckp_"  # of these secrets; tokens begin with `ck_`
_LINK_S: Final = 3600  # lifetime of a sign-in link
PAGES_FILE: Final = "pages.json"
_BROWSER_CHARS_MAX: Final = 60  # of an unknown `User-Agent`
_REFUSALS: Final = (StorageFullError, StorageReadOnlyError, StorageDeniedError)
_Made = TypeVar("_Made")


class PageSession(Struct, frozen=True, kw_only=True):
    """A signed-in browser, with the hash of its secret."""

    id: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    token_id: str = ""
    """The id of the pasted token; empty when the browser used a sign-in link."""
    browser: str = ""
    is_secure: bool = False
    """True when the browser signed in over TLS; then only the `__Host-` cookie counts."""
    created_at: datetime
    expires_at: datetime

    def expired(self, now: datetime) -> bool:
        """Tell whether the page session has expired."""
        return self.expires_at <= now


class _File(Struct, frozen=True):
    pages: tuple[PageSession, ...] = ()


class _Known(Struct, frozen=True):
    stamp: FileState | None
    pages: tuple[PageSession, ...]
    by_digest: Mapping[str, PageSession]


class PageSessions:
    """The signed-in browsers of one workspace. Safe to use from many threads and processes."""

    def __init__(self, tokens: TokenFile) -> None:
        """Take the tokens behind the page sessions; the file is in their folder, and the clock is theirs."""
        self._tokens = tokens
        self._now = tokens.now
        self._path = tokens.path.with_name(PAGES_FILE)
        self._file = PrivateFile(self._path)
        self._known = _Known(None, (), {})
        self._unwritten: dict[str, PageSession] = {}
        self._ended: frozenset[str] = frozenset()  # ended ids, still in the file while the disk refuses writes

    def open(
        self, token: Token | None, *, browser: str = "", is_secure: bool = False, instead_of: Collection[str] = ()
    ) -> tuple[str, PageSession]:
        """Make a page session from a token, or from a sign-in link (None), and return its secret with it.

        Only the hash of the secret is stored. The new session replaces those with the ids `instead_of`, and the oldest
        of its token beyond `SESSIONS_PER_TOKEN`. While the disk refuses writes, it lives as long as this process.
        So a full disk does not stop anybody from reading, or from deleting to make room.

        Raises:
            BusyError: when another process holds the file's lock.
            StorageError: when the file is damaged, or the disk fails.
        """
        secret, now = _MARK + secrets.token_urlsafe(32), self._now()
        made = PageSession(
            id=secrets.token_hex(6),
            sha256=digest_of(secret),
            token_id=token.id if token else "",
            browser=_browser_of(browser),
            is_secure=is_secure,
            created_at=now,
            expires_at=_expiry(now, now, token),
        )
        try:
            with self._file.locked():
                kept = [page for page in self._read() if page.id not in instead_of]
                self._write((*kept, made))
        except _REFUSALS:
            self._ended |= set(instead_of)
            others = (page for page in self._unwritten.values() if page.id not in instead_of)
            self._unwritten = {page.sha256: page for page in self._worth_keeping((*others, made))}
        return secret, made

    def find(self, secret: str) -> tuple[PageSession, Token]:
        """Return the page session of a secret, and its token; a sign-in link gives a token with the scope `admin`.

        Raises:
            UnauthorizedError: when there is none, or when it or its token has ended.
            StorageError: when a file cannot be read.
        """
        if len(secret) > SECRET_CHARS_MAX:
            raise UnauthorizedError
        digest = digest_of(secret)
        page = self._unwritten.get(digest) or self._current().by_digest.get(digest)
        if page is None or not hmac.compare_digest(page.sha256, digest) or page.expired(self._now()):
            raise UnauthorizedError
        if page.id in self._ended:
            raise UnauthorizedError
        return page, self._token_of(page)

    def lifetime_s(self, page: PageSession) -> int:
        """Return the seconds until a page session expires, at least 0."""
        return max(0, int((page.expires_at - self._now()).total_seconds()))

    def is_due(self, page: PageSession, token: Token) -> bool:
        """Tell whether renewing a page session would gain more than `RENEWED_AFTER` (a day)."""
        return _expiry(self._now(), page.created_at, token) - page.expires_at > RENEWED_AFTER

    def renew(self, page: PageSession) -> PageSession:
        """Extend a page session to 7 days from now, and return it.

        It still ends within its 30 days, and with its token. Nothing is written unless a renewal is due.

        Raises:
            UnauthorizedError: when it has ended meanwhile.
            BusyError, StorageError: when the file cannot be changed.
        """
        with self._file.locked():
            pages = self._read()
            known = next((one for one in pages if one.id == page.id), None)
            if known is None:
                raise UnauthorizedError
            token = self._token_of(known)
            if not self.is_due(known, token):  # another request has renewed it
                return known
            longer = msgspec.structs.replace(known, expires_at=_expiry(self._now(), known.created_at, token))
            self._write(longer if one is known else one for one in pages)
        return longer

    def end(self, id_or_secret: str) -> PageSession:
        """Remove a page session, and return it; servers refuse it from the next request on.

        Raises:
            NotFoundError: when there is none with this id or secret.
            BusyError, StorageError: when the file cannot be changed.
        """
        digest = digest_of(id_or_secret)
        for page in self._unwritten.values():
            if page.id == id_or_secret or page.sha256 == digest:
                self._unwritten = {key: one for key, one in self._unwritten.items() if one is not page}
                return page
        with self._file.locked():
            pages = self._read()
            found = next((page for page in pages if page.id == id_or_secret or page.sha256 == digest), None)
            if found is None or found.id in self._ended:
                raise NotFoundError("No page session has this id or secret.")
            self._write(page for page in pages if page is not found)
        return found

    def leave(self, page: PageSession) -> None:
        """Remove a page session, as `end`; while the disk refuses writes, only this process refuses the session.

        Raises:
            NotFoundError, BusyError, StorageError: as `end` says, except for a disk refusing writes.
        """
        try:
            self.end(page.id)
        except _REFUSALS:
            self._ended |= {page.id}

    def all(self) -> tuple[PageSession, ...]:
        """Return the page sessions with an existing token, oldest first, expired ones included.

        Raises:
            StorageError: when a file cannot be read.
        """
        known = {token.id for token in self._tokens.all()} | {""}
        pages = (*self._current().pages, *self._unwritten.values())
        return tuple(page for page in pages if page.token_id in known and page.id not in self._ended)

    def check(self) -> None:
        """Check the file by reading it.

        Raises:
            StorageError: when it cannot be read, or is damaged.
        """
        self._current()

    def _token_of(self, page: PageSession) -> Token:
        if page.token_id:
            return self._tokens.get(page.token_id)
        return Token(id=page.id, name="page", sha256=page.sha256, scopes=FIRST_SCOPES, created_at=page.created_at)

    def _current(self) -> _Known:
        stamp = self._file.stamp()
        if stamp != self._known.stamp:
            pages = self._read()
            self._known = _Known(stamp, pages, {page.sha256: page for page in pages})
        return self._known

    def _read(self) -> tuple[PageSession, ...]:
        try:
            return msgspec.json.decode(self._file.read(), type=_File).pages
        except FileNotFoundError:
            return ()
        except (ValueError, RecursionError) as error:
            reason = "is damaged and was left as it is: remove it, and browsers sign in again"
            raise StorageError(f"{self._path.name} {reason}.") from error

    def _write(self, pages: Iterable[PageSession]) -> None:
        encoded = msgspec.json.encode({"format": 1, "pages": self._worth_keeping(pages)})
        self._file.replace(msgspec.json.format(encoded) + b"\n")

    def _worth_keeping(self, pages: Iterable[PageSession]) -> list[PageSession]:
        """Return the valid page sessions in their order, at most the newest `SESSIONS_PER_TOKEN` of each token."""
        now, known = self._now(), {token.id for token in self._tokens.all()} | {""}
        kept: list[PageSession] = []
        counts: Counter[str] = Counter()
        for page in reversed(tuple(pages)):
            counts[page.token_id] += 1
            is_good = page.token_id in known and page.id not in self._ended and not page.expired(now)
            if is_good and counts[page.token_id] <= SESSIONS_PER_TOKEN:
                kept.append(page)
        return kept[::-1]


class SignInCode:
    """The code of a sign-in link: valid for one page session, within an hour.

    The server prints the link at its start, and keeps the code in memory alone. Safe to use from many threads.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a clock in seconds, and make the code; its hour begins."""
        self._clock = clock
        self._until_s = clock() + _LINK_S
        self._lock = threading.Lock()
        self._unspent: str | None = secrets.token_urlsafe(24)

    @property
    def unspent(self) -> str | None:
        """The code; None when it is spent or has expired."""
        return self._unspent if self._clock() < self._until_s else None

    def spend(self, code: str, make: Callable[[], _Made]) -> _Made:
        """Call `make` for a valid code, spend the code, and return the result; if `make` raises, the code stays valid.

        Raises:
            UnauthorizedError: when the code is wrong, spent or expired.
        """
        with self._lock:
            if self.unspent is None or not hmac.compare_digest(digest_of(self.unspent), digest_of(code)):
                raise UnauthorizedError
            made = make()
            self._unspent = None
        return made


def _expiry(now: datetime, created_at: datetime, token: Token | None) -> datetime:
    ends = [now + IDLE, created_at + LIFETIME]
    if token is not None and token.expires_at is not None:
        ends.append(token.expires_at)
    return min(ends)


_BROWSERS: Final = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
_SYSTEMS: Final = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


def _browser_of(user_agent: str) -> str:
    """Return a short, printable name of a browser; a client may send any `User-Agent`."""
    browser = next((name for mark, name in _BROWSERS.items() if f"{mark}/" in user_agent), None)
    system = next((name for mark, name in _SYSTEMS.items() if mark in user_agent), None)
    if browser and system:
        return f"{browser} on {system}"
    return browser or re.sub(r"[^ -~]+", "?", user_agent)[:_BROWSER_CHARS_MAX]
