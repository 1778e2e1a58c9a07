"""The life of the index: opened or built at the start, updated while files change, replaced when lost."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import apsw

from chatkeep.disk.files import Stamp, has_room, told
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
from chatkeep.store.files.index.rows import Database, Row
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.outside import Watch
from chatkeep.store.files.tree.pieces import FilePiece, readings
from chatkeep.store.files.tree.tree import NotRegularError, Tree
from chatkeep.store.files.upkeep.intake import Intake

_T = TypeVar("_T")

_PATIENCE_S: Final = 20.0  # time-out for a busy or lost index; a start after many kills at once takes long
_REPLACEMENTS: Final = 3  # attempts to open an index just built, before the error is reported
_BEGINNINGS: Final = 3  # attempts to copy the index into memory; a writer may interfere with each
_RETURN_S: Final = 1.0  # first pause between attempts to write to the disk again
_RETURN_MAX_S: Final = 30.0  # bound of that pause, which doubles at each attempt
_SHARED_BYTES: Final = 1 << 15  # SQLite takes them at once beside a database; without them it says only that it failed
_ROOM_BYTES: Final = 1 << 20  # free space; with less, the index would soon be back in memory
_HEAD_BYTES: Final = 1024  # of a file, enough for the creation time in most headers
AN_INDEX: Final = re.compile(r"index-[0-9a-f]{10}\.sqlite3(\.new)?(-wal|-shm)?")
_INDEX_ERRORS: Final = (IndexLostError, IndexBehindError, IndexRefusedError)
_NOT_NOW: Final = (*_INDEX_ERRORS, BusyError, StorageError)
_log = logging.getLogger("chatkeep.store")


class Upkeep:
    """The index of a tree, and the work to keep it true."""

    def __init__(
        self,
        tree: Tree,
        *,
        watch: bool = False,
        follow: bool = False,
        on_progress: Progress | None = None,
        on_problem: Callable[[str, str], None] | None = None,
    ) -> None:
        """Open or build the index, bring it up to date, and start a watch on the folder if asked to.

        With `follow`, another process does all this, and this one only moves on to each new index.
        """
        self._tree = tree
        self._intake = Intake(tree, on_problem or (lambda _name, _reason: None))
        self._path = Index.path_in(tree.workspace)
        self._replacing = threading.Lock()
        self._stop = threading.Event()
        self._owed: dict[str, object] = {}
        self._owing = threading.Lock()
        self._pause_s, self._return_at_s = _RETURN_S, 0.0
        self.follows = follow
        self.is_new = False  # whether the index was built when it was opened
        self.index = self._opened(on_progress)
        self._watch = Watch(tree, self) if watch else None
        if self._watch is not None:
            self._watch.start(_PATIENCE_S)  # sees new events; the pass below sees older changes
        self._catch_up_patiently(on_progress)
        for name, reason in self.ask(lambda index: index.problems()).items():
            self._intake.report(name, reason)

    def _catch_up_patiently(self, on_progress: Progress | None) -> None:
        """Bring the index up to date; wait while other processes do the same, as after a kill of many at once."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self.ask(lambda index: self._catch_up(index, on_progress))
            except BusyError:
                if time.monotonic() > deadline:
                    raise

    def close(self) -> None:
        """Stop watching and close the index."""
        self._stop.set()
        if self._watch is not None:
            self._watch.stop()
        with self._replacing:
            self.index.close()

    def ask(self, question: Callable[[Index], _T]) -> _T:
        """Return the answer of the index to a question. A lost index is built again, and asked again.

        Raises:
            BusyError: when the index cannot be written now.
            StorageFullError: when the disk has no space for it.
            StorageError: when the index is lost again and again, or closed.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            index = self.index
            try:
                return question(index)
            except IndexBehindError:
                raise BusyError("index") from None
            except (IndexLostError, IndexRefusedError) as error:
                if self.follows and not index.medium.is_replaced():
                    raise StorageError("The index is lost.") from error  # the process in charge builds it
                with _behind_as_such():
                    self._reopen(index, is_lost=not self._is_refused(error))
        raise StorageError("The index is lost as often as it is built.")

    def _is_refused(self, error: Exception) -> bool:
        """Tell whether the disk takes no writes. SQLite also refuses writes to a damaged file on a writable disk."""
        if not isinstance(error, IndexRefusedError):
            return False
        return not (error.is_closed and os.access(self._path, os.W_OK) and os.access(self._path.parent, os.W_OK))

    def answer(self, question: Callable[[Index], _T], name: str | None = None) -> _T:
        """Return the answer of an index with every change so far (with `name`, every change to that file).

        It first pays the debts left by `telling`, and moves on to a new index of another process. Do not call
        it while this thread has a file locked.

        Raises:
            BusyError: when another process still keeps the index; and as `ask` says.
        """
        if not self._replacing.locked():  # otherwise another thread is replacing it
            self._go_over()
        for owed, debt in list(self._owed.items()):
            if name in {None, owed}:
                self.refresh(owed)
                with self._owing:
                    if self._owed.get(owed) is debt:
                        del self._owed[owed]
        return self.ask(question)

    @property
    def owes(self) -> bool:
        """Whether the index on the disk still lacks a change already answered."""
        return bool(self._owed) or not self.index.medium.is_shared

    def note(self, change: Callable[[Database], _T]) -> _T:
        """Apply a change to the index, and return its result."""
        self._go_over()  # a new index has to get the change too
        return self.ask(lambda index: index.write(change))

    def _go_over(self) -> None:
        """Move on to an index newly built by another process, or back from memory to the disk."""
        if (index := self.index).medium.is_replaced():
            with _behind_as_such():
                self._reopen(index)
        elif self._watch is None:
            self._go_back()

    @contextlib.contextmanager
    def telling(self, *names: str) -> Iterator[None]:
        """Tolerate a failure to update the index after a change to files, and note it as a debt.

        The file is the truth, and durable. So the caller answers the change although the index is full
        or busy. The index catches up later, before its next answer.
        """
        try:
            yield
        except (BusyError, StorageError):
            for name in names:
                with self._owing:
                    self._owed[name] = object()
                if self._watch is not None:
                    self._watch.look_again(name)

    def heal(self, file: LockedFile) -> Row | None:
        """Repair a locked file if necessary, index it, and return its row, as `Intake.heal` says."""
        return self.ask(lambda index: self._intake.heal(index, file))

    def renew(self, file: LockedFile) -> None:
        """Copy a locked file to a new inode after a failed flush: its cached pages may never reach the disk."""
        scan = session_file.scan(data := file.read())
        if scan.header is None or scan.state == "damaged" or not scan.body:
            return
        if scan.state == "torn":
            self._tree.quarantine(file.name, data[scan.tail :].rstrip(b"\n"))
        lines = [data[scan.body : scan.tail]]
        self._tree.replace(file, session_file.whole_file(data[: scan.body], lines, len(scan.messages)))

    def refresh(self, name: str) -> None:
        """Bring the index up to date with one file.

        Raises:
            StorageError: when another process keeps the index, and has not told it of the file yet.
        """
        if self.follows:
            with contextlib.suppress(NotRegularError):
                if self.stamp(name) == self._tree.stamp(name):  # such as a session that is not there
                    return
            raise StorageError("A file is not as the index says; the process that keeps it will tell it.")
        self.ask(lambda index: self._intake.take_in(index, [(name, index.stamp(name))]))

    def stamp(self, name: str) -> Stamp | None:
        """Return the state of a file as the index has it."""
        return self.ask(lambda index: index.stamp(name))

    def catch_up(self) -> None:
        """Bring the index up to date with all files."""
        self.ask(self._catch_up)

    def look_after(self) -> None:
        """Replace an index removed by somebody, and move back from memory to the disk when possible."""
        index = self.index
        if not index.medium.is_in_place():
            self._reopen(index)
        self._go_back()

    def rebuild(self, on_progress: Progress | None = None) -> None:
        """Build the index anew from the files, and replace the present one."""
        with self._replacing:
            with build_lock(self._tree.workspace):
                self._build(on_progress)
            self._replace()

    def _reopen(self, lost: Index, *, is_lost: bool = True) -> None:
        """Replace a lost or unwritable index, unless another thread has done so already."""
        with self._replacing:
            if self._stop.is_set():
                raise StorageError("The store is closed.")
            if self.index is not lost:
                return
            if is_lost and lost.medium.is_shared:
                try:
                    self._replace_lost(lost)
                except StorageError:
                    self._take(self._in_memory(None))
            else:
                self._take(self._in_memory(None))

    def _replace_lost(self, lost: Index) -> None:
        """Open the index in place, or build one.

        Raises:
            StorageError: when it cannot be built.
        """
        is_lost = lost.medium.is_in_place()
        for _ in range(_REPLACEMENTS):
            with build_lock(self._tree.workspace), told():
                if is_lost or not self._path.exists():
                    self._build(None)
            with contextlib.suppress(IndexLostError):
                return self._replace()
            is_lost = True  # the index in place is unusable too
        raise StorageError("The index is lost as often as it is built.")

    def _replace(self) -> None:
        """Make the index on the disk the present one."""
        try:
            self._take(Index(OnDisk(self._path)))
        except IndexRefusedError as error:
            raise _refusal(error, self._tree.workspace) from error

    def _take(self, new: Index) -> None:
        """Make another index the present one.

        The old index is closed, then the new one catches up once more. Threads with a question to the old one come
        back and wait. So the new index answers nothing before it has all changes.
        """
        try:
            self._catch_up(new)
            self.index.close()
            self._catch_up(new)
        except BaseException:
            new.close()
            raise
        self.index = new

    def _opened(self, on_progress: Progress | None) -> Index:
        try:
            with build_lock(self._tree.workspace), told(), _behind_as_such():
                with contextlib.suppress(IndexLostError):
                    return self._existing()
                self._build(on_progress)
                self.is_new = True
                return Index(OnDisk(self._path))
        except (StorageError, IndexRefusedError, IndexLostError):  # lost: somebody took the place of the new one
            if self.follows:
                raise
            return self._in_memory(on_progress)

    def _in_memory(self, on_progress: Progress | None) -> Index:
        """Return an index private to this process, when the disk takes no writes.

        It starts as a copy of the one on the disk. If that one cannot be read, it is built from the files.
        """
        _log.info("the index cannot be written; what changes in it stays in memory until it can")
        self._return_at_s = time.monotonic() + self._pause_s
        for _ in range(_BEGINNINGS):  # a copy fails when another process writes at the same time
            with contextlib.suppress(*_INDEX_ERRORS), _closed_unless_good() as opened:
                index = opened(Index(InMemory(self._path)))
                index.totals()
                self._catch_up(index, on_progress)
                return index
        try:
            with _closed_unless_good() as opened:
                index = opened(Index(InMemory(self._path, is_empty=True), is_building=True))
                self._catch_up(index, on_progress)
                index.finish()
                return index
        except _INDEX_ERRORS as error:
            raise StorageError("The index cannot be built, neither on the disk nor in memory.") from error

    def _go_back(self) -> None:
        """Move back to the index on the disk if it takes writes again.

        The pause between attempts doubles, up to 30 seconds.
        """
        if self.index.medium.is_shared or time.monotonic() < self._return_at_s:
            return
        if self._replacing.acquire(blocking=False):
            try:
                self._pause_s = min(2 * self._pause_s, _RETURN_MAX_S)
                self._return_at_s = time.monotonic() + self._pause_s
                with contextlib.suppress(*_NOT_NOW):
                    if has_room(self._tree.workspace, _ROOM_BYTES):
                        self._take(self._written_again())
                        _log.info("the index can be written again")
            finally:
                self._replacing.release()

    def _written_again(self) -> Index:
        """Return the index on the disk, after a test write."""
        with build_lock(self._tree.workspace), told():
            try:
                index = self._existing()
            except IndexLostError:
                self._build(None)
                index = Index(OnDisk(self._path))
        with _closed_unless_good() as opened:
            opened(index).touch()
            return index

    def _existing(self) -> Index:
        """Open the index on the disk.

        Raises:
            IndexLostError: when it does not answer, or is too wasteful to keep.
        """
        with _closed_unless_good() as opened:
            index = opened(Index(OnDisk(self._path)))
            index.totals()
            index.stamp("")
            if not self.follows and index.is_wasteful():
                raise IndexLostError
            return index

    def _build(self, on_progress: Progress | None) -> None:
        """Build an index under another name, then rename it. No reader ever sees half of one."""
        if self.follows:
            raise StorageError("The index is not there; the process that keeps it builds it.")
        building = self._path.with_name(f"{self._path.name}.new")
        for old in self._tree.workspace.iterdir():
            is_another = not old.name.startswith(self._path.name) or old.name.startswith(building.name)
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
            _remove(self._path)
            building.rename(self._path)
        except (OSError, apsw.Error, *_NOT_NOW) as error:
            with contextlib.suppress(OSError):  # a half-built index takes space
                _remove(building)
            if isinstance(error, IndexRefusedError):
                raise _refusal(error, self._tree.workspace) from error
            if isinstance(error, OSError):
                raise storage_error(error, "index") from error
            raise StorageError("The index cannot be built: its place is taken or not writable.") from error

    def _catch_up(self, index: Index, on_progress: Progress | None = None) -> None:
        """Bring an index up to date. Cost: one look at each name, and one reading of each changed file.

        Sessions are taken in by the time they began. A search then finds the newest soon, as its rows follow time.
        """
        if self.follows:
            return
        known = index.stamps()
        changed: dict[str, Stamp | None] = {}
        times: dict[str, float] = {}
        for name, stamp in self._tree.stamps():
            seen = known.pop(name, None)
            if stamp is None or stamp != seen:
                changed[name], times[name] = seen, stamp.modified_ns / 1e9 if stamp else 0.0
        times.update(_beginnings(self._tree, changed))
        ordered = sorted(changed.items(), key=lambda change: (times[change[0]], change[0]))
        self._intake.take_in(index, [*ordered, *known.items()], on_progress)

    def warm_up(self) -> None:
        """Load the tables of searches into memory."""
        with contextlib.suppress(*_NOT_NOW):  # the next question reports it
            self.index.warm_up()


def _beginnings(tree: Tree, names: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Yield names with the start of their session, in seconds since 1970, where the file has one."""
    for reading in readings(tree, (FilePiece(name, 0, _HEAD_BYTES) for name in names)):
        with contextlib.suppress(FileNotFoundError, NotRegularError, StorageError):
            head, _ = reading.read()
            if (began := session_file.begun_at(head)) is not None:
                yield reading.piece.name, began


@contextlib.contextmanager
def _behind_as_such() -> Iterator[None]:
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
