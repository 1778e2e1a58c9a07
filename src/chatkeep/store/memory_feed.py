"""The feed of a store in memory."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

import msgspec

from chatkeep.core.feed import CHANGES_KEPT, ROUND, Change, ChangeKind, Changes, number_of, position_of, resting_number
from chatkeep.core.model import Message, Summary
from chatkeep.core.standing import reach


class MemoryFeed:
    """The last changes of a store. Its caller has the store's lock."""

    def __init__(self) -> None:
        """Begin without changes."""
        self._changes: deque[Change] = deque(maxlen=CHANGES_KEPT + ROUND)
        self._count = 0
        self._epoch = secrets.token_bytes(16)

    def note(self, kind: ChangeKind, key: str, fresh: Sequence[Message] = ()) -> None:
        """Add a change of a session, with its new lines."""
        self._count += 1
        change = Change(
            position=position_of(self._count, self._epoch),
            kind=kind,
            key=key,
            first_seq=fresh[0].seq if fresh else None,
            last_seq=fresh[-1].seq if fresh else None,
            drops=reach(fresh) or None,
        )
        self._changes.append(change)

    def changes(self, after: str | None, *, limit: int, prefix: str, known: Callable[[str], Summary | None]) -> Changes:
        """Return the changes after a position, as `Store.changes` says; `known` gives the summary of a key."""
        present = position_of(self._count, self._epoch)
        number = self._count if after is None else number_of(after, self._epoch)
        behind = None if number is None else self._count - number
        if behind is None or not 0 <= behind <= len(self._changes):
            return Changes(changes=(), position=present, is_known=False, resting=self._resting(self._count, prefix))
        first = len(self._changes) - behind
        found = list(islice(self._changes, first, first + limit))
        told = tuple(msgspec.structs.replace(change, summary=known(change.key)) for change in found)
        reached = self._count - behind + len(found)
        return Changes(
            changes=tuple(change for change in told if change.key.startswith(prefix)),
            position=position_of(reached, self._epoch),
            resting=self._resting(reached, prefix),
        )

    def _resting(self, reached: int, prefix: str) -> str:
        """Return the resting position of a view of a prefix, after the first `reached` changes."""
        if not prefix:
            return position_of(reached, self._epoch)
        first = self._count - len(self._changes) + 1
        numbered = enumerate(self._changes, first)
        seen = [number for number, change in numbered if number <= reached and change.key.startswith(prefix)]
        return position_of(resting_number(reached, seen[-1] if seen else None), self._epoch)
