"""Errors as they travel: a problem (RFC 9457) goes out, and comes in as the error that it showed."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from chatkeep.errors import ChatkeepError, InvalidError
from chatkeep.wire import status_of

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


class FieldError(Struct, frozen=True, kw_only=True):
    """A value that breaks a rule."""

    field: str
    message: str
    type: str


class OpenAIError(Struct, frozen=True, kw_only=True):
    """An error as clients of OpenAI's API read it."""

    message: str
    type: str
    param: str | None
    code: str


class Problem(Struct, frozen=True, kw_only=True):
    """An error, as `application/problem+json` (RFC 9457). The last nine are facts of single codes.

    `error` says the same to clients of OpenAI's API, on their routes.
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
        """What to tell people: the detail, and what they can do."""
        return self.detail if self.help is UNSET else f"{self.detail}. {self.help}"


def problem(error: ChatkeepError) -> Problem:
    """Return an error as the API shows it."""
    facts = {name: getattr(error, name, UNSET) for name in _FACTS}
    flaws: tuple[FieldError, ...] | UnsetType = UNSET
    if isinstance(error, InvalidError):
        flaws = (FieldError(field=error.field, message=error.reason, type=error.code),)
    return Problem(detail=error.headline or str(error), status=status_of(error), code=error.code, errors=flaws, **facts)


def openai_problem(told: Problem) -> Problem:
    """Return a problem that clients of OpenAI's API understand too."""
    field = told.errors[0].field if told.errors else None
    error = OpenAIError(message=told.sentence, type=told.code, param=field, code=told.code)
    return msgspec.structs.replace(told, error=error)


def error_of(answer: Problem, *, key: str = "") -> ChatkeepError:
    """Return the error that `problem` showed, of the class that has its code; `key` is what was asked for."""
    kind = _by_code().get(answer.code, ChatkeepError)
    error = kind.__new__(kind)
    error.args = (answer.sentence,)
    flaw = answer.errors[0] if answer.errors else FieldError(field="", message=answer.detail, type="")
    known: dict[str, object] = {"key": key, "field": flaw.field, "reason": flaw.message, "allowed": ()}
    known.update((name, value) for name in _FACTS if (value := getattr(answer, name)) is not UNSET)
    vars(error).update(known)
    return error


def _by_code() -> dict[str, type[ChatkeepError]]:
    kinds: list[type[ChatkeepError]] = [ChatkeepError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    return {kind.code: kind for kind in kinds}
