"""The memory that bodies in flight may take together, whatever door they come through.

A body takes room before its first byte is read, for what it is and for what is made of it: text of wide characters,
values, encoded lines, what the index looks at. It gives the room back when that is gone. What finds none waits with its
sender, first come, first served. Small bodies have a share of their own, so they do not wait behind large ones; what
is remembered of answers while they pass is taken from it, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from chatkeep.errors import BusyError

ROOM_WAIT_S: Final = 30.0
TIDY_S: Final = 3.0  # a search for garbage takes 10 ms, in which all wait
SMALL_BYTES: Final = 64 << 10
COST: Final = 12  # bytes of memory for a byte of a body; bench/bodies.py measures 5 to 12
BODY_MEMORY: Final = 1 << 30
_SMALL_SHARE: Final = 4  # one part in so many


class Room:
    """A part of a share, until it is given back."""

    def __init__(self, share: Share, size_bytes: int) -> None:
        """Take what belongs to this room already."""
        self.size_bytes = size_bytes
        self._share = share

    def grow(self, more_bytes: int) -> bool:
        """Take more, if it is there without waiting, and tell whether it was."""
        is_taken = self._share.take_at_once(more_bytes)
        self.size_bytes += more_bytes * is_taken
        return is_taken

    def fit(self, body_bytes: int) -> None:
        """Give back what a body does not take that turned out to have this size."""
        self.part(max(0, self.size_bytes - body_bytes * COST)).give_back()

    def part(self, size_bytes: int) -> Room:
        """Return a room of its own that was a part of this one; at most all of it."""
        size_bytes = min(size_bytes, self.size_bytes)
        self.size_bytes -= size_bytes
        return Room(self._share, size_bytes)

    def give_back(self) -> None:
        """Give all of it back; there is nothing to give back a second time."""
        size_bytes, self.size_bytes = self.size_bytes, 0
        self._share.put_back(size_bytes)


class BodyMemory:
    """All the room there is, in one event loop."""

    def __init__(self, size_bytes: int = BODY_MEMORY, tidy: Callable[[], None] | None = None) -> None:
        """Take how much that is, and what gives memory back to the system, done soon after a large body is gone."""
        self._small = Share(size_bytes // _SMALL_SHARE)
        self._large = Share(size_bytes - self._small.size_bytes, self._tidy_soon)
        self._tidy = tidy
        self._timer: asyncio.TimerHandle | None = None
        self._is_untidy = False

    @property
    def held_bytes(self) -> int:
        """How much is taken."""
        return self._small.held_bytes + self._large.held_bytes

    async def room(self, body_bytes: int) -> Room:
        """Return room for a body of that size, as soon as there is some.

        Raises:
            BusyError: when there is none within 30 seconds.
        """
        share = self._small if body_bytes <= SMALL_BYTES else self._large
        return await share.room(body_bytes * COST)

    def beginning(self) -> Room:
        """Return room of no size yet, for what grows."""
        return Room(self._small, 0)

    def _tidy_soon(self) -> None:
        """Tidy before long, and once more when there is reason to until then: what is let go is not gone at once."""
        if self._tidy is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TIDY_S, self._tidy_now, self._tidy)
        else:
            self._is_untidy = True

    def _tidy_now(self, tidy: Callable[[], None]) -> None:
        self._timer = None
        asyncio.get_running_loop().run_in_executor(None, tidy)
        if self._is_untidy:
            self._is_untidy = False
            self._tidy_soon()


class Share:
    """A part of the memory, and who waits for it."""

    def __init__(self, size_bytes: int, on_return: Callable[[], None] = lambda: None) -> None:
        """Take how large it is, and whom to tell when somebody leaves; nothing of it is taken yet."""
        self.size_bytes = size_bytes
        self._on_return = on_return
        self.held_bytes = 0
        self._wishes: deque[_Wish] = deque()

    async def room(self, size_bytes: int) -> Room:
        """Return room of that size, or all there is, when nobody who came before waits.

        Raises:
            BusyError: when it is not there within 30 seconds.
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
        """Take so much, if it is there, and tell whether it was."""
        is_there = self.held_bytes + size_bytes <= self.size_bytes
        self.held_bytes += size_bytes * is_there
        return is_there

    def put_back(self, size_bytes: int) -> None:
        """Have so much again, for whoever waits."""
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
    """What somebody waits for."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.granted = asyncio.Event()
