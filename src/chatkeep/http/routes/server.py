"""The routes about the server itself: health, counts, metrics, and the description of the API."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

import chatkeep
from chatkeep.access.tokens import Token
from chatkeep.core.usage.spending import USAGE_LIMIT_DEFAULT, UsageQuery
from chatkeep.http import docs, metrics
from chatkeep.http.gate.rules import json_response
from chatkeep.http.routes import parameters as given
from chatkeep.http.services import Own, PoolsParameter, ServicesParameter
from chatkeep.wire.answers import Done, json_bytes, status_answer
from chatkeep.wire.bodies import parse_date
from chatkeep.wire.lives import TokenAnswer


async def get_health() -> Response:
    """Answer `ok` while the server is alive."""
    return json_response(json_bytes(Done()))


async def get_status(services: ServicesParameter, sessions: Own, prefix: given.Prefix = None) -> Response:
    """Return counts and sizes of the sessions visible to the token."""
    uptime_s = time.monotonic() - services.started_s
    status = await services.pools.read(sessions.status, prefix or "")
    chat = services.upstreams.usual.is_set
    told = status_answer(status, version=chatkeep.__version__, uptime_s=uptime_s, chat=chat)
    return json_response(json_bytes(told))


async def get_stats(
    sessions: Own,
    threads: PoolsParameter,
    *,
    prefix: given.Prefix = None,
    unit: given.StatsUnit = "month",
    since: given.FirstDay = None,
) -> Response:
    """Count the sessions visible to the token, over time, by channel and by tag, and name the largest."""
    first = None if since is None else parse_date("since", since)
    return json_response(json_bytes(await threads.read(sessions.stats, prefix or "", unit=unit, since=first)))


async def get_usage(  # noqa: PLR0913 - one parameter per query parameter
    services: ServicesParameter,
    sessions: Own,
    chosen: given.Filtered,
    *,
    by: given.UsageBy = "day",
    session: given.OnlyKey = None,
    since: given.FirstDay = None,
    until: given.LastDay = None,
    limit: given.UsageLimit = USAGE_LIMIT_DEFAULT,
) -> Response:
    """Add up the tokens and the cost of the models' answers, by day, model, channel, session or tag."""
    asked = UsageQuery(
        by=by,
        selection=chosen,
        session=None if session is None else given.key("session", session),
        since=None if since is None else parse_date("since", since),
        until=None if until is None else parse_date("until", until),
        limit=limit,
        prices=services.prices,
    )
    return json_response(json_bytes(await services.pools.read(sessions.usage, asked)))


async def get_token(request: Request) -> Response:
    """Return the rights of the token of the request: its scopes, its prefix, its limit."""
    token: Token = request.state.token
    answer = TokenAnswer(**{name: getattr(token, name) for name in TokenAnswer.__struct_fields__})
    return json_response(json_bytes(answer))


async def get_metrics(services: ServicesParameter) -> Response:
    """Return the metrics for Prometheus."""
    exposition = await services.pools.read(services.metrics.exposition)
    return Response(exposition, headers={"Content-Type": metrics.METRICS_TYPE})


async def get_openapi(services: ServicesParameter) -> Response:
    """Return the description of the API as OpenAPI 3.1."""
    return json_response(services.description.document)


async def get_docs(services: ServicesParameter) -> Response:
    """Return the description of the API as a page."""
    return Response(
        services.description.page, headers={"Content-Security-Policy": docs.DOCS_POLICY}, media_type="text/html"
    )
