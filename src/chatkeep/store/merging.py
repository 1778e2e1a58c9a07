"""Messages from elsewhere on their way into a session: new, repeated or contradicting, and their places here.

They get other seqs here. So the seqs that they drop are moved with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from chatkeep.core.model import Draft, Merged, Message, Session
from chatkeep.core.standing import Drops, Moved, Moves, SeqRange, add_move, moved_drops, united
from chatkeep.errors import ChatkeepError, StorageError


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
    part came before: its drops are seqs of the session here. An erased line contradicts nothing.
    """
    known = dict(stored)
    new: list[Message] = []
    conflicts: list[str] = []
    moves: list[Moved] = []
    for place, message in enumerate(messages):
        moved = message
        if message.drops:
            drops = _drops_moved(message, moves) if place else _drops_here(message, count)
            moved = msgspec.structs.replace(message, drops=drops or None)
        first = known.get(message.id)
        if first is None:
            first = msgspec.structs.replace(moved, seq=count + len(new) + 1)
            known[message.id] = first
            new.append(first)
        elif not (first.says_the_same(moved) or first.is_erased):
            conflicts.append(message.id)
            continue
        add_move(moves, message.seq, first.seq)
    return Merging(tuple(new), tuple(conflicts), tuple(moves))


def merged_in_turn(
    merge: Callable[[Session], Merged], sessions: Sequence[Session]
) -> tuple[Merged | ChatkeepError, ...]:
    """Return what a function returns or raises for each session.

    Raises:
        StorageError: when the disk refuses.
    """
    outcomes: list[Merged | ChatkeepError] = []
    for session in sessions:
        try:
            outcomes.append(merge(session))
        except StorageError:
            raise
        except ChatkeepError as error:
            outcomes.append(error)
    return tuple(outcomes)


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


def _drops_here(first: Message, count: int) -> Drops:
    """Return what the first message drops of the `count` lines stored before: its own session's are no lines here."""
    here = (SeqRange(one.first, min(one.last, count)) for one in first.drops or () if first.seq > 1)
    return united(one for one in here if one.first <= one.last)


def _drops_moved(message: Message, moves: Sequence[Moved]) -> Drops:
    """Return the seqs here of the earlier messages that a message drops; one left out has none."""
    return moved_drops((SeqRange(one.first, min(one.last, message.seq - 1)) for one in message.drops or ()), moves)
