"""What in a history cannot be, if a store keeps its promises.

The idea is Elle's: every message is sent by one operation alone and a session only grows, so what
readers saw tells what had happened, and in which order. A session that is deleted and made anew
begins another *life*; the time of its creation tells lives apart.

Nothing is assumed about what happens between the beginning and the end of an operation, nor about
one that was never answered: it may take effect once, at any later time, or not at all. So whatever
is found is a fault, and a history without faults is one that could be.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, combinations, pairwise
from typing import Final

from msgspec import Struct

from tests.crash.history import NEVER, Operation, Seen

_ALWAYS: Final = -1


class Span(Struct, frozen=True):
    """A state that is in place for one stretch of time: somebody met it before `first`, and somebody after `last`."""

    first: int
    last: int

    def clashes(self, other: Span) -> bool:
        """Tell whether this state is met before the other one, and that one before this."""
        return self.first < other.last and other.first < self.last


class Life(Struct, frozen=True):
    """A session from its creation to its deletion: its messages as far as they were seen, and who saw them."""

    created: int
    ids: tuple[str, ...]
    reads: tuple[Operation, ...]
    appends: tuple[Operation, ...]
    renames: tuple[Operation, ...]

    @property
    def span(self) -> Span:
        """When it was surely there."""
        return _span((*self.reads, *self.appends, *self.renames))


def faults(operations: Iterable[Operation]) -> list[str]:
    """Return what is wrong with a history."""
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
    return [f"{key}: {fault}" for key, those in sorted(by_key.items()) for fault in _faults(those)]


def _faults(operations: Sequence[Operation]) -> list[str]:
    """Return what is wrong with the history of one session."""
    senders = {one: operation for operation in operations if operation.verb == "append" for one in operation.ids}
    reads = [(operation, operation.seen) for operation in operations if operation.verb == "read" and operation.seen]
    found = [fault for read, seen in reads for fault in _read_faults(read, seen, senders)]
    if found:
        return found  # what nobody sent cannot be put in any order
    lives = _lives(operations, senders)
    absences = [_span([one]) for one in operations if one.is_missing or (one.verb == "delete" and one.is_done)]
    found += [fault for life in lives for fault in _life_faults(life, senders)]
    found += [fault for life in lives for fault in _title_faults(life, operations)]
    found += [f"{one} is in two lives" for one in _repeated(one for life in lives for one in life.ids)]
    spans = [life.span for life in lives]
    if any(one.clashes(other) for one, other in combinations(spans, 2)):
        found.append("a life comes back after another")
    if any(life.clashes(absence) for life in spans for absence in absences):
        found.append("it is there after it was deleted, or gone before")
    return found + _losses(operations, lives) + _second_deletions(operations)


def _read_faults(read: Operation, seen: Seen, senders: Mapping[str, Operation]) -> list[str]:
    found = [f"{one} is there twice" for one in _repeated(seen.ids)]
    found += [f"nobody sent {one}" for one in seen.ids if one not in senders]
    found += [f"{one} was read before it was sent" for one in seen.ids if _follows(senders.get(one), read)]
    if seen.count == 0:
        found.append(f"{read.who} read no message")
    if seen.ids and seen.created is not None and not seen.is_whole:
        found.append(f"{read.who} read seqs that are not 1, 2, 3 ...")
    return found


def _follows(later: Operation | None, earlier: Operation) -> bool:
    return later is not None and earlier.ended < later.began


def _repeated(values: Iterable[str]) -> list[str]:
    known: set[str] = set()
    return [value for value in values if value in known or known.add(value)]  # type: ignore[func-returns-value]


def _lives(operations: Sequence[Operation], senders: Mapping[str, Operation]) -> list[Life]:
    """Return the lives of a session, each with the longest list of messages that somebody saw of it."""
    answers: dict[int, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.seen and operation.seen.created is not None:
            answers[operation.seen.created].append(operation)
    longest = {
        created: max((one.seen.ids for one in those if one.seen), key=len, default=())
        for created, those in answers.items()
    }
    lived_in = {one: created for created, ids in longest.items() for one in ids}
    for operation in operations:
        if operation.seen and operation.seen.created is None and operation.seen.ids[0] in lived_in:
            answers[lived_in[operation.seen.ids[0]]].append(operation)
    return [
        Life(
            created=created,
            ids=longest[created],
            reads=tuple(one for one in those if one.verb == "read"),
            appends=tuple({id(senders[one]): senders[one] for one in longest[created]}.values()),
            renames=tuple(one for one in those if one.verb == "rename"),
        )
        for created, those in answers.items()
    ]


def _life_faults(life: Life, senders: Mapping[str, Operation]) -> list[str]:
    """Return what is wrong with the messages of a life: their order, their batches, and what readers saw of them."""
    found = []
    places = {one: place for place, one in enumerate(life.ids, start=1)}
    ends = {0}
    for append in life.appends:
        there = [places[one] for one in append.ids if one in places]
        ends.add(max(there))
        if there != list(range(there[0], there[0] + len(append.ids))):
            found.append(f"of {', '.join(append.ids)} a part is there, or they are not together")
        if append.seqs and list(append.seqs) != there:
            found.append(f"{append.who} was told another place of {append.ids[0]}")
    soonest = NEVER
    for one in reversed(life.ids):
        if soonest < senders[one].began:
            found.append(f"{one} is before what was stored already when it was sent")
        soonest = min(soonest, senders[one].ended)
    known = sorted(
        [(one.ended, max(places[this] for this in one.ids if this in places)) for one in life.appends if one.is_done]
        + [(read.ended, read.seen.count) for read in life.reads if read.seen]
    )
    counts = list(accumulate((count for _, count in known), max))
    for read in life.reads:
        if read.seen is not None:
            found += _sight_faults(read, read.seen, life.ids, ends)
            if (before := bisect_left(known, (read.began, 0))) and counts[before - 1] > read.seen.count:
                found.append(f"{read.who} read {read.seen.count} messages when there were {counts[before - 1]}")
    return found


def _sight_faults(read: Operation, seen: Seen, ids: Sequence[str], ends: set[int]) -> list[str]:
    """Return what is wrong with one answer, compared with the longest list of the same life."""
    first = seen.count - len(seen.ids)
    if tuple(ids[first : seen.count]) != seen.ids[: max(len(ids) - first, 0)]:
        return [f"{read.who} read another order, or a gap, up to message {seen.count}"]
    if seen.count not in ends and seen.count < len(ids):
        return [f"{read.who} read a part of the append that message {seen.count} is of"]
    return []


def _title_faults(life: Life, operations: Sequence[Operation]) -> list[str]:
    """Return what is wrong with the titles that were seen in a life; it begins without one."""
    given = {one.title: one for one in operations if one.verb == "rename"}
    met: dict[str, list[Operation]] = defaultdict(list)
    for rename in life.renames:
        met[rename.title].append(rename)
    for read in life.reads:
        if read.seen and read.seen.created is not None:
            met[read.seen.title or ""].append(read)
    untitled = met.pop("", [])
    found = [f"nobody gave the title {title}" for title in met if title not in given]
    if found:
        return found
    spans = {title: _span([*those, given[title]]) for title, those in met.items()}
    for title, those in met.items():
        rename = given[title]
        if any(one.ended < rename.began for one in those):
            found.append(f"the title {title} was read before it was given")
        if rename.seen and (rename.seen.created, rename.seen.title) != (life.created, title):
            found.append(f"the title {title} is of another life")
    if untitled:
        spans["none"] = Span(_ALWAYS, _span(untitled).last)
    return found + [
        f"of the titles {title} and {other} one comes back, or is lost"
        for (title, span), (other, another) in combinations(spans.items(), 2)
        if span.clashes(another)
    ]


def _losses(operations: Sequence[Operation], lives: Sequence[Life]) -> list[str]:
    """Return the acknowledged appends that a later answer lacks, though nobody can have deleted them."""
    lived_in = {one: life.created for life in lives for one in life.ids}
    looks = sorted(
        (one.began, one.ended, one.seen.created if one.seen else None)
        for one in operations
        if one.is_missing or (one.verb == "read" and one.seen and one.seen.is_whole)
    )
    soonest = _soonest_but_one([(ended, life) for _, ended, life in looks])
    deletions = sorted((one.ended, one.began) for one in operations if one.verb == "delete" and not one.is_missing)
    begins = list(accumulate((began for _, began in reversed(deletions)), min))[::-1]
    found = []
    for append in operations:
        if append.verb == "append" and append.is_done:
            life = lived_in.get(append.ids[0], 0)
            later = bisect_right(looks, (append.ended, NEVER, 0))
            lacking = next((ended for ended, one in soonest[later] if one != life), None)
            after = bisect_right(deletions, (append.began, NEVER))
            if lacking is not None and (after == len(begins) or begins[after] > lacking):
                found.append(f"lost {', '.join(append.ids)}, which {append.who} was told is stored")
    return found


def _soonest_but_one(ends: Sequence[tuple[int, int | None]]) -> list[list[tuple[int, int | None]]]:
    """Return for each place the soonest end from there on, and the soonest of another life than that one's."""
    best: list[tuple[int, int | None]] = []
    found = [best]
    for ended, life in reversed(ends):
        rivals = sorted([*best, (ended, life)], key=lambda rival: rival[0])
        best = [rivals[0], *[one for one in rivals[1:] if one[1] != rivals[0][1]][:1]]
        found.append(best)
    return found[::-1]


def _second_deletions(operations: Sequence[Operation]) -> list[str]:
    """Return deletions that were answered as done when there was nothing left to delete."""
    done = sorted((one.ended, one.began) for one in operations if one.verb == "delete" and one.is_done)
    appends = sorted((one.ended, one.began) for one in operations if one.verb == "append")
    begins = list(accumulate((began for _, began in reversed(appends)), min))[::-1]
    found = []
    for (first_ended, first_began), (ended, began) in pairwise(done):
        after = bisect_right(appends, (first_began, NEVER))
        if first_ended < began and (after == len(begins) or begins[after] > ended):
            found.append("it was deleted twice")
    return found


def _span(operations: Sequence[Operation]) -> Span:
    return Span(min(one.ended for one in operations), max(one.began for one in operations))
