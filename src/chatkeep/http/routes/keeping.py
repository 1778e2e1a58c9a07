"""The end of sessions' lives in the key dialect: erasing for good."""

from __future__ import annotations

from typing import Final

from msgspec.json import Decoder
from starlette.requests import Request
from starlette.responses import Response

from chatkeep.errors import InvalidError
from chatkeep.http.gate.body import json_of
from chatkeep.http.gate.rules import json_response
from chatkeep.http.routes.meaning import BULK_FILTERS, meant_keys
from chatkeep.http.services import Own, PoolsParameter
from chatkeep.sessions.lifetimes import Compaction, compaction
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.answers import json_bytes
from chatkeep.wire.lives import CompactAnswer, CompactBody

_COMPACT: Final = Decoder(CompactBody)
_CHOICES: Final = (*BULK_FILTERS, "all")


async def compact_sessions(request: Request, sessions: Own, threads: PoolsParameter) -> Response:
    """Erase the dropped lines of sessions for good: of the listed ones, of all matching the filters, or of all.

    A dry run only tells how much it would erase. Without one every listed session must be there, and whole.
    """
    body = await json_of(request, threads, _COMPACT)
    return json_response(json_bytes(await threads.export(_compacted, sessions, body)))


def _compacted(sessions: Sessions, body: CompactBody) -> CompactAnswer:
    if body.all and any(getattr(body, name) is not None for name in BULK_FILTERS):
        raise InvalidError("all", "means every session: leave out the filters beside it")
    keys = meant_keys(sessions, body, _CHOICES)
    if body.keys is not None and not body.dry_run:
        done = Compaction(sessions=sessions.compact(body.keys))
    else:
        done = compaction(sessions, keys, dry_run=body.dry_run)
    return CompactAnswer(
        sessions=done.sessions,
        erased_count=done.erased_count,
        freed_bytes=done.freed_bytes,
        dry_run=body.dry_run,
        left_out=done.left_out,
    )
