"""The lines of a log, their roles, and what stands of them: a line drops others, and nothing ever leaves the log.

A session is a log of lines, numbered 1, 2, 3 ... Any line may carry `drops`: ranges of earlier seqs that no longer
stand. So to pop, to clear, to rewind and to edit are appends. Drops reach back only, and a dropped line keeps its own
drops in force. So the order of evaluation does not matter.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeVar

Role = Literal["system", "developer", "user", "assistant", "tool", "event"]
EVENT: Final = "event"
"""The role of a line kept in order, but not said: its payload is the metadata."""
ROLES: Final[tuple[Role, ...]] = ("system", "developer", "user", "assistant", "tool", EVENT)
SAID_ROLES: Final[tuple[Role, ...]] = tuple(role for role in ROLES if role != EVENT)
TALK_ROLES: Final[frozenset[Role]] = frozenset(("user", "assistant"))


class SeqRange(NamedTuple):
    """Seqs from the first to the last one, both included."""

    first: int
    last: int


Drops = tuple[SeqRange, ...]


class Line(Protocol):
    """A line of a log, as far as these rules look at it."""

    @property
    def seq(self) -> int:
        """The place in the log."""

    @property
    def role(self) -> str:
        """The speaker, or `EVENT`."""

    @property
    def drops(self) -> Drops | None:
        """The ranges dropped by this line."""


class Moved(NamedTuple):
    """Neighbouring lines of a session elsewhere, from seq `first` on; the first of them has the seq `to` here."""

    first: int
    to: int
    length: int


Moves = tuple[Moved, ...]


_L = TypeVar("_L", bound=Line)


def united(ranges: Iterable[SeqRange]) -> Drops:
    """Return the same seqs in ascending ranges with gaps between them."""
    found: list[SeqRange] = []
    for one in sorted(ranges):
        if found and one.first <= found[-1].last + 1:
            found[-1] = SeqRange(found[-1].first, max(found[-1].last, one.last))
        else:
            found.append(one)
    return tuple(found)


def reach(lines: Iterable[Line], end: int | None = None) -> Drops:
    """Return the seqs dropped by these lines, each by a later line, joined; with `end`, only seqs up to there."""
    reached = [
        SeqRange(max(1, one.first), min(one.last, line.seq - 1, line.seq if end is None else end))
        for line in lines
        if line.drops
        for one in line.drops
    ]
    return united(one for one in reached if one.first <= one.last) if reached else ()


def holds(ranges: Sequence[SeqRange], seq: int) -> bool:
    """Tell whether joined ranges have a seq."""
    place = bisect_right(ranges, seq, key=lambda one: one.first) - 1
    return place >= 0 and seq <= ranges[place].last


def standing(lines: Sequence[_L]) -> Sequence[_L]:
    """Return the lines not dropped by any of these lines, in order."""
    gone = reach(lines)
    return [line for line in lines if not holds(gone, line.seq)] if gone else lines


def said(lines: Sequence[_L]) -> Sequence[_L]:
    """Return the messages of a log: the standing lines besides events."""
    return [line for line in standing(lines) if line.role != EVENT]


def seqs_of(ranges: Iterable[SeqRange]) -> Iterator[int]:
    """Yield every seq of some ranges."""
    for one in ranges:
        yield from range(one.first, one.last + 1)


def ranges_of(seqs: Iterable[int]) -> Drops:
    """Return seqs as joined ranges."""
    return united(SeqRange(seq, seq) for seq in seqs)


def moved_drops(drops: Iterable[SeqRange], moves: Iterable[Moved]) -> Drops:
    """Return the seqs here of lines elsewhere, as far as they are known here."""
    runs = tuple(moves)
    return united(
        SeqRange(low - run.first + run.to, high - run.first + run.to)
        for one in drops
        for run in runs
        if (low := max(one.first, run.first)) <= (high := min(one.last, run.first + run.length - 1))
    )


def add_move(moves: list[Moved], seq: int, to: int) -> None:
    """Add to the moves that of one more line, from `seq` elsewhere to `to` here."""
    last = moves[-1] if moves else None
    if last is not None and (seq, to) == (last.first + last.length, last.to + last.length):
        moves[-1] = last._replace(length=last.length + 1)
    else:
        moves.append(Moved(seq, to, 1))
