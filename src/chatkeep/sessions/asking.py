"""The rules of the numbers and keys that callers ask with."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from chatkeep.core.bounds import BATCH_MAX
from chatkeep.core.keys import KEY_CHARS_MAX
from chatkeep.core.life.dropping import REPLACED_MAX
from chatkeep.core.model import Draft, Message
from chatkeep.errors import InvalidError, InvalidKeyError


def made_key(prefix: str) -> str:
    """Return a key for a new session under a prefix.

    Raises:
        InvalidKeyError: when the prefix leaves no room for one.
    """
    key = f"{prefix or 'api:'}{secrets.token_hex(6)}"
    if len(key) > KEY_CHARS_MAX:
        raise InvalidKeyError("give a key: this token's prefix leaves no room to make one")
    return key


def check_bounds(bounds: Mapping[str, int | None], *, log: bool) -> None:
    """Check `before`, `after` and `max_tokens` of a window.

    Raises:
        InvalidError: when one is out of range, or excludes another one or the log.
    """
    if bounds["after"] is not None and bounds["max_tokens"] is not None:
        raise InvalidError("max_tokens", "takes the newest messages: give before, not after")
    if log and bounds["max_tokens"] is not None:
        raise InvalidError("max_tokens", "is for a model, and what was dropped is not: leave out log")
    for name, bound in bounds.items():
        if bound is not None and not 0 <= bound < 1 << 53:
            raise InvalidError(name, "must be a number from 0 to 2^53")


def check_batch(messages: Sequence[Draft]) -> None:
    """Check the number of messages in an append.

    Raises:
        InvalidError: when it is out of range.
    """
    if not 1 <= len(messages) <= BATCH_MAX:
        raise InvalidError("messages", f"must be 1 to {BATCH_MAX}")


def check_replaced(messages: Sequence[Draft | Message], *, drops: bool = False) -> None:
    """Check the number of messages for a whole session, and that none drops others unless they may.

    Raises:
        InvalidError: when there are too many, or one drops others.
    """
    if len(messages) > REPLACED_MAX:
        raise InvalidError("messages", f"must be at most {REPLACED_MAX}")
    if not drops and any(message.drops for message in messages):
        raise InvalidError("drops", "are not for a replacement: it drops everything itself")


def check_count(expect_count: int | None) -> None:
    """Check the expected number of lines.

    Raises:
        InvalidError: when it is negative.
    """
    if expect_count is not None and expect_count < 0:
        raise InvalidError("expect_count", "must not be negative")
