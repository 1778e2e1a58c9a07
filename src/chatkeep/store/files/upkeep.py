"""The life of the index: opened or built at the start, kept true while files change, replaced when lost."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import watchfiles

from chatkeep.errors import ChatkeepError
from chatkeep.store.files import intake
from chatkeep.store.files.index import Index, IndexLostError
from chatkeep.store.files.intake import Progress
from chatkeep.store.files.tree import NotRegularError, Stamp, Tree

_ROUND_MS: Final = 250
_DEBOUNCE_MS: Final = 100
_STEP_MS: Final = 25


class Upkeep:
    """The index of a tree, and everything that keeps it true."""

    def __init__(self, tree: Tree, *, watch: bool = False, on_progress: Progress | None = None) -> None:
        """Open the index, building it if there is none, bring it up to date, and watch the folder if asked to."""
        self._tree = tree
        self._path = Index.path_in(tree.workspace)
        self._replacing = threading.Lock()
        self._stop = threading.Event()
        self._restless: dict[str, Stamp | None] = {}
        self.index = self._opened(on_progress)
        self._retrying_catch_up(on_progress)
        self._watcher = threading.Thread(target=self._watch, name="chatkeep-watch", daemon=True) if watch else None
        if self._watcher is not None:
            self._watcher.start()

    def close(self) -> None:
        """Stop watching and close the index."""
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join()
        self.index.close()

    def catch_up(self, on_progress: Progress | None = None) -> None:
        """Bring the index up to date with the folder. Cost: one look at each name, and a reading of what changed."""
        self._catch_up(self.index, on_progress)

    def refresh(self, name: str) -> None:
        """Bring the index up to date with one file."""
        index = self.index
        intake.take_in(self._tree, index, [(name, index.stamp(name))])

    def rebuild(self, on_progress: Progress | None = None) -> None:
        """Build the index anew from the files and put it in the place of the present one."""
        with self._replacing:
            with _build_lock(self._tree.workspace):
                self._build(on_progress)
            self._replace()
        self._retrying_catch_up(None)

    def reopen(self, lost: Index) -> None:
        """Put an index in the place of one that is lost, unless another thread did so already."""
        with self._replacing:
            if self.index is not lost:
                return
            with _build_lock(self._tree.workspace):
                if lost.is_in_place() or not self._path.exists():
                    self._build(None)
            self._replace()
        self._retrying_catch_up(None)

    def _replace(self) -> None:
        old, self.index = self.index, Index(self._path)
        old.close()

    def _opened(self, on_progress: Progress | None) -> Index:
        with _build_lock(self._tree.workspace):
            with contextlib.suppress(IndexLostError):
                return self._existing()
            self._build(on_progress)
            return Index(self._path)

    def _existing(self) -> Index:
        """Open the index that is there, with a look at whether it answers at all."""
        if not self._path.exists():
            raise IndexLostError
        index = Index(self._path)
        try:
            index.totals()
            index.stamp("")
        except IndexLostError:
            index.close()
            raise
        return index

    def _build(self, on_progress: Progress | None) -> None:
        """Build an index under another name, then give it its own. Nobody ever sees half of one."""
        building = self._path.with_name(f"{self._path.name}.new")
        for old in self._tree.workspace.glob("index-*"):
            if not old.name.startswith(self._path.name) or old.name.startswith(building.name):
                old.unlink(missing_ok=True)
        Index.make(building)
        index = Index(building)
        try:
            self._catch_up(index, on_progress)
            index.finish()
        finally:
            index.close()
        for suffix in ("-wal", "-shm", ""):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        building.rename(self._path)

    def _retrying_catch_up(self, on_progress: Progress | None) -> None:
        index = self.index
        try:
            self._catch_up(index, on_progress)
        except IndexLostError:
            self.reopen(index)

    def _catch_up(self, index: Index, on_progress: Progress | None) -> None:
        known = index.stamps()
        changed: list[tuple[int, str, Stamp | None]] = []
        for name, stamp in self._tree.stamps():
            seen = known.pop(name, None)
            if stamp is None or stamp != seen:
                changed.append((stamp.modified_ns if stamp else 0, name, seen))
        changed.sort(key=lambda change: change[:2])
        names = [*((name, seen) for _, name, seen in changed), *known.items()]
        del changed, known
        intake.take_in(self._tree, index, names, on_progress)

    # Changes from outside

    def _watch(self) -> None:
        """Take in what happens in the folder. A first look catches what happened before the watch began."""
        changes = watchfiles.watch(
            self._tree.sessions_path,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            rust_timeout=_ROUND_MS,
            yield_on_timeout=True,
            recursive=False,
            stop_event=self._stop,
            watch_filter=None,
        )
        caught_up = False
        for happened in changes:
            with contextlib.suppress(ChatkeepError, IndexLostError, OSError):
                if not caught_up:
                    self.catch_up()
                    caught_up = True
                self._round(Path(path).name for _, path in happened)

    def _round(self, names: Iterable[str]) -> None:
        """Take in the names that something happened to, once they keep still, and those of earlier rounds."""
        index = self.index
        if not index.is_in_place():
            self.reopen(index)
        for name in {*names, *self._restless}:
            if not name.startswith("."):
                self._look_at(name)

    def _look_at(self, name: str) -> None:
        try:
            now = self._tree.stamp(name)
        except NotRegularError:
            now = Stamp(0, 0, 0, 0)
        known = self.index.stamp(name)
        if now == known:
            self._restless.pop(name, None)
        elif name in self._restless and self._restless[name] == now:
            self.refresh(name)
            if self.index.stamp(name) == now:
                del self._restless[name]
        else:
            self._restless[name] = now


@contextlib.contextmanager
def _build_lock(workspace: Path) -> Iterator[None]:
    """Let one process at a time open or build the index of a workspace."""
    fd = os.open(workspace / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
