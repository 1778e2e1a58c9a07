"""Sessions of the page: browsers that signed in, each with a secret that is good in its cookie alone.

Cookies know no ports: a browser sends ours to whoever listens on another port of this host, too. So what is in
it is no token. It is a secret of its own, good for one browser: refused in `Authorization`, forgotten after a
week without a visit, after 30 days, when the browser signs out, and with the token that was pasted to sign in.
It can do what that token can; one that a sign-in link made can do everything.

`pages.json` in the workspace lists them, with the SHA-256 of each secret only. It is worth little: without it
everybody signs in again. While the disk refuses to be written, a new session is in the memory of its server alone,
so what can still be read can be read on the page, too; it ends with that server.
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

IDLE: Final = timedelta(days=7)
LIFETIME: Final = timedelta(days=30)
RENEWED_AFTER: Final = timedelta(days=1)
"""A session is renewed when it was not for so long: not every visit costs a write."""
SESSIONS_PER_TOKEN: Final = 20
_MARK: Final = "ckp_"
_LINK_S: Final = 3600
PAGES_FILE: Final = "pages.json"
_BROWSER_CHARS_MAX: Final = 60
_REFUSALS: Final = (StorageFullError, StorageReadOnlyError, StorageDeniedError)
_Made = TypeVar("_Made")


class PageSession(Struct, frozen=True, kw_only=True):
    """What is known of a browser that signed in; its secret is not."""

    id: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    token_id: str = ""
    """The token that was pasted, none when it came by a sign-in link."""
    browser: str = ""
    is_secure: bool = False
    """It was made over TLS, and is good in the cookie that only TLS sees."""
    created_at: datetime
    expires_at: datetime

    def expired(self, now: datetime) -> bool:
        """Tell whether its time is over."""
        return self.expires_at <= now


class _File(Struct, frozen=True):
    pages: tuple[PageSession, ...] = ()


class _Known(Struct, frozen=True):
    stamp: FileState | None
    pages: tuple[PageSession, ...]
    by_digest: Mapping[str, PageSession]


class PageSessions:
    """The browsers that are signed in to the servers of one workspace. Safe to use from many threads and processes."""

    def __init__(self, tokens: TokenFile) -> None:
        """Take the tokens that they come from; the file is beside theirs, and the clock is theirs."""
        self._tokens = tokens
        self._now = tokens.now
        self._path = tokens.path.with_name(PAGES_FILE)
        self._file = PrivateFile(self._path)
        self._known = _Known(None, (), {})
        self._unwritten: dict[str, PageSession] = {}
        self._ended: frozenset[str] = frozenset()  # the ids of those that the file still has, as it cannot be written

    def open(
        self, token: Token | None, *, browser: str = "", is_secure: bool = False, instead_of: Collection[str] = ()
    ) -> tuple[str, PageSession]:
        """Make a session for who showed a token, or a link, and return its secret, which is kept nowhere.

        It takes the place of those with the ids `instead_of`, and of the oldest of its token when there are too many.
        Where the disk takes no writes, it is good for as long as this process lives: a full disk must not keep
        anybody from reading, and from making room.

        Raises:
            BusyError: when another process holds the file.
            StorageError: when it is damaged, or the disk fails.
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
        """Return the session of a secret, and the token that it stands for.

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
        """Return how long a session is good for from now on, if nobody ends it."""
        return max(0, int((page.expires_at - self._now()).total_seconds()))

    def is_due(self, page: PageSession, token: Token) -> bool:
        """Tell whether a session that is in use should be renewed: it would gain more than a day."""
        return _expiry(self._now(), page.created_at, token) - page.expires_at > RENEWED_AFTER

    def renew(self, page: PageSession) -> PageSession:
        """Let a session last for another week, within its 30 days and the life of its token, and return it.

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
            if not self.is_due(known, token):  # another request was here before
                return known
            longer = msgspec.structs.replace(known, expires_at=_expiry(self._now(), known.created_at, token))
            self._write(longer if one is known else one for one in pages)
        return longer

    def end(self, id_or_secret: str) -> PageSession:
        """Remove a session; it is refused from the next request on.

        Raises:
            NotFoundError: when there is none of this id or secret.
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
        """Remove a session, as `end`; where the disk takes no writes it is refused for as long as this process lives.

        Raises:
            NotFoundError, BusyError, StorageError: as `end` says, but for a disk that takes no writes.
        """
        try:
            self.end(page.id)
        except _REFUSALS:
            self._ended |= {page.id}

    def all(self) -> tuple[PageSession, ...]:
        """Return the sessions whose token is still there, in the order in which they were made.

        Raises:
            StorageError: when a file cannot be read.
        """
        known = {token.id for token in self._tokens.all()} | {""}
        pages = (*self._current().pages, *self._unwritten.values())
        return tuple(page for page in pages if page.token_id in known and page.id not in self._ended)

    def check(self) -> None:
        """Read the file.

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
        """Return those that are good, at most so many of a token, the newest."""
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
    """A code that is good for one session, once, within an hour: who starts a server hands it to a browser.

    It is in the memory of the server alone.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a clock."""
        self._clock = clock
        self._until_s = clock() + _LINK_S
        self._lock = threading.Lock()
        self._unspent: str | None = secrets.token_urlsafe(24)

    @property
    def unspent(self) -> str | None:
        """The code, None when it has been spent or its time is over."""
        return self._unspent if self._clock() < self._until_s else None

    def spend(self, code: str, make: Callable[[], _Made]) -> _Made:
        """Return what is made for the code, which is good no more then; if that fails, it is.

        Raises:
            UnauthorizedError: when it is not this code, or not any more.
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
    """Return what a browser calls itself, short and printable; anybody may call themselves anything."""
    browser = next((name for mark, name in _BROWSERS.items() if f"{mark}/" in user_agent), None)
    system = next((name for mark, name in _SYSTEMS.items() if mark in user_agent), None)
    if browser and system:
        return f"{browser} on {system}"
    return browser or re.sub(r"[^ -~]+", "?", user_agent)[:_BROWSER_CHARS_MAX]
