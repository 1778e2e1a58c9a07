"""Ids of messages: unique without coordination, and sorted by time as text."""

from __future__ import annotations

from datetime import datetime
from typing import Final

RANDOM_BITS: Final = 80  # as a ULID has
_STEP_SHIFT: Final = 16
_TIME_BITS: Final = 48
_CROCKFORD: Final = "0123456789abcdefghjkmnpqrstvwxyz"


def number_after(last: int, at: datetime, random_bits: int) -> int:
    """Return a number greater than the last: milliseconds and 80 random bits, else the last plus a random step.

    So numbers made in one millisecond, or after a clock was set back, keep their order. Begin with 0. The step has up
    to 64 random bits: two numbers do not reveal whether another one lies between them.

    Source: ULID specification, monotonicity; the step, and the carry into the milliseconds in place of its overflow,
    are ours.
    """
    fresh = (int(at.timestamp() * 1000) & ((1 << _TIME_BITS) - 1)) << RANDOM_BITS | random_bits
    return fresh if fresh >> RANDOM_BITS > last >> RANDOM_BITS else last + 1 + (random_bits >> _STEP_SHIFT)


def id_of(number: int) -> str:
    """Return a number as an id of 26 characters, sorted like the numbers.

    Source: the ULID layout (48 bits of milliseconds, 80 random bits, Crockford's base 32).
    """
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
