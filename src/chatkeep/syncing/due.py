"""The files to read, and when: the newest change first, and a file that takes long to read less often."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from chatkeep.syncing.walking import FileStamps, SyncedFile

_SHARE: Final = 4  # times the seconds of its last reading that a file rests, so that it takes a fifth of the time
_REST_S_MAX: Final = 60.0


class DueFile(Struct, frozen=True):
    """A file to read, and the format of its home."""

    source: SyncedFile
    format: str


class DueFiles:
    """The files waiting to be read; times are those of the monotonic clock."""

    def __init__(self) -> None:
        """Begin empty."""
        self._waiting: dict[Path, DueFile] = {}
        self._order: list[tuple[float, int, str]] = []
        self._rests: dict[Path, float] = {}

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self._waiting)

    def add(self, one: DueFile, stamps: FileStamps, not_before: float = 0.0) -> None:
        """Add a file that changed; one that waits already keeps its place."""
        path = one.source.path
        if path not in self._waiting:
            self._waiting[path] = one
            begin = max(not_before, self._rests.get(path, 0.0))
            heapq.heappush(self._order, (begin, -stamps[0].modified_ns, str(path)))

    def paths(self) -> Sequence[Path]:
        """Return the waiting files."""
        return tuple(self._waiting)

    def take(self, now: float) -> DueFile | None:
        """Take the first file that may be read now; None when none may."""
        if not self._order or self._order[0][0] > now:
            return None
        return self._waiting.pop(Path(heapq.heappop(self._order)[2]))

    def wait_s(self, now: float, most_s: float) -> float:
        """Return the seconds until a file may be read, at most so many."""
        return min(max(self._order[0][0] - now, 0.0), most_s) if self._order else most_s

    def let_rest(self, path: Path, seconds: float, now: float) -> None:
        """Let a file rest after a reading that took so long."""
        for rested in [one for one, until in self._rests.items() if until <= now]:
            del self._rests[rested]
        self._rests[path] = now + min(seconds * _SHARE, _REST_S_MAX)
