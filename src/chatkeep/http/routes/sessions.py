"""The object dialect: `/api/...`, sessions as objects with an `id`, as PocketPaw's API."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec.json import Decoder
from starlette.requests import Request
from starlette.responses import Response

from chatkeep.core.paging import LIST_LIMIT_DEFAULT, SEARCH_LIMIT_DEFAULT
from chatkeep.core.search.query import QUERY_CHARS_MAX, parse_query
from chatkeep.core.search.search import Search
from chatkeep.errors import NotFoundError
from chatkeep.http.gate.binding import InQuery
from chatkeep.http.gate.body import json_of
from chatkeep.http.gate.rules import json_response
from chatkeep.http.routes import parameters as given
from chatkeep.http.services import Own, PoolsParameter, ReadyParameter
from chatkeep.wire.answers import Done, json_bytes, session_object, session_page
from chatkeep.wire.bodies import TitleBody, parse_time
from chatkeep.workers.showing import Showing

_TITLE: Final = Decoder(TitleBody)


async def list_sessions(
    sessions: Own,
    threads: PoolsParameter,
    ready: ReadyParameter,
    selected: given.Selected,
    *,
    limit: given.ListLimit = LIST_LIMIT_DEFAULT,
    cursor: given.Cursor = None,
    metadata: given.WithMetadata = False,
) -> Response:
    """List sessions, newest activity first."""
    is_long = selected.is_by_marks or metadata  # a look at every session, or long values, are not for the event loop
    if is_long or not threads.is_prompt:
        page = await threads.read(sessions.list, selected, limit=limit, cursor=cursor, metadata=metadata)
    else:
        page = sessions.list(selected, limit=limit, cursor=cursor)
    unreadable = 0 if page.total else await threads.read(sessions.unread_only)
    if metadata:
        return json_response(json_bytes(session_page(page, unreadable, metadata=True)))
    return json_response(ready.page(page, unreadable))


async def search_sessions(  # noqa: PLR0913 - one parameter per query parameter
    sessions: Own,
    threads: PoolsParameter,
    q: Annotated[
        str,
        InQuery(
            max_length=QUERY_CHARS_MAX,
            description="The words to find. A part in double quotes is a phrase.",
        ),
    ],
    selected: given.Searched,
    *,
    limit: given.SearchLimit = SEARCH_LIMIT_DEFAULT,
    session: given.OnlyKey = None,
    role: given.SearchRole = None,
    since: given.Since = None,
    until: given.Until = None,
    sort: given.SearchOrder = "relevance",
    unit: given.SearchUnit = "session",
    cursor: given.Cursor = None,
) -> Response:
    """Search all messages; answer the best one of each session."""
    search = Search(
        query=parse_query(q),
        selection=selected,
        session=None if session is None else given.key("session", session),
        roles=given.roles(role),
        since=None if since is None else parse_time("since", since),
        until=None if until is None else parse_time("until", until),
        sort=sort,
        unit=unit,
        limit=limit,
        cursor=cursor,
    )
    return json_response(await threads.page_of(sessions, search))


async def read_history(
    sessions: Own,
    threads: PoolsParameter,
    ready: ReadyParameter,
    id: given.QueryKey,  # noqa: A002 - the parameter's name in PocketPaw's API
    *,
    limit: given.ListLimit = LIST_LIMIT_DEFAULT,
    before: given.Before = None,
    inline: given.Inline = False,
) -> Response:
    """Read the last messages of a session, oldest first; attachments kept beside it have names, unless `inline`."""
    asked = Showing(
        prefix=sessions.prefix, key=given.key("id", id), limit=limit, before=before, is_list=True, inline=inline
    )
    return json_response(await threads.shown(asked, sessions, ready))


async def rename_session(
    request: Request,
    sessions: Own,
    threads: PoolsParameter,
    id: given.PathKey,  # noqa: A002 - the parameter's name in the object dialect
) -> Response:
    """Give a session a title."""
    body = await json_of(request, threads, _TITLE)
    await threads.write(sessions.rename, given.key("id", id), body.title)
    return json_response(json_bytes(Done()))


async def get_session_object(
    sessions: Own,
    threads: PoolsParameter,
    id: given.PathKey,  # noqa: A002 - the parameter's name in the object dialect
) -> Response:
    """Return a session without its messages: the fields of a list, and the metadata."""
    if not id:
        raise NotFoundError
    summary = await threads.soon(sessions.get, given.key("id", id))
    return json_response(json_bytes(session_object(summary)))


async def delete_session(
    sessions: Own,
    threads: PoolsParameter,
    id: given.PathKey,  # noqa: A002 - the parameter's name in the object dialect
    *,
    to_trash: given.ToTrash = None,
) -> Response:
    """Delete a session for good, or move it to the trash."""
    await threads.write(sessions.delete, given.key("id", id), to_trash=to_trash)
    return json_response(json_bytes(Done()))
