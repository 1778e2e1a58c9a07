"""Bounded memory for all bodies in flight together.

A handler reserves room before it reads the first byte of a body. The room covers the body and everything made of
it: text of wide characters, values, encoded lines, the input of the index. The handler gives the room back when
these are gone. While there is no room, a body waits with its sender, first come, first served.

Small bodies have a separate share, so they do not wait behind large ones. Recordings of passing answers take
their room from the small share, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from chatkeep.errors import BusyError

ROOM_WAIT_S: Final = 30.0  # then the sender gets 503
TIDY_S: Final = 3.0  # before each search for garbage
YOUNG: Final = 1  # the generation of garbage made of late; to search for it takes 1 ms
OLD: Final = 2  # the generation of all garbage; to search for it takes 15 ms and stops all threads
_YOUNG_IN_A_ROW: Final = 9  # searches for young garbage while bodies keep coming, before one for all
SMALL_BYTES: Final = 64 << 10  # of a body; up to this size it takes room from the small share
COST: Final = 12  # bytes of memory for a byte of a body; bench/bodies.py measures 5 to 12
BODY_MEMORY: Final = 1 << 30  # bytes
_SMALL_SHARE: Final = 4  # the small share is a quarter of the memory
MIDDLING_BYTES: Final = 1 << 20  # of a body; up to this size bodies do not wait behind longer ones
_UNSTORED_BYTES: Final = 4 << 20  # bytes of passed on calls in each queue to the store: half a second of its work


class Room:
    """Reserved bytes of a share, until they are given back."""

    def __init__(self, share: Share, size_bytes: int) -> None:
        """Take the share, and the bytes already reserved in it."""
        self.size_bytes = size_bytes
        self._share = share

    def grow(self, more_bytes: int) -> bool:
        """Reserve more bytes if they are free at once; return whether they were."""
        is_taken = self._share.take_at_once(more_bytes)
        self.size_bytes += more_bytes * is_taken
        return is_taken

    def fit(self, body_bytes: int) -> None:
        """Give back all room beyond the needs of a body of this size."""
        self.part(max(0, self.size_bytes - body_bytes * COST)).give_back()

    def part(self, size_bytes: int) -> Room:
        """Split bytes off into a new room, at most all of this one."""
        size_bytes = min(size_bytes, self.size_bytes)
        self.size_bytes -= size_bytes
        return Room(self._share, size_bytes)

    def give_back(self) -> None:
        """Give back all bytes; a second call gives back nothing."""
        size_bytes, self.size_bytes = self.size_bytes, 0
        self._share.put_back(size_bytes)


class BodyMemory:
    """The memory for bodies: a small and a large share, for one event loop."""

    def __init__(self, size_bytes: int = BODY_MEMORY, tidy: Callable[[int], None] | None = None) -> None:
        """Take the number of bytes, and the function returning free memory to the system.

        The function runs in a thread, `TIDY_S` after a large body is gone. It gets the generation of garbage to search:
        `OLD`, or `YOUNG` most times while bodies keep coming, so that others wait less.
        """
        self._small = Share(size_bytes // _SMALL_SHARE)
        self._large = Share(size_bytes - self._small.size_bytes, self._tidy_soon)
        self._unstored = (Share(_UNSTORED_BYTES), Share(_UNSTORED_BYTES))
        self._tidy = tidy
        self._timer: asyncio.TimerHandle | None = None
        self._is_untidy = False
        self._young_count = 0

    @property
    def held_bytes(self) -> int:
        """The reserved bytes."""
        return self._small.held_bytes + self._large.held_bytes

    async def room(self, body_bytes: int) -> Room:
        """Reserve room for a body of this size, as soon as there is some.

        Raises:
            BusyError: when there is none within 30 seconds.
        """
        share = self._small if body_bytes <= SMALL_BYTES else self._large
        return await share.room(body_bytes * COST)

    async def line(self, body_bytes: int) -> Room:
        """Reserve a place among the calls passed on before they are stored, as soon as there is one.

        Storing takes longer than passing on. The bytes in the queue outlive their clients, so they are few. A body
        longer than all of them waits until the queue is empty.

        Raises:
            BusyError: when there is none within 30 seconds.
        """
        return await self._unstored[body_bytes > MIDDLING_BYTES].room(body_bytes)

    def beginning(self) -> Room:
        """Return an empty room, for a growing answer."""
        return Room(self._small, 0)

    def _tidy_soon(self) -> None:
        """Schedule a tidying; if bytes come back before it runs, schedule another after it.

        Memory is free only some time after its room is given back.
        """
        if self._tidy is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TIDY_S, self._tidy_now, self._tidy)
        else:
            self._is_untidy = True

    def _tidy_now(self, tidy: Callable[[int], None]) -> None:
        self._timer = None
        is_young = self._is_untidy and self._young_count < _YOUNG_IN_A_ROW
        self._young_count = self._young_count + 1 if is_young else 0
        asyncio.get_running_loop().run_in_executor(None, tidy, YOUNG if is_young else OLD)
        if self._is_untidy:
            self._is_untidy = False
            self._tidy_soon()


class Share:
    """A part of the memory, and the queue for it."""

    def __init__(self, size_bytes: int, on_return: Callable[[], None] = lambda: None) -> None:
        """Take the size, and the function to call when bytes come back or a waiter leaves."""
        self.size_bytes = size_bytes
        self._on_return = on_return
        self.held_bytes = 0
        self._wishes: deque[_Wish] = deque()

    async def room(self, size_bytes: int) -> Room:
        """Reserve bytes, at most the whole share, after all earlier waiters.

        Raises:
            BusyError: when they are not free within 30 seconds.
        """
        wish = _Wish(min(size_bytes, self.size_bytes))
        self._wishes.append(wish)
        self._grant()
        try:
            async with asyncio.timeout(ROOM_WAIT_S):
                await wish.granted.wait()
        except BaseException as error:
            self._take_back(wish)
            if isinstance(error, TimeoutError):
                raise BusyError("server") from error
            raise
        return Room(self, wish.size_bytes)

    def take_at_once(self, size_bytes: int) -> bool:
        """Reserve bytes if they are free; return whether they were."""
        is_there = self.held_bytes + size_bytes <= self.size_bytes
        self.held_bytes += size_bytes * is_there
        return is_there

    def put_back(self, size_bytes: int) -> None:
        """Take bytes back, and serve the queue."""
        self.held_bytes -= size_bytes
        self._on_return()
        self._grant()

    def _grant(self) -> None:
        while self._wishes and self.take_at_once(self._wishes[0].size_bytes):
            self._wishes.popleft().granted.set()

    def _take_back(self, wish: _Wish) -> None:
        if wish.granted.is_set():
            self.put_back(wish.size_bytes)
        else:
            self._wishes.remove(wish)
            self._on_return()
            self._grant()


class _Wish:
    """A place in the queue of a share."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.granted = asyncio.Event()
