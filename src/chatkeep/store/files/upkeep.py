"""The life of the index: opened or built at the start, kept true while files change, replaced when lost."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import apsw
import watchfiles

from chatkeep.errors import BusyError, StorageError, StorageFullError
from chatkeep.store.files import format as session_file
from chatkeep.store.files.disk import Stamp, is_folder, told
from chatkeep.store.files.index import Index, IndexBehindError, IndexLostError
from chatkeep.store.files.intake import Intake, Progress
from chatkeep.store.files.pieces import Piece, readings
from chatkeep.store.files.rows import Database, Row
from chatkeep.store.files.tree import LockedFile, NotRegularError, Tree

T = TypeVar("T")

_PATIENCE_S: Final = 20.0
_REPLACEMENTS: Final = 3
_ROUND_MS: Final = 100
_DEBOUNCE_MS: Final = 100
_STEP_MS: Final = 25
_HEAD_BYTES: Final = 1024
AN_INDEX: Final = re.compile(r"index-[0-9a-f]{10}\.sqlite3(\.new)?(-wal|-shm)?")
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
        self._restless: dict[str, Stamp | None] = {}
        self._owed: dict[str, object] = {}
        self._owing = threading.Lock()
        self._is_watching = threading.Event()
        self.follows = follow
        self.is_new = False  # whether the index was built when it was opened
        self.index = self._opened(on_progress)
        self._watcher = threading.Thread(target=self._watch, name="chatkeep-watch", daemon=True) if watch else None
        if self._watcher is not None:
            self._watcher.start()
            self._is_watching.wait(_PATIENCE_S)  # what happens from now on is seen; the look below sees the rest
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
        if self._watcher is not None:
            self._watcher.join()
        with self._replacing:
            self.index.close()

    def ask(self, question: Callable[[Index], T]) -> T:
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
                except IndexLostError as error:
                    if self.follows and not index.is_replaced():
                        raise StorageError("The index is lost.") from error  # who keeps it will build it
                    self._reopen(index)
        raise StorageError("The index is lost as often as it is built.")

    def answer(self, question: Callable[[Index], T], name: str | None = None) -> T:
        """Return what the index answers (of one name), told first of what it could not be told in its time.

        Where another process has put a new index in place, that one answers. Not for who holds a file's lock. What a
        full disk keeps from it is answered when there is space.

        Raises:
            BusyError: when it still cannot be told, for somebody keeps it; and as `ask` says.
        """
        if not self._replacing.locked():  # else this process is about to
            self._go_over()
        for owed, debt in list(self._owed.items()):
            if name in {None, owed}:
                with contextlib.suppress(StorageFullError):
                    self.refresh(owed)
                    with self._owing:
                        if self._owed.get(owed) is debt:
                            del self._owed[owed]
        return self.ask(question)

    @property
    def owes(self) -> bool:
        """Whether there is something that the index could not be told in its time."""
        return bool(self._owed)

    def note(self, change: Callable[[Database], T]) -> T:
        """Tell the index of a change, and return what that returns."""
        self._go_over()  # to a new one, which is to be told
        return self.ask(lambda index: index.write(change))

    def _go_over(self) -> None:
        """Go over to the index that another process has built, if there is one."""
        if (index := self.index).is_replaced():
            with _behind_as_such():
                self._reopen(index)

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
            self._restless[name] = None

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

    def rebuild(self, on_progress: Progress | None = None) -> None:
        """Build the index anew from the files and put it in the place of the present one."""
        with self._replacing:
            with build_lock(self._tree.workspace):
                self._build(on_progress)
            self._replace()

    def _reopen(self, lost: Index) -> None:
        """Put an index in the place of one that is lost, unless another thread did so already."""
        with self._replacing:
            if self._stop.is_set():
                raise StorageError("The store is closed.")
            if self.index is not lost:
                return
            is_lost = lost.is_in_place()
            for _ in range(_REPLACEMENTS):
                with build_lock(self._tree.workspace), told():
                    if is_lost or not self._path.exists():
                        self._build(None)
                with contextlib.suppress(IndexLostError):
                    self._replace()
                    return
                is_lost = True  # what somebody put in place is worth nothing either

    def _replace(self) -> None:
        """Take the index that is in place.

        Nobody is answered from it before it has all that the old one was told: that one is closed
        first, and whoever asks it then comes back here and waits.
        """
        new = Index(self._path)
        try:
            self._catch_up(new)
            self.index.close()
            self._catch_up(new)
        except BaseException:
            new.close()
            raise
        self.index = new

    def _opened(self, on_progress: Progress | None) -> Index:
        with build_lock(self._tree.workspace), told():
            with contextlib.suppress(IndexLostError):
                return self._existing()
            self._build(on_progress)
            self.is_new = True
            return Index(self._path)

    def _existing(self) -> Index:
        """Open the index that is there, with a look at whether it answers at all and is worth keeping."""
        index = Index(self._path)
        try:
            index.totals()
            index.stamp("")
            is_wasteful = not self.follows and index.is_wasteful()
        except IndexLostError:
            index.close()
            raise
        if is_wasteful:
            index.close()
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
            Index.make(building)
            index = Index(building, is_building=True)
            try:
                self._catch_up(index, on_progress)
                index.finish()
            finally:
                index.close()
            for suffix in ("-wal", "-shm", ""):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            building.rename(self._path)
        except (OSError, apsw.Error, IndexBehindError, IndexLostError) as error:
            raise StorageError("The index cannot be built: its place is taken, full or not writable.") from error

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
        with contextlib.suppress(IndexLostError, IndexBehindError):  # whoever asks next learns of it
            self.index.warm_up()

    # Changes from outside

    def _watch(self) -> None:
        """Take in what happens in the folder, whatever goes wrong with single rounds, until the store is closed."""
        failed = ""
        while not self._stop.is_set():
            try:
                self._watch_folder()
                failed = ""
            except Exception as error:  # noqa: BLE001 - the watch goes on
                if failed != type(error).__name__:
                    failed = type(error).__name__
                    _log.warning("watching the session files failed (%s); trying again", failed)
                self._is_watching.set()
                self._stop.wait(_ROUND_MS / 1000)

    def _watch_folder(self) -> None:
        """Take in what happens in the folder that is there now.

        A look at all of it catches what happened before the watch began; whoever opens the store has the first.
        """
        self._tree.find_place()
        if not is_folder(self._tree.sessions_path):
            self._is_watching.set()
            self.ask(self._catch_up)
            self._stop.wait(_ROUND_MS / 1000)
            return
        moves, is_looked_at = self._tree.moves, not self._is_watching.is_set()
        for happened in watchfiles.watch(
            self._tree.sessions_path,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            rust_timeout=_ROUND_MS,
            yield_on_timeout=True,
            recursive=False,
            stop_event=self._stop,
            watch_filter=None,
        ):
            self._is_watching.set()
            if not is_looked_at:
                self.ask(self._catch_up)
                is_looked_at = True
            self._round(Path(path).name for _, path in happened)
            self._tree.find_place()
            if self._tree.moves != moves:
                return

    def _round(self, names: Iterable[str]) -> None:
        """Take in the names that something happened to, once they keep still, and those of earlier rounds."""
        index = self.index
        if not index.is_in_place():
            self._reopen(index)
        for name in {*names, *list(self._restless)}:
            if not name.startswith("."):
                with contextlib.suppress(BusyError, StorageError, UnicodeError):
                    self._look_at(name)

    def _look_at(self, name: str) -> None:
        try:
            now = self._tree.stamp(name)
        except NotRegularError:
            now = Stamp(0, 0, 0, 0)
        if now == self.ask(lambda index: index.stamp(name)):
            self._restless.pop(name, None)
        elif name in self._restless and self._restless[name] == now:
            self.refresh(name)
            if now == self.ask(lambda index: index.stamp(name)):
                self._restless.pop(name, None)
        else:
            self._restless[name] = now


def _beginnings(tree: Tree, names: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Yield when sessions began, in seconds since 1970, of those whose files tell."""
    for reading in readings(tree, (Piece(name, 0, _HEAD_BYTES) for name in names)):
        with contextlib.suppress(FileNotFoundError, NotRegularError, StorageError):
            head, _ = reading.read()
            if (began := session_file.begun_at(head)) is not None:
                yield reading.piece.name, began


@contextlib.contextmanager
def _behind_as_such() -> Iterator[None]:
    """Tell of an index that cannot be written in the words of the contract."""
    try:
        yield
    except IndexBehindError as error:
        raise (StorageFullError() if error.is_full else BusyError("index")) from None


@contextlib.contextmanager
def build_lock(workspace: Path) -> Iterator[None]:
    """Let one process at a time open or build the index of a workspace."""
    try:
        fd = os.open(workspace / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StorageError(f"The workspace cannot be locked: {os.strerror(error.errno or 0)}.") from error
    try:
        with told():
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
