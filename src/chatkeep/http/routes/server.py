"""The routes about the server itself: health, counts, metrics, and the description of the API."""

from __future__ import annotations

import time

from fastapi import Request
from starlette.responses import Response

import chatkeep
from chatkeep.core.stats import PeriodUnit
from chatkeep.http import docs, metrics
from chatkeep.http.gate.rules import Own, PoolsParameter, json_response
from chatkeep.http.routes import parameters as given
from chatkeep.wire.answers import Done, json_bytes, status_answer
from chatkeep.wire.bodies import parse_date


async def get_health() -> Response:
    """Answer `ok` while the server is alive."""
    return json_response(json_bytes(Done()))


async def get_status(request: Request, sessions: Own, threads: PoolsParameter, prefix: given.Prefix = None) -> Response:
    """Return counts and sizes of the sessions visible to the token."""
    uptime_s = time.monotonic() - request.app.state.started
    status = await threads.read(sessions.status, prefix or "")
    chat = request.app.state.relay.is_set
    told = status_answer(status, version=chatkeep.__version__, uptime_s=uptime_s, chat=chat)
    return json_response(json_bytes(told))


async def get_stats(
    sessions: Own,
    threads: PoolsParameter,
    *,
    prefix: given.Prefix = None,
    unit: PeriodUnit = "month",
    since: given.Day = None,
) -> Response:
    """Count the sessions visible to the token, over time, by channel and by tag, and name the largest."""
    first = None if since is None else parse_date("since", since)
    return json_response(json_bytes(await threads.read(sessions.stats, prefix or "", unit=unit, since=first)))


async def get_metrics(request: Request, threads: PoolsParameter) -> Response:
    """Return the metrics for Prometheus."""
    exposition = await threads.read(request.app.state.metrics.exposition)
    return Response(exposition, headers={"Content-Type": metrics.METRICS_TYPE})


async def get_openapi(request: Request) -> Response:
    """Return the description of the API as OpenAPI 3.1."""
    return json_response(request.app.state.description)


async def get_docs(request: Request) -> Response:
    """Return the description of the API as a page."""
    return Response(
        request.app.state.docs, headers={"Content-Security-Policy": docs.DOCS_POLICY}, media_type="text/html"
    )
