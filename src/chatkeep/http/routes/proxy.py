"""The recording proxy: `/v1/...` as OpenAI's API; a client needs only another base URL to be recorded."""

from __future__ import annotations

from functools import partial
from typing import Annotated, NamedTuple

from fastapi import Header, Request
from starlette.responses import Response

from chatkeep.core.bounds import LARGE_BODY_BYTES_MAX
from chatkeep.core.history.folding import COMPLETIONS
from chatkeep.core.history.protocol import ModelProtocol
from chatkeep.errors import InvalidKeyError
from chatkeep.http.gate.body import JSON_TYPES, body_of
from chatkeep.http.gate.rules import Pools, room_for
from chatkeep.http.services import Own, Services, ServicesParameter
from chatkeep.http.streams.passage import UNREADABLE_ANSWER, Hold, Passage, Recorder, Rooms
from chatkeep.http.streams.relay import Outgoing
from chatkeep.model.asked import asked_in
from chatkeep.model.recording import Held, Recording, root_of
from chatkeep.sessions import Sessions
from chatkeep.wire.bodies import LARGE_BYTES
from chatkeep.workers.holding import Holding, RootRequest, held_of_answer, root_of_answer

NamedKey = Annotated[
    str | None,
    Header(alias="X-Session-Key", description="The session that the conversation is stored in; else it is recognised."),
]


async def complete_chat(
    request: Request, services: ServicesParameter, sessions: Own, named: NamedKey = None
) -> Response:
    """Forward a completion request to the model's server, and return its answer; record both."""
    return await _recorded(Call(request, services, sessions, COMPLETIONS), named)


class Call(NamedTuple):
    """A request to record."""

    request: Request
    services: Services
    sessions: Sessions
    protocol: ModelProtocol

    @property
    def threads(self) -> Pools:
        """The threads and processes for its work."""
        return self.services.pools


async def _recorded(call: Call, named: str | None) -> Response:
    """Return the passage of a request to the model's server, with its recording begun."""
    request, services, threads = call.request, call.services, call.threads
    relay = services.relay
    relay.check()  # before anything is stored
    room = await room_for(request, threads.body_memory)
    try:
        body = await body_of(request, JSON_TYPES, LARGE_BODY_BYTES_MAX)
        room.fit(len(body))
        recording, hold = await _recording(call, body, None if named is None else _text(named))
        if recording is None:
            services.metrics.missed("request", UNREADABLE_ANSWER)
    except BaseException:
        room.give_back()
        raise
    outgoing = Outgoing(body, room.part(len(body)))  # released once sent; the rest stays until it is stored
    rooms = Rooms(room, threads.body_memory.beginning())
    recorder = Recorder(relay, recording, threads, services.metrics.missed, rooms)
    recorder.begin(hold)
    return Passage(lambda: relay.ask("POST", call.protocol.path, request.headers, outgoing), recorder)


async def list_models(request: Request, services: ServicesParameter) -> Response:
    """Return the list of models, as the model's server sends it."""
    relay = services.relay
    relay.check()
    recorder = Recorder(relay, None, services.pools, services.metrics.missed)
    return Passage(lambda: relay.ask("GET", "models", request.headers), recorder)


async def _recording(call: Call, body: bytes, named: str | None) -> tuple[Recording | None, Hold | None]:
    """Return the recording of a call, and the function storing a long request in the other process.

    The recording is None when the body has no readable request. The function is None for a short request, and
    where there is no other process.
    """
    sessions, protocol, by = call.sessions, call.protocol, call.request.state.grant.token_id
    what = RootRequest(prefix=sessions.prefix, protocol=protocol.name, named=named, by=by)
    if len(body) > LARGE_BYTES and (answer := await call.threads.beside(what, body)) is not None:
        root = root_of_answer(answer)
        if root is None:
            return None, None
        holding = Holding(prefix=sessions.prefix, protocol=protocol.name, root=root)
        return Recording(sessions, root, (), protocol), partial(_held, holding, body, call.threads)
    is_short = len(body) <= LARGE_BYTES
    asked = asked_in(body, protocol) if is_short else await call.threads.read(asked_in, body, protocol)
    if asked is None:
        return None, None
    root = await call.threads.read(root_of, sessions, asked, named, by)
    return Recording(sessions, root, asked.drafts, protocol), None


async def _held(holding: Holding, body: bytes, threads: Pools, recording: Recording) -> Held | None:
    """Store a long request in the other process, and return its place; None leaves the storing to this process."""
    answer = await threads.beside(holding, body)
    if answer is not None:
        return held_of_answer(answer)
    asked = await threads.read(asked_in, body, recording.protocol)
    recording.take(asked.drafts if asked else ())
    return None


def _text(header: str) -> str:
    """Return the text of a header sent as UTF-8.

    Raises:
        InvalidKeyError: when it is not UTF-8.
    """
    try:
        return header.encode("latin-1").decode()
    except UnicodeError as error:
        raise InvalidKeyError("must be UTF-8", "X-Session-Key") from error
