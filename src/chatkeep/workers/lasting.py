"""A process that works beside a server by itself, as long as the server runs.

It ends when its stdin does, so it also ends with a server that was killed. A process that ends before is started again,
after a pause that grows while it keeps ending soon.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Final

_PAUSE_S: Final = 1.0  # seconds before a restart; doubled each time
_PAUSE_MAX_S: Final = 60.0  # seconds, the longest pause
_END_S: Final = 10.0  # seconds for the process to end by itself
_log = logging.getLogger("chatkeep.workers.lasting")


class Lasting:
    """Another process, kept running."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start the process."""
        self._command = command
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="chatkeep-lasting", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let the process end, and wait for its end."""
        self._stop.set()
        with self._guard:
            _let_end(self._process)
        self._thread.join()

    def _keep(self) -> None:
        pause_s = _PAUSE_S
        while not self._stop.is_set():
            began = time.monotonic()
            with contextlib.suppress(OSError):
                self._run()
            if not self._stop.is_set():
                _log.warning("a process beside this one ended; it starts again")
            pause_s = _PAUSE_S if time.monotonic() - began > _PAUSE_MAX_S else min(2 * pause_s, _PAUSE_MAX_S)
            self._stop.wait(pause_s)

    def _run(self) -> None:
        with self._guard:
            if self._stop.is_set():
                return
            self._process = process = subprocess.Popen(  # noqa: S603 - the command comes from `wiring`
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C goes only to this process, which ends the other
            )
        process.wait()


def _let_end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
