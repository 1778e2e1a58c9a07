"""The recording proxy: `/v1/...` and `/v1beta/...` as a model's server; a client needs only another base URL.

Requests of the protocols in `model.protocols` are recorded. Any other request passes unrecorded, under the same rules
about tokens and headers.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial
from typing import Annotated, Final, NamedTuple
from urllib.parse import unquote_plus

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from chatkeep.core.bounds import LARGE_BODY_BYTES_MAX
from chatkeep.core.history.protocols.anthropic import MESSAGES
from chatkeep.core.history.protocols.chat_completions import COMPLETIONS
from chatkeep.core.history.protocols.gemini import GEMINI
from chatkeep.core.history.protocols.item_folding import RESPONSES
from chatkeep.core.history.protocols.speaking import ModelProtocol
from chatkeep.errors import InvalidKeyError, NotFoundError
from chatkeep.http.gate.binding import InHeader, InPath, InQuery
from chatkeep.http.gate.body import JSON_TYPES, body_of
from chatkeep.http.gate.guard import KEY_PARAMETER, QUERY_KEY_PATHS, authorise_everywhere
from chatkeep.http.gate.rules import Pools, room_for
from chatkeep.http.services import Own, Services, ServicesParameter
from chatkeep.http.streams.passage import ASIDE, UNREADABLE_ANSWER, Hold, Passage, Recorder, Rooms
from chatkeep.http.streams.relay import Outgoing
from chatkeep.http.streams.responses import while_there
from chatkeep.model.asked import asked_in
from chatkeep.model.recording import Held, Recording, root_of
from chatkeep.model.state.stated import StatedRequest, may_be_stated, stated
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.bodies import LARGE_BYTES
from chatkeep.workers.holding import Holding, RootRequest, held_of_answer, root_of_answer

_ANTHROPIC: Final = "anthropic-version"
_GOOGLE: Final = ("x-goog-api-key", "x-goog-api-client")
_MODELS: Final = "models"
_VERSION: Final = re.compile(r"\A/.*?(?:/|%2f)", re.IGNORECASE)
"""The API's version at the beginning of a path as it came: any of its characters may be escaped."""
_IN_PATH: Final = re.compile(r"(?:[^:]*/)?(?:models|tunedModels)/([^/:]+)")
"""The model that a path of Gemini's names."""
OtherPath = Annotated[str, InPath(description="The rest of the path, passed on to the model's server.")]
GeminiModel = Annotated[str, InPath(description="The name of the model, such as `gemini-2.5-flash`.")]
StreamForm = Annotated[
    str | None, InQuery(description="`sse`: an event for each piece. Without it: one JSON list, piece by piece.")
]
NamedKey = Annotated[
    str | None,
    InHeader("X-Session-Key", "The key of the session to store in; without it, Chatkeep recognises the conversation."),
]


async def complete_chat(
    request: Request, services: ServicesParameter, sessions: Own, named: NamedKey = None
) -> Response:
    """Forward a completion request to the model's server, and return its answer; record both."""
    return await _recorded(RecordedCall(request, services, sessions, COMPLETIONS), named)


class RecordedCall(NamedTuple):
    """A request to record."""

    request: Request
    services: Services
    sessions: Sessions
    protocol: ModelProtocol
    model: str = ""
    """The model in the path, empty where the body names it."""

    @property
    def threads(self) -> Pools:
        """The threads and processes for its work."""
        return self.services.pools


async def _recorded(call: RecordedCall, named: str | None) -> Response:
    """Return the passage of a request to the model's server, with its recording begun."""
    request, services, threads = call.request, call.services, call.threads
    services.upstreams.check()  # before the body is read
    room = await room_for(request, threads.body_memory)
    try:
        body = await body_of(request, JSON_TYPES, LARGE_BODY_BYTES_MAX)
        room.fit(len(body))
        sent = await _stated(call, body)
        plan = await _plan_of(call, body, None if named is None else _text(named))
        if isinstance(plan.recording, Recording):
            plan.recording.kept = sent.kept
        relay = services.upstreams.relay_for(call.protocol.kind, call.model or plan.model)  # before anything is stored
        is_long = len(body) > LARGE_BYTES and isinstance(plan.recording, Recording)
        line = await while_there(request, threads.body_memory.line(len(body))) if is_long else None
        if plan.recording == UNREADABLE_ANSWER:
            services.metrics.missed("request", UNREADABLE_ANSWER)
    except BaseException:
        room.give_back()
        raise
    outgoing = Outgoing(sent.body, room.part(len(body)))  # released once sent; the rest stays until it is stored
    rooms = Rooms(room, threads.body_memory.beginning(), line)
    recorder = Recorder(relay, plan.recording, threads, services.metrics.missed, rooms)
    recorder.begin(plan.hold)
    address, key_header = _address_of(request), call.protocol.key_header
    return Passage(lambda: relay.ask("POST", address, request.headers, outgoing, key_header=key_header), recorder)


async def _stated(call: RecordedCall, body: bytes) -> StatedRequest:
    """Return the request for the model's server: one of Responses with the items that it leaves to the server.

    Raises:
        InvalidRequestError, NotFoundError, TooLargeError: as in `stated`.
    """
    upstreams = call.services.upstreams
    if call.protocol is not RESPONSES or (upstreams.keeps_conversations and not upstreams.lacks_state):
        return StatedRequest(body)
    if not may_be_stated(body, keeps=upstreams.lacks_state):
        return StatedRequest(body)
    return await call.threads.compare(stated, call.sessions, body, keeps=upstreams.lacks_state)


async def create_message(
    request: Request, services: ServicesParameter, sessions: Own, named: NamedKey = None
) -> Response:
    """Forward a request of Anthropic's Messages to the model's server, and return its answer; record both."""
    return await _recorded(RecordedCall(request, services, sessions, MESSAGES), named)


async def create_response(
    request: Request, services: ServicesParameter, sessions: Own, named: NamedKey = None
) -> Response:
    """Forward a request of OpenAI's Responses to the model's server, and return its answer; record both."""
    return await _recorded(RecordedCall(request, services, sessions, RESPONSES), named)


async def generate_content(
    request: Request, services: ServicesParameter, sessions: Own, model: GeminiModel, named: NamedKey = None
) -> Response:
    """Forward a request of Gemini's `generateContent` to the model's server, and return its answer; record both."""
    return await _generated(request, services, sessions, model, named)


async def stream_content(
    request: Request,
    services: ServicesParameter,
    sessions: Own,
    model: GeminiModel,
    *,
    named: NamedKey = None,
    alt: StreamForm = None,  # noqa: ARG001 - passes with the query
) -> Response:
    """Do the same for `streamGenerateContent`: events with `alt=sse`, else a list that grows."""
    return await _generated(request, services, sessions, model, named)


async def _generated(
    request: Request, services: Services, sessions: Sessions, model: str, named: str | None
) -> Response:
    _check_path(model)
    return await _recorded(RecordedCall(request, services, sessions, GEMINI, model.rpartition("/")[2]), named)


async def list_models(request: Request, services: ServicesParameter) -> Response:
    """Return the list of models, as the model's server sends it."""
    return await _passed(request, services, _MODELS)


async def pass_on(request: Request, services: ServicesParameter, path: OtherPath) -> Response:
    """Forward any other request to the model's server, unrecorded: embeddings, moderations, audio, token counts."""
    return await _passed(request, services, path)


async def _passed(request: Request, services: Services, path: str) -> Response:
    """Return the passage of a request to the model's server, without a recording.

    Raises:
        NotFoundError: when the path leads out of the API of the model's server.
        ForbiddenError: when a confined token reads anything but models there, or deletes anything.
    """
    upstreams, memory = services.upstreams, services.pools.body_memory
    upstreams.check()
    _check_path(path)
    if request.method == "DELETE" or (request.method == "GET" and path.partition("/")[0] != _MODELS):
        authorise_everywhere(request.state.grant, "write" if request.method == "DELETE" else "read")
    is_gemini = request.scope["path"].startswith(QUERY_KEY_PATHS) or any(name in request.headers for name in _GOOGLE)
    protocol = GEMINI if is_gemini else MESSAGES if _ANTHROPIC in request.headers else COMPLETIONS
    address = _address_of(request)
    room = await room_for(request, memory)
    try:
        body = await body_of(request, None, LARGE_BODY_BYTES_MAX)
        room.fit(len(body))
        named = _IN_PATH.match(path) if is_gemini else None
        model = named[1] if named else ""
        if upstreams.has_choice and body and not named:
            model = await services.pools.read(_model_in, body)
        relay = upstreams.relay_for(protocol.kind, model.rpartition("/")[2] if is_gemini else model)
    except BaseException:
        room.give_back()
        raise
    outgoing = Outgoing(body, room.part(len(body))) if body or request.method == "POST" else None
    recorder = Recorder(relay, None, services.pools, services.metrics.missed, Rooms(room))
    recorder.begin()
    return Passage(
        lambda: relay.ask(request.method, address, request.headers, outgoing, key_header=protocol.key_header), recorder
    )


def _check_path(path: str) -> None:
    """Check for a path within the API of the model's server.

    Raises:
        NotFoundError: for another one.
    """
    if not {".", ".."}.isdisjoint(path.replace("\\", "/").split("/")) or not path.isprintable():
        raise NotFoundError


class _Named(Struct):
    """The one field of a request that decides where it goes."""

    model: str = ""


def _model_in(body: bytes) -> str:
    """Return the model that a request names, empty for none."""
    with suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
        return msgspec.json.decode(body, type=_Named).model
    return ""


def _address_of(request: Request) -> str:
    """Return the path and query of a request as they came, below the API's version, without a token in the query."""
    raw: bytes = request.scope["raw_path"]
    query = request.scope["query_string"].decode("ascii", "ignore")
    if request.scope["path"].startswith(QUERY_KEY_PATHS):  # as the guard reads it, escapes or not
        query = "&".join(pair for pair in query.split("&") if unquote_plus(pair.partition("=")[0]) != KEY_PARAMETER)
    path = _VERSION.sub("", raw.decode("ascii", "ignore"), count=1)
    return f"{path}?{query}" if query else path


class _Plan(NamedTuple):
    """The model of a call, and how it is recorded; a text in place of the recording says why it is not.

    The function stores a long request in the other process. It is None for a short request, and without that process.
    """

    recording: Recording | str
    model: str = ""
    hold: Hold | None = None


async def _plan_of(call: RecordedCall, body: bytes, named: str | None) -> _Plan:
    """Return how a call is recorded."""
    sessions, protocol, by = call.sessions, call.protocol, call.request.state.grant.token_id
    what = RootRequest(prefix=sessions.prefix, protocol=protocol.name, named=named, by=by)
    if len(body) > LARGE_BYTES and (answer := await call.threads.beside(what, body)) is not None:
        root = root_of_answer(answer)
        if root is None or root.is_aside:
            return _Plan(UNREADABLE_ANSWER) if root is None else _Plan(ASIDE, root.model)
        holding = Holding(prefix=sessions.prefix, protocol=protocol.name, root=root)
        hold = partial(_held, holding, body, call.threads)
        return _Plan(Recording(sessions, root, (), protocol), root.model, hold)
    is_short = len(body) <= LARGE_BYTES
    asked = asked_in(body, protocol) if is_short else await call.threads.read(asked_in, body, protocol)
    if asked is None:
        return _Plan(UNREADABLE_ANSWER)
    root = await call.threads.compare(root_of, sessions, asked, named, by)
    return _Plan(ASIDE if root.is_aside else Recording(sessions, root, asked.drafts, protocol), root.model)


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
