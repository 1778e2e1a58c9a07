"""The verbs of a client as calls: the request of each, and the reading of its answer."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from chatkeep.client.exchange import Call, Decoded
from chatkeep.client.queries import Fields, filter_fields, query_pairs
from chatkeep.core.blobs.blob_names import is_sha256
from chatkeep.core.checks import encoded_json
from chatkeep.core.history.windows import Window
from chatkeep.core.keys import RANDOM_BITS, id_of, number_after, parse_key
from chatkeep.core.life.compacting import Compacted
from chatkeep.core.life.dropping import Chosen, Created, Dropped, Mark, NewSession
from chatkeep.core.life.trashing import Trashed
from chatkeep.core.model import (
    Appended,
    Draft,
    Header,
    Hits,
    KeyPage,
    Merged,
    Message,
    Page,
    Revision,
    Selection,
    Session,
    Status,
    Summary,
    utc,
)
from chatkeep.core.search.search import DEFAULT_ROLES, Search
from chatkeep.core.standing import EVENT
from chatkeep.core.stats import PeriodUnit, Stats
from chatkeep.core.unknown import message_in, unknown_of_session
from chatkeep.core.usage.spending import UsageQuery, UsageReport, UsageRow
from chatkeep.errors import BlobNotFoundError, MessageConflictError, SessionDeletedError, UnreachableError
from chatkeep.exporters import exported
from chatkeep.wire import lives
from chatkeep.wire.answers import (
    AppendAnswer,
    BulkAnswer,
    ImportAnswer,
    KeyList,
    SessionDetail,
    SessionPage,
    StatusAnswer,
    appended_of,
    counts_of,
    key_page_of,
    page_of,
    summary_of_detail,
)
from chatkeep.wire.bodies import BulkBody, ChatBody, revision_body
from chatkeep.wire.chat import ChatAnswer
from chatkeep.wire.errors import Problem, error_of
from chatkeep.wire.hits import HitPage, hits_of

CHAT_WAIT_S: Final = 600.0  # a model may think for minutes


def append(
    key: str | None, drafts: Sequence[Draft], *, channel: str | None, create: bool, expect_count: int | None
) -> Call[Appended]:
    """Return the call for storing messages: repeatable with a key, since the messages get ids here."""
    query: Fields = {
        "session": None if key is None else parse_key(key),
        "channel": channel,
        "create": None if create else False,
        "expect_count": expect_count,
    }
    timed = [_with_utc(draft) for draft in _with_ids(drafts)]
    return Call(
        method="POST",
        path="/api/v1/messages",
        decode=lambda body: appended_of(_decoded(body, AppendAnswer)),
        query=query_pairs(query),
        body=encoded_json("messages", timed),
        key=key or "",
        repeatable=key is not None,
    )


def replace_all(
    key: str, drafts: Sequence[Draft], *, create: bool, mark: Mark, expect_count: int | None
) -> Call[Appended]:
    """Return the call for replacing all messages: repeatable, as the same list again changes nothing."""
    query: Fields = {
        "session": parse_key(key),
        "create": None if create else False,
        "expect_count": expect_count,
        "mark": mark.id,
    }
    return Call(
        method="PUT",
        path="/api/v1/messages",
        decode=lambda body: appended_of(_decoded(body, AppendAnswer)),
        query=query_pairs(query),
        body=encoded_json("messages", [_with_utc(draft) for draft in drafts]),
        key=key,
    )


def drop_lines(key: str, lines: Chosen, *, mark: Mark, expect_count: int | None) -> Call[Dropped]:
    """Return the call for taking back lines: repeatable, since the mark has an id."""
    query: Fields = {
        "session": parse_key(key),
        "last": lines.last,
        "seq": None if lines.seqs is None else lives.text_of_seqs(lines.seqs),
        "id": lines.id,
        "all": lines.everything or None,
        "expect_count": expect_count,
        "mark": mark.id,
    }
    return Call(method="DELETE", path="/api/v1/messages", decode=lives.dropped_of, query=query_pairs(query), key=key)


def compact(keys: tuple[str, ...]) -> Call[tuple[Compacted, ...]]:
    """Return the call for erasing the dropped lines of one portion of keys: repeatable, nothing goes twice."""
    return Call(
        method="POST",
        path="/api/v1/compact",
        decode=lambda body: _decoded(body, lives.CompactAnswer).sessions,
        body=encoded_json("keys", lives.CompactBody(keys=[parse_key(key) for key in keys])),
        key=keys[0],
    )


def begin_session(new: NewSession) -> Call[Created]:
    """Return the call for beginning a session. A second attempt would find it there."""
    return Call(
        method="POST",
        path="/api/v1/sessions",
        decode=lambda body: lives.created_of(_decoded(body, lives.CreatedAnswer)),
        body=encoded_json("session", lives.new_session_body(new)),
        key=new.key or "",
        repeatable=False,
    )


def fork(key: str, *, seq: int | None, new_key: str | None) -> Call[Created]:
    """Return the call for forking a session. A second attempt would find it there."""
    return Call(
        method="POST",
        path="/api/v1/fork",
        decode=lambda body: lives.created_of(_decoded(body, lives.CreatedAnswer)),
        body=encoded_json("fork", lives.ForkBody(session=parse_key(key), seq=seq, key=new_key)),
        key=key,
        repeatable=False,
    )


def message(key: str, message_id: str, *, log: bool, inline: bool) -> Call[Message]:
    """Return the call for the message with an id."""
    query = query_pairs({"session": parse_key(key), "id": message_id, "log": log or None, "inline": inline or None})
    return Call(
        method="GET", path="/api/v1/messages", decode=lambda body: _window(body).messages[0], query=query, key=key
    )


def attachment(sha256: str) -> Call[bytes]:
    """Return the call for the bytes of an attachment.

    Raises:
        BlobNotFoundError: when the text cannot be a hash.
    """
    if not is_sha256(sha256):
        raise BlobNotFoundError
    return Call(method="GET", path=f"/api/v1/blobs/{sha256}", decode=bytes)


def token() -> Call[lives.TokenAnswer]:
    """Return the call for the rights of the token."""
    return Call(method="GET", path="/api/v1/token", decode=lambda body: _decoded(body, lives.TokenAnswer))


def get(key: str) -> Call[Summary]:
    """Return the call for a session's header and counts."""
    return Call(method="GET", path=_session_path(key), decode=_detail, key=key)


def read(key: str, *, log: bool) -> Call[Session]:
    """Return the call for a whole session."""
    query = query_pairs({"session": parse_key(key), "format": "json", "log": log or None})
    return Call(method="GET", path="/api/v1/export", decode=_session, query=query, key=key)


def window(key: str, chosen: Fields) -> Call[Window]:
    """Return the call for neighbouring messages, chosen by parameters of the query."""
    return Call(
        method="GET",
        path="/api/v1/messages",
        decode=_window,
        query=query_pairs({"session": parse_key(key), **chosen}),
        key=key,
    )


def sessions(selection: Selection, *, limit: int, cursor: str | None, metadata: bool = False) -> Call[Page]:
    """Return the call for a list of sessions by activity."""
    nothing = Page(sessions=(), total=0, next_cursor=None)
    return Call(
        known=nothing if selection.prefix is None else None,
        method="GET",
        path="/api/sessions",
        decode=lambda body: page_of(_decoded(body, SessionPage)),
        query=query_pairs({**filter_fields(selection), "limit": limit, "cursor": cursor, "metadata": metadata or None}),
    )


def keys(selection: Selection, *, limit: int | None, cursor: str | None) -> Call[KeyPage]:
    """Return the call for a list of keys."""
    nothing = KeyPage(keys=(), total=0, next_cursor=None)
    return Call(
        known=nothing if selection.prefix is None else None,
        method="GET",
        path="/api/v1/sessions",
        decode=lambda body: key_page_of(_decoded(body, KeyList)),
        query=query_pairs({**filter_fields(selection), "limit": limit, "cursor": cursor}),
    )


def search(search: Search) -> Call[Hits]:
    """Return the call for a search; the server's own deadline holds."""
    query: Fields = {
        **filter_fields(search.selection),
        "q": search.query.text,
        "session": search.session,
        "role": None if search.roles == DEFAULT_ROLES else ",".join(search.roles or ("any",)),
        "since": search.since,
        "until": search.until,
        "sort": search.sort,
        "unit": search.unit,
        "limit": search.limit,
        "cursor": search.cursor,
    }
    return Call(
        method="GET",
        path="/api/sessions/search",
        decode=lambda body: hits_of(_decoded(body, HitPage)),
        query=query_pairs(query),
    )


def revise(key: str, revision: Revision) -> Call[Summary]:
    """Return the call for changing a session's header; a merge patch is repeatable."""
    body = encoded_json("revision", revision_body(revision))
    return Call(method="PATCH", path=_session_path(key), decode=_detail, body=body, key=key)


def delete(key: str, *, to_trash: bool | None = None) -> Call[None]:
    """Return the call for deleting a session. A second attempt would answer 404."""
    query, path = query_pairs({"trash": to_trash}), _session_path(key)
    return Call(method="DELETE", path=path, decode=lambda _: None, query=query, key=key, repeatable=False)


def trash(prefix: str) -> Call[tuple[Trashed, ...]]:
    """Return the call for the sessions in the trash."""
    return Call(
        method="GET",
        path="/api/v1/trash",
        decode=lambda body: msgspec.json.decode(body, type=lives.TrashList).sessions,
        query=query_pairs({"prefix": prefix or None}),
    )


def restore_trashed_session(key: str, *, trash_id: str | None) -> Call[Summary]:
    """Return the call for bringing a session back. A second attempt would find it there."""
    return Call(
        method="POST",
        path="/api/v1/trash/restore",
        decode=lambda body: summary_of_detail(msgspec.json.decode(body, type=SessionDetail)),
        body=encoded_json("key", lives.RestoreBody(key=parse_key(key), id=trash_id)),
        key=key,
        repeatable=False,
    )


def purge(prefix: str, *, keys: Sequence[str] | None, before: datetime | None) -> Call[tuple[Trashed, ...]]:
    """Return the call for removing sessions from the trash. A second attempt would not name the removed ones."""
    chosen = lives.PurgeBody(
        keys=None if keys is None else [parse_key(key) for key in keys],
        prefix=prefix or None,
        older_than=None if before is None else utc(before).isoformat(),
        all=not prefix and keys is None and before is None,
    )
    return Call(
        method="POST",
        path="/api/v1/trash/purge",
        decode=lambda body: msgspec.json.decode(body, type=lives.PurgeAnswer).sessions,
        body=encoded_json("keys", chosen),
        key="" if not keys else keys[0],
        repeatable=False,
    )


def delete_all(chosen: Iterable[str], *, to_trash: bool | None = None) -> Call[tuple[str, ...]]:
    """Return the call for deleting sessions. A second attempt would not name the deleted ones."""

    def removed(body: bytes) -> tuple[str, ...]:
        return _decoded(body, BulkAnswer).keys

    return Call(
        method="POST",
        path="/api/v1/sessions/delete",
        decode=removed,
        decode_refused=removed,
        body=encoded_json("keys", BulkBody(keys=list(dict.fromkeys(chosen)), dry_run=False, trash=to_trash)),
        repeatable=False,
    )


def merge(session: Session, *, unless_deleted: bool = False) -> Call[Merged]:
    """Return the call for taking in a session. A second attempt would count differently."""
    encoded_json("session", session)

    def merged(body: bytes) -> Merged:
        return _merged(_decoded(body, ImportAnswer), session.header.key)

    return Call(
        method="POST",
        path="/api/v1/import",
        decode=merged,
        decode_refused=merged,
        query=query_pairs({"format": "jsonl", "restore_deleted": not unless_deleted}),
        body=b"".join(exported([session], "jsonl", single=True)),
        media_type="application/jsonl",
        key=session.header.key,
        repeatable=False,
    )


def status(prefix: str) -> Call[Status]:
    """Return the call for counts and sizes."""
    return Call(
        method="GET",
        path="/api/v1/status",
        decode=lambda body: counts_of(_decoded(body, StatusAnswer)),
        query=query_pairs({"prefix": prefix or None}),
    )


def stats(prefix: str, unit: PeriodUnit, since: date | None) -> Call[Stats]:
    """Return the call for counts over time, by channel and tag, and the largest sessions."""
    return Call(
        method="GET",
        path="/api/v1/stats",
        decode=lambda body: _decoded(body, Stats),
        query=query_pairs(
            {"prefix": prefix or None, "unit": unit, "since": None if since is None else since.isoformat()}
        ),
    )


def usage(asked: UsageQuery) -> Call[UsageReport]:
    """Return the call for the usage by group, at the server's prices."""
    query: Fields = {
        **filter_fields(asked.selection),
        "archived": None,
        "by": asked.by,
        "session": None if asked.session is None else parse_key(asked.session),
        "since": None if asked.since is None else asked.since.isoformat(),
        "until": None if asked.until is None else asked.until.isoformat(),
        "limit": asked.limit,
    }
    nothing = UsageReport(by=asked.by, rows=(), row_count=0, total=UsageRow(name=None))
    return Call(
        known=nothing if asked.selection.prefix is None else None,
        method="GET",
        path="/api/v1/usage",
        decode=lambda body: _decoded(body, UsageReport),
        query=query_pairs(query),
    )


def chat(message: str, *, key: str | None, model: str | None) -> Call[ChatAnswer]:
    """Return the call for a message to the model. A second attempt would store it twice."""
    return Call(
        method="POST",
        path="/api/v1/chat",
        decode=lambda body: _decoded(body, ChatAnswer),
        body=encoded_json("message", ChatBody(message=message, session_key=key, model=model)),
        key=key or "",
        repeatable=False,
        wait_s=CHAT_WAIT_S,
    )


def chat_stream(message: str, *, key: str | None, model: str | None) -> Call[None]:
    """Return the same call, answered with events for `ChatEvents`."""
    return Call(
        method="POST",
        path="/api/v1/chat/stream",
        decode=_no_events,
        body=encoded_json("message", ChatBody(message=message, session_key=key, model=model)),
        key=key or "",
        repeatable=False,
    )


def _with_ids(drafts: Sequence[Draft]) -> Sequence[Draft]:
    """Return the messages with ids in their order, so that a retry stores nothing twice."""
    now, last, named = datetime.now(UTC), 0, []
    for draft in drafts:
        last = number_after(last, now, secrets.randbits(RANDOM_BITS))
        named.append(msgspec.structs.replace(draft, id=id_of(last)) if draft.id is None else draft)
    return named


def with_mark(mark: Mark) -> Mark:
    """Return the mark with an id, so that a retry drops nothing more."""
    (draft,) = _with_ids([Draft(role=EVENT, content="", id=mark.id)])
    return msgspec.structs.replace(mark, id=draft.id)


class _Messages(Struct, frozen=True):
    """The messages in an answer, each as it came."""

    messages: tuple[msgspec.Raw, ...]


class _WindowFacts(Struct, frozen=True):
    """The fields of a window besides its messages."""

    has_more: bool
    needed_tokens: int | None = None


def _decoded(body: bytes, kind: type[Decoded]) -> Decoded:
    return msgspec.json.decode(body, type=kind)


def _no_events(_: bytes) -> None:
    raise UnreachableError("The server answered, but not with events.")


def _detail(body: bytes) -> Summary:
    return summary_of_detail(_decoded(body, SessionDetail))


def _session(body: bytes) -> Session:
    messages = tuple(map(message_in, _decoded(body, _Messages).messages))
    return Session(header=_decoded(body, Header), messages=messages, extra=unknown_of_session(_decoded(body, dict)))


def _window(body: bytes) -> Window:
    window = _decoded(body, _WindowFacts)
    messages = tuple(map(message_in, _decoded(body, _Messages).messages))
    return Window(messages=messages, has_more=window.has_more, needed_tokens=window.needed_tokens)


def _merged(report: ImportAnswer, key: str) -> Merged:
    if report.sessions_left_out:
        raise SessionDeletedError(key)
    conflicts: tuple[str, ...] = ()
    for flaw in report.errors:
        if flaw.code != MessageConflictError.code:
            raise error_of(Problem(detail=flaw.reason, status=0, code=flaw.code), key=key)
        conflicts += flaw.conflicts
    return Merged(
        created=report.sessions_created > 0,
        added_count=report.messages_added,
        skipped_count=report.messages_skipped,
        conflicts=conflicts,
    )


def _with_utc(draft: Draft) -> Draft:
    """Return a message as it is sent: its time in UTC, without a time of storing, which the server itself says."""
    sent_at = None if draft.sent_at is None else utc(draft.sent_at)
    return msgspec.structs.replace(draft, sent_at=sent_at, stored_at=None)


def _session_path(key: str) -> str:
    # Dots too: a key may be `..`, which must not climb
    return "/api/v1/sessions/" + quote(parse_key(key), safe="").replace(".", "%2E")
