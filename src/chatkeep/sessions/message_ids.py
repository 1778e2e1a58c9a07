"""Ids and times for messages without them: the only inputs of the use cases that no caller gives."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from chatkeep.core.keys import RANDOM_BITS, id_of, number_after
from chatkeep.core.life.dropping import Mark
from chatkeep.core.life.message_rules import check_draft
from chatkeep.core.model import Draft, utc
from chatkeep.core.standing import EVENT


def now_utc() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class MessageIds:
    """A maker of unique ids of 26 characters, each greater than the one before. Safe for threads."""

    def __init__(self) -> None:
        """Begin without a last id."""
        self._lock = threading.Lock()
        self._last = 0

    def __call__(self, at: datetime) -> str:
        """Return a new id."""
        with self._lock:
            self._last = number_after(self._last, at, secrets.randbits(RANDOM_BITS))
            return id_of(self._last)


def completed(draft: Draft, now: datetime, new_id: Callable[[datetime], str]) -> Draft:
    """Return a message with an id and a time, after checking its rules.

    A time that the sender gave gets the time of storing beside it. No sender says that one.

    Raises:
        InvalidError, TooLargeError: as in `check_draft`.
    """
    sent_at, stored_at = (now, None) if draft.sent_at is None else (utc(draft.sent_at), now)
    content = "" if draft.content is None and draft.role == EVENT else draft.content
    own = {"id": draft.id or new_id(now), "sent_at": sent_at, "stored_at": stored_at}
    complete = msgspec.structs.replace(draft, content=content, **own)
    check_draft(draft if draft.id == "" else complete)
    return complete


def completed_mark(mark: Mark, now: datetime, new_id: Callable[[datetime], str]) -> Mark:
    """Return a mark with an id and a time, after checking its rules.

    Raises:
        InvalidError: as in `check_draft`.
    """
    complete = completed(Draft(role=EVENT, content="", id=mark.id, sent_at=mark.sent_at), now, new_id)
    return Mark(id=complete.id, sent_at=complete.sent_at, stored_at=complete.stored_at)
