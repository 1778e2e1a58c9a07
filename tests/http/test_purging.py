"""The purge of the trash and the retention rules while a server runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from chatkeep.access.tokens import TokenFile
from chatkeep.core.life.retention import RetentionRule
from chatkeep.core.life.trashing import Trashed
from chatkeep.core.model import Selection
from chatkeep.errors import StorageError
from chatkeep.http.app import create_app, keep_by
from chatkeep.http.gate.guard import Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.http.purging import pruning, purging
from chatkeep.sessions.confinement import Confinement
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


class Repeating(Threads):
    """Threads that tell when the rules are looked at again, after a whole run."""

    def __init__(self) -> None:
        """Begin without a run."""
        super().__init__()
        self.count, self.again = 0, asyncio.Event()

    async def export(self, work: Callable[..., _T], *args: object, **kwargs: object) -> _T:
        """Run work."""
        self.count += 1
        if self.count > 1:
            self.again.set()
        return await super().export(work, *args, **kwargs)


class Emptying(MemoryStore):
    """A store that tells when two sessions are deleted."""

    def __init__(self) -> None:
        """Begin without sessions."""
        super().__init__()
        self.left, self.done = 2, threading.Event()

    def delete(self, key: str, *, to_trash: bool = False) -> None:
        """Remove a session."""
        super().delete(key, to_trash=to_trash)
        self.left -= 1
        if not self.left:
            self.done.set()


def _trash_after(days: int, trash_days: int) -> tuple[list[str], bool]:
    """Return the keys in the trash some days after a deletion, once a server looked, and whether it did."""

    async def run() -> tuple[list[str], bool]:
        store, threads = MemoryStore(), Counting()
        now = datetime.now(UTC) + timedelta(days=days)
        sessions = Sessions(store, now=lambda: now, reach=Confinement(trash_days=trash_days))
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


def test_prune_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    """A server lets sessions go by the rules, also after a run that failed; its log has counts, no keys."""
    rules = (RetentionRule(action="archive", keep_newest=2), RetentionRule(action="trash", archived=True, max_bytes=1))

    async def run() -> tuple[tuple[str, ...], list[str]]:
        store, threads = MemoryStore(), Counting()
        sessions = Sessions(store)
        for number in range(4):
            sessions.append(f"secret:{number}", [draft("said", number)])
        async with pruning(sessions, threads, rules, pause_s=0):
            await asyncio.wait_for(threads.done.wait(), 30)
        return sessions.keys(Selection(archived=None)).keys, sorted(one.key for one in store.trash())

    caplog.set_level("INFO", "chatkeep.trash")
    kept, trashed = asyncio.run(run())
    assert ("secret:2", "secret:3") == kept[-2:]
    assert set(trashed) <= {"secret:0", "secret:1"}
    assert "the retention rules failed (storage" in caplog.text
    assert "retention rule 1: " in caplog.text
    assert "secret" not in caplog.text


def test_purge_to_the_end_of_a_step() -> None:
    """A purge under way when the server ends is over before the server goes on to close the store."""
    began, ended = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        def purge(
            self, prefix: str = "", *, keys: Sequence[str] | None = None, before: datetime | None = None
        ) -> tuple[Trashed, ...]:
            began.set()
            ended.wait(30)
            return super().purge(prefix, keys=keys, before=before)

    async def run() -> list[Trashed]:
        store = Slow()
        sessions = Sessions(store, now=lambda: datetime.now(UTC) + timedelta(days=31), reach=Confinement(trash_days=30))
        sessions.append("a", [draft("said")])
        sessions.delete("a", to_trash=True)
        async with purging(sessions, Threads()):
            assert await asyncio.to_thread(began.wait, 30)
            asyncio.get_running_loop().call_later(0.1, ended.set)
        return list(store.trash())

    assert [] == asyncio.run(run())


def test_prune_past_a_session_that_cannot_go(caplog: pytest.LogCaptureFixture) -> None:
    """The disk may refuse one session, every day: all others go, and the log counts it."""

    class Refusing(MemoryStore):
        def delete(self, key: str, *, to_trash: bool = False) -> None:
            if key == "k:2":
                raise StorageError
            super().delete(key, to_trash=to_trash)

    async def run() -> tuple[str, ...]:
        sessions, threads = Sessions(Refusing()), Repeating()
        for number in range(4):
            sessions.append(f"k:{number}", [draft("said", number)])
        async with pruning(sessions, threads, [RetentionRule(action="delete", keep_newest=1)], pause_s=0):
            await asyncio.wait_for(threads.again.wait(), 30)
        return sessions.keys().keys

    assert ("k:2", "k:3") == asyncio.run(run())
    assert "the retention rules failed (storage" in caplog.text


def test_prune_as_long_as_the_application_lives(tmp_path: Path) -> None:
    """An application runs the rules that it was given when it starts."""

    async def run() -> tuple[str, ...]:
        store = Emptying()
        sessions = Sessions(store)
        for number in range(3):
            sessions.append(f"k:{number}", [draft("said", number)])
        app = create_app(sessions, Guard(TokenFile(tmp_path / "tokens.json"), Limits(None), hosts=()))
        keep_by(app, [RetentionRule(action="delete", keep_newest=1)])
        async with app.router.lifespan_context(app):
            assert await asyncio.to_thread(store.done.wait, 30)
        return sessions.keys().keys

    assert ("k:2",) == asyncio.run(run())
