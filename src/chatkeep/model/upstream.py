"""The model: any server that speaks OpenAI's chat completions, behind one verb.

`Upstream.answer` yields the answer's text and thinking as they come. All that can go wrong is one of the
`ModelError`s, whose sentences say what to do; none of them quotes the key. Answers are always asked for as streams,
so what came before a failure is known; `core.tape` takes whatever comes instead, and judges what is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from chatkeep.core.history.tape import ANSWER_BYTES_MAX, Tape
from chatkeep.core.masking import Mask
from chatkeep.core.model import Json
from chatkeep.core.text.quoting import quoted
from chatkeep.core.text.reasoning import TextPiece
from chatkeep.errors import (
    ContextTooLongError,
    ModelCutOffError,
    ModelError,
    ModelLimitedError,
    ModelRefusedError,
    ModelUnreachableError,
    ModelUnreadableError,
    ModelUnsetError,
)

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

ANSWER_CHARS_MAX: Final = 2_700_000  # as JSON at most six bytes each, so that an answer fits into a message
REFUSAL_BYTES_MAX: Final = 64 << 10  # which the client takes whole
CONNECT_WAIT_S: Final = 10.0
RETRY_AFTER_S: Final = 5
_DRAIN_S: Final = 1.0
_CODE: Final = re.compile(r"^Error code: \d+ - ")  # put there by the client
_TOO_LONG: Final = re.compile(
    r"context.{0,40}(length|window|size)|(maximum|max).{0,20}tokens|prompt is too long|too many tokens", re.IGNORECASE
)
_SECONDS: Final = re.compile(r"[0-9]{1,5}")
_UNAUTHORISED: Final = (401, 403)
_UNKNOWN: Final = 404
_LIMITED: Final = (429, 503)
_TOO_LARGE: Final = 413
_FAILED: Final = 500


class ModelSettings(Struct, frozen=True, kw_only=True):
    """Which server is asked, and how. It may be silent for `timeout_s`, and an answer may take `life_s`."""

    url: str
    key: str
    model: str
    timeout_s: float
    retries: int
    life_s: float = 3600.0

    def __repr__(self) -> str:
        """Leave the key out."""
        return f"ModelSettings(url={self.url!r}, model={self.model!r})"


class Model(Protocol):
    """What answers."""

    def model_for(self, named: str | None, /) -> str:
        """Return the name of the model that answers when a request names this one, or none.

        Raises:
            ModelUnsetError: when there is none.
        """
        ...

    def answer(self, model: str, messages: Sequence[Json], /) -> AsyncIterator[Tape | TextPiece]:
        """Yield the tape that the answer is heard through, and what it says, text and thinking, as it comes.

        Raises:
            ModelError: when there is none, or it is not whole: the tape has what came of it.
        """
        ...

    async def close(self) -> None:
        """Close the connections to it."""
        ...


class NoModel:
    """What stands for a model when none is configured."""

    def model_for(self, _: str | None, /) -> str:
        """Raise ModelUnsetError."""
        raise ModelUnsetError("model_url")

    def answer(self, _: str, __: Sequence[Json], /) -> AsyncIterator[Tape | TextPiece]:
        """Raise ModelUnsetError."""
        raise ModelUnsetError("model_url")

    async def close(self) -> None:
        """Do nothing: there are no connections."""


class Upstream:
    """A server that speaks OpenAI's chat completions. To be used in one event loop."""

    def __init__(self, settings: ModelSettings) -> None:
        """Take the settings; nobody is asked anything yet."""
        self._settings = settings
        self._client = _client(settings)
        self._mask = Mask(settings.key)

    def model_for(self, named: str | None, /) -> str:
        """Return the model that a request names, else the configured one."""
        chosen = named or self._settings.model
        if not chosen:
            raise ModelUnsetError("model")
        return chosen

    async def answer(self, model: str, messages: Sequence[Json], /) -> AsyncIterator[Tape | TextPiece]:
        """Yield the answer's tape, then what it says, as `Model.answer` says; neither has the key."""
        # Past the client's way to look through each message, which holds up the event loop for 0.15 ms a message
        body = {"messages": messages, "stream_options": {"include_usage": True}}
        completions = self._client.chat.completions.with_streaming_response
        tape, length = Tape(mask=self._mask, clock=time.monotonic), 0
        yield tape
        with self._translated(model, tape):
            async with completions.create(model=model, messages=[], stream=True, extra_body=body) as response:
                tape.declare(response.headers.get("content-type", ""))
                pieces = response.iter_bytes()
                async for came in pieces:
                    tape.add(came)
                    for piece in tape.take():
                        yield piece
                        length += len(piece.text)
                    if length >= ANSWER_CHARS_MAX and not tape.is_complete:
                        raise ModelCutOffError(f"it is longer than {ANSWER_CHARS_MAX} characters")
                    if tape.is_over:
                        await _drained(pieces, is_whole=tape.is_complete)
                        break
        tape.close()
        for piece in tape.take():
            yield piece
        if tape.fault is not None:
            raise tape.fault

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._client.close()

    @contextlib.contextmanager
    def _translated(self, model: str, tape: Tape) -> Iterator[None]:
        """Turn what the client, and the library below it, raises into errors of ours, unless the answer is whole."""
        import httpx2  # noqa: PLC0415 - they are there: the client was made
        import openai  # noqa: PLC0415

        from chatkeep.model.framing import OverdueError  # noqa: PLC0415

        try:
            yield
        except openai.APIStatusError as error:
            if error.response.has_redirect_location:
                raise sent_elsewhere(error.status_code) from error
            raise self._refusal(error, model) from error
        except httpx2.DecodingError as error:
            raise ModelUnreadableError(f"{error}") from error
        except (openai.APIConnectionError, httpx2.TransportError) as error:
            tape.close()
            if tape.flaw is not None:
                raise tape.flaw from error
            if tape.is_complete:
                return
            if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException):
                raise ModelUnreachableError(f"did not answer within {self._settings.timeout_s:g} s") from error
            if isinstance(error.__cause__, httpx2.ConnectError):
                raise ModelUnreachableError("cannot be reached") from error
            overdue = error if isinstance(error, OverdueError) else error.__cause__
            raise (
                ModelCutOffError(f"{overdue}") if isinstance(overdue, OverdueError) else ModelCutOffError()
            ) from error

    def _refusal(self, error: APIStatusError, model: str) -> ModelError:
        status, told = error.status_code, self._told(error.message)
        if status in _UNAUTHORISED:
            state = "is wrong" if self._settings.key else "is not set"
            return ModelRefusedError(f"The model's server refuses the key ({status}): CHATKEEP_MODEL_KEY {state}.")
        if status in _LIMITED:
            return ModelLimitedError(_retry_after_s(error.response.headers.get("retry-after")))
        if status == _TOO_LARGE or error.code == "context_length_exceeded" or (status < _FAILED and _says_long(told)):
            return ContextTooLongError()
        if status == _UNKNOWN:
            return ModelRefusedError(f"The model's server has no model {model!r}, or model_url is wrong: {told}")
        if status < _FAILED:
            return ModelRefusedError(f"The model's server refuses the request ({status}): {told}")
        return ModelError(f"The model's server failed ({status}); try again.")

    def _told(self, message: str) -> str:
        """Return what the server said, on one short line, without the key."""
        return quoted(self._mask.text(_CODE.sub("", message)))


def sent_elsewhere(status: int) -> ModelRefusedError:
    """Return what becomes of an answer that leads to another address, which nobody asks."""
    return ModelRefusedError(f"The model's server sends elsewhere ({status}); is model_url right?")


def _client(settings: ModelSettings) -> AsyncOpenAI:
    import openai  # noqa: PLC0415 - half a second that only servers with a model spend

    from chatkeep.model.connections import transport_to  # noqa: PLC0415
    from chatkeep.model.framing import Bounded  # noqa: PLC0415

    client = openai.AsyncOpenAI(
        base_url=settings.url,
        api_key=settings.key or "none",  # a local server asks for none, the client does
        max_retries=settings.retries,
        timeout=openai.Timeout(settings.timeout_s, connect=min(CONNECT_WAIT_S, settings.timeout_s)),
        default_headers={"Accept-Encoding": "identity"},
        http_client=openai.DefaultAsyncHttpxClient(
            transport=Bounded(
                transport_to(settings.url, settings.life_s), ANSWER_BYTES_MAX, refusal_bytes_max=REFUSAL_BYTES_MAX
            ),
            follow_redirects=False,  # another address may be anybody's, and the request has the conversation
        ),
    )
    client.organization = client.project = None  # the client took them from the environment
    _ = client.chat.completions.with_streaming_response  # loads the rest of it now, not at the first question
    return client


async def _drained(pieces: AsyncIterator[bytes], *, is_whole: bool) -> None:
    """Take what follows the end of an answer, so that the connection can be used again; who sends more is let go."""
    if is_whole:
        with contextlib.suppress(Exception):  # the answer is there: nothing that follows is missed
            async with asyncio.timeout(_DRAIN_S):
                async for _ in pieces:
                    pass


def _says_long(told: str) -> bool:
    return _TOO_LONG.search(told) is not None


def _retry_after_s(header: str | None) -> int:
    return int(header) if header and _SECONDS.fullmatch(header) else RETRY_AFTER_S
