"""Chat: sessions are created and grow through it, as grip-ai's Chat API. What happens stands in `chatkeep.chat`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Final

from fastapi import Request
from msgspec import UNSET, Struct, UnsetType
from msgspec.json import Decoder
from starlette.responses import Response

from chatkeep import chat_wire, wire
from chatkeep.bodies import ChatBody
from chatkeep.chat import Chats, Turn, check_chat_key, done_of
from chatkeep.core.reasoning import Piece
from chatkeep.core.sse import Event, encoded
from chatkeep.errors import BusyError, SessionDamagedError, StorageError
from chatkeep.http.access import Own, Pools, Threads, json_response, room_for_body
from chatkeep.http.body import json_of
from chatkeep.http.events import Emit, EventStream
from chatkeep.sessions import Sessions

_CHAT: Final = Decoder(ChatBody)


async def chat(request: Request, sessions: Own, threads: Threads) -> Response:
    """Send a message to the model and answer when its answer is stored."""
    turn = await _begun(request, sessions, threads)
    not_stored: chat_wire.NotStored | UnsetType = UNSET
    try:
        answered = await turn.run(_hear_nothing)
    except (StorageError, BusyError, SessionDamagedError) as error:
        if turn.heard is None:
            raise
        answered, not_stored = turn.heard, chat_wire.NotStored(code=error.code, detail=f"{error}")
    told = chat_wire.ChatAnswer(
        response=answered.text, usage=done_of(answered).usage, session_key=turn.key, not_stored=not_stored
    )
    return json_response(wire.encoded(told))


async def stream_chat(request: Request, sessions: Own, threads: Threads) -> Response:
    """Send a message to the model and answer piece by piece.

    The events are start, reasoning and token as they come, and done or error.
    """
    turn = await _begun(request, sessions, threads)

    async def write(emit: Emit) -> None:
        await emit(_event("start", chat_wire.ChatStart(session_key=turn.key)))
        answered = await turn.run(lambda piece: emit(_event_of(piece)))
        await emit(_event("done", done_of(answered)))

    return EventStream(write)


async def _begun(request: Request, sessions: Sessions, threads: Pools) -> Turn:
    async with asynccontextmanager(room_for_body)(request):  # only while it is read: the model may take minutes
        body = await json_of(request, _CHAT)
    if body.session_key is not None:
        check_chat_key(body.session_key, sessions.prefix)
    chats: Chats = request.app.state.chats
    return await chats.begin(sessions, threads, body.message, key=body.session_key, model=body.model)


def _event(name: str, data: Struct) -> bytes:
    return encoded(Event(name, wire.encoded(data)))


def _event_of(piece: Piece) -> bytes:
    if piece.kind == "reasoning":
        return _event("reasoning", chat_wire.ChatReasoning(text=piece.text))
    return _event("token", chat_wire.ChatToken(text=piece.text))


async def _hear_nothing(_: Piece) -> None:
    """Let a piece of an answer go by: the whole is told at the end."""
