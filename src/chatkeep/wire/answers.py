"""The JSON answers of the HTTP API: the server encodes them, the Python client decodes them.

Every answer is a struct here. Its fields have the names in the JSON, in the order of the bytes; the OpenAPI
document comes from the same structs. The bodies of requests are in `wire.bodies`.

Functions turn the values of `core.model` into answers (`summary_item`, ...) and back (`summary_of`, ...). Nothing
is lost on the way, microseconds included, except the metadata of sessions in lists. `STATUS` and `EXIT` map errors
to HTTP statuses and exit codes.
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
    Json,
    KeyPage,
    Page,
    Receipt,
    Status,
    Summary,
)
from chatkeep.core.standing import Drops
from chatkeep.errors import ChatkeepError
from chatkeep.wire.bodies import At

STATUS: Final[Mapping[type[ChatkeepError], int]] = {
    ChatkeepError: 500,
    errors.InvalidError: 422,
    errors.InvalidRequestError: 400,
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
"""The HTTP status of each class of errors; a class missing here has the status of its parent."""

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
"""The exit code of each class of errors; a class missing here has the exit code of its parent."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SessionItem(Struct, frozen=True, kw_only=True):
    """A session in a list of the object dialect. `message_count` counts all messages, `line_count` all lines.

    `metadata` is there if the request asked for it, and `held` if the session is held.
    """

    id: str
    title: str
    created_at: At
    updated_at: At
    message_count: int
    channel: str
    preview: str
    talk_count: int
    line_count: int
    user_title: str | None
    archived: bool
    pinned: bool
    tags: tuple[str, ...]
    damage: str | UnsetType = UNSET
    held: bool | UnsetType = UNSET
    metadata: dict[str, Json] | UnsetType = UNSET


class SessionObject(SessionItem, frozen=True, kw_only=True):
    """A session of the object dialect alone: the fields of a list, and the metadata."""

    metadata: dict[str, Json]


class SessionPage(Struct, frozen=True, kw_only=True):
    """A page of sessions, newest activity first; `total` counts all sessions matching the filters.

    `unreadable` is there if no session can be read, but something is stored: it counts the unreadable files.
    """

    sessions: tuple[SessionItem, ...]
    total: int
    next_cursor: str | None
    unreadable: int | UnsetType = UNSET


class KeyList(Struct, frozen=True, kw_only=True):
    """Session keys in code-point order; `count` is the number matching the filters, whatever the limit.

    `unreadable` is as in `SessionPage`.
    """

    sessions: tuple[str, ...]
    count: int
    next_cursor: str | None
    unreadable: int | UnsetType = UNSET


class SessionDetail(Struct, frozen=True, kw_only=True):
    """A session in the key dialect. Times are Unix seconds; `message_count` counts user and assistant messages.

    `held` is there if the session is held.
    """

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
    line_count: int
    damage: str | UnsetType = UNSET
    held: bool | UnsetType = UNSET


class AppendAnswer(Struct, frozen=True, kw_only=True):
    """Proof of stored messages; `stored_count` leaves out messages stored before. A replacement has its `drops`."""

    session: str
    message_count: int
    messages: tuple[Receipt, ...]
    stored_count: int
    drops: Drops | UnsetType = UNSET


class StatusAnswer(Struct, frozen=True, kw_only=True):
    """Counts and sizes of the sessions visible to the token, and the version and uptime of the server."""

    status: str
    version: str
    uptime_seconds: float
    session_count: int
    message_count: int
    size_bytes: int
    channels: dict[str, int]
    problems: dict[str, str]
    chat: bool = False
    """Whether a model's server is configured for chat."""
    blob_count: int = 0
    """The number of attachments kept beside the sessions, each once."""
    blob_bytes: int = 0


class Done(Struct, frozen=True, kw_only=True):
    """The object dialect's answer to a request without data to return."""

    status: str = "ok"


class DeletedAnswer(Struct, frozen=True, kw_only=True):
    """The key dialect's answer to a deletion."""

    deleted: bool = True
    key: str


class BulkAnswer(Struct, frozen=True, kw_only=True):
    """The sessions removed by a bulk deletion; in a dry run, those it would remove."""

    keys: tuple[str, ...]
    count: int
    dry_run: bool


class ImportFlaw(Struct, frozen=True, kw_only=True):
    """A record not imported, or not whole: its place, the reason, and the message ids taken by other content."""

    place: str
    reason: str
    code: str
    conflicts: tuple[str, ...]


class ImportAnswer(Struct, frozen=True, kw_only=True):
    """The report of an import: its counts, its flaws, and the sessions left out because they were deleted here."""

    sessions_created: int
    sessions_extended: int
    messages_added: int
    messages_skipped: int
    errors: tuple[ImportFlaw, ...]
    sessions_left_out: int = 0
    left_out: tuple[str, ...] = ()


def status_of(error: ChatkeepError | type[ChatkeepError]) -> int:
    """Return the HTTP status of an error, from `STATUS`."""
    return _by_class(STATUS, error)


def exit_code_of(error: ChatkeepError | type[ChatkeepError]) -> int:
    """Return the exit code of an error, from `EXIT`."""
    return _by_class(EXIT, error)


def json_bytes(answer: Struct | Sequence[Struct | msgspec.Raw]) -> bytes:
    """Return an answer as JSON."""
    return msgspec.json.encode(answer)


def summary_item(summary: Summary) -> SessionItem:
    """Return a session as in a list of the object dialect."""
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
        line_count=summary.line_count,
        user_title=header.title,
        archived=header.archived,
        pinned=header.pinned,
        tags=header.tags,
        damage=summary.damage or UNSET,
        held=header.held or UNSET,
    )


def session_object(summary: Summary) -> SessionObject:
    """Return a session in the object dialect, with its metadata."""
    return SessionObject(**{**msgspec.structs.asdict(summary_item(summary)), "metadata": summary.header.metadata})


def summary_of(item: SessionItem) -> Summary:
    """Return the session of a `summary_item`; it has no metadata unless the item has."""
    header = Header(
        key=item.id,
        channel=item.channel,
        title=item.user_title,
        created_at=item.created_at,
        metadata=item.metadata or {},
        archived=item.archived,
        pinned=item.pinned,
        tags=item.tags,
        held=item.held is True,
    )
    return Summary(
        header=header,
        line_count=item.line_count,
        message_count=item.message_count,
        talk_count=item.talk_count,
        title=item.title,
        preview=item.preview,
        updated_at=item.updated_at,
        damage=item.damage or None,
    )


def session_page(page: Page, unreadable: int = 0, *, metadata: bool = False) -> SessionPage:
    """Return a page of sessions in the object dialect, with their metadata if asked for."""
    return SessionPage(
        sessions=tuple(map(session_object if metadata else summary_item, page.sessions)),
        total=page.total,
        next_cursor=page.next_cursor,
        unreadable=unreadable or UNSET,
    )


def page_of(answer: SessionPage) -> Page:
    """Return the page of a `session_page`."""
    return Page(sessions=tuple(map(summary_of, answer.sessions)), total=answer.total, next_cursor=answer.next_cursor)


def key_list(page: KeyPage, unreadable: int = 0) -> KeyList:
    """Return a page of keys in the key dialect."""
    return KeyList(sessions=page.keys, count=page.total, next_cursor=page.next_cursor, unreadable=unreadable or UNSET)


def key_page_of(answer: KeyList) -> KeyPage:
    """Return the page of a `key_list`."""
    return KeyPage(keys=answer.sessions, total=answer.count, next_cursor=answer.next_cursor)


def session_detail(summary: Summary, now: datetime) -> SessionDetail:
    """Return a session in the key dialect; `age_seconds` counts up to `now`."""
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
        line_count=summary.line_count,
        damage=summary.damage or UNSET,
        held=header.held or UNSET,
    )


def summary_of_detail(detail: SessionDetail) -> Summary:
    """Return the session of a `session_detail`; its times are exact to the microsecond until 2100."""
    header = Header(
        key=detail.key,
        channel=detail.channel,
        title=detail.user_title,
        created_at=_time_at(detail.created_at),
        metadata=detail.metadata,
        archived=detail.archived,
        pinned=detail.pinned,
        tags=detail.tags,
        held=detail.held is True,
    )
    return Summary(
        header=header,
        line_count=detail.line_count,
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
        drops=appended.drops or UNSET,
    )


def appended_of(answer: AppendAnswer) -> Appended:
    """Return the result of an `append_answer`."""
    return Appended(
        key=answer.session,
        message_count=answer.message_count,
        stored_count=answer.stored_count,
        receipts=answer.messages,
        drops=answer.drops or (),
    )


def status_answer(status: Status, *, version: str, uptime_s: float, chat: bool) -> StatusAnswer:
    """Return the counts of the store, with the state of the server."""
    return StatusAnswer(
        status="ok", version=version, uptime_seconds=round(uptime_s, 1), chat=chat, **msgspec.structs.asdict(status)
    )


def counts_of(answer: StatusAnswer) -> Status:
    """Return the counts of a `status_answer`."""
    return Status(
        session_count=answer.session_count,
        message_count=answer.message_count,
        size_bytes=answer.size_bytes,
        channels=answer.channels,
        problems=answer.problems,
        blob_count=answer.blob_count,
        blob_bytes=answer.blob_bytes,
    )


def _by_class(table: Mapping[type[ChatkeepError], int], error: ChatkeepError | type[ChatkeepError]) -> int:
    kind = error if isinstance(error, type) else type(error)
    return next(table[ancestor] for ancestor in kind.__mro__ if ancestor in table)


def _time_at(seconds: float) -> datetime:
    return _EPOCH + timedelta(microseconds=round(seconds * 1_000_000))
