"""The ends of answers, for chat and the recording proxy: the reasons, the waits, and the storing of the last words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

from chatkeep.errors import BusyError

CLIENT_GONE: Final = "client_gone"
SERVER_ENDED: Final = "server_ended"
CLOSE_WAIT_S: Final = 10.0  # seconds the server waits for titles and cancelled turns at its end
BUSY_WAIT_S: Final = 5.0  # seconds to retry a store while it is busy
_BUSY_PAUSE_S: Final = 0.1  # seconds between two tries
_T = TypeVar("_T")


def ending_of(cancelled: asyncio.CancelledError) -> str:
    """Return the reason of a cancellation: the client left, as the caller says, or else the server ends."""
    return CLIENT_GONE if CLIENT_GONE in cancelled.args else SERVER_ENDED


def patiently(store: Callable[[], _T]) -> _T:
    """Store an answer, as nobody can send it again; retry a busy store for 5 s.

    Raises:
        BusyError: when the store is still busy after that.
        ChatkeepError: any other error of `store`, at once.
    """
    deadline = time.monotonic() + BUSY_WAIT_S
    while True:
        try:
            return store()
        except BusyError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_BUSY_PAUSE_S)
