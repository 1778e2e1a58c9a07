"""What changed in a store, one change after the other, and the positions between them.

A *position* is a place in the order of changes. It is opaque: whoever may see only some of the changes
learns nothing from it about the others, not even how many there were. It is good in one *epoch*, the
time for which a store can number its changes without a doubt; that of another is not known.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b
from typing import Final, Literal

from msgspec import Struct

from chatkeep.core.model import Summary

ChangeKind = Literal["created", "appended", "revised", "deleted", "reset"]

CHANGES_KEPT: Final = 100_000
"""How many changes a store has to remember at least."""

_HALF_BYTES: Final = 8
_ROUNDS: Final = range(4)
_POSITION_CHARS: Final = 22


class Change(Struct, frozen=True, kw_only=True):
    """One thing that happened to a session; `position` is the place behind it.

    `created` and `appended` bring the messages from `first_seq` to `last_seq`; both are None when there are
    none. `revised` says that the header changed, or that the file was edited, its messages perhaps too.
    `summary` is the session as it is when this is told, None when it is gone by then. `reset` comes from
    clients alone, without a key: what happened cannot be told, so whatever is shown has to be read again.
    """

    position: str
    kind: ChangeKind
    key: str = ""
    first_seq: int | None = None
    last_seq: int | None = None
    summary: Summary | None = None


class Changes(Struct, frozen=True, kw_only=True):
    """Changes in their order, and the position behind them. If the one asked for is not known, there are none."""

    changes: tuple[Change, ...]
    position: str
    is_known: bool = True


def position_of(number: int, epoch: bytes) -> str:
    """Return the position behind the change of this number, in an epoch of at most 64 bytes.

    Source: a Feistel network (Luby and Rackoff, 1988) over the number and eight zero bytes.
    """
    left, right = number, 0
    for each in _ROUNDS:
        left, right = right, left ^ _mixed(right, each, epoch)
    halves = left.to_bytes(_HALF_BYTES, "big") + right.to_bytes(_HALF_BYTES, "big")
    return base64.urlsafe_b64encode(halves).decode().rstrip("=")


def number_of(position: str, epoch: bytes) -> int | None:
    """Return the number that `position_of` was given, None when the position is none of this epoch."""
    if len(position) != _POSITION_CHARS or not position.isascii():
        return None
    try:
        halves = base64.b64decode(position + "==", altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    left, right = int.from_bytes(halves[:_HALF_BYTES], "big"), int.from_bytes(halves[_HALF_BYTES:], "big")
    for each in reversed(_ROUNDS):
        left, right = right ^ _mixed(left, each, epoch), left
    return left if right == 0 else None


def _mixed(half: int, each: int, epoch: bytes) -> int:
    block = half.to_bytes(_HALF_BYTES, "big") + bytes((each,))
    return int.from_bytes(blake2b(block, digest_size=_HALF_BYTES, key=epoch).digest(), "big")
