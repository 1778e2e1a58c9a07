"""Erasing for good: a dropped line stays in the log as an empty event, with its seq, its id and its time.

So seqs stay without gaps, ids stay taken, and every drop stays in force: an erased line keeps its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from chatkeep.core.model import Message, erased
from chatkeep.core.standing import holds, reach


class Compacted(Struct, frozen=True, kw_only=True):
    """The answer to the compaction of one session: how many lines were erased, and the bytes of JSON they took."""

    key: str
    erased_count: int
    freed_bytes: int


def erasable(log: Sequence[Message]) -> Sequence[Message]:
    """Return the dropped lines of a whole log that still say something."""
    gone = reach(log)
    return [line for line in log if holds(gone, line.seq) and not line.is_erased] if gone else ()


def compacted(key: str, lines: Sequence[Message]) -> Compacted:
    """Return the answer to the erasure of these lines."""
    freed = sum(len(msgspec.json.encode(line)) - len(msgspec.json.encode(erased(line))) for line in lines)
    return Compacted(key=key, erased_count=len(lines), freed_bytes=freed)
