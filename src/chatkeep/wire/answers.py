"""The JSON that the HTTP API answers, both ways: the server encodes it, the client decodes it.

Every answer is a struct here; its fields are the names that clients see, in the order of the bytes,
and the OpenAPI document is made from the same structs. What clients send is described in `bodies`.
Functions turn the values of `core.model` into answers (`summary_item`, ...) and back (`summary_of`,
...); nothing is lost on the way, microseconds included. `STATUS` and `EXIT` say what an error becomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from chatkeep import errors
from chatkeep.core.model import (
    Appended,
    Header,
    Hit,
    Hits,
    Json,
    KeyPage,
    Mode,
    Page,
    Receipt,
    Role,
    Status,
    Summary,
)
from chatkeep.errors import ChatkeepError
from chatkeep.wire.bodies import At

STATUS: Final[Mapping[type[ChatkeepError], int]] = {
    ChatkeepError: 500,
    errors.InvalidError: 422,
    errors.BrokenInputError: 400,
    errors.UnsupportedTypeError: 415,
    errors.TooLargeError: 413,
    errors.NotFoundError: 404,
    errors.MethodError: 405,
    errors.ConflictError: 409,
    errors.UnauthorizedError: 401,
    errors.ForbiddenError: 403,
    errors.UnknownHostError: 421,
    errors.RateLimitedError: 429,
    errors.BusyError: 503,
    errors.StorageError: 503,
    errors.StorageFullError: 507,
    errors.StorageReadOnlyError: 507,
    errors.StorageDeniedError: 507,
    errors.ModelError: 502,
    errors.ModelUnsetError: 503,
    errors.ModelLimitedError: 503,
    errors.ContextTooLongError: 413,
}
"""The HTTP status of each class of errors; a class that is not here has that of its parent."""

EXIT: Final[Mapping[type[ChatkeepError], int]] = {
    ChatkeepError: 1,
    errors.InvalidError: 2,
    errors.BrokenInputError: 2,
    errors.TooLargeError: 2,
    errors.UnsupportedTypeError: 2,
    errors.NotFoundError: 3,
    errors.ConflictError: 4,
    errors.UnauthorizedError: 5,
    errors.ForbiddenError: 5,
    errors.RateLimitedError: 5,
    errors.UnknownHostError: 5,
    errors.SessionDamagedError: 7,
}
"""The exit code of each class of errors; a class that is not here has that of its parent."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SessionItem(Struct, frozen=True, kw_only=True):
    """A session in a list of the object dialect. `message_count` counts all messages."""

    id: str
    title: str
    created_at: At
    updated_at: At
    message_count: int
    channel: str
    preview: str
    talk_count: int
    user_title: str | None
    archived: bool
    pinned: bool
    tags: tuple[str, ...]
    damage: str | UnsetType = UNSET


class SessionObject(SessionItem, frozen=True, kw_only=True):
    """A session of the object dialect by itself: as in a list, and with its metadata."""

    metadata: dict[str, Json]


class SessionPage(Struct, frozen=True, kw_only=True):
    """A page of sessions, newest activity first; `total` counts all that the filters match."""

    sessions: tuple[SessionItem, ...]
    total: int
    next_cursor: str | None


class HitItem(Struct, frozen=True, kw_only=True):
    """What a search found in one session. `highlights` are [start, end) character offsets into `match`."""

    id: str
    title: str
    channel: str
    match: str
    match_role: Role
    last_activity: At
    seq: int
    message_id: str
    highlights: tuple[tuple[int, int], ...]
    match_count: int


class HitPage(Struct, frozen=True, kw_only=True):
    """The answer to a search; `partial` tells that it was cut short by its deadline."""

    sessions: tuple[HitItem, ...]
    mode: Mode
    partial: bool


class KeyList(Struct, frozen=True, kw_only=True):
    """Session keys by code point; `count` is what the filters match, whatever the limit."""

    sessions: tuple[str, ...]
    count: int
    next_cursor: str | None


class SessionDetail(Struct, frozen=True, kw_only=True):
    """A session in the key dialect: times in Unix seconds, `message_count` counts user and assistant."""

    key: str
    message_count: int
    created_at: float
    updated_at: float
    age_seconds: float
    title: str
    channel: str
    metadata: dict[str, Json]
    preview: str
    user_title: str | None
    archived: bool
    pinned: bool
    tags: tuple[str, ...]
    total_message_count: int
    damage: str | UnsetType = UNSET


class AppendAnswer(Struct, frozen=True, kw_only=True):
    """Proof that messages are stored; `stored_count` leaves out those that were there already."""

    session: str
    message_count: int
    messages: tuple[Receipt, ...]
    stored_count: int


class StatusAnswer(Struct, frozen=True, kw_only=True):
    """Counts and sizes of the sessions that the token sees, and of the server that serves them."""

    status: str
    version: str
    uptime_seconds: float
    session_count: int
    message_count: int
    size_bytes: int
    channels: dict[str, int]
    problems: dict[str, str]
    chat: bool = False
    """Whether there is a model's server to chat with."""


class Done(Struct, frozen=True, kw_only=True):
    """The object dialect's answer to what has no other."""

    status: str = "ok"


class DeletedAnswer(Struct, frozen=True, kw_only=True):
    """The key dialect's answer to a deletion."""

    deleted: bool = True
    key: str


class BulkAnswer(Struct, frozen=True, kw_only=True):
    """The sessions that a bulk deletion removed, or would remove if it is a dry run."""

    keys: tuple[str, ...]
    count: int
    dry_run: bool


class ImportFlaw(Struct, frozen=True, kw_only=True):
    """A record that was not taken in, or not all of it: where it stands, why, and the ids that were taken."""

    place: str
    reason: str
    code: str
    conflicts: tuple[str, ...]


class ImportAnswer(Struct, frozen=True, kw_only=True):
    """What an import did."""

    sessions_created: int
    sessions_extended: int
    messages_added: int
    messages_skipped: int
    errors: tuple[ImportFlaw, ...]


def status_of(error: ChatkeepError | type[ChatkeepError]) -> int:
    """Return the HTTP status of an error."""
    return _by_class(STATUS, error)


def exit_code_of(error: ChatkeepError | type[ChatkeepError]) -> int:
    """Return the exit code of an error."""
    return _by_class(EXIT, error)


def json_bytes(answer: Struct | Sequence[Struct | msgspec.Raw]) -> bytes:
    """Return an answer as JSON."""
    return msgspec.json.encode(answer)


def summary_item(summary: Summary) -> SessionItem:
    """Return a session as lists of the object dialect show it."""
    header = summary.header
    return SessionItem(
        id=header.key,
        title=summary.title,
        created_at=header.created_at,
        updated_at=summary.updated_at,
        message_count=summary.message_count,
        channel=header.channel,
        preview=summary.preview,
        talk_count=summary.talk_count,
        user_title=header.title,
        archived=header.archived,
        pinned=header.pinned,
        tags=header.tags,
        damage=summary.damage or UNSET,
    )


def session_object(summary: Summary) -> SessionObject:
    """Return a session as the object dialect shows one."""
    return SessionObject(metadata=summary.header.metadata, **msgspec.structs.asdict(summary_item(summary)))


def summary_of(item: SessionItem) -> Summary:
    """Return the session that `summary_item` showed, without its metadata."""
    header = Header(
        key=item.id,
        channel=item.channel,
        title=item.user_title,
        created_at=item.created_at,
        archived=item.archived,
        pinned=item.pinned,
        tags=item.tags,
    )
    return Summary(
        header=header,
        message_count=item.message_count,
        talk_count=item.talk_count,
        title=item.title,
        preview=item.preview,
        updated_at=item.updated_at,
        damage=item.damage or None,
    )


def session_page(page: Page) -> SessionPage:
    """Return a page of sessions as the object dialect shows it."""
    return SessionPage(sessions=tuple(map(summary_item, page.sessions)), total=page.total, next_cursor=page.next_cursor)


def page_of(answer: SessionPage) -> Page:
    """Return the page that `session_page` showed."""
    return Page(sessions=tuple(map(summary_of, answer.sessions)), total=answer.total, next_cursor=answer.next_cursor)


def key_list(page: KeyPage) -> KeyList:
    """Return a page of keys as the key dialect shows it."""
    return KeyList(sessions=page.keys, count=page.total, next_cursor=page.next_cursor)


def key_page_of(answer: KeyList) -> KeyPage:
    """Return the page that `key_list` showed."""
    return KeyPage(keys=answer.sessions, total=answer.count, next_cursor=answer.next_cursor)


def hit_page(hits: Hits) -> HitPage:
    """Return the answer to a search as the object dialect shows it."""
    return HitPage(sessions=tuple(map(_hit_item, hits.hits)), mode=hits.mode, partial=hits.partial)


def hits_of(answer: HitPage) -> Hits:
    """Return the answer that `hit_page` showed."""
    return Hits(hits=tuple(map(_hit_of, answer.sessions)), mode=answer.mode, partial=answer.partial)


def session_detail(summary: Summary, now: datetime) -> SessionDetail:
    """Return a session as the key dialect shows it at the time `now`."""
    header = summary.header
    return SessionDetail(
        key=header.key,
        message_count=summary.talk_count,
        created_at=header.created_at.timestamp(),
        updated_at=summary.updated_at.timestamp(),
        age_seconds=max(0.0, round((now - header.created_at).total_seconds(), 1)),
        title=summary.title,
        channel=header.channel,
        metadata=header.metadata,
        preview=summary.preview,
        user_title=header.title,
        archived=header.archived,
        pinned=header.pinned,
        tags=header.tags,
        total_message_count=summary.message_count,
        damage=summary.damage or UNSET,
    )


def summary_of_detail(detail: SessionDetail) -> Summary:
    """Return the session that `session_detail` showed; its times are exact to the microsecond until 2100."""
    header = Header(
        key=detail.key,
        channel=detail.channel,
        title=detail.user_title,
        created_at=_time_at(detail.created_at),
        metadata=detail.metadata,
        archived=detail.archived,
        pinned=detail.pinned,
        tags=detail.tags,
    )
    return Summary(
        header=header,
        message_count=detail.total_message_count,
        talk_count=detail.message_count,
        title=detail.title,
        preview=detail.preview,
        updated_at=_time_at(detail.updated_at),
        damage=detail.damage or None,
    )


def append_answer(appended: Appended) -> AppendAnswer:
    """Return the answer to an append."""
    return AppendAnswer(
        session=appended.key,
        message_count=appended.message_count,
        messages=appended.receipts,
        stored_count=appended.stored_count,
    )


def appended_of(answer: AppendAnswer) -> Appended:
    """Return what `append_answer` showed."""
    return Appended(
        key=answer.session,
        message_count=answer.message_count,
        stored_count=answer.stored_count,
        receipts=answer.messages,
    )


def status_answer(status: Status, *, version: str, uptime_s: float, chat: bool) -> StatusAnswer:
    """Return the state of the server."""
    return StatusAnswer(
        status="ok", version=version, uptime_seconds=round(uptime_s, 1), chat=chat, **msgspec.structs.asdict(status)
    )


def counts_of(answer: StatusAnswer) -> Status:
    """Return the counts that `status_answer` showed."""
    return Status(
        session_count=answer.session_count,
        message_count=answer.message_count,
        size_bytes=answer.size_bytes,
        channels=answer.channels,
        problems=answer.problems,
    )


def _by_class(table: Mapping[type[ChatkeepError], int], error: ChatkeepError | type[ChatkeepError]) -> int:
    kind = error if isinstance(error, type) else type(error)
    return next(table[ancestor] for ancestor in kind.__mro__ if ancestor in table)


def _time_at(seconds: float) -> datetime:
    return _EPOCH + timedelta(microseconds=round(seconds * 1_000_000))


def _hit_item(hit: Hit) -> HitItem:
    return HitItem(
        id=hit.key,
        title=hit.title,
        channel=hit.channel,
        match=hit.excerpt,
        match_role=hit.role,
        last_activity=hit.updated_at,
        seq=hit.seq,
        message_id=hit.message_id,
        highlights=hit.highlights,
        match_count=hit.match_count,
    )


def _hit_of(item: HitItem) -> Hit:
    return Hit(
        key=item.id,
        title=item.title,
        channel=item.channel,
        updated_at=item.last_activity,
        seq=item.seq,
        message_id=item.message_id,
        role=item.match_role,
        excerpt=item.match,
        highlights=item.highlights,
        match_count=item.match_count,
    )
