"""The model: any server that speaks OpenAI's chat completions, behind one verb.

`Upstream.answer` yields the answer's text as it comes and at last what the server told of it. All that
can go wrong is one of the `ModelError`s, whose sentences say what to do; none of them quotes the key.
Answers are always streamed, so what came before a failure is known.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chatkeep.core.completions import END
from chatkeep.core.masking import Mask, MaskedPieces
from chatkeep.core.model import Json
from chatkeep.core.sse import EventReader
from chatkeep.errors import (
    BrokenInputError,
    ContextTooLongError,
    ModelCutOffError,
    ModelError,
    ModelLimitedError,
    ModelRefusedError,
    ModelUnreachableError,
    ModelUnsetError,
)

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

ANSWER_CHARS_MAX: Final = 160_000  # as JSON at most six bytes each, so that an answer fits into a message
ANSWER_BYTES_MAX: Final = 64 << 20  # with all that is around its characters
REFUSAL_BYTES_MAX: Final = 64 << 10  # which the client takes whole
CONNECT_WAIT_S: Final = 10.0
RETRY_AFTER_S: Final = 5
_TOLD_CHARS_MAX: Final = 300
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_INVISIBLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
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
    """Which server is asked, and how. The timeout is how long it may be silent."""

    url: str
    key: str
    model: str
    timeout_s: float
    retries: int

    def __repr__(self) -> str:
        """Leave the key out."""
        return f"ModelSettings(url={self.url!r}, model={self.model!r})"


class Ending(Struct, frozen=True, kw_only=True):
    """What the model's server tells at the end of an answer; None is what it does not tell."""

    model: str
    finish_reason: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None


class Delta(Struct, frozen=True):
    """What a chunk adds to an answer."""

    content: str | None = None
    refusal: str | None = None


class Choice(Struct, frozen=True):
    """One of the answers that a chunk is part of; only one is asked for."""

    delta: Delta | None = None
    finish_reason: str | None = None


class Usage(Struct, frozen=True):
    """What the model's server counted; `cost` is OpenRouter's."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: Json = None


class Chunk(Struct, frozen=True):
    """An event of an answer, as far as it concerns us."""

    choices: tuple[Choice, ...] | None = None
    model: str | None = None
    usage: Usage | None = None
    error: Json = None


_CHUNK: Final = msgspec.json.Decoder(Chunk)


class Model(Protocol):
    """What answers."""

    def model_for(self, named: str | None, /) -> str:
        """Return the name of the model that answers when a request names this one, or none.

        Raises:
            ModelUnsetError: when there is none.
        """
        ...

    def answer(self, model: str, messages: Sequence[Json], /) -> AsyncIterator[str | Ending]:
        """Yield the answer's text in pieces, then its ending.

        Raises:
            ModelError: when there is none, or it breaks off.
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

    def answer(self, _: str, __: Sequence[Json], /) -> AsyncIterator[str | Ending]:
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

    async def answer(self, model: str, messages: Sequence[Json], /) -> AsyncIterator[str | Ending]:
        """Yield the answer's text in pieces, then its ending, as `Model.answer` says; neither has the key."""
        masked = MaskedPieces(self._mask)
        try:
            async with aclosing(self._said(model, messages)) as said:
                async for piece in said:
                    if isinstance(piece, Ending):
                        if rest := masked.end():
                            yield rest.decode()
                        yield replace(piece, model=self._mask.text(piece.model))
                    elif known := masked.take(piece.encode()):  # it is held back from an ASCII character on
                        yield known.decode()
        except ModelError:
            if rest := masked.end():
                yield rest.decode()
            raise

    async def _said(self, model: str, messages: Sequence[Json]) -> AsyncGenerator[str | Ending]:
        """Yield the answer's text as the server says it, then its ending."""
        # Past the client's way to look through each message, which holds up the event loop for 0.15 ms a message
        body = {"messages": messages, "stream_options": {"include_usage": True}}
        ending: dict[str, Any] = {"model": model, "finish_reason": ""}
        length = 0
        completions = self._client.chat.completions.with_streaming_response
        with self._translated(model):
            async with completions.create(model=model, messages=[], stream=True, extra_body=body) as response:
                async for chunk in _chunks(response.iter_bytes()):
                    if chunk.error is not None:
                        raise ModelCutOffError(f"the model's server said {self._told(str(chunk.error))!r}")
                    _note(ending, chunk)
                    text = _text_of(chunk)[: ANSWER_CHARS_MAX - length]
                    length += len(text)
                    if text:
                        yield text
                    if length == ANSWER_CHARS_MAX:
                        raise ModelCutOffError(f"it is longer than {ANSWER_CHARS_MAX} characters")
        if not ending["finish_reason"]:
            raise ModelCutOffError
        if not length:
            raise ModelError(f"The model answered nothing (finish reason: {ending['finish_reason']}).")
        yield Ending(**ending)

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._client.close()

    @contextlib.contextmanager
    def _translated(self, model: str) -> Iterator[None]:
        """Turn what the client, and the library below it, raises into errors of ours."""
        import httpx2  # noqa: PLC0415 - they are there: the client was made
        import openai  # noqa: PLC0415

        try:
            yield
        except (openai.APITimeoutError, httpx2.TimeoutException) as error:
            raise ModelUnreachableError(f"did not answer within {self._settings.timeout_s:g} s") from error
        except openai.APIStatusError as error:
            if error.response.has_redirect_location:
                raise sent_elsewhere(error.status_code) from error
            raise self._refusal(error, model) from error
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, httpx2.ConnectError):
                raise ModelUnreachableError("cannot be reached") from error
            raise ModelCutOffError from error
        except httpx2.TransportError as error:
            raise ModelCutOffError from error
        except (msgspec.MsgspecError, ValueError, RecursionError, BrokenInputError, httpx2.DecodingError) as error:
            raise ModelError("The model's server sent what cannot be read; is model_url right?") from error

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
        hidden = self._mask.text(message)
        return _INVISIBLE.sub(" ", _UNSTORABLE.sub(" ", _CODE.sub("", hidden)))[:_TOLD_CHARS_MAX]


def sent_elsewhere(status: int) -> ModelRefusedError:
    """Return what becomes of an answer that leads to another address, which nobody asks."""
    return ModelRefusedError(f"The model's server sends elsewhere ({status}); is model_url right?")


def _client(settings: ModelSettings) -> AsyncOpenAI:
    import openai  # noqa: PLC0415 - half a second that only servers with a model spend

    from chatkeep.connections import transport_to  # noqa: PLC0415
    from chatkeep.framing import Bounded  # noqa: PLC0415

    client = openai.AsyncOpenAI(
        base_url=settings.url,
        api_key=settings.key or "none",  # a local server asks for none, the client does
        max_retries=settings.retries,
        timeout=openai.Timeout(settings.timeout_s, connect=min(CONNECT_WAIT_S, settings.timeout_s)),
        default_headers={"Accept-Encoding": "identity"},
        http_client=openai.DefaultAsyncHttpxClient(
            transport=Bounded(transport_to(settings.url), ANSWER_BYTES_MAX, refusal_bytes_max=REFUSAL_BYTES_MAX),
            follow_redirects=False,  # another address may be anybody's, and the request has the conversation
        ),
    )
    client.organization = client.project = None  # the client took them from the environment
    _ = client.chat.completions.with_streaming_response  # loads the rest of it now, not at the first question
    return client


async def _chunks(pieces: AsyncIterator[bytes]) -> AsyncIterator[Chunk]:
    """Yield the chunks of an answer's events, which come in pieces that end anywhere.

    The client has its own way to do this, which takes twice the processor's time.
    """
    reader = EventReader()
    async for piece in pieces:
        for event in reader.read(piece):
            if event.data.strip() not in {b"", END}:
                yield _decoded(event.data)


def _decoded(data: bytes) -> Chunk:
    try:
        return _CHUNK.decode(data)
    except msgspec.DecodeError:  # half a pair of surrogates is JSON, too, and no reason to lose an answer
        return msgspec.convert(json.loads(data), Chunk)


def _text_of(chunk: Chunk) -> str:
    delta = chunk.choices[0].delta if chunk.choices else None
    if delta is None:
        return ""
    return _UNSTORABLE.sub("\ufffd", delta.content or delta.refusal or "")


def _note(ending: dict[str, Any], chunk: Chunk) -> None:
    """Note what a chunk tells of the whole answer."""
    if chunk.model:
        ending["model"] = chunk.model
    if chunk.choices and chunk.choices[0].finish_reason:
        ending["finish_reason"] = chunk.choices[0].finish_reason
    if chunk.usage:
        ending["prompt_tokens"] = chunk.usage.prompt_tokens
        ending["completion_tokens"] = chunk.usage.completion_tokens
        cost = chunk.usage.cost
        ending["cost"] = float(cost) if isinstance(cost, int | float) else None


def _says_long(told: str) -> bool:
    return _TOO_LONG.search(told) is not None


def _retry_after_s(header: str | None) -> int:
    return int(header) if header and _SECONDS.fullmatch(header) else RETRY_AFTER_S
