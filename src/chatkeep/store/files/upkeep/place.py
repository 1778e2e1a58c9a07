"""The place of the index: opened where it is, built under another name, or copied into memory."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

import apsw

from chatkeep.disk.files import has_room, told
from chatkeep.disk.locks import file_locked
from chatkeep.errors import BusyError, StorageError, StorageFullError, StorageReadOnlyError, storage_error
from chatkeep.store.admin import Progress
from chatkeep.store.files.index.databases import (
    IndexBehindError,
    IndexLostError,
    IndexRefusedError,
    InMemory,
    OnDisk,
)
from chatkeep.store.files.index.index import Index

AN_INDEX: Final = re.compile(r"index-[0-9a-f]{10}\.sqlite3(\.new)?(-wal|-shm)?")
_BEGINNINGS: Final = 3  # attempts to copy the index into memory; a writer may interfere with each
_SHARED_BYTES: Final = 1 << 15  # SQLite takes them at once beside a database; without them it says only that it failed
_INDEX_ERRORS: Final = (IndexLostError, IndexBehindError, IndexRefusedError)
NOT_NOW: Final = (*_INDEX_ERRORS, BusyError, StorageError)
"""The errors of an index that may be gone at the next attempt."""
_log = logging.getLogger("chatkeep.store")


class CatchUp(Protocol):
    """The way to bring an index up to date."""

    def __call__(self, index: Index, on_progress: Progress | None = None, /) -> None:
        """Take in all changes to files."""


class IndexPlace:
    """The place of a workspace's index. With `follows`, another process keeps the index, and nothing is built here."""

    def __init__(self, workspace: Path, catch_up: CatchUp, *, follows: bool) -> None:
        """Take the folder of the workspace, and the way to bring an index up to date."""
        self.path = Index.path_in(workspace)
        self.follows = follows
        self._workspace = workspace
        self._catch_up = catch_up

    def opened(self, on_progress: Progress | None) -> tuple[Index, bool]:
        """Return the index, and whether it was built for that.

        Raises:
            StorageError, IndexRefusedError, IndexLostError: when the disk takes none; the last one when somebody took
            the place of the new one.
        """
        with build_lock(self._workspace), told(), behind_as_busy():
            with contextlib.suppress(IndexLostError):
                return self._existing(), False
            self.build(on_progress)
            return Index(OnDisk(self.path)), True

    def present(self) -> Index:
        """Return the index on the disk.

        Raises:
            IndexLostError: when it is unusable.
            StorageError: when the disk refuses it.
        """
        try:
            return Index(OnDisk(self.path))
        except IndexRefusedError as error:
            raise _refusal(error, self._workspace) from error

    def made_if_missing(self, *, is_lost: bool) -> None:
        """Build the index if it is lost or not there.

        Raises:
            StorageError: when it cannot be built.
        """
        with build_lock(self._workspace), told():
            if is_lost or not self.path.exists():
                self.build(None)

    def in_memory(self, on_progress: Progress | None) -> Index:
        """Return an index private to this process, when the disk takes no writes.

        It starts as a copy of the one on the disk. If that one cannot be read, it is built from the files.
        """
        _log.info("the index cannot be written; what changes in it stays in memory until it can")
        for _ in range(_BEGINNINGS):  # a copy fails when another process writes at the same time
            with contextlib.suppress(*_INDEX_ERRORS), _closed_unless_good() as opened:
                index = opened(Index(InMemory(self.path)))
                index.totals()
                self._catch_up(index, on_progress)
                return index
        try:
            with _closed_unless_good() as opened:
                index = opened(Index(InMemory(self.path, is_empty=True), is_building=True))
                self._catch_up(index, on_progress)
                index.finish()
                return index
        except _INDEX_ERRORS as error:
            raise StorageError("The index cannot be built, neither on the disk nor in memory.") from error

    def written_again(self) -> Index:
        """Return the index on the disk, after a test write."""
        with build_lock(self._workspace), told():
            try:
                index = self._existing()
            except IndexLostError:
                self.build(None)
                index = Index(OnDisk(self.path))
        with _closed_unless_good() as opened:
            opened(index).touch()
            return index

    def _existing(self) -> Index:
        """Open the index on the disk.

        Raises:
            IndexLostError: when it does not answer, or is too wasteful to keep.
        """
        with _closed_unless_good() as opened:
            index = opened(Index(OnDisk(self.path)))
            index.totals()
            index.stamp("")
            if not self.follows and index.is_wasteful():
                raise IndexLostError
            return index

    def build(self, on_progress: Progress | None) -> None:
        """Build an index under another name, then rename it. No reader ever sees half of one.

        Raises:
            StorageError: when it cannot be built, or another process keeps it.
        """
        if self.follows:
            raise StorageError("The index is not there; the process that keeps it builds it.")
        building = self.path.with_name(f"{self.path.name}.new")
        for old in self._workspace.iterdir():
            is_another = not old.name.startswith(self.path.name) or old.name.startswith(building.name)
            if is_another and AN_INDEX.fullmatch(old.name) and old.is_file():
                old.unlink(missing_ok=True)
        try:
            OnDisk.make(building)
            index = Index(OnDisk(building), is_building=True)
            try:
                self._catch_up(index, on_progress)
                index.finish()
            finally:
                index.close()
            _remove(self.path)
            building.rename(self.path)
        except (OSError, apsw.Error, *NOT_NOW) as error:
            with contextlib.suppress(OSError):  # a half-built index takes space
                _remove(building)
            if isinstance(error, IndexRefusedError):
                raise _refusal(error, self._workspace) from error
            if isinstance(error, OSError):
                raise storage_error(error, "index") from error
            raise StorageError("The index cannot be built: its place is taken or not writable.") from error


@contextlib.contextmanager
def behind_as_busy() -> Iterator[None]:
    """Raise BusyError in place of IndexBehindError."""
    try:
        yield
    except IndexBehindError:
        raise BusyError("index") from None


@contextlib.contextmanager
def _closed_unless_good() -> Iterator[Callable[[Index], Index]]:
    """Yield a function to register an index; the index is closed if the block raises."""
    with contextlib.ExitStack() as stack:

        def opened(index: Index) -> Index:
            stack.callback(index.close)
            return index

        yield opened
        stack.pop_all()


def _refusal(error: IndexRefusedError, workspace: Path) -> StorageError:
    """Return the error for an index the disk does not take, as a sentence for people."""
    if error.is_full or (not error.is_closed and not has_room(workspace, _SHARED_BYTES)):
        return StorageFullError()
    return StorageReadOnlyError() if error.is_closed else StorageError("The storage failed to write the index.")


def _remove(database: Path) -> None:
    """Remove a database and the files of SQLite beside it."""
    for suffix in ("-wal", "-shm", "-journal", ""):
        database.with_name(database.name + suffix).unlink(missing_ok=True)


def build_lock(workspace: Path) -> contextlib.AbstractContextManager[None]:
    """Let one process at a time open or build the index of a workspace; a build takes as long as it takes."""
    return file_locked(workspace / "lock")
