"""Bugs to plant in the store, so that each checker can be seen to find them."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable

from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree import held, tree
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.tree import Tree


def none() -> None:
    """Plant nothing."""


def no_flush_of_files() -> None:
    """Answer an append before it is on the disk."""
    LockedFile._flush = lambda *_: None  # type: ignore[method-assign]


def no_flush_of_folders() -> None:
    """Answer before a name is on the disk."""
    Tree._flush_folder = lambda *_: None  # type: ignore[method-assign]


def rename_before_flush() -> None:
    """Give a file its name before its content is on the disk."""

    def write(self: Tree, fd: int, content: bytes) -> None:
        os.write(fd, content)

    Tree._write = write  # type: ignore[method-assign]


def reserve_with_blanks() -> None:
    """Reserve space with blanks, which damaged text may hold and still parse."""

    def reserve(self: LockedFile, needed: int) -> None:
        size, goal = self.stamp().size, session_file.reserved_size(needed)
        if needed > size:
            os.pwrite(self.fd, b" " * (goal - size - 1) + b"\n", size)
            self.stamp()
            self._flush()

    LockedFile._reserve = reserve  # type: ignore[method-assign]


def cut_without_flush() -> None:
    """Cut a torn file before what is cut off has reached the disk."""

    def keep(self: Tree, name: str, content: bytes) -> None:
        fd = os.open(f"{name}-1-1.cut", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=self._folders.quarantine)
        os.write(fd, content)
        os.close(fd)

    Tree.quarantine = keep  # type: ignore[method-assign]


def flushes_fail() -> None:
    """Let every fifth flush of a file or so fail, and note which. No bug: the store has to stand it."""
    tree.to_disk = held.to_disk = _failing_flush()  # type: ignore[attr-defined,assignment]


def flushes_fail_and_are_trusted() -> None:
    """Ask a flush again that has failed."""
    flush = _failing_flush()
    tree.to_disk = held.to_disk = flush  # type: ignore[attr-defined,assignment]
    LockedFile._flush = lambda self: flush(self.fd)  # type: ignore[method-assign]
    held._restore = lambda *_: None


def _failing_flush() -> Callable[[int], None]:
    dice = random.Random(1)  # noqa: S311 - repeatable

    def flush(fd: int) -> None:
        if dice.random() < 0.2:
            os.write(1, b"lost %d\n" % fd)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fdatasync(fd)

    return flush


PLANTS: dict[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (
        none,
        no_flush_of_files,
        no_flush_of_folders,
        rename_before_flush,
        reserve_with_blanks,
        cut_without_flush,
        flushes_fail,
        flushes_fail_and_are_trusted,
    )
}
