"""The feed of one server: one look at the store for all who follow it, and a stream for each of them.

Nothing is held for a reader but its position. The newest changes are kept once, for all, ready to be sent;
who has read those goes on there, and who is further behind (it comes back after a while, or reads slowly)
asks the store. So no reader costs more memory than another, and no writer ever waits for one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

from msgspec import Struct

from chatkeep.core.feed import Changes
from chatkeep.errors import BusyError, TooManyStreamsError
from chatkeep.http.gate.rules import Pools
from chatkeep.http.streams.responses import SendBytes
from chatkeep.sessions import Sessions
from chatkeep.wire.events import READY, RESET, event_of, first_event

STREAMS_PER_TOKEN: Final = 20
STREAMS_PER_ADDRESS: Final = 100
STREAMS_MAX: Final = 200
_POLL_S: Final = 0.1
_PAUSE_S: Final = 1.0
_RECENT_MAX: Final = 1000
_AT_ONCE: Final = 200
_log = logging.getLogger("chatkeep.feed")


class _Told(Struct, frozen=True):
    """A change, ready to be sent."""

    key: str
    position: str
    event: bytes


class _Recent:
    """The newest changes in their order, found by the position before them."""

    def __init__(self) -> None:
        self._told: deque[_Told] = deque()
        self._places: dict[str, int] = {}
        self._first = 0

    def begin(self, position: str) -> None:
        """Know nothing but where the next change comes."""
        self._told.clear()
        self._places = {position: self._first}

    def add(self, changes: Changes) -> None:
        """Take in what follows what is here, and forget the oldest for it."""
        for change in changes.changes:
            self._told.append(_Told(change.key, change.position, event_of(change)))
            self._places[change.position] = self._first + len(self._told)
        while len(self._told) > _RECENT_MAX:
            self._told.popleft()
            self._first += 1
        while (oldest := next(iter(self._places))) and self._places[oldest] < self._first:
            del self._places[oldest]

    def after(self, position: str) -> list[_Told] | None:
        """Return what follows a position; None when that is not known here."""
        place = self._places.get(position)
        return None if place is None else list(islice(self._told, place - self._first, place - self._first + _AT_ONCE))


class Feed:
    """Who follows the sessions of a server, and what they are told."""

    def __init__(self, sessions: Sessions, pools: Pools) -> None:
        """Take all the sessions, and the threads to ask them in."""
        self._sessions = sessions
        self._pools = pools
        self._open: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._recent = _Recent()
        self._moved = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def place(self, token_id: str, address: str) -> Iterator[None]:
        """Hold one of the streams that a token may have, and an address, and the server.

        Raises:
            TooManyStreamsError: when all are taken.
        """
        if self._open[token_id] >= STREAMS_PER_TOKEN:
            raise TooManyStreamsError("with this token", STREAMS_PER_TOKEN)
        if self._addresses[address] >= STREAMS_PER_ADDRESS:
            raise TooManyStreamsError("from this address", STREAMS_PER_ADDRESS)
        if self._open.total() >= STREAMS_MAX:
            raise TooManyStreamsError("on this server", STREAMS_MAX)
        self._open[token_id] += 1
        self._addresses[address] += 1
        if self._following is None:
            self._following = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            self._open[token_id] -= 1
            self._addresses[address] -= 1
            self._open += Counter()  # forgets the tokens that have none
            self._addresses += Counter()
            if not self._open:
                self._following.cancel()
                self._following = None

    async def begin(self, sessions: Sessions, after: str | None) -> Changes:
        """Return what a reader is told first: changes that it missed, or where it begins.

        Raises:
            ChatkeepError: when the store cannot tell.
        """
        return await self._pools.read(sessions.changes, after, limit=_AT_ONCE)

    async def tell(self, emit: SendBytes, sessions: Sessions, after: str | None, first: Changes) -> None:
        """Tell a reader of these sessions what it missed after a position, and what comes, without end.

        `first` is what `begin` returned for it.
        """
        answer, position = first, first.position if after is None else after
        while answer.is_known and answer.position != position:  # an answer that stays there says: no more
            if answer.changes:
                await emit(_events(answer))
            position = answer.position
            answer = await self._asked(sessions, position)
        await emit(first_event(READY if answer.is_known else RESET, answer.resting))
        position = answer.position
        while True:
            moved = self._moved
            told, next_position = await self._next(sessions, position)
            if told:
                await emit(told)
            elif next_position == position:
                await moved.wait()
            position = next_position

    async def _next(self, sessions: Sessions, position: str) -> tuple[bytes, str]:
        """Return the events that follow a position, and the position behind them."""
        if told := self._recent.after(position):
            return b"".join(one.event for one in told if sessions.sees(one.key)), told[-1].position
        if told is not None:
            return b"", position
        answer = await self._asked(sessions, position)
        return (_events(answer) if answer.is_known else first_event(RESET, answer.resting)), answer.position

    async def _asked(self, sessions: Sessions, position: str | None) -> Changes:
        """Return what follows a position, as soon as the store can tell."""
        while True:
            try:
                return await self._pools.read(sessions.changes, position, limit=_AT_ONCE)
            except BusyError:
                await asyncio.sleep(_PAUSE_S)

    async def _follow(self) -> None:
        """Look again and again for what is new, whatever goes wrong with single looks."""
        position: str | None = None
        while True:
            try:
                answer = await self._pools.read(self._sessions.changes, position, limit=_AT_ONCE)
            except Exception as error:  # noqa: BLE001 - the others go on to be told
                if not isinstance(error, BusyError):
                    _log.warning("looking for changes failed (%s); trying again", type(error).__name__)
                await asyncio.sleep(_PAUSE_S)
                continue
            if answer.position != position:
                if position is None or not answer.is_known:
                    self._recent.begin(answer.position)
                else:
                    self._recent.add(answer)
                position = answer.position
                self._moved.set()
                self._moved = asyncio.Event()
            if len(answer.changes) < _AT_ONCE:
                await asyncio.sleep(_POLL_S)


def _events(changes: Changes) -> bytes:
    return b"".join(map(event_of, changes.changes))
