"""The daily purge of the trash, while a server runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from chatkeep.errors import ChatkeepError
from chatkeep.sessions.sessions import Sessions
from chatkeep.threads import Threads

_PAUSE_S: Final = 3600.0  # an hour; nobody waits for the room of a deleted session longer than that
_log = logging.getLogger("chatkeep.trash")


@contextlib.asynccontextmanager
async def purging(sessions: Sessions, threads: Threads, pause_s: float = _PAUSE_S) -> AsyncIterator[None]:
    """Purge sessions as many days after their deletion as the trash keeps them, at once and then at each pause."""
    task = asyncio.create_task(_purge(sessions, threads, pause_s)) if sessions.trash.days else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _purge(sessions: Sessions, threads: Threads, pause_s: float) -> None:
    while True:
        before = sessions.now() - timedelta(days=sessions.trash.days)
        try:
            gone = await threads.write(sessions.trash.purge, before=before)
            if gone:
                _log.info("purged %d sessions from the trash", len(gone))
        except ChatkeepError as error:
            _log.warning("purging the trash failed (%s); trying again later", error.code)
        await asyncio.sleep(pause_s)
