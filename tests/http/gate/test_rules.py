"""Work for the other process, and work that reads whole sessions: each kind has its own turns."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from typing import cast

import msgspec

from chatkeep.http.gate.room import MIDDLING_BYTES, SMALL_BYTES
from chatkeep.http.gate.rules import Pools
from chatkeep.model.places import Root
from chatkeep.threads import COMPARISONS_AT_ONCE, Threads
from chatkeep.workers.appending import Append, StoredAnswer, Task
from chatkeep.workers.beside import Beside
from chatkeep.workers.holding import Holding, RootRequest

LONG = b"x" * (MIDDLING_BYTES + 1)
ROOT_REQUEST = RootRequest(prefix="", protocol="completions", named=None, by="t")
HOLDING = Holding(prefix="", protocol="completions", root=Root("cli:a"))
APPEND = Append(
    key="cli:a", prefix="", channel=None, create=True, expect_count=None, at=datetime(2024, 1, 15, tzinfo=UTC)
)


class Channel:
    """A process beside the server, never done before it is told to."""

    def __init__(self) -> None:
        """Begin without work."""
        self.begun = 0
        self.may_end = asyncio.Event()

    async def ask(self, *_: bytes, lasts_s: float) -> bytes:
        """Begin work; end it when told to."""
        assert lasts_s > 0
        self.begun += 1
        await self.may_end.wait()
        return msgspec.msgpack.encode(StoredAnswer(b"{}"))


async def _begun(*works: tuple[Task, bytes]) -> int:
    """Return the number of these works that begin before any has ended."""
    channel = Channel()
    pools = Pools(writer=cast("Beside", channel))
    tasks = [asyncio.create_task(pools.beside(task, body)) for task, body in works]
    for _ in range(10):
        await asyncio.sleep(0)
    begun = channel.begun
    channel.may_end.set()
    assert None not in await asyncio.gather(*tasks)
    return begun


def test_look_up_does_not_wait_for_storing() -> None:
    """The place of a long call is found while another long call, and a long text, are being stored."""
    assert 1 == asyncio.run(_begun((HOLDING, LONG), (APPEND, LONG), (HOLDING, LONG)))
    assert 2 == asyncio.run(_begun((HOLDING, LONG), (HOLDING, LONG), (ROOT_REQUEST, LONG)))
    assert 4 == asyncio.run(_begun((HOLDING, LONG), (APPEND, b"x"), (ROOT_REQUEST, LONG), (ROOT_REQUEST, b"x")))


def test_short_text_does_not_wait_for_a_longer_one() -> None:
    """Small, middling and long bodies are stored side by side; two of one size take turns."""
    small, middling = b"x" * SMALL_BYTES, b"x" * MIDDLING_BYTES
    works: list[tuple[Task, bytes]] = [(APPEND, LONG), (APPEND, middling), (APPEND, small)]
    assert 3 == asyncio.run(_begun(*works, *works))
    assert 2 == asyncio.run(_begun((ROOT_REQUEST, LONG), (ROOT_REQUEST, small), (ROOT_REQUEST, middling)))


def test_compare_few_at_once() -> None:
    """However many calls end, only few hold whole sessions in memory."""
    at_work, most, lock = 0, 0, threading.Lock()
    enough = threading.Barrier(COMPARISONS_AT_ONCE)

    def work() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        enough.wait()
        with lock:
            at_work -= 1

    async def compare() -> None:
        threads = Threads()
        await asyncio.gather(*(threads.compare(work) for _ in range(4 * COMPARISONS_AT_ONCE)))

    asyncio.run(compare())
    assert COMPARISONS_AT_ONCE == most
