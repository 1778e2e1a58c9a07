"""The feed: changes of a store in their order, and the positions between them.

A *position* is a place in the order of changes. It is opaque: a reader confined to some of the changes learns nothing
from it about the others, not even their number. It is good in one *epoch*, the time for which a store can number its
changes without a doubt. A position of another epoch is unknown.

A reader confined to the keys under a prefix has a *view*. A view rests at its last visible change, so its position
stays the same while others write. When that change lies far back, the view rests at the last round number instead. So
a position stays good in a view as long as for a reader of everything.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b
from typing import Final, Literal

import msgspec
from msgspec import Struct

from chatkeep.core.model import Summary
from chatkeep.core.standing import Drops

ChangeKind = Literal["created", "appended", "revised", "deleted", "reset"]

CHANGES_KEPT: Final = 100_000
"""Changes; a store knows a position at least until so many have followed it."""

ROUND: Final = 100_000
"""Changes between two resting positions of a view without changes of its own."""

_HALF_BYTES: Final = 8
_ROUNDS: Final = range(4)
_POSITION_CHARS: Final = 22


class Change(Struct, frozen=True, kw_only=True):
    """One change of a session; `position` is the place behind it.

    `created` and `appended` bring the lines from `first_seq` to `last_seq`; both are None without lines. `drops` are
    the seqs dropped by these lines, of earlier lines or of themselves.
    `revised` means an edit of the header, or one by another program, so messages may differ too. `summary` is the
    session at the time of reading, None if it is gone by then. `reset` comes only from clients, without a key: the
    changes are unknown, so a reader must read everything again.
    """

    position: str
    kind: ChangeKind
    key: str = ""
    first_seq: int | None = None
    last_seq: int | None = None
    drops: Drops | None = None
    summary: Summary | None = None


class Changes(Struct, frozen=True, kw_only=True):
    """Changes in their order, and the position behind them. After an unknown position there are none.

    `position` is behind all examined changes. `resting` is the view's position: no visible change lies between the
    two. After fewer changes than asked for, a confined reader must get only `resting`, as `position` would reveal
    other changes.
    """

    changes: tuple[Change, ...]
    position: str
    is_known: bool = True
    resting: str = ""

    def __post_init__(self) -> None:
        """Set `resting` to the position unless given."""
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
    """Return the number of a view's resting place: its last visible change, or a later round number."""
    return max(newest // ROUND * ROUND, last_seen or 0)


def number_of(position: str, epoch: bytes) -> int | None:
    """Return the number behind a position, None unless `position_of` made it in this epoch."""
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
