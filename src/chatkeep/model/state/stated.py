"""Requests of Responses that leave earlier items to the server, made whole for a server without state.

A request may go on behind a response (`previous_response_id`) or in a conversation. Where Chatkeep keeps that one, it
puts the stored items before those of the request. The recording goes on from the request as it came.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from chatkeep.core.bounds import LARGE_BODY_BYTES_MAX
from chatkeep.core.history.state.conversation_ids import CONVERSATION_BEGINNING, key_of_conversation
from chatkeep.core.history.state.stated_responses import earlier_items
from chatkeep.core.model import Json, Message
from chatkeep.core.standing import said
from chatkeep.errors import InvalidRequestError, NotFoundError, SessionNotFoundError, TooLargeError
from chatkeep.model.state.registers import KeptResponses, settings_in
from chatkeep.sessions.sessions import Sessions

_SETTINGS_BYTES_MAX: Final = 128 << 10  # of the request's settings kept with a response
_RESPONSE: Final = "previous_response_id"
_CONVERSATION: Final = "conversation"
_MARK: Final = b'"conversation"'


class StatedRequest(NamedTuple):
    """The body for the model's server, and the settings to keep with its response; None where it is not kept."""

    body: bytes
    kept: dict[str, Json] | None = None


def may_be_stated(body: bytes, *, keeps: bool) -> bool:
    """Tell, without parsing it, whether a request may leave anything to Chatkeep."""
    return keeps or _MARK in body


def stated(sessions: Sessions, body: bytes, *, keeps: bool) -> StatedRequest:
    """Return a request of Responses made whole. `keeps` says that the model's server has no state.

    With a server that has state, only our own conversations are resolved; everything else passes as it came.

    Raises:
        InvalidRequestError: when the request names a response that is not kept, both ways at once, or a bad id, or its
            input is neither a text nor a list.
        NotFoundError: when the conversation is not there.
        TooLargeError: when the whole would be too large.
    """
    fields = _fields(body)
    if fields is None:
        return StatedRequest(body)
    answer, thread = _text(fields, _RESPONSE), _text(fields, _CONVERSATION)
    earlier = _earlier(sessions, answer if keeps else "", thread, keeps=keeps)
    kept = None
    if keeps:
        if bytes(fields.get("background", b"")) == b"true":
            raise InvalidRequestError("background", "needs a model's server that keeps responses itself")
        is_kept = bytes(fields.get("store", b"")) != b"false"
        kept = settings_in(fields, _SETTINGS_BYTES_MAX) if is_kept else None
    return StatedRequest(body if earlier is None else _whole(fields, earlier), kept)


def _earlier(sessions: Sessions, answer: str, thread: str, *, keeps: bool) -> list[dict[str, Json]] | None:
    """Return the items before those of a request, None where it has all of them, or its server has the others."""
    if answer and thread:
        raise InvalidRequestError(_RESPONSE, f"and {_CONVERSATION} exclude each other: send one of them")
    if answer:
        found = KeptResponses(sessions).find(answer)
        if found is None:
            raise InvalidRequestError(_RESPONSE, f"names no response that is kept here: {answer[:128]!r} not found")
        kept, message = found
        return earlier_items(one for one in _standing(sessions, kept.session) if one.seq <= message.seq)
    if not thread:
        return None
    key = key_of_conversation(thread)
    if keeps and not thread.startswith(CONVERSATION_BEGINNING):
        raise InvalidRequestError(_CONVERSATION, f"{thread[:64]!r} is none: such an id begins with conv_")
    try:
        return None if key is None and not keeps else earlier_items(_standing(sessions, key or ""))
    except SessionNotFoundError as error:
        if keeps:
            raise NotFoundError(f"Conversation with id {thread[:200]!r} not found.") from error
        return None


def _standing(sessions: Sessions, key: str) -> Sequence[Message]:
    if not key:
        raise SessionNotFoundError(key)
    return said(sessions.read(key, log=True).messages)


def _fields(body: bytes) -> dict[str, msgspec.Raw] | None:
    """Return the fields of a request, each as JSON; None for other bytes, as the model's server refuses them."""
    try:
        return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):  # half characters, NaN, or no JSON
        with suppress(ValueError, RecursionError):
            found = json.loads(body)
            if isinstance(found, dict) and all(name.isascii() for name in found):
                return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in found.items()}
        return None


def _text(fields: Mapping[str, msgspec.Raw], name: str) -> str:
    """Return an id in a field, or in the object of a field; empty for none."""
    try:
        value = msgspec.json.decode(fields[name]) if name in fields else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    value = value.get("id") if isinstance(value, dict) else value
    return value if isinstance(value, str) else ""


def _whole(fields: dict[str, msgspec.Raw], earlier: list[dict[str, Json]]) -> bytes:
    """Return a request with items before its own; every other field stays as it came."""
    own = bytes(fields.get("input", b"[]")).strip()
    if own[:1] not in (b"[", b'"') and own != b"null":
        raise InvalidRequestError("input", "must be a text or a list of items")
    if own[:1] == b'"':
        own = b'[{"role":"user","content":' + own + b"}]"
    inner = own[1:-1].strip() if own[:1] == b"[" else b""
    before = msgspec.json.encode(earlier)[1:-1]
    items = b"[" + b",".join(filter(None, (before, inner))) + b"]"
    if len(items) > LARGE_BODY_BYTES_MAX:
        raise TooLargeError("input with the items before it", LARGE_BODY_BYTES_MAX)
    passing = {name: raw for name, raw in fields.items() if name not in (_RESPONSE, _CONVERSATION)}
    return msgspec.json.encode({**passing, "input": msgspec.Raw(items)})
