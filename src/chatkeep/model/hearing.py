"""Parse an answer as it arrives, a bounded piece in each turn of the event loop, so that other tasks have theirs.

The loop itself parses small events. A thread parses a long event, and a long JSON answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import suppress
from typing import Final, TypeVar

from chatkeep.core.history.tape.tape import Tape
from chatkeep.core.text.reasoning import TextPiece

TURN_BYTES: Final = 1 << 13  # bytes of an answer per turn of the event loop: 15 ms when all are small events
AT_ONCE_BYTES: Final = 1 << 15  # bytes of an unfinished event; a thread reads a longer one: the slowest take 30 ms
TURN_PIECES: Final = 200  # pieces told per turn of the event loop: 4 ms; an event may have one for each character
_T = TypeVar("_T")


def in_turns(came: bytes) -> Iterator[bytes]:
    """Yield bytes in the pieces of one turn."""
    for start in range(0, len(came), TURN_BYTES):
        yield came[start : start + TURN_BYTES]


async def each_in_its_turn(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield pieces of any size in the pieces of one turn, with a turn for other tasks between them."""
    async for came in pieces:
        for place, piece in enumerate(in_turns(came)):
            if place:
                await asyncio.sleep(0)
            yield piece


async def heard(tape: Tape, piece: bytes) -> list[TextPiece]:
    """Add the piece of a turn to a tape, and return the new text and thinking."""
    if tape.waiting_bytes + len(piece) > AT_ONCE_BYTES:
        return await to_its_end(asyncio.to_thread(_add, tape, piece))
    return _add(tape, piece)


async def told_in_turns(pieces: Iterable[TextPiece]) -> AsyncIterator[TextPiece]:
    """Yield pieces, with a turn for other tasks after each `TURN_PIECES` of them."""
    for place, piece in enumerate(pieces, start=1):
        yield piece
        if place % TURN_PIECES == 0:
            await asyncio.sleep(0)


async def close(tape: Tape) -> list[TextPiece]:
    """Close a tape, and return the text and thinking that this releases."""
    if tape.unread_bytes > AT_ONCE_BYTES:
        return await to_its_end(asyncio.to_thread(_close, tape))
    return _close(tape)


async def to_its_end(work: Awaitable[_T]) -> _T:
    """Return the result of a thread. A cancellation waits for the thread: two may not change a tape at once."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((task,))
        raise


def _add(tape: Tape, piece: bytes) -> list[TextPiece]:
    tape.add(piece)
    return tape.take()


def _close(tape: Tape) -> list[TextPiece]:
    tape.close()
    return tape.take()
