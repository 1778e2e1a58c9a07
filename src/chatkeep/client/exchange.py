"""One call as a value: the request, the reading of its answer, the rule for retries.

Nothing here touches the network: the connections only carry these calls.
An error comes back as the class with its code, the same as in the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from urllib.parse import quote

import msgspec

from chatkeep.core.sse import EVENT_STREAM_TYPE, EventReader
from chatkeep.errors import ChatkeepError, UnreachableError
from chatkeep.wire.chat import ChatDone, ChatReasoning, ChatStart, ChatToken
from chatkeep.wire.errors import UNREADABLE, Problem, error_of

RETRIES_MAX: Final = 4  # after a broken connection or a 503; with the pauses about 1.5 s in all
PAUSE_S: Final = 0.1  # doubled with every retry
LIMIT_WAIT_S: Final = 120.0
"""Seconds in all for a call to wait for rate limits, by default: limits count by the minute, and this is two."""
_PAUSE_S_MAX: Final = 10.0  # after a 503; a longer pause is the caller's decision
_WAIT_DIGITS: Final = 9  # of `Retry-After`: 31 years
LIMITED: Final = 429
TRY_AGAIN: Final = 503
FAILED: Final = 400
_NO_HEADERS: Final[Mapping[str, str]] = {}

ChatEvent = ChatStart | ChatReasoning | ChatToken | ChatDone
_CHAT_EVENTS: Final[Mapping[str, type[ChatEvent]]] = {
    "start": ChatStart,
    "reasoning": ChatReasoning,
    "token": ChatToken,
    "done": ChatDone,
}

Decoded = TypeVar("Decoded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Decoded]):
    """A request, and the reading of its answer. Sending a `repeatable` call twice does nothing twice."""

    method: str
    path: str
    decode: Callable[[bytes], Decoded]
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    media_type: str = "application/json"
    key: str = ""
    repeatable: bool = True
    decode_refused: Callable[[bytes], Decoded] | None = None
    """Reads a refusal as an answer, such as the deletion of nothing; None where no refusal is one."""
    wait_s: float | None = None
    """Seconds for the answer, None for the client's own time-out."""
    known: Decoded | None = None
    """The answer, if it is known without asking; then nothing is sent."""

    def answer(self, status: int, body: bytes) -> Decoded:
        """Return the server's answer.

        Raises:
            ChatkeepError: the server's error. UnreachableError: the answer is not Chatkeep's.
        """
        if status >= FAILED:
            if self.decode_refused is not None:
                with suppress(*UNREADABLE):
                    return self.decode_refused(body)
            raise error_in(status, body, key=self.key)
        try:
            return self.decode(body)
        except UNREADABLE as error:
            raise _no_answer(status) from error


class Patience:
    """The retries of one call, and their pauses.

    A call refused by a rate limit was not carried out, so any call is repeated then, after the server's pause.
    `limit_wait_s` bounds these pauses in all; 0 means no waiting. After an accident only repeatable calls are.
    """

    def __init__(self, call: Call[Decoded], limit_wait_s: float) -> None:
        """Take the call before it is sent."""
        self._is_repeatable = call.repeatable
        self._retries = 0
        self._limit_wait_s = limit_wait_s

    def pause_s(self, status: int | None, headers: Mapping[str, str] = _NO_HEADERS) -> float | None:
        """Return the seconds to wait before the next attempt, None when the outcome stands.

        `status` None means a broken connection; `headers` are the answer's, their names in lower case.
        """
        asked_s = retry_after_s(headers)
        if status == LIMITED:
            pause_s = max(asked_s, 1)
            if pause_s > self._limit_wait_s:
                return None
            self._limit_wait_s -= pause_s
            return pause_s
        if not self._is_repeatable or self._retries >= RETRIES_MAX or status not in {None, TRY_AGAIN}:
            return None
        if asked_s > _PAUSE_S_MAX:
            return None
        self._retries += 1
        return max(asked_s, PAUSE_S * (1 << self._retries - 1))


def retry_after_s(headers: Mapping[str, str]) -> int:
    """Return the seconds in `Retry-After`, 0 without it."""
    asked = headers.get("retry-after", "")
    return int(asked[:_WAIT_DIGITS]) if asked.isascii() and asked.isdigit() else 0


def error_in(status: int, body: bytes, *, key: str = "") -> ChatkeepError:
    """Return the error in a server's answer; `key` is the session of the call."""
    try:
        return error_of(msgspec.json.decode(body, type=Problem), key=key)
    except UNREADABLE:
        return _no_answer(status)


class ChatEvents:
    """Reads the events of an answer."""

    def __init__(self, key: str) -> None:
        """Take the key of the session in the call."""
        self._key = key
        self._reader = EventReader()
        self._has_ended = False

    def read(self, piece: bytes) -> Iterator[ChatEvent]:
        """Yield the events completed by a piece of the stream.

        Raises:
            ChatkeepError: at the event `error`; UnreachableError when one is none of Chatkeep's.
        """
        for event in self._reader.read(piece):
            try:
                if event.name == "error":
                    raise error_of(msgspec.json.decode(event.data, type=Problem), key=self._key)
                self._has_ended = event.name == "done"
                yield msgspec.json.decode(event.data, type=_CHAT_EVENTS[event.name])
            except (*UNREADABLE, KeyError) as error:
                raise UnreachableError("The server sent an event, but not as Chatkeep does.") from error

    def end(self) -> None:
        """Check that the answer is complete.

        Raises:
            UnreachableError: when the last event was another than `done`.
        """
        if not self._has_ended:
            raise UnreachableError("The connection broke before the answer was complete.")


def headers(token: str, call: Call[Decoded]) -> dict[str, str]:
    """Return the headers of a call."""
    return authorization(token) | ({} if call.body is None else {"Content-Type": call.media_type})


def authorization(token: str) -> dict[str, str]:
    """Return the header with the token."""
    # Escaped, a text that cannot be a token is an unknown one, and no broken header
    return {"Authorization": "Bearer " + quote(token, errors="replace")} if token else {}


def has_events(headers: Mapping[str, str]) -> bool:
    """Return whether an answer is a stream of events, by its headers."""
    return headers.get("content-type", "").startswith(EVENT_STREAM_TYPE)


def unreachable(error: Exception) -> UnreachableError:
    """Return our error for one of the network."""
    return UnreachableError(f"No answer from the server: {error or type(error).__name__}.")


def _no_answer(status: int) -> UnreachableError:
    return UnreachableError(f"The server answered {status}, but not as Chatkeep does.")
