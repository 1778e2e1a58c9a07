# Made from async_connection.py by `make client`: change that one
"""The connection of a client to its server: it sends calls, repeats them, and follows streams."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Final

import httpx

from chatkeep.client import exchange
from chatkeep.client.exchange import LIMIT_WAIT_S, Call, ChatEvent, ChatEvents, Decoded, Patience
from chatkeep.client.following import Following
from chatkeep.client.sending import TIMEOUT_S, sent, sent_to_follow
from chatkeep.core.sse import Event

Sleep = Callable[[float], None]


class Connection:
    """A server's address, a token and an HTTP client. It does not know the meaning of a call."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        timeout_s: float = TIMEOUT_S,
        limit_wait_s: float = LIMIT_WAIT_S,
        http: httpx.Client | None = None,
        sleep: Sleep = time.sleep,
    ) -> None:
        """Take the arguments of `Client`."""
        self._url: Final = base_url.rstrip("/")
        self._token: Final = token
        self._http: Final = httpx.Client(timeout=timeout_s) if http is None else http
        self._owns_http: Final = http is None
        self._limit_wait_s: Final = limit_wait_s
        self._sleep: Final = sleep

    def answer(self, call: Call[Decoded]) -> Decoded:
        """Send a call, as often as `Patience` allows, and return the answer; send none with a known answer."""
        if call.known is not None:
            return call.known
        patience = Patience(call, self._limit_wait_s)
        while True:
            try:
                response = self._http.request(**sent(self._url, self._token, call))
            except httpx.TransportError as error:
                if (pause_s := patience.pause_s(None)) is None:
                    raise exchange.unreachable(error) from error
            else:
                if (pause_s := patience.pause_s(response.status_code, response.headers)) is None:
                    return call.answer(response.status_code, response.content)
            self._sleep(pause_s)

    def chat_events(self, call: Call[None]) -> Generator[ChatEvent]:
        """Yield the events of a model's answer. The call is sent once, and again only after a rate limit."""
        events, patience = ChatEvents(call.key), Patience(call, self._limit_wait_s)
        try:
            while True:
                with self._http.stream(**sent(self._url, self._token, call)) as response:
                    if exchange.has_events(response.headers):
                        for piece in response.iter_bytes():
                            yield from events.read(piece)
                        break
                    body, pause_s = response.read(), patience.pause_s(response.status_code, response.headers)
                    if pause_s is None:
                        call.answer(response.status_code, body)
                        break
                self._sleep(pause_s)
        except httpx.TransportError as error:
            raise exchange.unreachable(error) from error
        events.end()

    def feed_events(self, after: str | None) -> Generator[Event]:
        """Yield the events of the feed of changes after a position, without end."""
        following = Following(after, self._limit_wait_s)
        while True:
            try:
                with self._http.stream(**sent_to_follow(self._url, self._token, following)) as response:
                    if response.is_success:
                        for piece in response.iter_bytes():
                            yield from following.read(piece)
                        pause_s = following.pause_s(response.status_code)
                    else:
                        pause_s = following.pause_s(response.status_code, response.headers, response.read())
            except httpx.TransportError:
                pause_s = following.pause_s(None)
            self._sleep(pause_s)

    def close(self) -> None:
        """Close the HTTP client, unless it was given."""
        if self._owns_http:
            self._http.close()
