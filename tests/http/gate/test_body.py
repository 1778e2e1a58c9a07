"""Bodies that come in: what taking them in costs."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Final

import pytest
from starlette.requests import Request
from starlette.types import Message, Scope

from chatkeep.errors import TooLargeError
from chatkeep.http.gate.body import body_of

PIECE: Final = bytes(range(256)) * 256
COUNT: Final = 128
SIZE: Final = len(PIECE) * COUNT
SCOPE: Final[Scope] = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}


class Sender:
    """Sends a body in pieces, each with memory of its own, and notes the memory in use at the last one."""

    def __init__(self) -> None:
        """Begin before the first piece."""
        self.left = COUNT
        self.held_bytes = 0

    async def body_and_peak(self) -> tuple[bytes, int]:
        """Return the body as it was taken in, and the most memory in use since the last piece."""
        tracemalloc.start()
        try:
            body = await body_of(Request(SCOPE, self.receive), bytes_max=SIZE)
            return body, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    async def receive(self) -> Message:
        """Return the next piece."""
        self.left -= 1
        if self.left == 0:
            self.held_bytes, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
        return {"type": "http.request", "body": bytes(bytearray(PIECE)), "more_body": self.left > 0}


def test_take_in_a_long_body_piece_by_piece() -> None:
    """Nothing as large as a body happens at its end: there, the event loop would stand still for all others."""
    sender = Sender()

    body, peak_bytes = asyncio.run(sender.body_and_peak())

    assert PIECE * COUNT == body
    assert SIZE / 4 > peak_bytes - sender.held_bytes
    assert SIZE * 5 / 4 > peak_bytes


def test_stop_at_the_piece_beyond_the_bound() -> None:
    """A body that is longer than it may be is not read on."""
    sender = Sender()

    with pytest.raises(TooLargeError):
        asyncio.run(body_of(Request(SCOPE, sender.receive), bytes_max=10 * len(PIECE)))

    assert COUNT - 11 == sender.left
