"""Sign-in links made beside a running server: `chatkeep open` writes one, the server accepts it.

`links.json` in the workspace has the SHA-256 of each code, for an hour at most. A code signs one browser in. The server
removes the code before it makes the page session, so no failure leaves a spent code valid.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from chatkeep.access.tokens import SECRET_CHARS_MAX, TokenFile, digest_of
from chatkeep.disk.private import PrivateFile
from chatkeep.errors import StorageError, UnauthorizedError

LINK_LIFETIME: Final = timedelta(hours=1)
LINKS_MAX: Final = 20  # unspent ones; a new one removes the oldest
LINKS_FILE: Final = "links.json"


class _Link(Struct, frozen=True):
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    expires_at: datetime


class _File(Struct, frozen=True):
    links: tuple[_Link, ...] = ()


class SignInLinks:
    """The unspent sign-in codes of one workspace. Safe to use from many threads and processes."""

    def __init__(self, tokens: TokenFile) -> None:
        """Take the tokens of the workspace; the file is in their folder, and the clock is theirs."""
        self._now = tokens.now
        self._path = tokens.path.with_name(LINKS_FILE)
        self._file = PrivateFile(self._path)

    def make(self) -> str:
        """Return a new code, valid for one page session within an hour; its hash is stored.

        Raises:
            BusyError: when another process holds the file's lock.
            StorageError: when the file is damaged, or the disk refuses writes.
        """
        code = secrets.token_urlsafe(24)
        with self._file.locked():
            kept = self._valid()[1 - LINKS_MAX :]
            self._write((*kept, _Link(digest_of(code), self._now() + LINK_LIFETIME)))
        return code

    def spend(self, code: str) -> None:
        """Remove a valid code.

        Raises:
            UnauthorizedError: when the code is wrong, spent or expired.
            BusyError, StorageError: as `make` says.
        """
        if len(code) > SECRET_CHARS_MAX or self._file.stamp() is None:
            raise UnauthorizedError
        digest = digest_of(code)
        if not any(hmac.compare_digest(link.sha256, digest) for link in self._valid()):
            raise UnauthorizedError
        with self._file.locked():
            links = self._valid()
            kept = [link for link in links if not hmac.compare_digest(link.sha256, digest)]
            if len(kept) == len(links):
                raise UnauthorizedError
            self._write(kept)

    def _valid(self) -> tuple[_Link, ...]:
        try:
            links = msgspec.json.decode(self._file.read(), type=_File).links
        except FileNotFoundError:
            return ()
        except (ValueError, RecursionError) as error:
            raise StorageError(f"{self._path.name} is damaged: remove it, and make another link.") from error
        now = self._now()
        return tuple(link for link in links if link.expires_at > now)

    def _write(self, links: tuple[_Link, ...] | list[_Link]) -> None:
        encoded = msgspec.json.encode({"format": 1, "links": links})
        self._file.replace(msgspec.json.format(encoded) + b"\n")
