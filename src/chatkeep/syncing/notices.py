"""Which files changed: told by the system where it can, so that files at rest cost nothing.

A thread collects the events of the folders. Where there are none, as on some file systems or when the system's limit of
watches is reached, `is_live` is False, and the follower looks at all files instead.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Final

_STEP_MS: Final = 5  # events are reported after so long without another one,
_DEBOUNCE_MS: Final = 20  # and at most so long after the first
_ROUND_MS: Final = 100  # between looks at whether to end
_log = logging.getLogger("chatkeep.sync")


class Notices:
    """The changed paths below some folders, collected until somebody asks."""

    def __init__(self, folders: Collection[Path]) -> None:
        """Begin to watch; the folders must exist."""
        self._folders = folders
        self._changed: set[Path] = set()
        self._guard = threading.Lock()
        self._news = threading.Event()
        self._stop = threading.Event()
        self._ready = threading.Event()
        self.is_live = bool(folders)
        self._thread = threading.Thread(target=self._run, name="chatkeep-sync-watch", daemon=True)
        if folders:
            self._thread.start()
            self._ready.wait()

    def wait(self, timeout_s: float) -> set[Path]:
        """Return the paths with events since the last call; wait for the first one at most so long."""
        self._news.wait(timeout_s)
        with self._guard:
            self._news.clear()
            changed, self._changed = self._changed, set()
        return changed

    def close(self) -> None:
        """Watch no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._collect()
        except Exception as error:  # noqa: BLE001 - without events we look at all files
            _log.warning("the system tells of no changes here (%s); looking for them instead", type(error).__name__)
        self.is_live = False
        self._ready.set()

    def _collect(self) -> None:
        import watchfiles  # noqa: PLC0415 - only for those who follow

        for happened in watchfiles.watch(
            *self._folders,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            rust_timeout=_ROUND_MS,
            yield_on_timeout=True,
            stop_event=self._stop,
            watch_filter=None,
            raise_interrupt=False,
            ignore_permission_denied=True,
        ):
            if happened:
                with self._guard:
                    self._changed.update(Path(path) for _, path in happened)
                    self._news.set()
            self._ready.set()
