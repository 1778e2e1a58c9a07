"""Messages from elsewhere on their way into a session: new, repeated or contradicting, and their places here.

They get other seqs here. So the seqs that they drop are moved with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from chatkeep.core.model import Draft, Merged, Message
from chatkeep.core.standing import Drops, Moved, Moves, SeqRange, add_move, moved_drops, united


class Merging(NamedTuple):
    """The new lines with their seqs here, the ids taken by other content, and the places of all lines known here."""

    lines: tuple[Message, ...]
    conflicts: tuple[str, ...]
    moves: Moves

    def merged(self, count: int, *, created: bool) -> Merged:
        """Return the answer to a merge of so many messages."""
        return Merged(
            created=created,
            added_count=len(self.lines),
            skipped_count=count - len(self.lines) - len(self.conflicts),
            conflicts=self.conflicts,
            moves=self.moves,
        )


def merging(messages: Sequence[Message], stored: Mapping[str, Message], count: int) -> Merging:
    """Return what a session with `count` lines takes of these messages; `stored` are its lines with their ids.

    Messages drop seqs of their own session. A first message with a seq above 1 goes on with a session whose earlier
    part came before: its drops are seqs of the session here.
    """
    known = dict(stored)
    new: list[Message] = []
    conflicts: list[str] = []
    moves: list[Moved] = []
    for message in messages:
        moved = msgspec.structs.replace(message, drops=_drops(message, moves, count)) if message.drops else message
        first = known.get(message.id)
        if first is None:
            first = msgspec.structs.replace(moved, seq=count + len(new) + 1)
            known[message.id] = first
            new.append(first)
        elif not first.says_the_same(moved):
            conflicts.append(message.id)
            continue
        add_move(moves, message.seq, first.seq)
    return Merging(tuple(new), tuple(conflicts), tuple(moves))


def fresh_of(stored: Sequence[Message], drafts: Iterable[Draft]) -> tuple[list[Message], list[str]]:
    """Return the new messages with their seqs, and the ids already stored with other content."""
    known = {message.id: message for message in stored}
    fresh: list[Message] = []
    conflicts: list[str] = []
    for message in drafts:
        first = known.get(str(message.id))
        if first is None:
            fresh.append(Message(seq=len(known) + 1, **msgspec.structs.asdict(message)))
            known[fresh[-1].id] = fresh[-1]
        elif not first.says_the_same(message):
            conflicts.append(first.id)
    return fresh, conflicts


def _drops(message: Message, moves: Sequence[Moved], count: int) -> Drops | None:
    """Return the seqs here of what a message drops: of the `count` lines stored before, or of those moved by now."""
    if not moves:
        here = (SeqRange(one.first, min(one.last, count)) for one in message.drops or () if message.seq > 1)
        return united(one for one in here if one.first <= one.last) or None
    return (
        moved_drops((SeqRange(one.first, min(one.last, message.seq - 1)) for one in message.drops or ()), moves) or None
    )
