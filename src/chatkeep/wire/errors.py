"""Errors as JSON: the server encodes an error as a problem (RFC 9457), the client turns it back into the error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from chatkeep.errors import (
    BY_CODE,
    ChatkeepError,
    ForbiddenError,
    InvalidError,
    InvalidRequestError,
    NotFoundError,
    SessionDamagedError,
    SessionDeletedError,
)
from chatkeep.wire.answers import BulkAnswer, ImportAnswer, status_of

_FACTS: Final = (
    "expected",
    "found",
    "message_id",
    "limit",
    "limit_bytes",
    "retry_after_s",
    "limited_by",
    "window_s",
    "help",
)

_REQUESTS: Final = (400, 404, 409, 413, 415, 422)
"""Statuses that OpenAI has for faults of a request, all with one type."""

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""The errors of a decoder about bytes from outside."""

_REFUSALS: Final[Mapping[type[ChatkeepError], str]] = {
    ForbiddenError: "The token may write none of this; nothing was imported.",
    SessionDeletedError: "All of this was deleted here; nothing was imported. restore_deleted=true brings it back.",
}
"""The sentence for an import without a single good record, by the kind of its flaws."""
ADVICE: Final[Mapping[type[ChatkeepError], str]] = {SessionDamagedError: "Run `chatkeep doctor`."}
"""What a person can do about an error, for the doors: the errors themselves name no command."""


def advised(error: ChatkeepError) -> str:
    """Return the sentence of an error, with the advice for it if there is any."""
    advice = next((ADVICE[kind] for kind in type(error).__mro__ if kind in ADVICE), None)
    return f"{error}" if advice is None else f"{error} {advice}"


class FieldError(Struct, frozen=True, kw_only=True):
    """A field with a value against a rule."""

    field: str
    message: str
    type: str


class OpenAIError(Struct, frozen=True, kw_only=True):
    """An error in the shape of OpenAI's API."""

    message: str
    type: str
    param: str | None
    code: str


class RefusedRecord(Struct, frozen=True, kw_only=True):
    """A flaw of an import, with the fields of a report and of a problem.

    `field` repeats `place`, `message` repeats `reason`, `type` repeats `code`.
    """

    place: str
    reason: str
    code: str
    conflicts: tuple[str, ...]
    field: str
    message: str
    type: str


class RefusedImport(Struct, frozen=True, kw_only=True):
    """The answer to an import without a single good record: a problem with the fields of the report."""

    detail: str
    status: int
    code: str
    sessions_created: int
    sessions_extended: int
    messages_added: int
    messages_skipped: int
    errors: tuple[RefusedRecord, ...]
    sessions_left_out: int = 0
    left_out: tuple[str, ...] = ()


def refused_import(report: ImportAnswer, code: str) -> RefusedImport:
    """Return the report of an empty import as a problem.

    Its status is 403 for the code of `ForbiddenError`, 409 for that of `SessionDeletedError`, else 422.
    """
    kind = next((kind for kind in _REFUSALS if kind.code == code), InvalidError)
    errors = (
        RefusedRecord(**msgspec.structs.asdict(one), field=one.place, message=one.reason, type=one.code)
        for one in report.errors
    )
    return RefusedImport(
        **{
            **msgspec.structs.asdict(report),
            "errors": tuple(errors),
            "detail": _REFUSALS.get(kind, "Nothing could be imported."),
            "status": status_of(kind),
            "code": code,
        }
    )


class RefusedDeletion(Struct, frozen=True, kw_only=True):
    """The answer to a bulk deletion finding no session: a problem with the fields of the answer.

    `not_found` has the keys of the request; it is empty when the request gave filters.
    """

    detail: str
    status: int
    code: str
    keys: tuple[str, ...]
    count: int
    dry_run: bool
    not_found: tuple[str, ...]


def refused_deletion(answer: BulkAnswer, asked: str, named: Sequence[str]) -> RefusedDeletion:
    """Return the answer to an empty deletion as a problem; `asked` describes the request in words."""
    return RefusedDeletion(
        **msgspec.structs.asdict(answer),
        detail=f"No session was found for {asked}; nothing was deleted.",
        status=status_of(NotFoundError),
        code=NotFoundError.code,
        not_found=tuple(named),
    )


class Problem(Struct, frozen=True, kw_only=True):
    """An error, as `application/problem+json` (RFC 9457). Only some codes have the last nine fields.

    `error` repeats the facts for clients of OpenAI's API, on the routes of that API.
    """

    detail: str
    status: int
    code: str
    error: OpenAIError | UnsetType = UNSET
    errors: tuple[FieldError, ...] | UnsetType = UNSET
    expected: int | UnsetType = UNSET
    found: int | UnsetType = UNSET
    message_id: str | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    limit_bytes: int | UnsetType = UNSET
    retry_after_s: int | UnsetType = UNSET
    limited_by: str | UnsetType = UNSET
    window_s: int | UnsetType = UNSET
    help: str | UnsetType = UNSET

    @property
    def sentence(self) -> str:
        """The text for people: the detail, and the help if there is any."""
        return self.detail if self.help is UNSET else f"{self.detail}. {self.help}"


def problem(error: ChatkeepError) -> Problem:
    """Return an error as a problem."""
    facts = {name: getattr(error, name, UNSET) for name in _FACTS}
    flaws: tuple[FieldError, ...] | UnsetType = UNSET
    if isinstance(error, InvalidError):
        pairs = ((error.field, error.reason), *error.others)
        flaws = tuple(FieldError(field=field, message=reason, type=error.code) for field, reason in pairs)
    return Problem(
        detail=error.headline or advised(error), status=status_of(error), code=error.code, errors=flaws, **facts
    )


def openai_problem(told: Problem) -> Problem:
    """Return a problem with the `error` field for clients of OpenAI's API."""
    field = told.errors[0].field if told.errors else None
    kind = InvalidRequestError.code if told.status in _REQUESTS else told.code
    error = OpenAIError(message=told.sentence, type=kind, param=field, code=told.code)
    return msgspec.structs.replace(told, error=error)


def error_of(answer: Problem, *, key: str = "") -> ChatkeepError:
    """Return the error of a `problem`, in the class with its code; `key` is the key of the request."""
    kind = BY_CODE.get(answer.code, ChatkeepError)
    error = kind.__new__(kind)
    error.args = (answer.sentence,)
    flaw = answer.errors[0] if answer.errors else FieldError(field="", message=answer.detail, type="")
    others = tuple((one.field, one.message) for one in (answer.errors or ())[1:])
    known: dict[str, object] = {
        "key": key,
        "field": flaw.field,
        "reason": flaw.message,
        "others": others,
        "allowed": (),
    }
    known.update((name, value) for name in _FACTS if (value := getattr(answer, name)) is not UNSET)
    vars(error).update(known)
    return error
