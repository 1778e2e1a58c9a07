"""Changes by other programs: a watch on the folder updates the index once a changed file keeps still."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from chatkeep.disk.files import Stamp, is_folder
from chatkeep.errors import BusyError, StorageError
from chatkeep.store.files.tree.tree import NotRegularError, Tree

# between rounds without events, and before a retry; a file keeps still if it is the same in two rounds
_ROUND_MS: Final = 100
_DEBOUNCE_MS: Final = 100  # watchfiles collects events for at most so long
_STEP_MS: Final = 25  # and reports them after so long without a new one
_TELLING_S: Final = 1.5  # a writer's time to update the index itself; a change by others still shows within two seconds
_log = logging.getLogger("chatkeep.store")


class WatchedIndex(Protocol):
    """The operations of an index, as a watch needs them."""

    def stamp(self, name: str) -> Stamp | None:
        """Return the state of a file as the index has it, None if it has none."""

    def refresh(self, name: str) -> None:
        """Update the index from one file."""

    def catch_up(self) -> None:
        """Update the index from all changed files."""

    def look_after(self) -> None:
        """Replace an index removed or not writable."""


class Watch:
    """A thread to watch the folder of a tree."""

    def __init__(self, tree: Tree, kept: WatchedIndex) -> None:
        """Take the folder to watch, and the index to update."""
        self._tree = tree
        self._kept = kept
        self._restless: dict[str, Stamp | None] = {}
        self._held_since: dict[str, float] = {}
        self._is_watching = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chatkeep-watch", daemon=True)

    def start(self, patience_s: float) -> None:
        """Start the thread; return once it sees every new event, or after `patience_s`."""
        self._thread.start()
        self._is_watching.wait(patience_s)

    def stop(self) -> None:
        """End the thread, and wait for its end."""
        self._stop.set()
        self._thread.join()

    def look_again(self, name: str) -> None:
        """Look at a file in the next round, even without an event."""
        self._restless[name] = None

    def _run(self) -> None:
        """Follow the folder until the store is closed; an error ends one round, never the watch."""
        failed = ""
        while not self._stop.is_set():
            try:
                self._follow_folder()
                failed = ""
            except Exception as error:  # noqa: BLE001 - the watch goes on
                if failed != type(error).__name__:
                    failed = type(error).__name__
                    _log.warning("watching the session files failed (%s); trying again", failed)
                self._is_watching.set()
                self._stop.wait(_ROUND_MS / 1000)

    def _follow_folder(self) -> None:
        """Handle events in the folder now in place, until another takes its place.

        A pass over all files catches the changes from before the watch. At the start the opener of the store makes it.
        """
        self._tree.find_place()
        if not is_folder(self._tree.sessions_path):
            self._is_watching.set()
            self._kept.catch_up()
            self._stop.wait(_ROUND_MS / 1000)
            return
        import watchfiles  # noqa: PLC0415 - only for servers

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
                self._kept.catch_up()
                is_looked_at = True
            self._round(Path(path).name for _, path in happened)
            self._tree.find_place()
            if self._tree.moves != moves:
                return

    def _round(self, names: Iterable[str]) -> None:
        """Look at each file with an event, and at the restless files of earlier rounds."""
        self._kept.look_after()
        for name in {*names, *list(self._restless)}:
            if not name.startswith("."):
                with contextlib.suppress(BusyError, StorageError, UnicodeError):
                    self._look_at(name)

    def _look_at(self, name: str) -> None:
        try:
            now = self._tree.stamp(name)
        except NotRegularError:
            now = Stamp(0, 0, 0, 0)
        if now == self._kept.stamp(name):
            self._restless.pop(name, None)
            self._held_since.pop(name, None)
        elif name in self._restless and self._restless[name] == now and not self._is_being_told(name):
            self._kept.refresh(name)
            if now == self._kept.stamp(name):
                self._restless.pop(name, None)
        else:
            self._restless[name] = now

    def _is_being_told(self, name: str) -> bool:
        """Tell whether a writer has the file locked, and is about to update the index itself.

        After 1.5 seconds the writer counts as stopped.
        """
        began_s = self._held_since.setdefault(name, time.monotonic())
        is_so = self._tree.is_held(name) and time.monotonic() - began_s < _TELLING_S
        if not is_so:
            del self._held_since[name]
        return is_so
