"""The key dialect: `/api/v1/...`, sessions by their exact key, as grip-ai's Sessions API."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import quote

import msgspec
from msgspec.json import Decoder
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from chatkeep import exporters, importers
from chatkeep.core.bounds import LARGE_BODY_BYTES_MAX
from chatkeep.core.keys import parse_key
from chatkeep.core.model import Selection
from chatkeep.core.paging import LIST_LIMIT_DEFAULT
from chatkeep.errors import InvalidKeyError, NotFoundError
from chatkeep.http.gate.body import (
    IMPORT_TYPES,
    JSON_TYPES,
    PATCH_TYPES,
    body_of,
    json_of,
)
from chatkeep.http.gate.problems import PROBLEM_TYPE
from chatkeep.http.gate.room import MIDDLING_BYTES
from chatkeep.http.gate.rules import SHOWN_BYTES, Pools, json_response
from chatkeep.http.routes import parameters as given
from chatkeep.http.routes.meaning import BULK_FILTERS, meant_keys
from chatkeep.http.services import Own, PoolsParameter
from chatkeep.sessions.persons import People
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.answers import BulkAnswer, DeletedAnswer, ImportAnswer, json_bytes, key_list, session_detail
from chatkeep.wire.bodies import BulkBody, RevisionBody, revision_of
from chatkeep.wire.errors import refused_deletion, refused_import
from chatkeep.wire.links import LinkBody, PeopleList, UnlinkAnswer, UnlinkBody, person_history_answer
from chatkeep.wire.lives import ForkBody
from chatkeep.workers.showing import SessionExport, SessionFork, fork_made
from chatkeep.workers.taking_in import SessionCreation, SessionImport, report_of_answer, session_begun, taken_in

_CHUNK_BYTES: Final = 1 << 16  # of an export, made in one turn of a thread
_WHOLE_EXPORT_BYTES: Final = 32 << 20  # bytes of a session's file; the export of a longer one goes in steps here
_UNSAFE_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_CHARS_MAX: Final = 80  # of a download's plain file name, without its suffix
_REVISION: Final = Decoder(RevisionBody)
_BULK: Final = Decoder(BulkBody)
_FORK: Final = Decoder(ForkBody)
_LINK: Final = Decoder(LinkBody)
_UNLINK: Final = Decoder(UnlinkBody)
_CREATED: Final = 201
_LEFT_OUT: Final = "X-Chatkeep-Left-Out"
_EVERYTHING: Final = Selection(archived=None)
_NAMED_KEYS: Final = 20  # missing keys listed in an error


async def list_keys(
    sessions: Own,
    threads: PoolsParameter,
    selected: given.Selected,
    limit: given.MaybeLimit = None,
    cursor: given.Cursor = None,
) -> Response:
    """List session keys by code point."""
    is_long = (
        limit is None or selected.is_by_marks
    )  # a long list, or a look at every session, is not for the event loop
    if is_long or not threads.is_prompt:
        return json_response(await threads.read(_encoded_keys, sessions, selected, limit, cursor))
    return json_response(_encoded_keys(sessions, selected, limit, cursor))


async def get_session(sessions: Own, threads: PoolsParameter, key: given.PathKey) -> Response:
    """Return a session without its messages."""
    if not key:
        raise NotFoundError
    summary = await threads.soon(sessions.get, key)
    return json_response(json_bytes(session_detail(summary, sessions.now())))


async def revise_session(
    request: Request,
    sessions: Own,
    threads: PoolsParameter,
    key: given.PathKey,
    *,
    metadata_mode: given.MetadataChange = None,
) -> Response:
    """Change a session's title, marks, tags or metadata; the mode may stand in the query or in the body."""
    revision = revision_of(await json_of(request, threads, _REVISION, PATCH_TYPES))
    if metadata_mode is not None:
        revision = msgspec.structs.replace(revision, metadata_mode=metadata_mode)
    summary = await threads.write(sessions.revise, key, revision)
    return json_response(json_bytes(session_detail(summary, sessions.now())))


async def delete_key(
    sessions: Own, threads: PoolsParameter, key: given.PathKey, *, to_trash: given.ToTrash = None
) -> Response:
    """Delete a session for good, or move it to the trash."""
    if not key:
        raise NotFoundError
    parsed = parse_key(key)
    await threads.write(sessions.delete, parsed, to_trash=to_trash)
    return json_response(json_bytes(DeletedAnswer(key=parsed)))


async def create_session(request: Request, sessions: Own, threads: PoolsParameter) -> Response:
    """Begin a session with its header and first messages; 409 if its key has one."""
    data = await body_of(request, JSON_TYPES, LARGE_BODY_BYTES_MAX)
    asked = SessionCreation(
        prefix=sessions.prefix, may_drop=sessions.may_drop, at=sessions.now(), made_key=_made_key(sessions)
    )
    answer = await threads.beside(asked, data) if len(data) > MIDDLING_BYTES else None
    if answer is None:
        answer = await threads.write(session_begun, sessions, asked, data)
    return json_response(answer.data, _CREATED)


async def fork_session(request: Request, sessions: Own, threads: PoolsParameter) -> Response:
    """Begin a session with what stands of another one, up to a seq; its metadata say so in `forked_from`."""
    body = await json_of(request, threads, _FORK)
    asked = SessionFork(
        prefix=sessions.prefix,
        may_drop=sessions.may_drop,
        at=sessions.now(),
        key=body.session,
        seq=body.seq,
        new_key=_made_key(sessions) if body.key is None else body.key,
    )
    again = iter((asked, msgspec.structs.replace(asked, is_again=True)))  # the first refuses to read long texts
    return json_response(await threads.made(asked, lambda: fork_made(sessions, next(again)).data), _CREATED)


async def delete_sessions(request: Request, sessions: Own, threads: PoolsParameter) -> Response:
    """Delete the listed sessions, or all sessions matching the filters; a dry run only lists them."""
    body = await json_of(request, threads, _BULK)
    return await threads.write(_deleted, sessions, body)


async def export_sessions(
    sessions: Own,
    threads: PoolsParameter,
    session: given.OnlyKey = None,
    format: given.ExportFormat = "json",  # noqa: A002 - its name in the API
    *,
    selected: given.Searched,
    log: given.Log = False,
) -> Response:
    """Download one session, or all that the token sees and the filters match.

    Sessions are exported as they stand, or with every line of the log.
    """
    exporters.check_format(format, log=log)
    unread: list[str] = []
    if session is None:
        chosen, name = sessions.read_all(selected, log=log, on_unread=unread.append), "sessions"
        pieces = exporters.exported(chosen, format, single=False)
    else:
        name, key = session, given.key("session", session)
        asked = SessionExport(prefix=sessions.prefix, key=key, format=format, log=log)
        pieces = await _exported(asked, sessions, threads)
    headers = {"Content-Disposition": disposition(name, exporters.EXPORT_FORMATS[format].suffix)}
    first = await threads.export(_chunk, pieces)  # so that an early failure still gets an error status
    if session is None and (left_out := await threads.read(_left_out, sessions, selected, unread)):
        headers[_LEFT_OUT] = str(left_out)
    return StreamingResponse(
        _chunks(first, pieces, threads), headers=headers, media_type=exporters.EXPORT_FORMATS[format].media_type
    )


async def import_sessions(
    request: Request,
    sessions: Own,
    threads: PoolsParameter,
    format: given.ImportFormat = "json",  # noqa: A002 - its name in the API
    *,
    restore_deleted: given.RestoreDeleted = True,
) -> Response:
    """Import exported sessions, as JSON or JSON lines; change nothing stored before.

    Sessions deleted here come back, unless `restore_deleted` is false. The body may also come as plain bytes:
    `application/octet-stream` or `text/plain`.
    """
    data = await body_of(request, IMPORT_TYPES, LARGE_BODY_BYTES_MAX)
    asked = SessionImport(
        prefix=sessions.prefix, may_drop=sessions.may_drop, format=format, restore_deleted=restore_deleted
    )
    answer = await threads.beside(asked, data) if len(data) > MIDDLING_BYTES else None
    if answer is None:
        answer = await threads.import_(taken_in, sessions, asked, data)
    return _imported(report_of_answer(answer))


async def _exported(asked: SessionExport, sessions: Sessions, threads: Pools) -> Iterator[bytes]:
    """Return the pieces of the export of one session; the other process makes that of a long one."""
    size_bytes = await threads.read(sessions.size_of, asked.key)
    is_long = SHOWN_BYTES < size_bytes <= _WHOLE_EXPORT_BYTES
    answer = await threads.beside(asked, b"", size_bytes) if is_long else None
    if answer is not None:
        return _slices(answer.data)
    session = await threads.read(sessions.read, asked.key, log=asked.log)
    return exporters.exported(iter([session]), asked.format, single=True)


async def list_people(sessions: Own, threads: PoolsParameter) -> Response:
    """List the people with sessions that the token sees, each with the keys of these."""
    found = await threads.read(People(sessions).all)
    return json_response(json_bytes(PeopleList(people=found, count=len(found))))


async def link_sessions(request: Request, sessions: Own, threads: PoolsParameter) -> Response:
    """Link sessions to a person; no session changes. 409 if one of them belongs to another person."""
    body = await json_of(request, threads, _LINK)
    return json_response(json_bytes(await threads.write(People(sessions).link, body.person, body.keys)))


async def unlink_sessions(request: Request, sessions: Own, threads: PoolsParameter) -> Response:
    """Let sessions belong to nobody, also those deleted since; 404 if one of them belongs to nobody."""
    body = await json_of(request, threads, _UNLINK)
    keys = await threads.write(People(sessions).unlink, body.keys)
    return json_response(json_bytes(UnlinkAnswer(keys=keys, count=len(keys))))


async def read_person(
    sessions: Own,
    threads: PoolsParameter,
    person: given.PersonName,
    *,
    limit: given.ListLimit = LIST_LIMIT_DEFAULT,
    cursor: given.Cursor = None,
) -> Response:
    """Read the newest messages of a person over all sessions, merged by time, oldest first.

    `cursor` continues with those before a page. It is no longer good once the links of the person have changed: 422.
    """
    found = await threads.read(lambda: People(sessions).history(person, limit=limit, cursor=cursor))
    return json_response(json_bytes(person_history_answer(found)))


def _slices(data: bytes) -> Iterator[bytes]:
    return (data[start : start + _CHUNK_BYTES] for start in range(0, len(data), _CHUNK_BYTES))


def _left_out(sessions: Sessions, selected: Selection, unread: Sequence[str]) -> int:
    """Return the number of files missing from an export, because they cannot be read whole.

    `unread` has the keys of such files met by the export so far.

    Raises:
        NotFoundError: when there is no session to export; the error counts the unreadable files.
    """
    status = sessions.status()
    is_everything = selected == _EVERYTHING
    if sessions.keys(selected, limit=1).total:
        return max(len(status.problems) if is_everything else 0, len(unread))
    if not is_everything:
        raise NotFoundError("No session matches the filters.")
    told = f", but {len(status.problems)} files that cannot be read" if status.problems else ""
    raise NotFoundError(f"There are no sessions to export{told}.")


def disposition(name: str, suffix: str) -> str:
    """Return a `Content-Disposition` header with the file name of a download, safe for every client.

    Source: RFC 6266, section 4.3, and RFC 8187 for `filename*`.
    """
    plain = _UNSAFE_IN_NAMES.sub("-", name).strip("-.")[:_NAME_CHARS_MAX] or "session"
    exact = quote(re.sub(r"[/\\]", "-", name) + suffix, safe="")
    return f"attachment; filename=\"{plain}{suffix}\"; filename*=UTF-8''{exact}"


def _made_key(sessions: Sessions) -> str | None:
    """Return a key for a session without one, None where the prefix leaves no room: then it has to name one."""
    with suppress(InvalidKeyError):
        return sessions.new_key()
    return None


def _imported(report: importers.Report) -> Response:
    """Return the report of an import, as a problem when nothing was imported."""
    answer = msgspec.convert(report, ImportAnswer, from_attributes=True)
    if report.failure is None:
        return json_response(json_bytes(answer))
    refused = refused_import(answer, report.failure)
    return Response(json_bytes(refused), refused.status, media_type=PROBLEM_TYPE)


def _encoded_keys(sessions: Sessions, selected: Selection, limit: int | None, cursor: str | None) -> bytes:
    page = sessions.keys(selected, limit=limit, cursor=cursor)
    return json_bytes(key_list(page, 0 if page.total else sessions.unread_only()))


def _deleted(sessions: Sessions, body: BulkBody) -> Response:
    """Return the report of a deletion, as a problem when nothing was deleted."""
    keys = meant_keys(sessions, body, BULK_FILTERS)
    if not body.dry_run:
        keys = sessions.delete_all(keys, to_trash=body.trash)
    answer = BulkAnswer(keys=keys, count=len(keys), dry_run=body.dry_run)
    if keys or body.dry_run:
        return json_response(json_bytes(answer))
    refused = refused_deletion(answer, _asked_for(body), body.keys or ())
    return Response(json_bytes(refused), refused.status, media_type=PROBLEM_TYPE)


def _asked_for(body: BulkBody) -> str:
    """Return the filters or keys of a bulk deletion, in words."""
    if body.keys is None:
        return ", ".join(f"{name} {value!r}" for name in BULK_FILTERS if (value := getattr(body, name)) is not None)
    named = ", ".join(map(repr, body.keys[:_NAMED_KEYS])) or "an empty list of keys"
    return f"{named} and {len(body.keys) - _NAMED_KEYS} more" if len(body.keys) > _NAMED_KEYS else named


def _chunk(pieces: Iterator[bytes]) -> bytes:
    """Return the next pieces, joined to 64 KiB or a little more; empty at the end."""
    chunk = bytearray()
    for piece in pieces:
        chunk += piece
        if len(chunk) >= _CHUNK_BYTES:
            break
    return bytes(chunk)


async def _chunks(first: bytes, pieces: Iterator[bytes], threads: Pools) -> AsyncIterator[bytes]:
    chunk = first
    while chunk:
        yield chunk
        chunk = await threads.export(_chunk, pieces)
