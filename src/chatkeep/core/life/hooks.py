"""Webhooks: an address that learns of changes, what it wants to learn, and the signed requests for it.

A request is one of Standard Webhooks: `webhook-id` is the same in every repetition, and the signature covers it, the
time of sending and the body. A body has keys, seqs and counts, never a word of a message.

Source: Standard Webhooks 1.0.0, https://www.standardwebhooks.com.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from chatkeep.core.keys import composed
from chatkeep.errors import InvalidError

if TYPE_CHECKING:
    from chatkeep.core.feed import Change

HookEvent = Literal["created", "appended", "dropped", "revised", "deleted", "reset"]

HOOKS_MAX: Final = 16  # webhooks of a workspace; each has a thread
RETRY_MAX_S: Final = 3600.0  # an hour between two tries, at most
_MARK: Final = "whsec_"  # of a secret in text
_SECRET_BYTES_MIN: Final = 24
_SECRET_BYTES_MAX: Final = 64
_NAME: Final = r"^\w[\w.-]{0,63}\Z"  # also that of a folder
_URL: Final = r"^https?://([^\s@/?#:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[!-~]*|\?[!-~]*)?\Z"


class Webhook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A webhook of `chatkeep.toml`: where it is, what it wants to learn, and how often to try."""

    name: Annotated[str, Meta(pattern=_NAME)]
    url: Annotated[str, Meta(pattern=_URL, max_length=2048)]
    secret_variable: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z")]
    events: tuple[HookEvent, ...] = ("created", "appended", "dropped", "revised", "deleted", "reset")
    prefix: str = ""
    allow_private: bool = False
    attempts: Annotated[int, Meta(ge=1, le=100)] = 12
    retry_s: Annotated[float, Meta(gt=0, le=RETRY_MAX_S)] = 5.0
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 15.0
    secret: bytes = b""
    """From the variable, never from the file; empty if the variable is not set."""

    def __repr__(self) -> str:
        """Show the name alone: addresses may have secrets, too."""
        return f"Webhook(name={self.name!r})"

    def wants(self, change: Change) -> bool:
        """Tell whether a change is for this webhook."""
        is_own = change.kind == "reset" or change.key.startswith(composed(self.prefix))
        return is_own and hook_event_of(change) in self.events

    def wait_s(self, failures: int) -> float:
        """Return the pause after so many failures in a row: twice as long each time, up to an hour."""
        return float(min(RETRY_MAX_S, self.retry_s * 2 ** min(failures - 1, 32)))


class HookRequest(Struct, frozen=True, kw_only=True):
    """A request to a webhook, the same in every try but for the time and the signature."""

    id: str
    event: str
    body: str

    def headers(self, secret: bytes, at_s: int) -> dict[str, str]:
        """Return the headers of a try."""
        signed = f"{self.id}.{at_s}.{self.body}".encode()
        signature = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
        return {
            "Content-Type": "application/json",
            "User-Agent": "chatkeep-webhooks",
            "webhook-id": self.id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": f"v1,{signature}",
        }


def hook_event_of(change: Change) -> HookEvent:
    """Return the name of a change: lines that drop others are `dropped`."""
    return "dropped" if change.kind == "appended" and change.drops else change.kind


def request_of(hook: Webhook, change: Change, at: datetime) -> HookRequest:
    """Return the request that tells a webhook of a change; `at` is the time if the session does not say one."""
    data: dict[str, Any] = {"key": change.key} if change.key else {}
    if change.last_seq is not None:
        data |= {"first_seq": change.first_seq, "last_seq": change.last_seq}
    if change.drops:
        data["drops"] = change.drops
    known = change.summary
    if known is not None:
        data |= {
            "message_count": known.message_count,
            "line_count": known.line_count,
            "archived": known.header.archived,
        }
        at = known.updated_at if change.kind in ("created", "appended") else at
    event = f"session.{hook_event_of(change)}"
    body = msgspec.json.encode({"type": event, "timestamp": at, "data": data}).decode()
    digest = hashlib.sha256(f"{hook.name}\0{change.position}\0{change.kind}".encode()).hexdigest()
    return HookRequest(id=f"msg_{digest[:32]}", event=event, body=body)


def webhooks_in(tables: object, environ: Mapping[str, str], told_by: str) -> tuple[Webhook, ...]:
    """Return the webhooks of a file, with their secrets.

    Raises:
        InvalidError: naming the table with a bad value, or the variable with a bad secret.
    """
    listed = tables if isinstance(tables, list) else []
    for number, table in enumerate(listed, start=1):
        if isinstance(table, dict) and "secret" in table:
            reason = "must not be in the file: name a variable of the environment in secret_variable"
            raise InvalidError(f"{told_by} {number}: secret", reason)
    try:
        hooks = msgspec.convert(tables, tuple[Webhook, ...])
    except msgspec.ValidationError as error:
        raise InvalidError(told_by, f"{error}") from error
    for hook in hooks:
        if not _has_address(hook.url):
            raise InvalidError(told_by, f"{hook.name} has a url without a host or port to connect to")
    names = [hook.name for hook in hooks]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidError(told_by, f"has the name {twice} twice")
    if len(hooks) > HOOKS_MAX:
        raise InvalidError(told_by, f"has {len(hooks)} tables; at most {HOOKS_MAX} are allowed")
    return tuple(msgspec.structs.replace(hook, secret=_secret_of(hook, environ)) for hook in hooks)


def check_secrets(hooks: Iterable[Webhook]) -> None:
    """Check that every webhook can be told.

    Raises:
        InvalidError: naming the variable that has no secret.
    """
    for hook in hooks:
        if not hook.secret:
            raise InvalidError(hook.secret_variable, f"is not set: the webhook {hook.name} names it for its secret")


def _has_address(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:  # a port beyond 65535, or brackets around what is no address
        return False


def _secret_of(hook: Webhook, environ: Mapping[str, str]) -> bytes:
    given = environ.get(hook.secret_variable, "")
    if not given:
        return b""
    try:
        secret = base64.b64decode(given.removeprefix(_MARK), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not given.startswith(_MARK) or not _SECRET_BYTES_MIN <= len(secret) <= _SECRET_BYTES_MAX:
        reason = f"must be {_MARK} and base64 of {_SECRET_BYTES_MIN} to {_SECRET_BYTES_MAX} random bytes"
        raise InvalidError(hook.secret_variable, reason)
    return secret
