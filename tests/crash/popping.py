"""What in a session cannot be, if one writer appends and another takes the last messages back.

The log has the order of all that was done. So it is gone through line by line: each mark has to drop what was the end
of the session in its place, and each answer has to agree with its line. No line may precede one that was answered
before it was asked for.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate

from msgspec import Struct

from chatkeep.core.life.dropping import Chosen, Dropped, Mark
from chatkeep.core.model import Appended, Message
from chatkeep.core.standing import holds
from chatkeep.errors import MessageNotFoundError, SessionNotFoundError
from chatkeep.testing import at
from tests.crash.history import NEVER, content_of, draft_of, size_of

_EMPTY = (MessageNotFoundError, SessionNotFoundError)


class Work(Struct, kw_only=True):
    """An append or a pop, from when to when; `ids` of an append are its messages, of a pop what it was told it took."""

    name: str
    ids: tuple[str, ...]
    seqs: tuple[int, ...] = ()
    is_pop: bool = False
    is_empty: bool = False
    began: int = 0
    ended: int = NEVER


def appended(name: str, sizes: Sequence[int], append: Callable[..., Appended | None], key: str) -> Work:
    """Append messages, and return what was told of it."""
    work = Work(name=name, ids=tuple(f"{name}.{part}.{size}" for part, size in enumerate(sizes)))
    work.began = time.monotonic_ns()
    told = append(key, [draft_of(one, size_of(one)) for one in work.ids])
    work.ended = time.monotonic_ns()
    work.seqs = tuple(receipt.seq for receipt in told.receipts) if told else ()
    return work


def popped(name: str, count: int, drop: Callable[..., Dropped], key: str) -> Work:
    """Take back the last messages, and return what was told of it."""
    work = Work(name=name, ids=(), is_pop=True, began=time.monotonic_ns())
    try:
        told = drop(key, Chosen(last=count), mark=Mark(id=name, sent_at=at(0)))
        work.ids, work.seqs = tuple(one.id for one in told.messages), (told.mark.seq,)
    except _EMPTY:
        work.is_empty = True
    work.ended = time.monotonic_ns()
    return work


def faults(works: Sequence[Work], log: Sequence[Message]) -> list[str]:
    """Return what is wrong with the log of a session, or with what writers were told of it."""
    places = {line.id: line.seq for line in log}
    found = [f"{one} is there twice" for one, times in Counter(line.id for line in log).items() if times > 1]
    found += [f"seqs are not 1, 2, 3 ... at {line.seq}" for place, line in enumerate(log, 1) if line.seq != place]
    sent = {one for work in works for one in (*(() if work.is_pop else work.ids), work.name)}
    found += [f"nobody sent {line.id}" for line in log if line.id not in sent]
    found += [f"{line.id} is altered, lost" for line in log if not _is_intact(line)]
    for work in works:
        found += _told_faults(work, places)
    if found:
        return found  # what is not there has no place in any order
    sizes, taken = _replayed(log)
    found += [
        f"{work.name} took {work.ids}, lost the end {taken.get(work.name)}"
        for work in works
        if work.is_pop and not work.is_empty and work.ids != taken.get(work.name)
    ]
    return found + _order_faults(works, sizes)


def _is_intact(line: Message) -> bool:
    return line.role == "event" or line.content == content_of(line.id, size_of(line.id))


def _told_faults(work: Work, places: Mapping[str, int]) -> list[str]:
    names = (() if work.is_empty else (work.name,)) if work.is_pop else work.ids
    there = tuple(places[one] for one in names if one in places)
    if len(there) < len(names):
        return [f"lost {', '.join(one for one in names if one not in places)}, which were answered"]
    return [] if there == work.seqs else [f"{work.name} was told {work.seqs}, not {there}"]


def _replayed(log: Sequence[Message]) -> tuple[list[int], Mapping[str, tuple[str, ...]]]:
    """Return how many messages stand after each line, and which each mark has dropped; a mark drops the end alone."""
    standing: list[Message] = []
    sizes, taken = [0], {}
    for line in log:
        if line.drops:
            gone = [one for one in standing if holds(line.drops, one.seq)]
            kept = len(standing) - len(gone)
            taken[line.id] = tuple(one.id for one in gone) if standing[kept:] == gone else ("not the end",)
            standing = [one for one in standing if not holds(line.drops, one.seq)]
        if line.role != "event":
            standing.append(line)
        sizes.append(len(standing))
    return sizes, taken


def _order_faults(works: Iterable[Work], sizes: Sequence[int]) -> list[str]:
    """Return what came before something answered earlier, and pops that found a session empty which never was."""
    placed = sorted((work for work in works if work.seqs), key=lambda work: work.seqs)
    soonest = list(accumulate((work.ended for work in reversed(placed)), min))[::-1]
    found = [
        f"{work.name} is before what was answered before it began"
        for work, later in zip(placed, soonest[1:], strict=False)
        if later < work.began
    ]
    ends = sorted((work.ended, work.seqs[-1]) for work in placed)
    lasts = [0, *accumulate((seq for _, seq in ends), max)]
    begins = sorted((work.began, work.seqs[0]) for work in placed)
    firsts = [len(sizes), *accumulate((seq for _, seq in reversed(begins)), min)][::-1]
    for work in works:
        if work.is_empty:
            first = lasts[bisect_left(ends, (work.began, 0))]
            last = firsts[bisect_left(begins, (work.ended, 0))]
            found += [] if 0 in sizes[first:last] else [f"{work.name} found nothing, lost what was there"]
    return found
