"""Following the feed: the position of a client, its retries, and the changes it has got."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

from chatkeep.client.exchange import FAILED, LIMITED, PAUSE_S, TRY_AGAIN, error_in, retry_after_s
from chatkeep.core.feed import Change, Changes
from chatkeep.core.sse import Event, EventReader
from chatkeep.errors import UnreachableError
from chatkeep.wire.events import RESET, change_of

_RESUMES_MAX: Final = 16
_RESUME_S_MAX: Final = 5.0
_NO_HEADERS: Final[Mapping[str, str]] = {}


class CatchingUp:
    """The changes of the feed until it is ready, or until enough have come."""

    def __init__(self, limit: int, prefix: str) -> None:
        """Take the number of changes that is enough, and the prefix of the keys to count."""
        self._limit = limit
        self._prefix = prefix
        self._told: list[Change] = []

    def answer(self, event: Event) -> Changes | None:
        """Take the next event; return all changes if it is the last one needed, else None."""
        change = change_of(event)
        if change is not None and change.kind != RESET:
            if change.key.startswith(self._prefix):
                self._told.append(change)
            return self._answer(event) if len(self._told) == self._limit else None
        return self._answer(event, is_known=change is None or bool(self._told))

    def _answer(self, event: Event, *, is_known: bool = True) -> Changes:
        position = self._told[-1].position if self._told else event.id
        return Changes(changes=tuple(self._told), position=position, is_known=is_known)


class Following:
    """The position of a client in the feed, and its pauses. Each connection begins after the last event."""

    path: Final = "/api/v1/events"

    def __init__(self, after: str | None, limit_wait_s: float) -> None:
        """Take the position to begin at; None begins now.

        `limit_wait_s` bounds the seconds of waiting for rate limits between two events.
        """
        self._position = after
        self._retries = 0
        self._limit_wait_s = self._limit_left_s = limit_wait_s
        self._reader = EventReader()

    def headers(self) -> dict[str, str]:
        """Begin the next connection and return its headers."""
        self._reader = EventReader()
        return {} if self._position is None else {"Last-Event-ID": quote(self._position, errors="replace")}

    def read(self, piece: bytes) -> Iterator[Event]:
        """Yield the events completed by a piece of the stream."""
        for event in self._reader.read(piece):
            if event.id:
                self._position, self._retries, self._limit_left_s = event.id, 0, self._limit_wait_s
                yield event

    def pause_s(self, status: int | None, headers: Mapping[str, str] = _NO_HEADERS, body: bytes = b"") -> float:
        """Return the seconds to wait after the end of a connection; a server has about a minute to restart.

        `status` None means a broken connection. `body` is the answer if it is no stream, with its `headers`.

        Raises:
            ChatkeepError: the server's refusal. UnreachableError: the server was silent for too long.
        """
        if status == LIMITED and (pause_s := max(retry_after_s(headers), 1)) <= self._limit_left_s:
            self._limit_left_s -= pause_s
            return pause_s
        is_over = self._retries >= _RESUMES_MAX
        if status is not None and status >= FAILED and (status != TRY_AGAIN or is_over):
            raise error_in(status, body)
        if is_over:
            raise UnreachableError("The server does not tell of changes.")
        self._retries += 1
        return min(PAUSE_S * (1 << self._retries), _RESUME_S_MAX)
