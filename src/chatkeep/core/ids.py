"""Ids of messages: unique without asking anybody, and in the order of time as text."""

from __future__ import annotations

from datetime import datetime
from typing import Final

RANDOM_BITS: Final = 80
_TIME_BITS: Final = 48
_CROCKFORD: Final = "0123456789abcdefghjkmnpqrstvwxyz"


def message_id(at: datetime, random_bits: int) -> str:
    """Return the id of 26 characters that a time to the millisecond and 80 random bits make.

    Source: the ULID layout (48 bits of milliseconds, 80 random bits, Crockford's base 32).
    """
    number = (int(at.timestamp() * 1000) & ((1 << _TIME_BITS) - 1)) << RANDOM_BITS | random_bits
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
