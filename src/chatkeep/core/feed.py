"""What changed in a store, one change after the other, and the positions between them.

A *position* is a place in the order of changes. It is opaque: whoever may see only some of the changes
learns nothing from it about the others, not even how many there were. It is good in one *epoch*, the
time for which a store can number its changes without a doubt; that of another is not known.

Whoever may see the keys under a prefix alone has a *view*. In it one rests at the last change that one may
see: the position stays the same while others write. When that change lies far back it is the last of the
round numbers instead, so each position is good for as long in a view as it is for those who see everything.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b
from typing import Final, Literal

import msgspec
from msgspec import Struct

from chatkeep.core.model import Summary

ChangeKind = Literal["created", "appended", "revised", "deleted", "reset"]

CHANGES_KEPT: Final = 100_000
"""How many changes have to follow a position at least before a store may not know it any more."""

ROUND: Final = 100_000
"""How far apart the positions are at which a view rests in which nothing happens."""

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
    """Changes in their order, and the position behind them. If the one asked for is not known, there are none.

    `position` is behind all that was looked at, `resting` where one rests who knows the view alone: nothing
    that one may see lies between the two. Only `resting` may be told to such a one, when fewer changes than asked for
    were looked at.
    """

    changes: tuple[Change, ...]
    position: str
    is_known: bool = True
    resting: str = ""

    def __post_init__(self) -> None:
        """Rest at the position, where nothing else is said."""
        if not self.resting:
            msgspec.structs.force_setattr(self, "resting", self.position)


def position_of(number: int, epoch: bytes) -> str:
    """Return the position behind the change of this number, in an epoch of at most 64 bytes.

    Source: a Feistel network (Luby and Rackoff, 1988) over the number and eight zero bytes.
    """
    left, right = number, 0
    for each in _ROUNDS:
        left, right = right, left ^ _mixed(right, each, epoch)
    halves = left.to_bytes(_HALF_BYTES, "big") + right.to_bytes(_HALF_BYTES, "big")
    return base64.urlsafe_b64encode(halves).decode().rstrip("=")


def resting_number(newest: int, last_seen: int | None) -> int:
    """Return where a view rests: at the last change seen there, or at the last round number when that is later."""
    return max(newest // ROUND * ROUND, last_seen or 0)


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
