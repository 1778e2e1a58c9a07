"""Telling webhooks of changes, while a server runs: a thread for each, change by change in the order of the feed."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

from chatkeep.core.feed import Change
from chatkeep.core.life.hooks import RETRY_MAX_S, HookRequest, Webhook, check_secrets, request_of
from chatkeep.errors import BusyError, ChatkeepError
from chatkeep.sessions.sessions import Sessions
from chatkeep.webhooks.letters import DEAD_LETTERS_MAX, DeadLetter, Letters
from chatkeep.webhooks.posting import Posted, post

_PAGE: Final = 100  # changes read at a time
_POLL_S: Final = 0.25  # between two looks at the feed
_KEEP_S: Final = 1.0  # a killed server repeats the requests of so much time at most
_REST_S: Final = 5.0  # after a failure of the store or the disk
_OWN_S: Final = 0.5  # for the lock; another server may tell this webhook
_ENDING_S: Final = 2.0  # for the requests under way when the server stops; what is cut off is told again

HookOutcome = Literal["sent", "failed", "dead"]
Counted = Callable[[str, HookOutcome], None]
Post = Callable[[Webhook, HookRequest, int], Posted]
_log = logging.getLogger("chatkeep.webhooks")


class Counts(Protocol):
    """Counts what became of requests."""

    def told_webhook(self, name: str, outcome: HookOutcome) -> None:
        """Count the outcome of a try, or of a request."""
        ...


@contextlib.contextmanager
def telling(hooks: Sequence[Webhook], workspace: Path, sessions: Sessions, counts: Counts) -> Iterator[None]:
    """Tell webhooks of changes for the length of the block, and count each outcome.

    Raises:
        InvalidError: when one has no secret.
    """
    check_secrets(hooks)
    stop = threading.Event()
    threads = [
        threading.Thread(
            target=Teller(hook, Letters(workspace, hook.name), sessions, counts.told_webhook).run,
            args=(stop,),
            name=f"chatkeep-webhook-{hook.name}",
            daemon=True,
        )
        for hook in hooks
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        until = time.monotonic() + _ENDING_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


class Teller:
    """The loop of one webhook."""

    def __init__(
        self, hook: Webhook, letters: Letters, sessions: Sessions, counted: Counted, send: Post = post
    ) -> None:
        """Take the webhook, its files, and the sessions; `send` sends one request once."""
        self._hook = hook
        self._letters = letters
        self._sessions = sessions
        self._counted = counted
        self._send = send
        self._kept_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Tell of every change until the event: after a failure of the store or the disk from the kept place on."""
        while not stop.is_set():
            try:
                with self._letters.owned(_OWN_S):
                    self.tell(stop)
            except BusyError:
                stop.wait(_REST_S)  # another server tells it
            except ChatkeepError as error:
                _log.warning("webhook %s waits: %s", self._hook.name, error.code)
                stop.wait(_REST_S)
            except Exception as error:  # noqa: BLE001 - whatever it was, later changes are told, too
                _log.warning("webhook %s waits: %s", self._hook.name, type(error).__name__)
                stop.wait(_REST_S)

    def tell(self, stop: threading.Event) -> None:
        """Tell of every change behind the kept place until the event; at first the place is the present one."""
        position = self._letters.position()
        if position is None:
            position = self._sessions.changes(None, limit=1).position
            self._letters.keep_position(position)
        while not stop.is_set():
            reached = self._page(position, stop)
            if reached == position:
                stop.wait(_POLL_S)
            position = reached

    def _page(self, position: str, stop: threading.Event) -> str:
        """Tell of the next changes, and return the place behind those that are told."""
        found = self._sessions.changes(position, limit=_PAGE)
        changes = found.changes
        if not found.is_known:
            changes = (Change(position=found.position, kind="reset"),)
        reached = position
        for change in changes:
            if self._hook.wants(change) and not self._told(change, stop):
                break
            reached = change.position
            if time.monotonic() > self._kept_s + _KEEP_S:
                self._keep(reached)
        else:
            reached = found.position
        if reached != position:
            self._keep(reached)
        return reached

    def _keep(self, position: str) -> None:
        self._letters.keep_position(position)
        self._kept_s = time.monotonic()

    def _told(self, change: Change, stop: threading.Event) -> bool:
        """Tell of a change, as often as it takes; False if the end came first."""
        request = request_of(self._hook, change, self._sessions.now())
        failures = 0
        while not stop.is_set():
            posted = self._send(self._hook, request, int(time.time()))
            if posted.is_taken:
                self._counted(self._hook.name, "sent")
                return True
            failures += 1
            self._counted(self._hook.name, "failed")
            if failures >= self._hook.attempts and self._has_buried(request, failures, posted):
                return True
            wait_s = max(self._hook.wait_s(failures), posted.wait_s)
            _log.info("webhook %s: try %d failed, the next in %.0f s", self._hook.name, failures, wait_s)
            stop.wait(min(wait_s, RETRY_MAX_S))
        return False

    def _has_buried(self, request: HookRequest, failures: int, posted: Posted) -> bool:
        """Keep a request that nobody took; False if there are too many already: then the webhook waits."""
        if len(self._letters.dead_names()) >= DEAD_LETTERS_MAX:
            return False
        at = self._sessions.now()
        letter = DeadLetter(request=request, failed_at=at, attempts=failures, reason=posted.reason)
        self._letters.bury(letter)
        self._counted(self._hook.name, "dead")
        _log.warning("webhook %s: a request is dead after %d tries", self._hook.name, failures)
        return True
