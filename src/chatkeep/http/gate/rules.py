"""Rules and resources of the handlers: permissions, memory for bodies, and pools of threads.

A rule is checked first for each route.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, ParamSpec, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chatkeep.core.bounds import LARGE_BODY_BYTES_MAX
from chatkeep.core.search.search import Search
from chatkeep.disk.short_reads import LongReadError, short_reads
from chatkeep.http.gate.guard import Grant, authorise, authorise_everywhere
from chatkeep.http.gate.room import MIDDLING_BYTES, SMALL_BYTES, BodyMemory, Room
from chatkeep.sessions.sessions import Sessions
from chatkeep.threads import Threads
from chatkeep.wire.answers import json_bytes
from chatkeep.wire.hits import hit_page
from chatkeep.wire.ready import ReadyAnswers
from chatkeep.workers.appending import Append, StoredAnswer, Task, answer_of, done, handed_over
from chatkeep.workers.beside import Beside
from chatkeep.workers.showing import Showing, shown

SHORT_BYTES: Final = 8 << 10  # of a body; the slowest text of that size takes the interpreter 30 ms
LANES: Final = 7
"""Pieces of work at a time in the other process, of different kinds."""
_SIZES: Final = (SMALL_BYTES, MIDDLING_BYTES)  # of bodies; longer ones hold up no shorter ones
_READING: Final = 3  # the first of two lanes of work that only reads
_WHOLE: Final = 5  # the lane of whole sessions
_SHOWING: Final = 6  # the lane of long answers
SHOWN_BYTES: Final = 1 << 18  # bytes to read for an answer made here; the slowest text of that size takes 2 ms
_SECONDS_A_BYTE: Final = 2e-5  # time-out: four times the slowest text on a busy machine
_SECONDS_A_BYTE_WHOLE: Final = 2e-3  # the same for sessions without messages, each with flushes of its own
JSON_TYPE: Final = "application/json"
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Rule:
    """The permission of a route: a request with the right grant passes, every other raises."""

    def __init__(self, check: Callable[[Grant | None], None], *, passes_query: bool = False) -> None:
        """Take the check of a grant, and whether the query belongs to the model's server and passes."""
        self.check = check
        """Raises UnauthorizedError or ForbiddenError when the grant is missing, or not enough."""
        self.passes_query = passes_query


PUBLIC: Final = Rule(lambda _: None)
SIGN_IN: Final = Rule(lambda _: None)
"""Open to everybody, as `PUBLIC`, but the guard counts the requests."""
READ: Final = Rule(partial(authorise, scope="read"))
READ_EVERYWHERE: Final = Rule(partial(authorise_everywhere, scope="read"))
WRITE: Final = Rule(partial(authorise, scope="write"))
DELETE: Final = Rule(partial(authorise, scope="delete"))
REPLACE: Final = Rule(partial(authorise, scope="write", also="delete"))
"""To store messages in place of others."""
FORK: Final = Rule(partial(authorise, scope="read", also="write"))
"""To store what the caller may read."""
ANY: Final = Rule(partial(authorise, scope=None))
"""For every valid token."""
FORWARD: Final = Rule(partial(authorise, scope="write"), passes_query=True)
"""For requests to the model's server, which knows their query."""
FORWARD_READ: Final = Rule(partial(authorise, scope="read"), passes_query=True)
"""The same for requests that only read there."""


class Pools(Threads):
    """The threads of a server, with the processes beside it and a bounded memory for request bodies."""

    def __init__(
        self,
        searcher: Beside | None = None,
        body_memory: BodyMemory | None = None,
        writer: Beside | None = None,
        *,
        is_prompt: bool = True,
    ) -> None:
        """Take the processes for searches and for long appends (None for none), and the memory of bodies."""
        super().__init__()
        self.is_prompt = is_prompt
        """Whether the store answers from its index so soon that the event loop can wait for it."""
        self.body_memory = body_memory or BodyMemory()
        self._searcher = searcher
        self._writer = writer
        self._lanes = tuple(asyncio.Semaphore(1) for _ in range(LANES))

    def close(self) -> None:
        """End the processes beside the server."""
        for process in filter(None, (self._searcher, self._writer)):
            process.close()

    async def append(self, asked: Append, body: bytes, sessions: Sessions) -> StoredAnswer:
        """Append a body, and return the encoded answer; a body above `SHORT_BYTES` goes to the other process.

        Raises:
            ChatkeepError: as `workers.appending.done` says.
        """
        answer = await self.beside(asked, body) if len(body) > SHORT_BYTES else None
        return await self.write(done, sessions, asked, body) if answer is None else answer

    async def shown(self, asked: Showing, sessions: Sessions, ready: ReadyAnswers) -> bytes:
        """Return messages as JSON: kept ones at once, others from a thread, long ones from the other process.

        Raises:
            ChatkeepError: as `workers.showing.shown` says.
        """
        work = partial(shown, sessions, asked, ready)
        if self.is_prompt and asked.is_plain:
            with suppress(LongReadError), short_reads(0):
                return work()
        return await self.made(asked, work)

    async def soon(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run work that reads: on the event loop if it opens no file of a session, else in a thread."""
        if self.is_prompt:
            with suppress(LongReadError), short_reads(0):
                return work(*args, **kwargs)
        return await self.read(work, *args, **kwargs)

    async def made(self, asked: Task, work: Callable[[], bytes]) -> bytes:
        """Return the bytes made by work in a pool of threads, or by a task if it reads long texts.

        Raises:
            ChatkeepError: as the work says.
        """
        pool = self.read if asked.only_reads else self.write
        if self._writer is None:
            return await pool(work)
        try:
            return await pool(_shortly, work)
        except LongReadError as error:
            answer = await self.beside(asked, b"", error.size_bytes)
        return await pool(work) if answer is None else answer.data

    async def beside(self, asked: Task, body: bytes, read_bytes: int = 0) -> StoredAnswer | None:
        """Run a task on a body in the other process, and return its answer; None leaves the task to this process.

        Work that only reads queues apart from work that stores, and from answers without a body, made of `read_bytes`
        stored bytes. Whole sessions queue apart from messages, and small, middling and long bodies of these apart from
        each other.

        Raises:
            ChatkeepError: the error of the other process.
        """
        if self._writer is None:
            return None
        async with self._lanes[_lane_of(asked, len(body))]:
            lasts_s = (_SECONDS_A_BYTE_WHOLE if asked.is_whole else _SECONDS_A_BYTE) * (len(body) + read_bytes)
            told = await self._writer.ask(*handed_over(asked, body), lasts_s=lasts_s)
        return None if told is None else answer_of(told)

    async def page_of(self, sessions: Sessions, search: Search) -> bytes:
        """Run a search, and return the encoded page: in the other process if it can, else in a thread for searches."""
        if self._searcher is not None and search.query.terms:
            asked = msgspec.msgpack.encode(sessions.own_search(search))
            page = await self._searcher.ask(asked, lasts_s=search.deadline_s)
            if page is not None:
                return page
        return await self.search(_page_of, sessions, search)


def _lane_of(asked: Task, body_bytes: int) -> int:
    if not body_bytes:
        return _SHOWING if asked.only_reads else _WHOLE
    if asked.only_reads:
        return _READING + (body_bytes > MIDDLING_BYTES)
    return _WHOLE if asked.is_whole else bisect_left(_SIZES, body_bytes)


async def room_for(request: Request, memory: BodyMemory) -> Room:
    """Reserve memory for the body of a request; meanwhile the body waits with its sender.

    A body without a declared length takes the memory of the longest.

    Raises:
        BusyError: when there is no memory within 30 seconds.
    """
    declared = request.headers.get("content-length")
    if declared is None:
        is_coming = "transfer-encoding" in request.headers
        return await memory.room(LARGE_BODY_BYTES_MAX if is_coming else 0)
    size_bytes = int(declared[:20]) if declared.isdecimal() else 0
    return await memory.room(size_bytes if size_bytes <= LARGE_BODY_BYTES_MAX else 0)  # a longer one is not read


def _shortly(work: Callable[[], bytes]) -> bytes:
    with short_reads(SHOWN_BYTES):
        return work()


def _page_of(sessions: Sessions, search: Search) -> bytes:
    return json_bytes(hit_page(sessions.search(search)))


def json_response(encoded: bytes, status: int = 200) -> Response:
    """Return encoded JSON as a response."""
    return Response(encoded, status, media_type=JSON_TYPE)
