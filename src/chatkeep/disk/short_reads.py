"""A bound on what a store reads at once, for callers who must not work on long texts.

A library takes tens of milliseconds to read or write a text of 16 MiB as JSON, and holds the interpreter meanwhile. A
store knows the bytes before it reads them. Under `short_reads` it refuses the reading of more, and the caller leaves
the work to another process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_bytes_max: Final[ContextVar[int | None]] = ContextVar("bytes_max", default=None)


class LongReadError(Exception):
    """A reading takes more bytes than the caller wants to work on; nothing was read or changed."""

    def __init__(self, size_bytes: int) -> None:
        """Take the number of bytes."""
        super().__init__(size_bytes)
        self.size_bytes = size_bytes


@contextmanager
def short_reads(bytes_max: int) -> Iterator[None]:
    """Let stores refuse to read more bytes than this at once, in this thread or task."""
    token = _bytes_max.set(bytes_max)
    try:
        yield
    finally:
        _bytes_max.reset(token)


def check_read(size_bytes: int) -> None:
    """Check that a reading is within the bound of the caller.

    Raises:
        LongReadError: when it is not.
    """
    bytes_max = _bytes_max.get()
    if bytes_max is not None and size_bytes > bytes_max:
        raise LongReadError(size_bytes)
