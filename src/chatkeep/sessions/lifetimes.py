"""The end of sessions' lives, many at once: what a compaction erases."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from msgspec import Struct

from chatkeep.core.life.compacting import Compacted, compacted, erasable
from chatkeep.errors import SessionDamagedError, SessionNotFoundError
from chatkeep.sessions.sessions import Sessions


class Compaction(Struct, frozen=True, kw_only=True):
    """The answer to a compaction of many sessions: those with erased lines, and the keys of damaged ones, left out."""

    sessions: tuple[Compacted, ...]
    left_out: tuple[str, ...] = ()

    @property
    def erased_count(self) -> int:
        """The number of erased lines."""
        return sum(one.erased_count for one in self.sessions)

    @property
    def freed_bytes(self) -> int:
        """The bytes of JSON that the erased lines took."""
        return sum(one.freed_bytes for one in self.sessions)


def compaction(sessions: Sessions, keys: Iterable[str], *, dry_run: bool = False) -> Compaction:
    """Erase the dropped lines of sessions, or with `dry_run` tell what would be erased.

    Missing sessions are left out, and so are damaged ones, which the answer names.

    Raises:
        ForbiddenError, BusyError, StorageError: as in `Sessions.compact`.
    """
    good: list[str] = []
    left_out: list[str] = []
    for key in dict.fromkeys(keys):
        with contextlib.suppress(SessionNotFoundError):
            (left_out if _is_damaged(sessions, key) else good).append(key)
    found = _erasures(sessions, good) if dry_run else _compacted(sessions, good)
    return Compaction(sessions=tuple(one for one in found if one.erased_count), left_out=tuple(left_out))


def _is_damaged(sessions: Sessions, key: str) -> bool:
    try:
        return sessions.get(key).damage is not None
    except SessionDamagedError:
        return True


def _erasures(sessions: Sessions, keys: Iterable[str]) -> Iterable[Compacted]:
    for key in keys:
        with contextlib.suppress(SessionNotFoundError, SessionDamagedError):
            yield compacted(key, erasable(sessions.read(key, log=True).messages))


def _compacted(sessions: Sessions, keys: list[str]) -> Iterable[Compacted]:
    """Compact sessions; one deleted or damaged meanwhile is left out, and the others are asked for again."""
    left = list(keys)
    while True:
        try:
            return sessions.compact(left)
        except (SessionNotFoundError, SessionDamagedError) as error:
            left.remove(error.key)
