"""The end of sessions' lives in the key dialect: erasing for good, and the trash."""

from __future__ import annotations

from typing import Final

from msgspec.json import Decoder
from starlette.requests import Request
from starlette.responses import Response

from chatkeep.core.life.trashing import Trashed
from chatkeep.errors import InvalidError
from chatkeep.http.gate.body import json_of
from chatkeep.http.gate.rules import json_response
from chatkeep.http.routes import parameters as given
from chatkeep.http.routes.meaning import BULK_FILTERS, check_filters, meant_keys
from chatkeep.http.services import Own, PoolsParameter
from chatkeep.sessions.lifetimes import Compaction, compaction
from chatkeep.sessions.sessions import Sessions
from chatkeep.sessions.trash_can import check_purged
from chatkeep.wire.answers import json_bytes, session_detail
from chatkeep.wire.bodies import parse_age
from chatkeep.wire.lives import CompactAnswer, CompactBody, PurgeAnswer, PurgeBody, RestoreBody, TrashList

_COMPACT: Final = Decoder(CompactBody)
_RESTORE: Final = Decoder(RestoreBody)
_PURGE: Final = Decoder(PurgeBody)
_CHOICES: Final = (*BULK_FILTERS, "all")


async def compact_sessions(request: Request, sessions: Own, threads: PoolsParameter) -> Response:
    """Erase the dropped lines of sessions for good: of the listed ones, of all matching the filters, or of all.

    A dry run only tells how much it would erase. Without one every listed session must be there, and whole.
    """
    body = await json_of(request, threads, _COMPACT)
    return json_response(json_bytes(await threads.export(_compacted, sessions, body)))


async def list_trash(sessions: Own, threads: PoolsParameter, prefix: given.Prefix = None) -> Response:
    """List the deleted sessions that can come back, the last deleted first."""
    found = await threads.read(sessions.trash.sessions, prefix or "")
    return json_response(json_bytes(TrashList(sessions=found, count=len(found))))


async def restore_session(request: Request, sessions: Own, threads: PoolsParameter) -> Response:
    """Bring a deleted session back from the trash, as it was; 409 if its key has a session again."""
    body = await json_of(request, threads, _RESTORE)
    summary = await threads.write(lambda: sessions.trash.restore(body.key, trash_id=body.id))
    return json_response(json_bytes(session_detail(summary, sessions.now())))


async def purge_trash(request: Request, sessions: Own, threads: PoolsParameter) -> Response:
    """Remove sessions from the trash for good: those of the keys, those that match the filters, or all.

    A dry run only lists them.
    """
    body = await json_of(request, threads, _PURGE)
    filters = {"prefix": body.prefix, "older_than": body.older_than}
    check_filters(filters)
    has_filters = any(value is not None for value in filters.values())
    check_purged(keys=body.keys is not None, filters=has_filters, everything=body.all)
    before = None if body.older_than is None else parse_age("older_than", body.older_than, sessions.now())

    def purge() -> tuple[Trashed, ...]:
        return sessions.trash.purge(body.prefix or "", keys=body.keys, before=before, dry_run=body.dry_run)

    gone = await threads.write(purge)
    return json_response(json_bytes(PurgeAnswer(sessions=gone, count=len(gone), dry_run=body.dry_run)))


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
