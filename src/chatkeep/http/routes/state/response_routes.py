"""Responses kept for a server without state: `/v1/responses/{id}`, from the sessions."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec
from starlette.responses import Response

from chatkeep.errors import InvalidError
from chatkeep.http.gate.binding import Computed, InPath, InQuery
from chatkeep.http.gate.rules import json_response
from chatkeep.http.routes.state.item_pages import IncludedFields, PageParameter, page_response
from chatkeep.http.services import Own, PoolsParameter
from chatkeep.model.state.response_reading import ResponseReading
from chatkeep.wire.answers import json_bytes
from chatkeep.wire.conversation_objects import DeletedResponse

ResponseId = Annotated[str, InPath(description="The id of the response.")]
AsStream = Annotated[bool, InQuery(description="Only `false` is possible: events are not kept.")]


def _reading(sessions: Own) -> ResponseReading:
    return ResponseReading(sessions)


OwnResponses = Annotated[ResponseReading, Computed(_reading)]


async def get_response(
    responses: OwnResponses,
    threads: PoolsParameter,
    response_id: ResponseId,
    include: IncludedFields,
    *,
    stream: AsStream = False,
) -> Response:
    """Return a kept response, whole."""
    if stream:
        raise InvalidError("stream", "is not possible here: the events of a response are not kept")
    found = await threads.read(responses.get, response_id, include)
    return json_response(msgspec.json.encode(found))


async def delete_response(responses: OwnResponses, threads: PoolsParameter, response_id: ResponseId) -> Response:
    """Forget a response, and take its answer out of its session unless a conversation has it."""
    await threads.write(responses.delete, response_id)
    return json_response(json_bytes(DeletedResponse(id=response_id)))


async def list_input_items(
    responses: OwnResponses, threads: PoolsParameter, response_id: ResponseId, asked: PageParameter
) -> Response:
    """List the items that the model was sent for a response, the last one first unless `order` says otherwise."""
    return await page_response(threads, partial(responses.input_items, response_id), asked)


async def cancel_response(responses: OwnResponses, threads: PoolsParameter, response_id: ResponseId) -> Response:
    """Return a kept response as it is: it has ended, so there is nothing to cancel."""
    return json_response(msgspec.json.encode(await threads.read(responses.get, response_id, frozenset())))
