"""System calls that fail on demand: the N-th of an operation, once or from then on.

The functions of `os` and `fcntl` through which the store reaches the disk are replaced, for calls of one
thread. What this does not cover: the calls that SQLite makes itself, those of the watching thread and
of the index's own, `close` and reads of folders that are open already, and a process that dies of the fault.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

WRITES: Final = ("write", "pwrite")
CALLS: Final = (
    *WRITES,
    "dup2",
    "fdatasync",
    "fstat",
    "fsync",
    "ftruncate",
    "link",
    "lstat",
    "mkdir",
    "open",
    "pread",
    "rename",
    "replace",
    "scandir",
    "stat",
    "unlink",
)
ERRORS: Final = ("EIO", "ENOSPC", "EDQUOT", "EMFILE", "ENOMEM", "EROFS", "EINTR")
FAULTS: Final = (*ERRORS, "short", "full")
"""What can happen to a call. `short` writes half and says so; `full` does that once and then refuses with ENOSPC."""


_real_fstat: Final = os.fstat


@dataclass
class Fault:
    """A fault of the N-th call that it can happen to, or of all from there on.

    `hit` names those that failed, `unflushed` has the inodes that were not flushed.
    """

    kind: str
    place: int
    is_lasting: bool
    made: int = 0
    hit: list[str] = field(default_factory=list)
    unflushed: set[int] = field(default_factory=set)
    _thread: int = field(default_factory=threading.get_ident)

    def on(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of `os` that fails when it is due."""

        def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever the real one takes and gives
            if not self._is_due(name):
                return real(*arguments, **options)
            self.hit.append(name)
            if name == "fdatasync":
                self.unflushed.add(_real_fstat(arguments[0]).st_ino)
            if self.kind in ERRORS:
                raise _refusal(self.kind)
            if self.kind == "full" and len(self.hit) > 1:
                raise _refusal("ENOSPC")
            descriptor, data, *place = arguments
            return real(descriptor, data[: (len(data) + 1) // 2], *place)

        return call

    def _is_due(self, name: str) -> bool:
        """Count a call, and tell whether it fails."""
        if threading.get_ident() != self._thread or (self.kind not in ERRORS and name not in WRITES):
            return False
        self.made += 1
        return self.made >= self.place if self.is_lasting or self.kind == "full" else self.made == self.place


def _refusal(kind: str) -> OSError:
    number = getattr(errno, kind)
    return OSError(number, os.strerror(number))


@contextmanager
def failing(fault: Fault) -> Iterator[None]:
    """Let the calls of this thread fail as the fault says, for a while."""
    real = [(module, name, getattr(module, name)) for module, name in _places()]
    for module, name, function in real:
        setattr(module, name, fault.on(name, function))
    try:
        yield
    finally:
        for module, name, function in real:
            setattr(module, name, function)


def _places() -> Iterator[tuple[Any, str]]:
    yield from ((os, name) for name in CALLS)
    yield fcntl, "flock"
