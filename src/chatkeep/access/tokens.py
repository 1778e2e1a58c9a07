"""Tokens: access through the HTTP door, with the permissions of each token.

`tokens.json` in the workspace lists the tokens. A secret is shown once, when it is made; the file has only
its SHA-256. A secret has 256 random bits, so a slow hash would protect nothing. A token has scopes (`admin`
stands for all of them). It may have a prefix for its keys, an expiry, and a separate rate limit.

Each change takes a lock, writes a new file and renames it. So commands and any number of servers share the file,
and a change counts from the next request on. A damaged or unreadable file is never overwritten, and fields unknown
to this version stay in it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.json import Decoder

from chatkeep.core.bounds import RATE_MAX
from chatkeep.core.keys import KEY_CHARS_MAX, parse_key
from chatkeep.disk.private import FileState, PrivateFile
from chatkeep.errors import InvalidError, InvalidKeyError, NotFoundError, StorageError, UnauthorizedError

Scope = Literal["read", "write", "delete", "admin"]

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
DEFAULT_SCOPES: Final[tuple[Scope, ...]] = ("read", "write")
FIRST_SCOPES: Final[tuple[Scope, ...]] = ("admin",)
LENT_SCOPES: Final[tuple[Scope, ...]] = ("read", "delete")
TOKEN_NAME_CHARS_MAX: Final = 128
_MARK: Final = "ck_"  # lets scanners of leaked secrets recognise ours
SECRET_CHARS_MAX: Final = 256  # a longer one is refused without hashing it


class Token(Struct, frozen=True, kw_only=True):
    """A token, with the hash of its secret. `rate` is in requests a minute; None means the server's limits."""

    id: str
    name: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    scopes: tuple[Scope, ...]
    prefix: str = ""
    created_at: datetime
    expires_at: datetime | None = None
    rate: int | None = None
    for_page: bool = False
    """An old token for the cookie of a browser; never valid now, as browsers have page sessions."""

    def expired(self, now: datetime) -> bool:
        """Tell whether the token has expired."""
        return self.expires_at is not None and self.expires_at <= now


class _Contents(Struct, frozen=True):
    """The whole file: every field, known or not, and each token in its bytes and decoded."""

    fields: dict[str, Raw]
    entries: tuple[Raw, ...]
    tokens: tuple[Token, ...]


class _Listed(Struct, frozen=True):
    """The tokens of the file alone."""

    tokens: tuple[Token, ...]


_LISTED: Final = Decoder(_Listed)


class _Known(Struct, frozen=True):
    """A cache: the tokens in order, by the digest of their secret and by id, with the file's stamp at reading."""

    stamp: FileState | None
    tokens: tuple[Token, ...]
    by_digest: Mapping[str, Token]
    by_id: Mapping[str, Token]


def _now_utc() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)


class TokenFile:
    """The tokens of one workspace. Safe to use from many threads and processes."""

    def __init__(self, path: Path, *, now: Callable[[], datetime] = _now_utc) -> None:
        """Take the path of the file (it may not exist yet), and a clock."""
        self.path = path
        self.now = now
        self._file = PrivateFile(path)
        self._lent: tuple[Token, ...] = ()
        self._known = _Known(None, (), {}, {})

    def create(
        self,
        name: str = "",
        *,
        scopes: Sequence[str] = DEFAULT_SCOPES,
        prefix: str = "",
        lifetime: timedelta | None = None,
        rate: int | None = None,
    ) -> tuple[str, Token]:
        """Make a token, and return its secret with it; only the hash of the secret is stored.

        Raises:
            InvalidError: when a value breaks its rule.
            BusyError: when another process holds the file's lock for too long.
            StorageError: when the file cannot be read (it stays unchanged), or the disk refuses.
        """
        secret, token = self._made(name, scopes, prefix, lifetime, rate)
        with self._file.locked():
            self._add(token)
        return secret, token

    def create_first(self, name: str = "first") -> tuple[str, Token] | None:
        """Make the first token, with the scope `admin`; return None when the file already has tokens.

        When several servers start at the same time, exactly one of them makes it.

        Raises:
            BusyError, StorageError: as `create` says.
        """
        if self._read().entries:
            return None  # before the lock: a disk refusing writes has no lock either
        with self._file.locked():
            if self._read().entries:
                return None
            secret, token = self._made(name, FIRST_SCOPES, "", None, None)
            self._add(token)
        return secret, token

    def lend(self, name: str = "lent") -> tuple[str, Token]:
        """Make a token in memory with the scopes `read` and `delete`, and return its secret with it.

        It lives as long as this object, and the file stays unchanged. It is for a disk refusing writes: for reading,
        and for making room.

        Raises:
            StorageError: when the file cannot be read: it may have tokens.
        """
        self._read()
        secret, token = self._made(name, LENT_SCOPES, "", None, None)
        self._lent = (*self._lent, token)
        self._known = self._reading(self._file.stamp())
        return secret, token

    def all(self) -> tuple[Token, ...]:
        """Return the tokens, oldest first, expired ones included.

        Raises:
            StorageError: when the file cannot be read.
        """
        return self._current().tokens

    def get(self, token_id: str) -> Token:
        """Return the token with an id.

        Raises:
            UnauthorizedError, StorageError: as `find` says.
        """
        token = self._current().by_id.get(token_id)
        if token is None or token.for_page or token.expired(self.now()):
            raise UnauthorizedError
        return token

    def revoke(self, id_or_secret: str) -> Token:
        """Remove a token, and return it; servers refuse it from the next request on.

        Raises:
            NotFoundError: when no token has this id or secret.
            BusyError, StorageError: as `create` says.
        """
        digest = digest_of(id_or_secret)
        with self._file.locked():
            contents = self._read()
            for place, token in enumerate(contents.tokens):
                if token.id == id_or_secret or token.sha256 == digest:
                    self._write(contents, contents.entries[:place] + contents.entries[place + 1 :])
                    return token
        raise NotFoundError("No token has this id or secret.")

    def find(self, secret: str) -> Token:
        """Return the token of a secret; the time this takes leaks nothing about existing secrets.

        Raises:
            UnauthorizedError: when there is none, or when it has expired.
            StorageError: when the file cannot be read.
        """
        if len(secret) > SECRET_CHARS_MAX:
            raise UnauthorizedError
        digest = digest_of(secret)
        token = self._current().by_digest.get(digest)  # timing leaks at most digests, not secrets
        if token is None or not hmac.compare_digest(token.sha256, digest):
            raise UnauthorizedError
        if token.for_page or token.expired(self.now()):
            raise UnauthorizedError
        return token

    def _made(
        self, name: str, scopes: Sequence[str], prefix: str, lifetime: timedelta | None, rate: int | None
    ) -> tuple[str, Token]:
        secret = _MARK + secrets.token_urlsafe(32)
        created_at = self.now()
        token = Token(
            id=secrets.token_hex(6),
            name=_checked_name(name),
            sha256=digest_of(secret),
            scopes=_checked_scopes(scopes),
            prefix=_checked_prefix(prefix),
            created_at=created_at,
            expires_at=None if lifetime is None else _later(created_at, lifetime),
            rate=_checked_rate(rate),
        )
        return secret, token

    def _current(self) -> _Known:
        """Return the cached tokens; read the file again only when it has changed."""
        stamp = self._file.stamp()
        if stamp != self._known.stamp:  # the stamp is older than the read: the next call sees a change between them
            self._known = self._reading(stamp)
        return self._known

    def _reading(self, stamp: FileState | None) -> _Known:
        tokens = (*self._tokens(), *self._lent)
        by_digest = {token.sha256: token for token in reversed(tokens)}
        return _Known(stamp, tokens, by_digest, {token.id: token for token in reversed(tokens)})

    def _tokens(self) -> tuple[Token, ...]:
        """Return the tokens without unknown fields: this takes a third of the time of `_read`."""
        try:
            return _LISTED.decode(self._file.read()).tokens
        except FileNotFoundError:
            return ()
        except (ValueError, RecursionError) as error:
            raise self._damaged() from error

    def _read(self) -> _Contents:
        try:
            encoded = self._file.read()
        except FileNotFoundError:
            return _Contents(fields={"format": Raw(b"1")}, entries=(), tokens=())
        try:
            fields = msgspec.json.decode(encoded, type=dict[str, Raw])
            entries = msgspec.json.decode(fields.get("tokens", b""), type=tuple[Raw, ...])
            tokens = tuple(msgspec.json.decode(entry, type=Token) for entry in entries)
        except (ValueError, RecursionError) as error:
            raise self._damaged() from error
        return _Contents(fields=fields, entries=entries, tokens=tokens)

    def _damaged(self) -> StorageError:
        return StorageError(f"{self.path.name} is damaged and was left as it is: mend or remove it.")

    def _add(self, token: Token) -> None:
        contents = self._read()
        self._write(contents, (*contents.entries, Raw(msgspec.json.encode(token))))

    def _write(self, contents: _Contents, entries: tuple[Raw, ...]) -> None:
        fields = {**contents.fields, "tokens": Raw(msgspec.json.encode(entries))}
        self._file.replace(msgspec.json.format(msgspec.json.encode(fields)) + b"\n")


def digest_of(secret: str) -> str:
    """Return the stored digest of a secret: its SHA-256, in hex."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _checked_name(name: str) -> str:
    if len(name) > TOKEN_NAME_CHARS_MAX or not name.isprintable():
        raise InvalidError("name", f"must have at most {TOKEN_NAME_CHARS_MAX} printable characters")
    return name


def _checked_scopes(scopes: Sequence[str]) -> tuple[Scope, ...]:
    chosen = tuple(scope for scope in SCOPES if scope in scopes)
    if not chosen or not set(scopes) <= set(SCOPES):
        raise InvalidError("scopes", f"must be one or more of {', '.join(SCOPES)}")
    return chosen


def _checked_prefix(prefix: str) -> str:
    try:
        return parse_key(prefix + "x")[:-1]  # a prefix is valid when a key can begin with it
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
