"""The recording proxy: `/v1/...` as OpenAI's API, so that any client of it is recorded by its base URL alone."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Request
from starlette.responses import Response

from chatkeep.bodies import LARGE_BYTES
from chatkeep.core.bounds import LARGE_BODY_BYTES_MAX
from chatkeep.errors import InvalidKeyError
from chatkeep.http.access import Own, Threads, room_for
from chatkeep.http.asked import asked_in
from chatkeep.http.body import JSON_TYPES, body_of
from chatkeep.http.metrics import Metrics
from chatkeep.http.passage import UNREADABLE, Passage, Recorder, Rooms
from chatkeep.http.relay import Outgoing, Relay
from chatkeep.recording import Recording, root_of

NamedKey = Annotated[
    str | None,
    Header(alias="X-Session-Key", description="The session that the conversation is stored in; else it is recognised."),
]


async def complete_chat(request: Request, sessions: Own, threads: Threads, named: NamedKey = None) -> Response:
    """Pass a request for a completion on to the model's server, and its answer back; both are recorded."""
    relay: Relay = request.app.state.relay
    metrics: Metrics = request.app.state.metrics
    relay.check()  # or say that there is none, before anything is stored
    room = await room_for(request)
    try:
        body = await body_of(request, JSON_TYPES, LARGE_BODY_BYTES_MAX)
        room.fit(len(body))
        asked = asked_in(body) if len(body) <= LARGE_BYTES else await threads.read(asked_in, body)
        recording = None
        if asked is None:
            metrics.missed("request", UNREADABLE)
        else:
            root = await threads.read(
                root_of, sessions, *asked, None if named is None else _text(named), request.state.grant.token_id
            )
            recording = Recording(sessions, root.key, asked.drafts, is_named=root.is_named)
    except BaseException:
        room.give_back()
        raise
    outgoing = Outgoing(body, room.part(len(body)))  # which is sent before long, while the rest is stored
    recorder = Recorder(relay, recording, threads, metrics.missed, Rooms(room, threads.body_memory.beginning()))
    recorder.begin()
    return Passage(lambda: relay.ask("POST", "chat/completions", request.headers, outgoing), recorder)


async def list_models(request: Request, threads: Threads) -> Response:
    """Tell which models there are, as the model's server tells it."""
    relay: Relay = request.app.state.relay
    relay.check()
    recorder = Recorder(relay, None, threads, request.app.state.metrics.missed)
    return Passage(lambda: relay.ask("GET", "models", request.headers), recorder)


def _text(header: str) -> str:
    """Return the text of a header that was sent as UTF-8."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError as error:
        raise InvalidKeyError("must be UTF-8", "X-Session-Key") from error
