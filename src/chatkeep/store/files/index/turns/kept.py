"""Answers of an index, kept until anybody writes to it: in this process or another.

SQLite tells a connection whether another one has committed since. So a kept answer is exactly the present one, and
to ask costs a hundredth of a page of a list.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

import apsw

from chatkeep.store.files.index.sql import one_number

_T = TypeVar("_T")
_ANSWERS_MAX: Final = 64  # pages of at most 500 sessions, 2 KB each: about 64 MB at the most


class KeptAnswers:
    """The answers of one moment. They have a connection of their own, and nobody writes through it."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        """Take the function that opens the connection, at the first question; `close` closes it."""
        self._connect = connect
        self._db: apsw.Connection | None = None
        self._lock = threading.Lock()
        self._moment = -1
        self._answers: dict[Hashable, Any] = {}

    def get(self, asked: Hashable, make: Callable[[], _T]) -> _T:
        """Return the answer to a question: the kept one, or a new one if anybody has written since.

        `make` may see later writes than the moment that the answer is kept for: the next call then makes it again.
        """
        with self._lock:
            if self._db is None:
                self._db = self._connect()
            moment = one_number(self._db, "PRAGMA data_version")
            if moment != self._moment or len(self._answers) >= _ANSWERS_MAX:
                self._moment = moment
                self._answers.clear()
            kept: _T | None = self._answers.get(asked)
        if kept is not None:
            return kept
        made = make()
        with self._lock:
            if moment == self._moment:
                self._answers[asked] = made
        return made

    def close(self) -> None:
        """Close the connection, and forget the answers."""
        with self._lock:
            self._answers.clear()
            if self._db is not None:
                self._db.close()
