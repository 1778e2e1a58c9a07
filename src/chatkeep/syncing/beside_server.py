"""A sync beside a server: nobody can be asked, so it follows all homes but those declined, and tells the log."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from pathlib import Path
from typing import Final

from chatkeep.errors import ChatkeepError, ConflictError
from chatkeep.importers.homes import this_machine
from chatkeep.sessions.sessions import Sessions
from chatkeep.syncing.chosen import homes_on
from chatkeep.syncing.running import SyncHow, SyncTotals, followed_from, only_sync, opened_follower
from chatkeep.syncing.taking import Taken

_AGAIN_S: Final = 10.0  # before a workspace with another sync, or a machine without histories, is looked at again
_log = logging.getLogger("chatkeep.sync")


def serve_sync(workspace: Path, store: str, sessions: Sessions, stop: threading.Event) -> None:
    """Follow the homes on this machine until `stop` is set. The log names formats and counts, no file and no key."""
    told = ""
    while not stop.is_set():
        try:
            with only_sync(workspace):
                if (homes := followed_from(workspace, homes_on(this_machine()), remember=True)) and not stop.is_set():
                    counts = Counter(home.format for home in homes)
                    _log.info("following %s", ", ".join(f"{name} ({count})" for name, count in counts.items()))
                    log = _Log()
                    told_to = (log.taken, log.problem)
                    with opened_follower(workspace, store, homes, sessions, SyncHow(), told_to) as one, one.watching():
                        one.follow(stop)
                    return
                reason = "no history of another program was found"
        except ConflictError:
            reason = "another sync of this workspace is running"
        except ChatkeepError as error:
            reason = f"it failed ({error.code})"
        if told != reason:
            told = reason
            _log.warning("not following other programs: %s; looking again", reason)
        stop.wait(_AGAIN_S)


class _Log:
    """Tells the log what came in."""

    def __init__(self) -> None:
        self._totals = SyncTotals()

    def taken(self, taken: Taken) -> None:
        self._totals.add(taken)
        if taken.report.sessions_created:
            _log.info("%d new sessions from %s", taken.report.sessions_created, taken.format)

    def problem(self, place: str, sentence: str) -> None:
        del place, sentence  # they may quote a message
        self._totals.problems += 1
        if self._totals.problems & (self._totals.problems - 1) == 0:  # 1, 2, 4, 8 ...
            _log.warning(
                "%d records could not be read; `chatkeep sync --once --afresh` names them", self._totals.problems
            )
