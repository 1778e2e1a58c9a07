"""The messages of one session in the key dialect: read, append, replace, take back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from starlette.requests import Request
from starlette.responses import Response

from chatkeep.core.bounds import LARGE_BODY_BYTES_MAX
from chatkeep.core.life.dropping import LAST_MAX, Chosen, Mark
from chatkeep.errors import InvalidError
from chatkeep.http.gate.binding import InQuery
from chatkeep.http.gate.body import JSON_TYPES, body_of
from chatkeep.http.gate.rules import json_response
from chatkeep.http.routes import parameters as given
from chatkeep.http.services import Own, PoolsParameter, ReadyParameter
from chatkeep.wire.lives import SEQS_SCHEMA, drop_answer_bytes, seqs_of_text
from chatkeep.workers.appending import Append
from chatkeep.workers.showing import Showing

_CREATED: Final = 201
_OK: Final = 200

Last = Annotated[int | None, InQuery(ge=1, le=LAST_MAX, description="The newest so many messages.")]
Seqs = Annotated[
    str | None, InQuery(description="The message with this seq, or those of a range: `5-9`.", schema=SEQS_SCHEMA)
]
Everything = Annotated[bool, InQuery(alias="all", description="All messages and events of the session.")]


async def append_messages(
    request: Request,
    sessions: Own,
    threads: PoolsParameter,
    *,
    session: given.AppendedKey = None,
    create: given.Create = True,
    expect_count: given.CountCondition = None,
    channel: given.NewChannel = None,
) -> Response:
    """Append 1 to 1000 messages, all or none; answer 201 once they are stored, 200 if they already were."""
    key = None if session is None else given.key("session", session)
    asked = Append(
        key=sessions.new_key() if key is None else key,
        prefix=sessions.prefix,
        channel=channel,
        create=create,
        expect_count=expect_count,
        at=sessions.now(),
        may_drop=sessions.may_drop,
    )
    answer = await threads.append(asked, await body_of(request, JSON_TYPES, LARGE_BODY_BYTES_MAX), sessions)
    return json_response(answer.data, _CREATED if answer.stored_count else _OK)


async def read_messages(  # noqa: PLR0913 - the parameters of the query
    sessions: Own,
    threads: PoolsParameter,
    ready: ReadyParameter,
    session: given.QueryKey,
    *,
    limit: given.WindowLimit = None,
    before: given.Before = None,
    after: given.After = None,
    max_tokens: given.TokenBudget = None,
    reasoning: given.WithReasoning = False,
    log: given.Log = False,
    shape: given.Shape = None,
    id: given.MessageId = None,  # noqa: A002 - its name in the API
    inline: given.Inline = False,
) -> Response:
    """Read neighbouring messages, oldest first: the newest ones, those before or after a seq, or the one with an id.

    `max_tokens` keeps the newest of them within a budget of model tokens; it excludes `after` and `log`. `shape` gives
    them as a protocol has them. `id` excludes all others but `log`. Attachments kept beside the sessions have names in
    the messages, unless `inline`, `max_tokens` or `shape` is there.
    """
    if id is not None:
        _check_alone({"limit": limit, "before": before, "after": after, "max_tokens": max_tokens, "shape": shape})
    asked = Showing(
        prefix=sessions.prefix,
        key=given.key("session", session),
        limit=limit,
        before=before,
        after=after,
        max_tokens=max_tokens,
        reasoning=reasoning,
        log=log,
        shape=shape,
        id=id,
        inline=inline or max_tokens is not None or shape is not None,
    )
    return json_response(await threads.shown(asked, sessions, ready))


async def replace_messages(
    request: Request,
    sessions: Own,
    threads: PoolsParameter,
    session: given.QueryKey,
    *,
    create: given.Create = True,
    expect_count: given.CountCondition = None,
    mark: given.MarkId = None,
) -> Response:
    """Replace all messages by a list of at most 10,000, in one append; those that begin both lists alike stay.

    A missing session is created. The answer is 201 once new messages are stored, 200 if there was nothing to store.
    """
    asked = Append(
        key=given.key("session", session),
        prefix=sessions.prefix,
        channel=None,
        create=create,
        expect_count=expect_count,
        at=sessions.now(),
        may_drop=sessions.may_drop,
        replaces=True,
        mark=mark,
    )
    answer = await threads.append(asked, await body_of(request, JSON_TYPES, LARGE_BODY_BYTES_MAX), sessions)
    return json_response(answer.data, _CREATED if answer.stored_count else _OK)


async def drop_messages(  # noqa: PLR0913 - the parameters of the query
    sessions: Own,
    threads: PoolsParameter,
    session: given.QueryKey,
    *,
    last: Last = None,
    seq: Seqs = None,
    id: given.MessageId = None,  # noqa: A002 - its name in the API
    everything: Everything = False,
    expect_count: given.CountCondition = None,
    mark: given.MarkId = None,
) -> Response:
    """Take back messages of a session, by exactly one of `last`, `seq`, `id` and `all`.

    They stay in the log, and stand no more. 404 if nothing of it stands. The id in `mark` is that of the line that
    drops them: a request sent again with it drops nothing more, and has the same answer.
    """
    key = given.key("session", session)
    lines = Chosen(last=last, seqs=None if seq is None else seqs_of_text(seq), id=id, everything=everything)
    dropped = await threads.write(lambda: sessions.drop(key, lines, mark=Mark(id=mark), expect_count=expect_count))
    return json_response(drop_answer_bytes(dropped))


def _check_alone(bounds: Mapping[str, object]) -> None:
    for name, value in bounds.items():
        if value is not None:
            raise InvalidError(name, "is not for one message: leave it out beside id")
