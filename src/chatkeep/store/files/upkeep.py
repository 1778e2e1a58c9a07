"""The life of the index: opened or built at the start, kept true while files change, replaced when lost."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

import apsw

from chatkeep.core.model import Message
from chatkeep.disk.files import Stamp, has_room, told
from chatkeep.disk.own import opened_own
from chatkeep.errors import BusyError, StorageError, StorageFullError, StorageReadOnlyError, storage_error
from chatkeep.store.files.index.databases import (
    IndexBehindError,
    IndexLostError,
    IndexRefusedError,
    InMemory,
    OnDisk,
)
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.index.rows import Database, Row
from chatkeep.store.files.index.vocabulary import Indexed, indexed_of, put_words, with_stems
from chatkeep.store.files.intake import Intake, Progress
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.outside import Watch
from chatkeep.store.files.tree.pieces import FilePiece, readings
from chatkeep.store.files.tree.tree import NotRegularError, Tree

_T = TypeVar("_T")

_PATIENCE_S: Final = 20.0
_REPLACEMENTS: Final = 3
_BEGINNINGS: Final = 3
_RETURN_S: Final = 1.0
_RETURN_MAX_S: Final = 30.0
_SHARED_BYTES: Final = 1 << 15  # what SQLite takes at once beside a database; without them it says only that it failed
_ROOM_BYTES: Final = 1 << 20  # free space below which going back to the disk would not last
_HEAD_BYTES: Final = 1024
AN_INDEX: Final = re.compile(r"index-[0-9a-f]{10}\.sqlite3(\.new)?(-wal|-shm)?")
_INDEX_ERRORS: Final = (IndexLostError, IndexBehindError, IndexRefusedError)
_NOT_NOW: Final = (*_INDEX_ERRORS, BusyError, StorageError)
_log = logging.getLogger("chatkeep.store")


class Upkeep:
    """The index of a tree, and everything that keeps it true."""

    def __init__(
        self,
        tree: Tree,
        *,
        watch: bool = False,
        follow: bool = False,
        on_progress: Progress | None = None,
        on_problem: Callable[[str, str], None] | None = None,
    ) -> None:
        """Open the index, building it if there is none, bring it up to date, and watch the folder if asked to.

        To `follow` is to leave all that to another process, and to go over to a new index when that has built one.
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
            self._watch.start(_PATIENCE_S)  # what happens from now on is seen; the look below sees the rest
        self._catch_up_patiently(on_progress)
        for name, reason in self.ask(lambda index: index.problems()).items():
            self._intake.report(name, reason)

    def _catch_up_patiently(self, on_progress: Progress | None) -> None:
        """Bring the index up to date; others may be at it for long, above all where many were killed at once."""
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
        """Return what the index answers; a lost index is built again, and asked once more.

        Raises:
            BusyError: when the index cannot be written now.
            StorageFullError: when there is no space for it.
            StorageError: when it is lost again and again, or closed.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            index = self.index
            with _behind_as_such():
                try:
                    return question(index)
                except (IndexLostError, IndexRefusedError) as error:
                    if self.follows and not index.medium.is_replaced():
                        raise StorageError("The index is lost.") from error  # who keeps it will build it
                    self._reopen(index, is_lost=not self._is_refused(error))
        raise StorageError("The index is lost as often as it is built.")

    def _is_refused(self, error: Exception) -> bool:
        """Tell whether the disk takes no writes. SQLite also refuses them where it may write: the file is damaged."""
        if not isinstance(error, IndexRefusedError):
            return False
        return not (error.is_closed and os.access(self._path, os.W_OK) and os.access(self._path.parent, os.W_OK))

    def answer(self, question: Callable[[Index], _T], name: str | None = None) -> _T:
        """Return what the index answers (of one name), told first of what it could not be told in its time.

        Where another process has put a new index in place, that one answers. Not for who holds a file's lock.

        Raises:
            BusyError: when it still cannot be told, for somebody keeps it; and as `ask` says.
        """
        if not self._replacing.locked():  # else this process is about to
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
        """Whether there is something that the index on the disk could not be told in its time."""
        return bool(self._owed) or not self.index.medium.is_shared

    def note(self, change: Callable[[Database], _T]) -> _T:
        """Tell the index of a change, and return what that returns."""
        self._go_over()  # to a new one, which is to be told
        return self.ask(lambda index: index.write(change))

    def prepared(self, messages: Sequence[Message]) -> list[Indexed]:
        """Return what the index is given of messages, with the words put that it does not count.

        Others write in between: a message of a million words keeps nobody waiting. Nothing is prepared when that is not
        possible now.
        """
        indexed = [indexed_of(message.text, message.reasoning) for message in messages]
        try:
            for words in chain.from_iterable(with_stems(one.more) for one in indexed):
                self.note(partial(put_words, words=words))
        except (BusyError, StorageError):
            return []
        return indexed

    def _go_over(self) -> None:
        """Go over to the index that another process has built, or back to the one on the disk, if there is one."""
        if (index := self.index).medium.is_replaced():
            with _behind_as_such():
                self._reopen(index)
        elif self._watch is None:
            self._go_back()

    @contextlib.contextmanager
    def telling(self, name: str) -> Iterator[None]:
        """Let the index be told of a change that a file has already, or not, if it cannot be told now.

        The file is the truth, and durable: an index that is full or kept by somebody is brought up
        to date later, before the next answer, and the change is answered all the same.
        """
        try:
            yield
        except (BusyError, StorageError):
            with self._owing:
                self._owed[name] = object()
            if self._watch is not None:
                self._watch.look_again(name)

    def heal(self, file: LockedFile) -> Row | None:
        """Put a locked file right if it has to be, index it, and return its row, as `Intake.heal` says."""
        return self.ask(lambda index: self._intake.heal(index, file))

    def renew(self, file: LockedFile) -> None:
        """Copy a locked file whose flush failed to a new one: what is in memory may never reach the disk."""
        scan = session_file.scan(data := file.read())
        if scan.header is None or scan.state == "damaged" or not scan.body:
            return
        if scan.state == "torn":
            self._tree.quarantine(file.name, data[scan.tail :].rstrip(b"\n"))
        lines = [data[scan.body : scan.tail]]
        self._tree.replace(file, session_file.whole_file(data[: scan.body], lines, len(scan.messages)))

    def refresh(self, name: str) -> None:
        """Bring the index up to date with one file."""
        if self.follows:
            raise StorageError("A file is not as the index says; the process that keeps it will tell it.")
        self.ask(lambda index: self._intake.take_in(index, [(name, index.stamp(name))]))

    def stamp(self, name: str) -> Stamp | None:
        """Return the state of a file that the index describes."""
        return self.ask(lambda index: index.stamp(name))

    def catch_up(self) -> None:
        """Bring the index up to date with all files."""
        self.ask(self._catch_up)

    def look_after(self) -> None:
        """Put an index in the place of one that somebody removed, and one on the disk in that of one in memory."""
        index = self.index
        if not index.medium.is_in_place():
            self._reopen(index)
        self._go_back()

    def rebuild(self, on_progress: Progress | None = None) -> None:
        """Build the index anew from the files and put it in the place of the present one."""
        with self._replacing:
            with build_lock(self._tree.workspace):
                self._build(on_progress)
            self._replace()

    def _reopen(self, lost: Index, *, is_lost: bool = True) -> None:
        """Put an index in the place of one that is lost, or cannot be written, unless another thread did so already."""
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
        """Take the index that is in place, or build it.

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
            is_lost = True  # what somebody put in place is worth nothing either
        raise StorageError("The index is lost as often as it is built.")

    def _replace(self) -> None:
        """Take the index that is in place."""
        try:
            self._take(Index(OnDisk(self._path)))
        except IndexRefusedError as error:
            raise _refusal(error, self._tree.workspace) from error

    def _take(self, new: Index) -> None:
        """Put another index in the place of the present one.

        Nobody is answered from it before it has all that the old one was told: that one is closed
        first, and whoever asks it then comes back here and waits.
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
        except (StorageError, IndexRefusedError):
            if self.follows:
                raise
            return self._in_memory(on_progress)

    def _in_memory(self, on_progress: Progress | None) -> Index:
        """Return an index that only this process has, for the one on the disk cannot be written.

        It begins as that one is. Where that cannot be read, it is built from the files.
        """
        _log.info("the index cannot be written; what changes in it stays in memory until it can")
        self._return_at_s = time.monotonic() + self._pause_s
        for _ in range(_BEGINNINGS):  # others may write it in that moment
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
        """Go back to the index on the disk, if that can be written again; tried more and more rarely."""
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
        """Return the index on the disk, after something was written to it."""
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
        """Open the index that is there, with a look at whether it answers at all and is worth keeping."""
        with _closed_unless_good() as opened:
            index = opened(Index(OnDisk(self._path)))
            index.totals()
            index.stamp("")
            if not self.follows and index.is_wasteful():
                raise IndexLostError
            return index

    def _build(self, on_progress: Progress | None) -> None:
        """Build an index under another name, then give it its own. Nobody ever sees half of one."""
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
            with contextlib.suppress(OSError):  # what is half-done takes room
                _remove(building)
            if isinstance(error, IndexRefusedError):
                raise _refusal(error, self._tree.workspace) from error
            if isinstance(error, OSError):
                raise storage_error(error, "index") from error
            raise StorageError("The index cannot be built: its place is taken or not writable.") from error

    def _catch_up(self, index: Index, on_progress: Progress | None = None) -> None:
        """Bring an index up to date. Cost: one look at each name, and a reading of what changed.

        Sessions enter it as they began: where its rows follow the times of messages, a search finds the newest soon.
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
        """Have in memory what searches look up."""
        with contextlib.suppress(*_NOT_NOW):  # whoever asks next learns of it
            self.index.warm_up()


def _beginnings(tree: Tree, names: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Yield when sessions began, in seconds since 1970, of those whose files tell."""
    for reading in readings(tree, (FilePiece(name, 0, _HEAD_BYTES) for name in names)):
        with contextlib.suppress(FileNotFoundError, NotRegularError, StorageError):
            head, _ = reading.read()
            if (began := session_file.begun_at(head)) is not None:
                yield reading.piece.name, began


@contextlib.contextmanager
def _behind_as_such() -> Iterator[None]:
    """Tell of an index that cannot be written in the words of the contract."""
    try:
        yield
    except IndexBehindError:
        raise BusyError("index") from None


@contextlib.contextmanager
def _closed_unless_good() -> Iterator[Callable[[Index], Index]]:
    """Yield a function that takes the index that is to be closed if anything goes wrong, and returns it."""
    with contextlib.ExitStack() as stack:

        def opened(index: Index) -> Index:
            stack.callback(index.close)
            return index

        yield opened
        stack.pop_all()


def _refusal(error: IndexRefusedError, workspace: Path) -> StorageError:
    """Return why an index is not written, as a sentence for people."""
    if error.is_full or (not error.is_closed and not has_room(workspace, _SHARED_BYTES)):
        return StorageFullError()
    return StorageReadOnlyError() if error.is_closed else StorageError("The storage failed to write the index.")


def _remove(database: Path) -> None:
    """Remove a database and what SQLite has put beside it."""
    for suffix in ("-wal", "-shm", "-journal", ""):
        database.with_name(database.name + suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def build_lock(workspace: Path) -> Iterator[None]:
    """Let one process at a time open or build the index of a workspace."""
    try:
        fd = opened_own(workspace / "lock", os.O_CREAT | os.O_RDWR)
    except OSError as error:
        raise storage_error(error, "lock") from error
    try:
        with told():
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
