"""Telemetry of OpenTelemetry, over OTLP/HTTP: conversations of clients whose base URL cannot be changed."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from chatkeep.errors import UnsupportedTypeError
from chatkeep.http.gate.body import body_of
from chatkeep.http.gate.rules import JSON_TYPE
from chatkeep.http.services import Own, Services, ServicesParameter
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.otlp import PROTOBUF_TYPE, Signal
from chatkeep.workers.telemetry_intake import Telemetry, taken_down

TELEMETRY_TYPES: Final = (JSON_TYPE, PROTOBUF_TYPE)
_PACKINGS: Final = ("identity", "gzip")


async def take_logs(request: Request, services: ServicesParameter, sessions: Own) -> Response:
    """Store the conversations that log records tell of; whatever else they tell is not kept."""
    return await _taken(request, services, sessions, "logs")


async def take_traces(request: Request, services: ServicesParameter, sessions: Own) -> Response:
    """Store the conversations that spans tell of; whatever else they tell is not kept."""
    return await _taken(request, services, sessions, "traces")


async def _taken(request: Request, services: Services, sessions: Sessions, signal: Signal) -> Response:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    packing = request.headers.get("content-encoding", "identity").lower()
    if kind not in TELEMETRY_TYPES or packing not in _PACKINGS:
        raise UnsupportedTypeError(f"{' or '.join(TELEMETRY_TYPES)}, plain or as gzip")
    what = Telemetry(
        prefix=sessions.prefix,
        signal=signal,
        by=request.state.grant.token_id,
        is_protobuf=kind == PROTOBUF_TYPE,
        is_packed=packing == "gzip",
    )
    body = await body_of(request, None)
    answer = await services.pools.beside(what, body)
    if answer is None:
        answer = await services.pools.write(taken_down, sessions, what, body)
    return Response(answer.data, media_type=kind)
