"""The feed of one server: one task polls the store for all readers, and each reader has its own stream.

The server keeps only a position for each reader. It also keeps one shared buffer of the newest changes,
encoded for sending. A reader inside the buffer continues from there. A reader further behind (slow, or back
after a while) asks the store. So all readers cost the same memory, and no writer ever waits for a reader.
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
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.events import READY, RESET, event_of, first_event

STREAMS_PER_TOKEN: Final = 20  # open streams
STREAMS_PER_ADDRESS: Final = 100  # open streams
STREAMS_MAX: Final = 200  # open streams of the whole server
_POLL_S: Final = 0.1  # between two polls of the store
_PAUSE_S: Final = 1.0  # back-off after a failed poll, or while the store is busy
_RECENT_MAX: Final = 1000  # changes in the shared buffer
_AT_ONCE: Final = 200  # changes in one batch
_log = logging.getLogger("chatkeep.feed")


class _Told(Struct, frozen=True):
    """A change, encoded as an event."""

    key: str
    position: str
    event: bytes


class _Recent:
    """A buffer of the newest changes in order; the position before a change finds it."""

    def __init__(self) -> None:
        self._told: deque[_Told] = deque()
        self._places: dict[str, int] = {}
        self._first = 0

    def begin(self, position: str) -> None:
        """Empty the buffer; the next change follows this position."""
        self._told.clear()
        self._places = {position: self._first}

    def add(self, changes: Changes) -> None:
        """Append the next changes, and drop the oldest beyond `_RECENT_MAX`."""
        for change in changes.changes:
            self._told.append(_Told(change.key, change.position, event_of(change)))
            self._places[change.position] = self._first + len(self._told)
        while len(self._told) > _RECENT_MAX:
            self._told.popleft()
            self._first += 1
        while (oldest := next(iter(self._places))) and self._places[oldest] < self._first:
            del self._places[oldest]

    def after(self, position: str) -> list[_Told] | None:
        """Return up to `_AT_ONCE` changes after a position; None when the buffer does not know it."""
        place = self._places.get(position)
        return None if place is None else list(islice(self._told, place - self._first, place - self._first + _AT_ONCE))


class Feed:
    """The readers of one server's changes, and the task polling the store for them."""

    def __init__(self, sessions: Sessions, pools: Pools) -> None:
        """Take all sessions, and the threads for reading them."""
        self._sessions = sessions
        self._pools = pools
        self._open: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._recent = _Recent()
        self._moved = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def place(self, token_id: str, address: str) -> Iterator[None]:
        """Count one open stream for the token, the address and the server, until the block ends.

        The first stream starts the polling, and the last one stops it.

        Raises:
            TooManyStreamsError: when one of the three is at its limit.
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
            self._open += Counter()  # drops tokens without a stream
            self._addresses += Counter()
            if not self._open:
                self._following.cancel()
                self._following = None

    async def begin(self, sessions: Sessions, after: str | None) -> Changes:
        """Return the first batch for a reader: the changes after its position, or the position to start from.

        Raises:
            ChatkeepError: when the store cannot answer.
        """
        return await self._pools.read(sessions.changes, after, limit=_AT_ONCE)

    async def tell(self, emit: SendBytes, sessions: Sessions, after: str | None, first: Changes) -> None:
        """Send a reader the changes after its position, then `ready` or `reset`, then new changes without end.

        `first` is the batch from `begin`.
        """
        answer, position = first, first.position if after is None else after
        while answer.is_known and answer.position != position:  # an unmoved position marks the end
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
        """Return the events after a position, and the position behind them."""
        if told := self._recent.after(position):
            return b"".join(one.event for one in told if sessions.sees(one.key)), told[-1].position
        if told is not None:
            return b"", position
        answer = await self._asked(sessions, position)
        return (_events(answer) if answer.is_known else first_event(RESET, answer.resting)), answer.position

    async def _asked(self, sessions: Sessions, position: str | None) -> Changes:
        """Return a batch of changes after a position, retrying while the store is busy."""
        while True:
            try:
                return await self._pools.read(sessions.changes, position, limit=_AT_ONCE)
            except BusyError:
                await asyncio.sleep(_PAUSE_S)

    async def _follow(self) -> None:
        """Poll the store for new changes for ever; a failed poll is retried."""
        position: str | None = None
        while True:
            try:
                answer = await self._pools.read(self._sessions.changes, position, limit=_AT_ONCE)
            except Exception as error:  # noqa: BLE001 - one failed poll must not end the feed of all readers
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
