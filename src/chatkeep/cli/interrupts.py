"""Ctrl-C: a stopped command reports its progress and the way to go on, and ends as shells expect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

EXIT_CODE: Final = 130  # 128 plus the number of SIGINT


class StoppedError(Exception):
    """The user stopped a command; the sentence reports its progress."""

    def __init__(self, sentence: str = "Stopped.") -> None:
        """Take the sentence."""
        super().__init__(sentence)


@contextmanager
def stoppable(done: Callable[[], str]) -> Iterator[None]:
    """Turn Ctrl-C in this block into a sentence; `done` returns it, with the progress and the next step.

    Raises:
        StoppedError: at Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(f"Stopped: {done()}") from None
