"""Bodies in flight share a bounded part of the memory, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from chatkeep.errors import BusyError
from chatkeep.http.gate import room as rooms
from chatkeep.http.gate.room import COST, OLD, SMALL_BYTES, YOUNG, BodyMemory, Room

LARGE = SMALL_BYTES + 1
SIZE = 8 * LARGE * COST  # three quarters of which, for large bodies, hold six of them


async def soon(wished: Coroutine[object, object, Room]) -> asyncio.Task[Room]:
    """Wish for room, and return the wish when it had its chance to be granted."""
    task = asyncio.ensure_future(wished)
    for _ in range(5):
        await asyncio.sleep(0)
    return task


def run(work: Callable[[BodyMemory], Coroutine[object, object, None]]) -> None:
    """Do this with memory that has room for six large bodies; at the end nothing of it is held."""

    async def done() -> None:
        whole = BodyMemory(SIZE)
        await work(whole)
        assert 0 == whole.held_bytes

    asyncio.run(done())


def test_wait_for_room_in_order() -> None:
    """What finds no room waits; a larger one that came first is not passed by."""

    async def work(whole: BodyMemory) -> None:
        rooms = [await whole.room(LARGE) for _ in range(6)]
        double, single = await soon(whole.room(2 * LARGE)), await soon(whole.room(LARGE))
        rooms.pop().give_back()
        await asyncio.sleep(0)
        assert [False, False] == [double.done(), single.done()]
        rooms.pop().give_back()
        rooms.append(await double)
        assert not single.done()
        rooms.pop().give_back()
        rooms.append(await single)
        for room in rooms:
            room.give_back()

    run(work)


def test_let_small_bodies_pass_large_ones() -> None:
    """However many large bodies there are, small ones find room."""

    async def work(whole: BodyMemory) -> None:
        rooms = [await whole.room(6 * LARGE)]
        waiting = await soon(whole.room(LARGE))
        rooms.extend([await whole.room(SMALL_BYTES), await whole.room(1), await whole.room(0)])
        assert not waiting.done()
        for room in rooms:
            room.give_back()
        (await waiting).give_back()

    run(work)


def test_give_all_room_to_what_is_larger_than_that() -> None:
    """A body that would take more than there is takes all, alone."""

    async def work(whole: BodyMemory) -> None:
        room = await whole.room(1000 * LARGE)
        assert 6 * LARGE * COST == room.size_bytes
        room.fit(LARGE)
        assert LARGE * COST == room.size_bytes
        room.give_back()

    run(work)


def test_take_room_in_parts() -> None:
    """A room is given back part by part, each once; what is not there is not taken."""

    async def work(whole: BodyMemory) -> None:
        room = await whole.room(LARGE)
        part = room.part(LARGE)
        assert (LARGE * COST, LARGE) == (whole.held_bytes, part.size_bytes)
        for _ in range(2):
            part.give_back()
        assert LARGE * (COST - 1) == whole.held_bytes
        room.give_back()
        grown = whole.beginning()
        assert grown.grow(SIZE // 4)
        assert not grown.grow(1)
        assert SIZE // 4 == whole.held_bytes
        grown.give_back()

    run(work)


def test_refuse_what_finds_no_room_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits without end, and whoever goes holds up nobody."""
    monkeypatch.setattr(rooms, "ROOM_WAIT_S", 0.01)

    async def work(whole: BodyMemory) -> None:
        room = await whole.room(5 * LARGE)
        with pytest.raises(BusyError):
            await whole.room(2 * LARGE)
        (await whole.room(LARGE)).give_back()
        room.give_back()

    run(work)


def test_lose_no_room_to_who_leaves() -> None:
    """A wish that is cancelled, before it is granted or just then, holds nothing."""

    async def work(whole: BodyMemory) -> None:
        room = await whole.room(6 * LARGE)
        before, then = await soon(whole.room(LARGE)), await soon(whole.room(LARGE))
        before.cancel()
        await asyncio.sleep(0)
        room.give_back()
        then.cancel()
        await asyncio.gather(before, then, return_exceptions=True)

    run(work)


def test_tidy_up_after_large_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is given back to the system after a large body, once more after others meanwhile, never for small ones."""
    monkeypatch.setattr(rooms, "TIDY_S", 0.01)
    tidied: list[int] = []

    async def bodies(size: int, count: int) -> list[int]:
        tidied.clear()
        whole = BodyMemory(SIZE, tidied.append)
        for room in [await whole.room(size) for _ in range(2)]:
            room.give_back()
        await until_tidied(count)
        return tidied

    async def until_tidied(count: int) -> None:
        for _ in range(1000):
            await asyncio.sleep(0.01)
            if len(tidied) >= count:
                break

    assert [YOUNG, OLD] == asyncio.run(bodies(LARGE, 2))
    assert [] == asyncio.run(bodies(SMALL_BYTES, 0))


def test_search_for_all_garbage_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """While large bodies keep coming, one search in ten is for all garbage; the others stop the threads for less."""
    monkeypatch.setattr(rooms, "TIDY_S", 0.0)
    tidied: list[int] = []

    async def keep_coming() -> None:
        whole = BodyMemory(SIZE, tidied.append)
        while True:
            for room in [await whole.room(LARGE) for _ in range(2)]:
                room.give_back()
            if len(tidied) >= 30:
                break
            await asyncio.sleep(0)

    asyncio.run(keep_coming())
    assert len(tidied) == tidied.count(OLD) + tidied.count(YOUNG)
    assert tidied.count(OLD) - len(tidied) // 10 in range(3)  # some more once no more bodies come
