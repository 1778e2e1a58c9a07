"""Tokens: who may come in through the HTTP door, and what for.

`tokens.json` in the workspace lists them. A secret is shown once, when it is made; the file holds
its SHA-256 only (a secret has 256 random bits, so a slow hash would protect nothing). A token has
scopes (`admin` stands for all of them), may be confined to the keys under a prefix, may expire, and
may have a rate limit of its own.

The file is changed under a lock, by writing a new one beside it and renaming, so the commands and
any number of servers share it; a change counts from the next request on. A file that cannot be read
is never overwritten, and fields that this version does not know stay in it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import hmac
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta, Raw, Struct

from chatkeep.core.keys import KEY_CHARS_MAX, parse_key
from chatkeep.errors import (
    BusyError,
    InvalidError,
    InvalidKeyError,
    NotFoundError,
    StorageError,
    UnauthorizedError,
)

Scope = Literal["read", "write", "delete", "admin"]

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
DEFAULT_SCOPES: Final[tuple[Scope, ...]] = ("read", "write")
FIRST_SCOPES: Final[tuple[Scope, ...]] = ("admin",)
NAME_CHARS_MAX: Final = 128
RATE_MAX: Final = 1_000_000
_MARK: Final = "ck_"  # tells scanners of leaked secrets whose it is
_SECRET_CHARS_MAX: Final = 256
PAGE_LIFETIME: Final = timedelta(days=30)
_LINK_S: Final = 3600
_LOCK_WAIT_S: Final = 5.0
_LOCK_POLL_S: Final = 0.01


class Token(Struct, frozen=True, kw_only=True):
    """What is known of a token; its secret is not. `rate` is requests a minute, None for the server's limits."""

    id: str
    name: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    scopes: tuple[Scope, ...]
    prefix: str = ""
    created_at: datetime
    expires_at: datetime | None = None
    rate: int | None = None
    for_page: bool = False
    """It came from a sign-in link, and goes when its browser signs out."""

    def expired(self, now: datetime) -> bool:
        """Tell whether the token's time is over."""
        return self.expires_at is not None and self.expires_at <= now


class _Contents(Struct, frozen=True):
    """The file as it stands: every field of it, known or not, and each token as it was written."""

    fields: dict[str, Raw]
    entries: tuple[Raw, ...]
    tokens: tuple[Token, ...]


_Stamp = tuple[int, int, int]


def _now_utc() -> datetime:
    return datetime.now(UTC)


class TokenFile:
    """The tokens of one workspace. Safe to use from many threads and processes."""

    def __init__(self, path: Path, *, now: Callable[[], datetime] = _now_utc) -> None:
        """Take the place of the file, which need not exist, and the clock."""
        self._path = path
        self._now = now
        self._known: tuple[_Stamp | None, tuple[Token, ...]] = (None, ())

    def create(
        self,
        name: str = "",
        *,
        scopes: Sequence[str] = DEFAULT_SCOPES,
        prefix: str = "",
        lifetime: timedelta | None = None,
        rate: int | None = None,
    ) -> tuple[str, Token]:
        """Make a token and return its secret, which is kept nowhere, and what is known of it.

        Raises:
            InvalidError: when a value breaks its rule.
            BusyError: when another process holds the file for too long.
            StorageError: when the file cannot be read, which leaves it as it is, or the disk refuses.
        """
        secret, token = self._made(name, scopes, prefix, lifetime, rate)
        with self._locked():
            self._add(token)
        return secret, token

    def create_first(self, name: str = "first") -> tuple[str, Token] | None:
        """Make the first token, one with the scope `admin`, or return None when the file has tokens.

        Of several servers that start at the same time exactly one gets it.

        Raises:
            BusyError, StorageError: as `create` says.
        """
        with self._locked():
            if self._read().entries:
                return None
            secret, token = self._made(name, FIRST_SCOPES, "", None, None)
            self._add(token)
        return secret, token

    def create_for_page(self) -> tuple[str, Token]:
        """Make the token of a browser that was handed a sign-in link: for everything, for 30 days.

        Raises:
            BusyError, StorageError: as `create` says.
        """
        secret, token = self._made("page", FIRST_SCOPES, "", PAGE_LIFETIME, None)
        token = msgspec.structs.replace(token, for_page=True)
        with self._locked():
            self._add(token)
        return secret, token

    def all(self) -> tuple[Token, ...]:
        """Return the tokens in the order in which they were made, expired ones included.

        Raises:
            StorageError: when the file cannot be read.
        """
        return self._current()

    def revoke(self, id_or_secret: str) -> Token:
        """Remove a token and return what was known of it; it is refused from the next request on.

        Raises:
            NotFoundError: when no token has this id or secret.
            BusyError, StorageError: as `create` says.
        """
        digest = _digest(id_or_secret)
        with self._locked():
            contents = self._read()
            for place, token in enumerate(contents.tokens):
                if token.id == id_or_secret or token.sha256 == digest:
                    self._write(contents, contents.entries[:place] + contents.entries[place + 1 :])
                    return token
        raise NotFoundError("No token has this id or secret.")

    def find(self, secret: str) -> Token:
        """Return the token of a secret; the time this takes tells nothing about the secrets there are.

        Raises:
            UnauthorizedError: when there is none, or when it has expired.
            StorageError: when the file cannot be read.
        """
        if len(secret) > _SECRET_CHARS_MAX:
            raise UnauthorizedError
        digest = _digest(secret)
        matching = [token for token in self._current() if hmac.compare_digest(token.sha256, digest)]
        if not matching or matching[0].expired(self._now()):
            raise UnauthorizedError
        return matching[0]

    def _made(
        self, name: str, scopes: Sequence[str], prefix: str, lifetime: timedelta | None, rate: int | None
    ) -> tuple[str, Token]:
        secret = _MARK + secrets.token_urlsafe(32)
        created_at = self._now()
        token = Token(
            id=secrets.token_hex(6),
            name=_checked_name(name),
            sha256=_digest(secret),
            scopes=_checked_scopes(scopes),
            prefix=_checked_prefix(prefix),
            created_at=created_at,
            expires_at=None if lifetime is None else _later(created_at, lifetime),
            rate=_checked_rate(rate),
        )
        return secret, token

    def _current(self) -> tuple[Token, ...]:
        """Return the tokens, reading the file again only when it has changed."""
        stamp = _stamp(self._path)
        known_stamp, tokens = self._known
        if stamp != known_stamp:
            tokens = self._read().tokens
            self._known = (stamp, tokens)  # the stamp is the older of the two: a change between is seen next time
        return tokens

    def _read(self) -> _Contents:
        try:
            encoded = _file_bytes(self._path)
        except FileNotFoundError:
            return _Contents(fields={"format": Raw(b"1")}, entries=(), tokens=())
        except OSError as error:
            raise StorageError(f"{self._path.name} cannot be read: {error.strerror}.") from error
        try:
            fields = msgspec.json.decode(encoded, type=dict[str, Raw])
            entries = msgspec.json.decode(fields.get("tokens", b""), type=tuple[Raw, ...])
            tokens = tuple(msgspec.json.decode(entry, type=Token) for entry in entries)
        except (ValueError, RecursionError) as error:
            raise StorageError(f"{self._path.name} is damaged and was left as it is: mend or remove it.") from error
        return _Contents(fields=fields, entries=entries, tokens=tokens)

    def _add(self, token: Token) -> None:
        contents = self._read()
        self._write(contents, (*contents.entries, Raw(msgspec.json.encode(token))))

    def _write(self, contents: _Contents, entries: tuple[Raw, ...]) -> None:
        fields = {**contents.fields, "tokens": Raw(msgspec.json.encode(entries))}
        try:
            _replace(self._path, msgspec.json.format(msgspec.json.encode(fields)) + b"\n")
        except OSError as error:
            raise StorageError(f"{self._path.name} cannot be written: {error.strerror}.") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self._path.with_suffix(".lock")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{lock.name} cannot be opened: {error.strerror}.") from error
        try:
            _wait_for(descriptor)
            yield
        finally:
            os.close(descriptor)


class SignInCode:
    """A code that is good for one token, once, within an hour: who starts a server hands it to a browser.

    It is in the memory of the server alone.
    """

    def __init__(self, tokens: TokenFile, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the tokens to add to, and a clock."""
        self._tokens = tokens
        self._clock = clock
        self._until_s = clock() + _LINK_S
        self._lock = threading.Lock()
        self._unspent: str | None = secrets.token_urlsafe(24)

    @property
    def unspent(self) -> str | None:
        """The code, None when it has been spent or its time is over."""
        return self._unspent if self._clock() < self._until_s else None

    def spend(self, code: str) -> tuple[str, Token]:
        """Return a new token for the code, as `TokenFile.create_for_page` does.

        Raises:
            UnauthorizedError: when it is not this code, or not any more.
            BusyError, StorageError: as `TokenFile.create` says.
        """
        with self._lock:
            if self.unspent is None or not hmac.compare_digest(_digest(self.unspent), _digest(code)):
                raise UnauthorizedError
            made = self._tokens.create_for_page()
            self._unspent = None
        return made


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _file_bytes(path: Path) -> bytes:
    # O_NONBLOCK: a pipe that was put there must not hang the server
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # what a device has to say may never end
            raise OSError(errno.EINVAL, "it is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _replace(path: Path, encoded: bytes) -> None:
    """Put a new file in the place of the old one; a crash leaves the one or the other, whole."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a path cannot say the mode
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _wait_for(descriptor: int) -> None:
    give_up_at = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > give_up_at:
                raise BusyError("token file") from error
            time.sleep(_LOCK_POLL_S)
        else:
            return


def _checked_name(name: str) -> str:
    if len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise InvalidError("name", f"must have at most {NAME_CHARS_MAX} printable characters")
    return name


def _checked_scopes(scopes: Sequence[str]) -> tuple[Scope, ...]:
    chosen = tuple(scope for scope in SCOPES if scope in scopes)
    if not chosen or not set(scopes) <= set(SCOPES):
        raise InvalidError("scopes", f"must be one or more of {', '.join(SCOPES)}")
    return chosen


def _checked_prefix(prefix: str) -> str:
    try:
        return parse_key(prefix + "x")[:-1]  # a prefix is good when it can begin a key
    except InvalidKeyError as error:
        reason = f"must be able to begin a key, and leave room in its {KEY_CHARS_MAX} characters"
        raise InvalidError("prefix", reason) from error


def _checked_rate(rate: int | None) -> int | None:
    if rate is not None and not 0 <= rate <= RATE_MAX:
        raise InvalidError("rate", f"must be 0 (no limit) to {RATE_MAX} requests a minute")
    return rate


def _later(at: datetime, lifetime: timedelta) -> datetime:
    try:
        expires_at = at + lifetime
    except OverflowError as error:
        raise InvalidError("expires", "lies outside the years 1 to 9999") from error
    if expires_at <= at:
        raise InvalidError("expires", "must lie in the future")
    return expires_at
