"""The life of the index: opened or built at the start, updated while files change, replaced when lost."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from chatkeep.disk.files import Stamp, has_room
from chatkeep.errors import BusyError, StorageError
from chatkeep.store.admin import Progress
from chatkeep.store.files.index.databases import IndexBehindError, IndexLostError, IndexRefusedError
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.index.rows import Database, Row
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.outside import Watch
from chatkeep.store.files.tree.tree import NotRegularError, Tree
from chatkeep.store.files.upkeep.comparing import bring_up_to_date
from chatkeep.store.files.upkeep.debts import Debts
from chatkeep.store.files.upkeep.intake import Intake
from chatkeep.store.files.upkeep.place import NOT_NOW, IndexPlace, behind_as_busy, build_lock

_T = TypeVar("_T")

_PATIENCE_S: Final = 20.0  # time-out for a busy or lost index; a start after many kills at once takes long
_REPLACEMENTS: Final = 3  # attempts to open an index just built, before the error is reported
_RETURN_S: Final = 1.0  # first pause between attempts to write to the disk again
_RETURN_MAX_S: Final = 30.0  # bound of that pause, which doubles at each attempt
_ROOM_BYTES: Final = 1 << 20  # free space; with less, the index would soon be back in memory
_log = logging.getLogger("chatkeep.store")


class _Pause:
    """A pause between attempts to write to the disk again; it doubles at each, up to a bound."""

    def __init__(self) -> None:
        self._length_s, self._ends_at_s = _RETURN_S, 0.0

    @property
    def is_over(self) -> bool:
        """Whether an attempt is due."""
        return time.monotonic() >= self._ends_at_s

    def start(self) -> None:
        """Begin to wait."""
        self._ends_at_s = time.monotonic() + self._length_s

    def lengthen(self) -> None:
        """Begin to wait twice as long."""
        self._length_s = min(2 * self._length_s, _RETURN_MAX_S)
        self.start()


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
        self._place = IndexPlace(tree.workspace, self._catch_up, follows=follow)
        self._replacing = threading.Lock()
        self._stop = threading.Event()
        self._debts = Debts()
        self._pause = _Pause()
        self.index, self.is_new = self._opened(on_progress)
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
                with behind_as_busy():
                    self._reopen(index, is_lost=not self._is_refused(error))
        raise StorageError("The index is lost as often as it is built.")

    def _is_refused(self, error: Exception) -> bool:
        """Tell whether the disk takes no writes. SQLite also refuses writes to a damaged file on a writable disk."""
        if not isinstance(error, IndexRefusedError):
            return False
        path = self._place.path
        return not (error.is_closed and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))

    def answer(self, question: Callable[[Index], _T], name: str | None = None) -> _T:
        """Return the answer of an index with every change so far (with `name`, every change to that file).

        It first pays the debts left by `telling`, and moves on to a new index of another process. Do not call
        it while this thread has a file locked.

        Raises:
            BusyError: when another process still keeps the index; and as `ask` says.
        """
        if not self._replacing.locked():  # otherwise another thread is replacing it
            self._go_over()
        self._debts.pay(self.refresh, name)
        return self.ask(question)

    @property
    def follows(self) -> bool:
        """Whether another process keeps the index."""
        return self._place.follows

    @property
    def owes(self) -> bool:
        """Whether the index on the disk still lacks a change already answered."""
        return bool(self._debts) or not self.index.medium.is_shared

    def note(self, change: Callable[[Database], _T]) -> _T:
        """Apply a change to the index, and return its result."""
        self._go_over()  # a new index has to get the change too
        return self.ask(lambda index: index.write(change))

    def _go_over(self) -> None:
        """Move on to an index newly built by another process, or back from memory to the disk."""
        if (index := self.index).medium.is_replaced():
            with behind_as_busy():
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
                self._debts.owe(name)
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
                self._place.build(on_progress)
            self._take(self._place.present())

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
                    self._take(self._in_memory())
            else:
                self._take(self._in_memory())

    def _replace_lost(self, lost: Index) -> None:
        """Open the index in place, or build one.

        Raises:
            StorageError: when it cannot be built.
        """
        is_lost = lost.medium.is_in_place()
        for _ in range(_REPLACEMENTS):
            self._place.made_if_missing(is_lost=is_lost)
            with contextlib.suppress(IndexLostError):
                return self._take(self._place.present())
            is_lost = True  # the index in place is unusable too
        raise StorageError("The index is lost as often as it is built.")

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

    def _go_back(self) -> None:
        """Move back to the index on the disk if it takes writes again.

        The pause between attempts doubles, up to 30 seconds.
        """
        if self.index.medium.is_shared or not self._pause.is_over:
            return
        if self._replacing.acquire(blocking=False):
            try:
                self._pause.lengthen()
                with contextlib.suppress(*NOT_NOW):
                    if has_room(self._tree.workspace, _ROOM_BYTES):
                        self._take(self._place.written_again())
                        _log.info("the index can be written again")
            finally:
                self._replacing.release()

    def _opened(self, on_progress: Progress | None) -> tuple[Index, bool]:
        """Return the index, and whether it was built now."""
        try:
            return self._place.opened(on_progress)
        except (StorageError, IndexRefusedError, IndexLostError):
            if self.follows:
                raise
            return self._in_memory(on_progress), False

    def _in_memory(self, on_progress: Progress | None = None) -> Index:
        self._pause.start()
        return self._place.in_memory(on_progress)

    def _catch_up(self, index: Index, on_progress: Progress | None = None) -> None:
        """Bring an index up to date, unless another process does."""
        if not self.follows:
            bring_up_to_date(index, self._tree, self._intake, on_progress)

    def warm_up(self) -> None:
        """Load the tables of searches into memory."""
        with contextlib.suppress(*NOT_NOW):  # the next question reports it
            self.index.warm_up()
