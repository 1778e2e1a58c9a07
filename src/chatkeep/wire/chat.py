"""The JSON answers of chat, whole or in events; the other answers are in `wire.answers`."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType


class Usage(Struct, frozen=True, kw_only=True):
    """The token counts of the model's server; zeros when it sends none."""

    prompt_tokens: int
    completion_tokens: int


class NotStored(Struct, frozen=True, kw_only=True):
    """The reason for a complete answer missing from its session: the code and the sentence of the error."""

    code: str
    detail: str


class ChatAnswer(Struct, frozen=True, kw_only=True):
    """The model's answer. The server calls no tools yet, so there is one iteration.

    `not_stored` is present when storing the answer failed: then the session does not have it.
    """

    response: str
    iterations: int = 1
    usage: Usage
    tool_calls_made: tuple[str, ...] = ()
    session_key: str
    not_stored: NotStored | UnsetType = UNSET


class ChatStart(Struct, frozen=True, kw_only=True):
    """The event `start`: the message is stored in this session, and the server asks the model."""

    session_key: str


class ChatToken(Struct, frozen=True, kw_only=True):
    """The event `token`: a piece of the answer."""

    text: str


class ChatReasoning(Struct, frozen=True, kw_only=True):
    """The event `reasoning`: a piece of the model's thinking, not of its answer."""

    text: str


class ChatDone(Struct, frozen=True, kw_only=True):
    """The event `done`: the answer is stored as the message with this seq."""

    iterations: int = 1
    usage: Usage
    tool_calls_made: tuple[str, ...] = ()
    session_key: str
    seq: int
    finish_reason: str
