"""Threads for blocking work beside an event loop, bounded for each kind of work."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

READS_AT_ONCE: Final = 8  # threads
WRITES_AT_ONCE: Final = 16  # threads
SEARCHES_AT_ONCE: Final = 2  # threads
EXPORTS_AT_ONCE: Final = 2  # threads
COMPARISONS_AT_ONCE: Final = 2  # threads; each may hold a whole session in memory, or a few
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Threads:
    """Bounded pools of threads, one for each kind of work: a burst of one kind does not starve the others.

    Each method runs the work in its pool, and returns the result. Work beyond the bound waits for its turn.
    """

    def __init__(self) -> None:
        """Take no thread yet: threads start when work comes."""
        self._reads = CapacityLimiter(READS_AT_ONCE)
        self._writes = CapacityLimiter(WRITES_AT_ONCE)
        self._searches = CapacityLimiter(SEARCHES_AT_ONCE)
        self._exports = CapacityLimiter(EXPORTS_AT_ONCE)
        self._comparisons = CapacityLimiter(COMPARISONS_AT_ONCE)
        self._imports = CapacityLimiter(1)

    async def read(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run work without writes."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._reads)

    async def write(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run work with writes."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._writes)

    async def search(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a search."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._searches)

    async def export(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run an export: exports are long, and must not delay reads."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._exports)

    async def compare(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run work that compares a conversation with stored sessions: it may read them whole, and store the result."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._comparisons)

    async def import_(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run an import, one at a time: each may take much memory."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._imports)
