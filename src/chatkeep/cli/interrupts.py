"""Ctrl-C: a command that is stopped says what it has done and how to go on, and ends as shells expect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

EXIT_CODE: Final = 130  # 128 and the number of SIGINT


class StoppedError(Exception):
    """The user stopped a command; the sentence says what was done."""

    def __init__(self, sentence: str = "Stopped.") -> None:
        """Take the sentence."""
        super().__init__(sentence)


@contextmanager
def stoppable(done: Callable[[], str]) -> Iterator[None]:
    """Let Ctrl-C end what is done here with a sentence; `done` says what was done so far, and what to do next.

    Raises:
        StoppedError: at Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(f"Stopped: {done()}") from None
