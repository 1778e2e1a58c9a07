"""The JSON that chat answers, at once or in events; the rest of what goes out is in `wire`."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType


class Usage(Struct, frozen=True, kw_only=True):
    """What the model's server counted; zeros when it does not say."""

    prompt_tokens: int
    completion_tokens: int


class NotStored(Struct, frozen=True, kw_only=True):
    """Why a complete answer is not in its session, by the code and the sentence of the error."""

    code: str
    detail: str


class ChatAnswer(Struct, frozen=True, kw_only=True):
    """The model's answer. Tools are not called yet, so there is one iteration.

    `not_stored` is there when the answer could not be stored: then it is here alone.
    """

    response: str
    iterations: int = 1
    usage: Usage
    tool_calls_made: tuple[str, ...] = ()
    session_key: str
    not_stored: NotStored | UnsetType = UNSET


class ChatStart(Struct, frozen=True, kw_only=True):
    """The event `start`: the message is stored in this session, and the model is asked."""

    session_key: str


class ChatToken(Struct, frozen=True, kw_only=True):
    """The event `token`: a piece of the answer."""

    text: str


class ChatReasoning(Struct, frozen=True, kw_only=True):
    """The event `reasoning`: a piece of what the model thinks, which is no part of the answer."""

    text: str


class ChatDone(Struct, frozen=True, kw_only=True):
    """The event `done`: the answer is stored, as the message with this seq."""

    iterations: int = 1
    usage: Usage
    tool_calls_made: tuple[str, ...] = ()
    session_key: str
    seq: int
    finish_reason: str
