"""The relay: it forwards requests to the model's server over a pool of open connections.

The client's token is ours and never leaves; the relay sends the key of the model's server instead. A request's
headers pass, except those about tokens, accounts, addresses, cookies and the connection. Of an answer, only the headers
on a list pass.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import httpx2

from chatkeep.core.history.masking import Mask
from chatkeep.core.sse import EVENT_STREAM_TYPE
from chatkeep.errors import ModelCutOffError, ModelUnreachableError, ModelUnsetError
from chatkeep.http.gate.room import Room
from chatkeep.model.connections import transport_to
from chatkeep.model.endings import CLOSE_WAIT_S
from chatkeep.model.upstream import CONNECT_WAIT_S, ModelSettings, sent_elsewhere

BEARER: Final = "authorization"
"""The usual header for a server's key."""

_PIECE_BYTES: Final = 1 << 18  # bytes of a body sent at once
_NO_BODY: Final = (204, 304)
# Headers of a request that stay here: tokens, accounts beside our key, addresses, the connection, and what we set
_UNASKED: Final = frozenset(
    (
        *("authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"),
        *("openai-organization", "openai-project", "anthropic-organization-id", "chatgpt-account-id"),
        *("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "x-original-host", "x-cluster-client-ip"),
        *("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect", "proxy-connection"),
        *("host", "content-length", "accept-encoding", "origin", "referer", "x-session-key", "x-request-id"),
    )
)
_UNASKED_BEGINNINGS: Final = ("x-forwarded-", "sec-", "cf-", "x-amzn-", "x-amz-cf-", "fly-")
_OURS: Final = {
    "accept": b"*/*",
    "user-agent": b"chatkeep",
    "accept-encoding": b"identity",  # a compressed stream arrives in blocks, not token by token
}
# Headers of an answer passed back to the client, beside its type and length
_TOLD: Final = ("retry-after", "retry-after-ms", "x-should-retry", "request-id", "content-disposition")
_TOLD_BEGINNINGS: Final = ("openai-", "x-ratelimit-", "anthropic-", "x-codex-")
_UNTOLD: Final = frozenset(  # we send rate headers of our own, and the owner of the key is secret
    (
        *("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
        *("openai-organization", "openai-project", "anthropic-organization-id"),
    )
)
_TOLD_COUNT_MAX: Final = 64  # headers; some clients refuse more than 100
_TOLD_BYTES_MAX: Final = 16 << 10  # of names and values together
_PASSIVE: Final = re.compile(
    r"(application/(json|[a-z0-9.+-]+\+json|x-ndjson|jsonl|octet-stream)|text/(event-stream|plain)"
    r"|audio/[a-z0-9.+-]+|image/(png|jpeg|gif|webp))"
)
_AS_TEXT: Final = b"text/plain; charset=utf-8"


class Outgoing:
    """A request body on its way out; once sent, it releases its bytes and its memory."""

    def __init__(self, data: bytes, room: Room | None = None) -> None:
        """Take the body, and the room reserved for it."""
        self.size_bytes = len(data)
        self._data = data
        self._room = room

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body piece by piece, once."""
        for start in range(0, self.size_bytes, _PIECE_BYTES):
            yield self._data[start : start + _PIECE_BYTES]
        self.let_go()

    def let_go(self) -> None:
        """Release the body, sent or not."""
        self._data = b""
        if self._room is not None:
            self._room.give_back()


class Relay:
    """A client of the model's server, for one event loop."""

    def __init__(self, settings: ModelSettings | None) -> None:
        """Take the settings of the model's server, None for no server; no connection is opened yet."""
        self._settings = settings
        self._transport = None if settings is None else transport_to(settings.url, settings.life_s)
        self._running: set[asyncio.Task[Any]] = set()
        self.mask = Mask("" if settings is None else settings.key)
        """Hides the server's key: a server may echo it."""

    @property
    def is_set(self) -> bool:
        """Whether a model's server is configured."""
        return self._settings is not None

    def check(self) -> None:
        """Check for a configured server.

        Raises:
            ModelUnsetError: when there is none.
        """
        if self._settings is None:
            raise ModelUnsetError("model_url")

    async def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Outgoing | None = None,
        *,
        key_header: str = BEARER,
    ) -> httpx2.Response:
        """Return the server's answer as soon as its head is here; `key_header` gets the key of the server.

        The caller closes the answer. The body is released by then, sent or not.

        Raises:
            ModelUnsetError: when no server is configured.
            ModelUnreachableError, ModelCutOffError: when the server gives no answer.
            ModelRefusedError: when the server redirects.
        """
        settings = self._settings
        if settings is None or self._transport is None:
            raise ModelUnsetError("model_url")
        try:
            answer = await self._transport.handle_async_request(
                _request(settings, method, path, _passed(settings, headers, key_header), body)
            )
        except httpx2.ReadTimeout as error:
            raise ModelUnreachableError(f"did not answer within {settings.timeout_s:g} s") from error
        except (httpx2.ConnectError, httpx2.TimeoutException) as error:
            raise ModelUnreachableError("cannot be reached") from error
        except httpx2.RequestError as error:
            raise ModelCutOffError(f"the model's server gave no whole answer ({error})") from error
        finally:
            if body is not None:
                body.let_go()
        if answer.has_redirect_location:
            await answer.aclose()
            raise sent_elsewhere(answer.status_code)
        return answer

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task, and return it; `close` waits for it."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def close(self) -> None:
        """Wait until all calls are stored, at most `CLOSE_WAIT_S`, then close the connections."""
        deadline = asyncio.get_running_loop().time() + CLOSE_WAIT_S
        while self._running and asyncio.get_running_loop().time() < deadline:  # a task may have started another
            await asyncio.wait(self._running, timeout=CLOSE_WAIT_S)
        if self._transport is not None:
            await self._transport.aclose()


def told_headers(answer: httpx2.Response, mask: Mask) -> Iterator[tuple[bytes, bytes]]:
    """Yield the headers of an answer for the client, with the key masked: at most 64 headers and 16 KiB."""
    room = _TOLD_BYTES_MAX
    passing = (header for header in answer.headers.raw if _passes(header[0].lower().decode("ascii")))
    for raw, value in islice(passing, _TOLD_COUNT_MAX):
        room -= len(raw) + len(value)
        if room >= 0 and mask.data(raw) == raw:
            yield raw.lower(), mask.data(value)
    if answer.status_code in _NO_BODY:
        return
    yield b"content-type", mask.data(_passive(answer.headers.get("content-type", "")))
    length = answer.headers.get("content-length", "")
    if length.isdecimal() and not is_stream(answer):  # with it, a client would see a stream end before the store has it
        yield b"content-length", b"%d" % int(length)


def is_stream(answer: httpx2.Response) -> bool:
    """Tell whether an answer is a stream of events."""
    return media_type_of(answer) == EVENT_STREAM_TYPE


def media_type_of(answer: httpx2.Response) -> str:
    """Return the media type of an answer, in lower case and without parameters."""
    told: str = answer.headers.get("content-type", "")
    return told.partition(";")[0].strip().lower()


def _passes(name: str) -> bool:
    return name in _TOLD or (name.startswith(_TOLD_BEGINNINGS) and name not in _UNTOLD)


def _passive(content_type: str) -> bytes:
    """Return the content type for the client: plain text instead of a missing type, or one a browser may run."""
    media_type = content_type.partition(";")[0].strip().lower()
    if not _PASSIVE.fullmatch(media_type):
        return _AS_TEXT
    return (content_type if content_type.isascii() else media_type).encode("ascii")


def _passed(settings: ModelSettings, headers: Mapping[str, str], key_header: str) -> list[tuple[str, bytes]]:
    """Return the headers for the model's server: those of the request that may pass, and ours."""
    key = f"Bearer {settings.key}" if key_header == BEARER else settings.key
    given = [(name.lower(), value.encode("latin-1")) for name, value in headers.items()]
    held = _UNASKED.union(step.strip().lower() for step in headers.get("connection", "").split(","))
    passed = [
        (name, value)
        for name, value in given
        if name not in held and not name.startswith(_UNASKED_BEGINNINGS) and name.isascii()
    ]
    names = {name for name, _ in passed}
    ours = [(name, value) for name, value in _OURS.items() if name not in names]
    return [*ours, *passed, *([(key_header, key.encode("ascii"))] if settings.key else [])]


def _request(
    settings: ModelSettings, method: str, path: str, headers: Sequence[tuple[str, bytes]], body: Outgoing | None
) -> httpx2.Request:
    length = [] if body is None else [(b"content-length", b"%d" % body.size_bytes)]
    waits = httpx2.Timeout(settings.timeout_s, connect=min(CONNECT_WAIT_S, settings.timeout_s))
    return httpx2.Request(
        method,
        f"{settings.url.rstrip('/')}/{path}",
        headers=[*((name.encode("ascii"), value) for name, value in headers), *length],
        content=body,
        extensions={"timeout": waits.as_dict()},
    )
