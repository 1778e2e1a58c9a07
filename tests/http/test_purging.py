"""The purge of the trash while a server runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from chatkeep.errors import StorageError
from chatkeep.http.purging import purging
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from chatkeep.testing import draft
from chatkeep.threads import Threads

_T = TypeVar("_T")


class Counting(Threads):
    """Threads that tell when work is done three times; the first of it meets a disk that refuses."""

    def __init__(self) -> None:
        """Begin without work."""
        super().__init__()
        self.count, self.done = 0, asyncio.Event()

    async def write(self, work: Callable[..., _T], *args: object, **kwargs: object) -> _T:
        """Run work, but the first time."""
        self.count += 1
        if self.count == 1:
            raise StorageError
        answer = await super().write(work, *args, **kwargs)
        if self.count == 3:
            self.done.set()
        return answer


def _trash_after(days: int, trash_days: int) -> tuple[list[str], bool]:
    """Return the keys in the trash some days after a deletion, once a server looked, and whether it did."""

    async def run() -> tuple[list[str], bool]:
        store, threads = MemoryStore(), Counting()
        now = datetime.now(UTC) + timedelta(days=days)
        sessions = Sessions(store, now=lambda: now, trash_days=trash_days)
        sessions.append("a", [draft("said")])
        sessions.delete("a", to_trash=True)
        async with purging(sessions, threads, pause_s=0):
            if trash_days:
                await asyncio.wait_for(threads.done.wait(), 30)
        return [one.key for one in store.trash()], threads.count > 0

    return asyncio.run(run())


def test_purge_after_so_many_days() -> None:
    """A session leaves the trash when its days are over, also after a purge that failed; without days it stays."""
    assert ([], True) == _trash_after(31, 30)
    assert (["a"], True) == _trash_after(29, 30)
    assert (["a"], False) == _trash_after(99, 0)
