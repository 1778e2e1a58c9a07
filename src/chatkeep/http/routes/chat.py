"""Chat, as grip-ai's Chat API: a request stores a message in a new or known session, and the model's answer after it.

The work is in `model.chat`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.json import Decoder
from starlette.requests import Request
from starlette.responses import Response

from chatkeep.core.sse import Event, event_bytes
from chatkeep.core.text.reasoning import TextPiece
from chatkeep.errors import BusyError, SessionDamagedError, StorageError
from chatkeep.http.gate.body import json_of
from chatkeep.http.gate.rules import json_response
from chatkeep.http.services import Own, Services, ServicesParameter, room_for_body
from chatkeep.http.streams.responses import EventStream, SendBytes
from chatkeep.model.chat import Turn, check_chat_key, done_of
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire import answers
from chatkeep.wire.bodies import ChatBody
from chatkeep.wire.chat import ChatAnswer, ChatReasoning, ChatStart, ChatToken, NotStored
from chatkeep.wire.errors import advised

_CHAT: Final = Decoder(ChatBody)
_EVENT_CHARS: Final = 1 << 16  # characters of an event; the slowest take 1 ms


async def answer_chat(request: Request, services: ServicesParameter, sessions: Own) -> Response:
    """Send a message to the model, and answer once the model's answer is stored.

    The answer is returned even if storing it fails: `not_stored` then has the reason.
    """
    turn = await _begun(request, services, sessions)
    not_stored: NotStored | UnsetType = UNSET
    try:
        answered = await turn.run(_hear_nothing)
    except (StorageError, BusyError, SessionDamagedError) as error:
        if turn.heard is None:
            raise
        answered, not_stored = turn.heard, NotStored(code=error.code, detail=advised(error))
    told = ChatAnswer(
        response=answered.text, usage=done_of(answered).usage, session_key=turn.key, not_stored=not_stored
    )
    return json_response(answers.json_bytes(told))


async def stream_chat(request: Request, services: ServicesParameter, sessions: Own) -> Response:
    """Send a message to the model and answer piece by piece.

    The events are start, reasoning and token as they come, and done or error.
    """
    turn = await _begun(request, services, sessions)

    async def write(emit: SendBytes) -> None:
        async def hear(piece: TextPiece) -> None:
            for event in _events_of(piece):
                await emit(event)

        await emit(_event("start", ChatStart(session_key=turn.key)))
        answered = await turn.run(hear)
        await emit(_event("done", done_of(answered)))

    return EventStream(write)


async def _begun(request: Request, services: Services, sessions: Sessions) -> Turn:
    async with room_for_body(request):  # only while reading the body: the model may take minutes
        body = await json_of(request, services.pools, _CHAT)
    if body.session_key is not None:
        check_chat_key(body.session_key, sessions.prefix)
    return await services.chats.begin(sessions, services.pools, body.message, key=body.session_key, model=body.model)


def _event(name: str, data: Struct) -> bytes:
    return event_bytes(Event(name, answers.json_bytes(data)))


def _events_of(piece: TextPiece) -> Iterator[bytes]:
    """Yield the events of a piece, one for each `_EVENT_CHARS`: to encode a long text holds up the event loop."""
    for start in range(0, max(1, len(piece.text)), _EVENT_CHARS):
        text = piece.text[start : start + _EVENT_CHARS]
        if piece.kind == "reasoning":
            yield _event("reasoning", ChatReasoning(text=text))
        else:
            yield _event("token", ChatToken(text=text))


async def _hear_nothing(_: TextPiece) -> None:
    """Ignore a piece of an answer: the response has the whole answer at the end."""
