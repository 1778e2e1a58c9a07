"""The rules of the numbers and keys that callers ask with."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from chatkeep.core.keys import KEY_CHARS_MAX
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


def check_count(expect_count: int | None) -> None:
    """Check the expected number of lines.

    Raises:
        InvalidError: when it is negative.
    """
    if expect_count is not None and expect_count < 0:
        raise InvalidError("expect_count", "must not be negative")
