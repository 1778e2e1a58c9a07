"""The ends of the sessions last written, in memory: their rows, and the ids of their lines as hashes.

An append needs the row of its session, and whether the session has its id already. The index tells both, but a
connection to it reads its pages anew after each commit. So what an append left is kept here for the next one.

A row describes one state of a file. It counts only while the file, locked, is in this state. So nobody has to tell
this process of a write by another one.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from msgspec import Struct
from pyroaring import BitMap

from chatkeep.core.model import Message
from chatkeep.store.files.index.columns import hash_of
from chatkeep.store.files.index.rows import Entry, Row
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.upkeep.upkeep import Upkeep

_SESSIONS_MAX: Final = 2048  # of a few kilobytes each
_LINES_MAX: Final = 1024  # of a session not seen before; the hashes of a longer one are not read
_KEPT_LINES_MAX: Final = 65_536  # of a session; each line takes two bytes
_HASH_MASK: Final = 0xFFFFFF  # a hash has 24 bits and a sign


class _KnownEnd(Struct, frozen=True):
    """The row of a session, and the hashes of the ids of all its lines; None while they are not known."""

    row: Row
    hashes: BitMap | None


class KnownEnds:
    """The last sessions written, the most recent one last."""

    def __init__(self, upkeep: Upkeep) -> None:
        """Begin without any; the index gives the hashes of a session."""
        self._upkeep = upkeep
        self._ends: dict[str, _KnownEnd] = {}
        self._lock = threading.Lock()

    def row(self, file: LockedFile, ids: Collection[str]) -> Row | None:
        """Return the row of a locked file if it is known in its present state, and no line has any of these ids."""
        end = self._ends.get(file.name)
        if end is None or end.row.stamp != file.seen:
            return None
        hashes = self._hashes(end)
        is_new = hashes is not None and not any(one in hashes for one in _hashes_of(end.row.header.key, ids))
        return end.row if is_new else None

    def grown(self, before: Row, grown: Entry, lines: Sequence[Message]) -> None:
        """Keep the row of a session after an append of lines; the index has it too."""
        with self._lock:
            end = self._ends.pop(before.name, None)
            hashes = end.hashes if end is not None and end.row.stamp == before.stamp else None
            if hashes is not None and len(hashes) > _KEPT_LINES_MAX:
                hashes = None
            if hashes is not None:
                hashes.update(_hashes_of(before.header.key, (line.id for line in lines)))
            self._ends[before.name] = _KnownEnd(before.after(grown), hashes)
            if len(self._ends) > _SESSIONS_MAX:
                del self._ends[next(iter(self._ends))]

    def _hashes(self, end: _KnownEnd) -> BitMap | None:
        """Return the hashes of a session; one that was written twice in a row has them read once."""
        if end.hashes is not None or end.row.digest.line_count > _LINES_MAX:
            return end.hashes
        stamp, found = self._upkeep.ask(lambda index: index.hashes(end.row.name))
        if stamp != end.row.stamp:
            return None
        hashes = BitMap(one & _HASH_MASK for one in found)
        with self._lock:
            if self._ends.get(end.row.name) is end:
                self._ends[end.row.name] = _KnownEnd(end.row, hashes)
        return hashes


def _hashes_of(key: str, ids: Iterable[str]) -> list[int]:
    return [hash_of(key, one) & _HASH_MASK for one in ids]
