"""The purge of the trash and the retention rules, while a server runs.

Its end waits for the step under way: the store is closed after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import timedelta
from typing import Final

from chatkeep.core.life.retention import Departure, RetentionRule
from chatkeep.errors import ChatkeepError
from chatkeep.model.hearing import to_its_end
from chatkeep.sessions.retaining import due, let_go
from chatkeep.sessions.sessions import Sessions
from chatkeep.threads import Threads

_PAUSE_S: Final = 3600.0  # an hour; nobody waits for the room of a deleted session longer than that
_DAY_S: Final = 86_400.0  # the bounds of rules are days, or change slowly
_DONE: Final = {"archive": "archived", "trash": "moved to the trash", "delete": "deleted"}
_log = logging.getLogger("chatkeep.trash")


@contextlib.asynccontextmanager
async def purging(sessions: Sessions, threads: Threads, pause_s: float = _PAUSE_S) -> AsyncIterator[None]:
    """Purge sessions as many days after their deletion as the trash keeps them, at once and then at each pause."""
    async with _beside(_purge(sessions, threads, pause_s) if sessions.trash.days else None):
        yield


@contextlib.asynccontextmanager
async def pruning(
    sessions: Sessions, threads: Threads, rules: Sequence[RetentionRule], pause_s: float = _DAY_S
) -> AsyncIterator[None]:
    """Let sessions go by the rules, at once and then at each pause."""
    async with _beside(_prune(sessions, threads, rules, pause_s) if rules else None):
        yield


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[None, None, None] | None) -> AsyncIterator[None]:
    task = None if work is None else asyncio.create_task(work)
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
            gone = await to_its_end(threads.write(sessions.trash.purge, before=before))
            if gone:
                _log.info("purged %d sessions from the trash", len(gone))
        except ChatkeepError as error:
            _log.warning("purging the trash failed (%s); trying again later", error.code)
        await asyncio.sleep(pause_s)


async def _prune(sessions: Sessions, threads: Threads, rules: Sequence[RetentionRule], pause_s: float) -> None:
    while True:
        counts: Counter[tuple[int, str]] = Counter()
        failures: Counter[str] = Counter()
        going: Sequence[Departure] = ()
        try:
            going = await threads.export(due, sessions, rules)  # long: it must not delay reads
        except ChatkeepError as error:
            failures[error.code] += 1
        for one in going:
            try:
                if await to_its_end(threads.write(let_go, sessions, one, rules)):
                    counts[one.rule, _DONE[one.action]] += 1
            except ChatkeepError as error:  # the others go all the same
                failures[error.code] += 1
        for (rule, done), count in sorted(counts.items()):
            _log.info("retention rule %d: %d sessions were %s", rule, count, done)
        for code, count in failures.items():
            _log.warning("the retention rules failed (%s, times: %d); trying again later", code, count)
        await asyncio.sleep(pause_s)
