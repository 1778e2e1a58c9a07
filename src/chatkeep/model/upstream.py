"""The model: any server with OpenAI's chat completions, behind one verb.

`Upstream.answer` yields text and thinking as they arrive. Every failure is a `ModelError` with advice in its sentence,
and never quotes the key. We always ask for a stream, so the pieces before a failure are known. A server may answer
otherwise: `core.history.tape.tape` takes any answer and judges its completeness.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast

from msgspec import Struct

from chatkeep.core.history.masking import Mask
from chatkeep.core.history.tape.answer_values import error_words
from chatkeep.core.history.tape.tape import ANSWER_BYTES_MAX, Tape
from chatkeep.core.model import Json
from chatkeep.core.text.quoting import page_words, quoted
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
from chatkeep.model import hearing

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

PART_BYTES_MAX: Final = 8 << 20  # bytes of an event, or of JSON without events: read and checked in steps of 40 ms
ANSWER_CHARS_MAX: Final = 2_700_000  # characters; as JSON at most 6 bytes each, so an answer fits into a message
REFUSAL_BYTES_MAX: Final = 64 << 10  # bytes of an error answer, because the client loads it whole
CONNECT_WAIT_S: Final = 10.0  # seconds for TCP and TLS
RETRY_AFTER_S: Final = 5  # seconds; our advice if a busy server gives none
_DRAIN_S: Final = 1.0  # seconds for the bytes after an answer's end, so that its connection can be reused
_TOO_LONG: Final = re.compile(
    r"context.{0,40}(length|window|size)|(maximum|max).{0,20}tokens|prompt is too long|too many tokens", re.IGNORECASE
)
_SILENT: Final = "it does not say why"
_SECONDS: Final = re.compile(r"[0-9]{1,5}")
_UNAUTHORISED: Final = (401, 403)
_UNKNOWN: Final = 404
_LIMITED: Final = (429, 503)
_TOO_LARGE: Final = 413
_FAILED: Final = 500


class ModelSettings(Struct, frozen=True, kw_only=True):
    """Address, key and limits of a model server: silent for up to `timeout_s`, one answer for up to `life_s`."""

    url: str
    key: str
    model: str
    timeout_s: float
    retries: int
    life_s: float = 3600.0

    def __repr__(self) -> str:
        """Show address and model without the key."""
        return f"ModelSettings(url={self.url!r}, model={self.model!r})"


class Model(Protocol):
    """The source of answers."""

    def model_for(self, named: str | None, /) -> str:
        """Return the name of the answering model, for a request naming `named` or none.

        Raises:
            ModelUnsetError: when no model is configured.
        """
        ...

    def answer(self, model: str, messages: Sequence[Json], /) -> AsyncIterator[Tape | TextPiece]:
        """Yield the answer's tape first, then each piece of text and thinking as it arrives.

        Raises:
            ModelError: when no answer comes, or only a part of one; the tape has the part.
        """
        ...

    async def close(self) -> None:
        """Close the connections to the model's server."""
        ...


class NoModel:
    """The stand-in for a model when none is configured."""

    def model_for(self, _: str | None, /) -> str:
        """Raise ModelUnsetError."""
        raise ModelUnsetError("model_url")

    def answer(self, _: str, __: Sequence[Json], /) -> AsyncIterator[Tape | TextPiece]:
        """Raise ModelUnsetError."""
        raise ModelUnsetError("model_url")

    async def close(self) -> None:
        """Do nothing: there are no connections."""


class Upstream:
    """A server with OpenAI's chat completions. Use it in one event loop."""

    def __init__(self, settings: ModelSettings) -> None:
        """Take the settings; open no connection yet."""
        self._settings = settings
        self._client = _client(settings)
        self._mask = Mask(settings.key)

    def model_for(self, named: str | None, /) -> str:
        """Return the model of a request, else the configured one."""
        chosen = named or self._settings.model
        if not chosen:
            raise ModelUnsetError("model")
        return chosen

    async def answer(self, model: str, messages: Sequence[Json], /) -> AsyncIterator[Tape | TextPiece]:
        """Yield the answer's tape, then its pieces, as `Model.answer` does; the key is masked in both."""
        # `extra_body` skips the client's walk over the messages: 0.15 ms each, in the event loop
        body = {"messages": messages, "stream_options": {"include_usage": True}}
        completions = self._client.chat.completions.with_streaming_response
        tape, length = Tape(mask=self._mask, clock=time.monotonic), 0
        yield tape
        async with (
            self._translated(model, tape) as said_last,
            completions.create(model=model, messages=[], stream=True, extra_body=body) as response,
        ):
            tape.declare(response.headers.get("content-type", ""))
            pieces = hearing.each_in_its_turn(response.iter_bytes())
            async for came in pieces:
                async for piece in hearing.told_in_turns(await hearing.heard(tape, came)):
                    yield piece
                    length += len(piece.text)
                if length >= ANSWER_CHARS_MAX and not tape.is_complete:
                    raise ModelCutOffError(f"it is longer than {ANSWER_CHARS_MAX} characters")
                if tape.unread_bytes > PART_BYTES_MAX:
                    raise ModelCutOffError(f"a part of it is longer than {PART_BYTES_MAX >> 20} MiB")
                if tape.is_over:
                    await _drained(pieces, is_whole=tape.is_complete)
                    break
        async for piece in hearing.told_in_turns([*said_last, *await hearing.close(tape)]):
            yield piece
        if tape.fault is not None:
            raise tape.fault

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._client.close()

    @contextlib.asynccontextmanager
    async def _translated(self, model: str, tape: Tape) -> AsyncIterator[list[TextPiece]]:
        """Translate errors of the client and its HTTP library into our own, unless the answer is already complete.

        Its list then has the pieces released at the end.
        """
        import httpx2  # noqa: PLC0415 - both are loaded already, by `_client`
        import openai  # noqa: PLC0415

        from chatkeep.model.framing import OverdueError  # noqa: PLC0415

        said_last: list[TextPiece] = []
        try:
            yield said_last
        except openai.APIStatusError as error:
            if error.response.has_redirect_location:
                raise sent_elsewhere(error.status_code) from error
            raise self._refusal(error, model) from error
        except httpx2.DecodingError as error:
            raise ModelUnreadableError(f"{error}") from error
        except (openai.APIConnectionError, httpx2.TransportError) as error:
            said_last += await hearing.close(tape)
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
        status, told = error.status_code, self._told(error)
        words, why = f" It says: {told!r}." if told else "", told or _SILENT
        if status in _UNAUTHORISED:
            state = "is wrong" if self._settings.key else "is not set"
            refused = f"The model's server refuses the key ({status}): CHATKEEP_MODEL_KEY {state}."
            return ModelRefusedError(f"{refused}{words}")
        if status in _LIMITED:
            return ModelLimitedError(_retry_after_s(error.response.headers.get("retry-after")), words)
        if status == _TOO_LARGE or error.code == "context_length_exceeded" or (status < _FAILED and _says_long(told)):
            return ContextTooLongError()
        if status == _UNKNOWN:
            return ModelRefusedError(f"The model's server has no model {model!r}, or model_url is wrong: {why}")
        if status < _FAILED:
            return ModelRefusedError(f"The model's server refuses the request ({status}): {why}")
        return ModelError(f"The model's server failed ({status}); try again.{words}")

    def _told(self, error: APIStatusError) -> str:
        """Return the server's words about its failure, on one short line, without the key and the tags of a page."""
        body = cast("Json", error.body)
        said = error_words(body) if body else ""
        return quoted(self._mask.text(page_words(said) if said.lstrip().startswith("<") else said))


def sent_elsewhere(status: int) -> ModelRefusedError:
    """Return the error for a redirect, as we never follow one."""
    return ModelRefusedError(f"The model's server sends elsewhere ({status}); is model_url right?")


def _client(settings: ModelSettings) -> AsyncOpenAI:
    import openai  # noqa: PLC0415 - takes 0.5 s, only on servers with a model

    from chatkeep.model.connections import transport_to  # noqa: PLC0415
    from chatkeep.model.framing import Bounded  # noqa: PLC0415

    client = openai.AsyncOpenAI(
        base_url=settings.url,
        api_key=settings.key or "none",  # the client insists on a key, a local server does not
        max_retries=settings.retries,
        timeout=openai.Timeout(settings.timeout_s, connect=min(CONNECT_WAIT_S, settings.timeout_s)),
        default_headers={"Accept-Encoding": "identity"},
        http_client=openai.DefaultAsyncHttpxClient(
            transport=Bounded(
                transport_to(settings.url, settings.life_s), ANSWER_BYTES_MAX, refusal_bytes_max=REFUSAL_BYTES_MAX
            ),
            follow_redirects=False,  # the request has the whole conversation, and the new address may be anybody's
        ),
    )
    client.organization = client.project = None  # the client read them from the environment
    _ = client.chat.completions.with_streaming_response  # load the rest of the client now, not at the first question
    return client


async def _drained(pieces: AsyncIterator[bytes], *, is_whole: bool) -> None:
    """Read a complete answer to its end, so that its connection can be reused; give up after a second."""
    if is_whole:
        with contextlib.suppress(Exception):  # the answer is complete, so its trailing bytes do not matter
            async with asyncio.timeout(_DRAIN_S):
                async for _ in pieces:
                    pass


def _says_long(told: str) -> bool:
    return _TOO_LONG.search(told) is not None


def _retry_after_s(header: str | None) -> int:
    return int(header) if header and _SECONDS.fullmatch(header) else RETRY_AFTER_S
