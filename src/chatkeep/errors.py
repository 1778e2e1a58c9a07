"""The tree of errors. Each class has a stable code and builds its own sentence from data.

    ChatkeepError                  failed
    ├─ InvalidError                invalid             a value breaks a rule; names the field
    │  ├─ InvalidKeyError          invalid_key         a session key breaks the rules
    │  └─ InvalidCursorError       invalid_cursor      a cursor this server did not make
    ├─ BrokenInputError            broken_input        bytes in another format than claimed
    ├─ UnsupportedTypeError        unsupported_type    a request body of another media type
    ├─ TooLargeError               too_large           a body or a message above its limit
    ├─ NotFoundError               not_found           the requested thing does not exist
    │  ├─ SessionNotFoundError     session_not_found   no session has this key
    │  └─ BlobNotFoundError        blob_not_found      no attachment has this hash
    ├─ MethodError                 method_not_allowed  the address exists, the method does not
    ├─ ConflictError               conflict            the stored state contradicts the request
    │  ├─ MessageConflictError     message_conflict    the id is taken by another message
    │  ├─ CountConflictError       count_conflict      the session has moved on
    │  ├─ SessionDeletedError      session_deleted     the session was deleted here; an import leaves it out
    │  └─ SessionDamagedError      session_damaged     the file does not parse; it is never overwritten
    ├─ UnauthorizedError           unauthorized        no token, or an invalid one
    ├─ ForbiddenError              forbidden           the token lacks a scope
    ├─ UnknownHostError            unknown_host        the Host header names another server
    ├─ RateLimitedError            rate_limited        too many requests; gives the seconds to wait
    │  └─ TooManyStreamsError      too_many_streams    too many event streams are open
    ├─ BusyError                   busy                somebody else holds the session for too long
    ├─ StorageError                storage_failed      the disk refused
    │  ├─ StorageFullError         storage_full        no space left
    │  ├─ StorageReadOnlyError     storage_read_only   the file system is mounted for reading
    │  └─ StorageDeniedError       storage_denied      the files are another user's, or closed
    ├─ ModelError                  model_failed        the model's server failed, or its answer is unreadable
    │  ├─ ModelUnsetError          model_unset         no model is configured
    │  ├─ ModelUnreachableError    model_unreachable   the model's server gives no answer
    │  ├─ ModelRefusedError        model_refused       the model's server refuses the key, the model or the request
    │  ├─ ModelLimitedError        model_limited       the model's server is too busy; gives the seconds to wait
    │  ├─ ModelReportedError       model_reported      the model's server sent an error in place of an answer
    │  ├─ ModelUnreadableError     model_unreadable    the model's server sent something other than an answer
    │  ├─ ModelSilentError         model_silent        the model said nothing
    │  ├─ ContextTooLongError      context_too_long    the session's window is too long for the model
    │  └─ ModelCutOffError         model_cut_off       the answer broke off
    └─ UnreachableError            unreachable         the client got no answer from the server

`wire.answers.STATUS` gives each class its HTTP status, `wire.answers.EXIT` its exit code.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Final

_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_DENIED: Final = frozenset((errno.EACCES, errno.EPERM))
_STREAM_WAIT_S: Final = 5  # seconds; by then a stream may have closed
_WINDOW_S: Final = 60  # seconds; limits are per minute
LIMITS: Final[Mapping[str, str]] = {
    "address": "All requests from this address share {limit} a minute. A token made with "
    "`chatkeep token create --rate N` has its own limit instead; the setting rate_limit_ip changes this one.",
    "token": "This token has {limit} requests a minute. One made with `chatkeep token create --rate N` has its own "
    "limit instead; the setting rate_limit_token changes this one.",
    "own": "This token was made with a limit of {limit} requests a minute. Make another with "
    "`chatkeep token create --rate N`.",
    "model": "This token has {limit} calls of the model a minute. One made with `chatkeep token create --rate N` has "
    "its own limit instead; the setting rate_limit_model changes this one.",
    "page": "The page may ask {limit} times a minute.",
    "tries": "Requests without a valid token: {limit} a minute from this address. Check the token.",
    "sign-in": "Signing in may be tried {limit} times a minute from this address.",
}
"""The sentence for each limit, with the way to raise it."""


class ChatkeepError(Exception):
    """A refusal or failure of Chatkeep; `str(error)` is a sentence for people."""

    code = "failed"
    headline = ""
    """The sentence without its advice, for programs comparing sentences."""


class InvalidError(ChatkeepError):
    """A value breaks a rule. `field` names the value, `reason` gives the rule; `others` has further such pairs."""

    code = "invalid"
    others: Sequence[tuple[str, str]] = ()

    def __init__(self, field: str, reason: str, others: Sequence[tuple[str, str]] = ()) -> None:
        """Name the field and the rule, and those of other values."""
        super().__init__("; ".join(f"{name}: {rule}" for name, rule in ((field, reason), *others)))
        self.field = field
        self.reason = reason
        if others:
            self.others = tuple(others)


class InvalidKeyError(InvalidError):
    """A session key breaks the rules."""

    code = "invalid_key"

    def __init__(self, reason: str, field: str = "key") -> None:
        """Give the rule, and the name of the field with the key."""
        super().__init__(field, reason)


class InvalidRequestError(InvalidError):
    """A value breaks a rule of OpenAI's API, on a route that answers as OpenAI does."""

    code = "invalid_request_error"


class InvalidCursorError(InvalidError):
    """This server did not make the cursor for this list."""

    code = "invalid_cursor"

    def __init__(self) -> None:
        """Take no data: a cursor is opaque."""
        super().__init__("cursor", "not a cursor of this list; begin again without one")


class BrokenInputError(ChatkeepError):
    """The bytes are in another format than they claim."""

    code = "broken_input"


class UnsupportedTypeError(ChatkeepError):
    """The request body has another media type than expected."""

    code = "unsupported_type"

    def __init__(self, expected: str) -> None:
        """Name the expected media type."""
        super().__init__(f"The body must be sent as {expected}.")


class TooLargeError(ChatkeepError):
    """A body or a message is above its limit."""

    code = "too_large"

    def __init__(self, what: str, limit_bytes: int) -> None:
        """Name the thing and its limit."""
        super().__init__(f"The {what} is larger than {limit_bytes} bytes.")
        self.limit_bytes = limit_bytes


class NotFoundError(ChatkeepError):
    """The requested thing does not exist."""

    code = "not_found"

    def __init__(self, sentence: str = "Not found") -> None:
        """Take the sentence to show."""
        super().__init__(sentence)


class SessionNotFoundError(NotFoundError):
    """No session has this key. The sentence comes from grip-ai's Sessions API."""

    code = "session_not_found"
    similar: tuple[str, ...] = ()
    """Keys close to the missing one, where a caller looked for them."""

    def __init__(self, key: str) -> None:
        """Remember the key for callers; the sentence leaves it out."""
        super().__init__("Session not found")
        self.key = key


class MessageNotFoundError(NotFoundError):
    """No such message stands in the session."""

    code = "message_not_found"

    def __init__(self) -> None:
        """Take no data: the caller knows what it asked for."""
        super().__init__("No such message stands in the session.")


class BlobNotFoundError(NotFoundError):
    """No attachment within reach has this hash."""

    code = "blob_not_found"

    def __init__(self) -> None:
        """Take no data: the caller knows what it asked for."""
        super().__init__("No attachment within reach has this hash.")


class MethodError(ChatkeepError):
    """The address exists, the method does not. `allowed` lists the existing methods."""

    code = "method_not_allowed"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        """List the existing methods."""
        super().__init__(f"Method not allowed; use {', '.join(allowed)}.")
        self.allowed = allowed


class ConflictError(ChatkeepError):
    """The stored state contradicts the request."""

    code = "conflict"


class MessageConflictError(ConflictError):
    """The message id belongs to a message with other content."""

    code = "message_conflict"

    def __init__(self, message_id: str) -> None:
        """Name the id."""
        super().__init__(f"Message id {message_id!r} is taken by a message with other content.")
        self.message_id = message_id


class SessionExistsError(ConflictError):
    """A session has this key already."""

    code = "session_exists"

    def __init__(self, key: str) -> None:
        """Remember the key for callers; the sentence leaves it out."""
        super().__init__("A session has this key already.")
        self.key = key


class CountConflictError(ConflictError):
    """The session has another number of messages than expected."""

    code = "count_conflict"

    def __init__(self, expected: int, found: int) -> None:
        """Give both counts."""
        super().__init__(f"Expected {expected} messages, the session has {found}.")
        self.expected = expected
        self.found = found


class SessionDeletedError(ConflictError):
    """The session was deleted here, and an import does not bring it back unless asked to."""

    code = "session_deleted"

    def __init__(self, key: str) -> None:
        """Remember the key for callers; the sentence leaves it out."""
        super().__init__("The session was deleted here; `restore_deleted` brings it back.")
        self.key = key


class SessionDamagedError(ConflictError):
    """The stored session does not parse; it stays as it is and is never overwritten."""

    code = "session_damaged"

    def __init__(self, key: str, reason: str) -> None:
        """Give the fault of the file."""
        super().__init__(f"The session is damaged: {reason}.")
        self.key = key
        self.reason = reason


class UnauthorizedError(ChatkeepError):
    """The request has no token, or an invalid one."""

    code = "unauthorized"

    def __init__(self) -> None:
        """Give one sentence for all causes, so that nobody learns the cause."""
        super().__init__("Authentication required: send `Authorization: Bearer <token>`.")


class ForbiddenError(ChatkeepError):
    """The token lacks a scope, or writes outside its prefix."""

    code = "forbidden"


class UnknownHostError(ChatkeepError):
    """The Host header names another server."""

    code = "unknown_host"

    def __init__(self) -> None:
        """Explain how to allow a host."""
        super().__init__("This server is not known by that host name; add it with --allow-host.")


class RateLimitedError(ChatkeepError):
    """Too many requests. `retry_after_s` is the wait for the next one, `limited_by` names the limit."""

    code = "rate_limited"
    headline = "Rate limit exceeded"

    def __init__(self, limit: int, retry_after_s: int, limited_by: str = "address") -> None:
        """Give the limit per minute, the seconds to wait, and the name of the limit: a key of `LIMITS`."""
        self.help = LIMITS[limited_by].format(limit=limit)
        super().__init__(f"{self.headline}. {self.help}")
        self.limit = limit
        self.retry_after_s = retry_after_s
        self.limited_by = limited_by
        self.window_s = _WINDOW_S


class TooManyStreamsError(RateLimitedError):
    """Too many event streams are open at a time; `limit` is their maximum."""

    code = "too_many_streams"
    headline = ""

    def __init__(self, where: str, limit: int) -> None:
        """Name the place of the streams, and their maximum."""
        ChatkeepError.__init__(self, f"There are {limit} event streams open {where} already; close one.")
        self.limit = limit
        self.retry_after_s = _STREAM_WAIT_S


class BusyError(ChatkeepError):
    """Somebody else holds the session for too long; nothing was changed."""

    code = "busy"

    def __init__(self, what: str = "session", state: str = "is busy") -> None:
        """Name the busy thing, and its state where that is another one."""
        super().__init__(f"The {what} {state}; try again.")


class StorageError(ChatkeepError):
    """The disk refused. The request failed, unless a retry with the same id shows its messages stored."""

    code = "storage_failed"


class StorageFullError(StorageError):
    """No space is left on the disk; nothing was changed."""

    code = "storage_full"

    def __init__(self) -> None:
        """Take no data."""
        super().__init__("No space is left on the storage; free some (deleting sessions does) and try again.")


class StorageReadOnlyError(StorageError):
    """The file system is mounted for reading; nothing was changed."""

    code = "storage_read_only"

    def __init__(self) -> None:
        """Take no data."""
        super().__init__(
            "The storage can only be read: mount it for writing, and try again. Reading goes on meanwhile."
        )


class StorageDeniedError(StorageError):
    """The operating system denies this user a file; nothing was changed."""

    code = "storage_denied"

    def __init__(self, refusal: str) -> None:
        """Quote the system's reason."""
        super().__init__(
            f"The storage refused: {refusal}. Its files may belong to another user: "
            "run Chatkeep as that one, or give them to this one."
        )


def storage_error(error: OSError, what: str = "") -> StorageError:
    """Return the error for a refusal of the operating system; `what` names the file where it helps."""
    told = error.strerror or f"{error}"
    if error.errno in _FULL:
        return StorageFullError()
    if error.errno == errno.EROFS:
        return StorageReadOnlyError()
    if error.errno in _DENIED:
        return StorageDeniedError(f"{what}: {told}" if what else told)
    return StorageError(f"{what} cannot be used: {told}." if what else f"The storage refused: {told}.")


class ModelError(ChatkeepError):
    """The model's server failed, or its answer is unreadable. The part so far is kept."""

    code = "model_failed"


class ModelUnsetError(ModelError):
    """No model is configured, or none for this request."""

    code = "model_unset"

    def __init__(self, setting: str) -> None:
        """Name the missing setting."""
        variable = f"CHATKEEP_{setting.upper()}"
        super().__init__(f"No model is configured: set {variable}, or {setting} in chatkeep.toml, and start again.")


class ModelUnreachableError(ModelError):
    """The model's server gives no answer."""

    code = "model_unreachable"

    def __init__(self, reason: str) -> None:
        """Give the reason in a few words."""
        super().__init__(f"The model's server {reason}; check that it runs, and that model_url leads to it.")


class ModelRefusedError(ModelError):
    """The model's server refuses the key, the model or the request."""

    code = "model_refused"


class ModelLimitedError(ModelError):
    """The model's server is too busy. `retry_after_s` is the time to wait."""

    code = "model_limited"

    def __init__(self, retry_after_s: int, words: str = "") -> None:
        """Give the seconds to wait, and a sentence with the words of the server."""
        super().__init__(f"The model's server has too many requests; try again in {retry_after_s} s.{words}")
        self.retry_after_s = retry_after_s


class ContextTooLongError(ModelError):
    """The session's window is too long for the model."""

    code = "context_too_long"

    def __init__(self) -> None:
        """Advise a smaller window."""
        super().__init__("This is longer than the model holds: send less, or set history_tokens lower.")


class ModelCutOffError(ModelError):
    """The answer broke off; the part so far is kept."""

    code = "model_cut_off"

    def __init__(self, reason: str = "the connection to the model's server broke") -> None:
        """Give the reason in a few words."""
        super().__init__(f"The answer was cut off: {reason}. What came of it is kept.")


class ModelReportedError(ModelError):
    """The model's server sent an error in place of its answer, or inside it."""

    code = "model_reported"

    def __init__(self, words: str) -> None:
        """Quote the server: the words are short, on one line and without keys."""
        told = f"told an error: {words!r}" if words else "told that it failed, and not why"
        super().__init__(f"The model's server {told}.")


class ModelUnreadableError(ModelError):
    """The model's server sent something other than an answer: a web page, other JSON, undecodable bytes."""

    code = "model_unreadable"

    def __init__(self, words: str, *, is_page: bool = False) -> None:
        """Quote the server: the words are short, on one line and without keys."""
        what = "a web page" if is_page else "what cannot be read as an answer"
        super().__init__(f"The model's server sent {what}: {words!r}; is model_url right?")


class ModelSilentError(ModelError):
    """The model said nothing, or nothing usable as an answer."""

    code = "model_silent"

    def __init__(self, finish_reason: str, *, is_ended: bool = True, beside: str = "") -> None:
        """Give the finish reason, and the model's output in place of an answer."""
        if not is_ended:
            super().__init__("The model's server sent nothing; try again.")
            return
        why = f" (finish reason: {finish_reason})" if finish_reason else ""
        super().__init__(f"The model answered nothing{why}{f', but {beside}' if beside else ''}.")


class UnreachableError(ChatkeepError):
    """The client got no answer, or one unlike any of a Chatkeep server."""

    code = "unreachable"


def _kinds() -> dict[str, type[ChatkeepError]]:
    kinds: list[type[ChatkeepError]] = [ChatkeepError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    return {kind.code: kind for kind in kinds}


BY_CODE: Final[Mapping[str, type[ChatkeepError]]] = _kinds()
"""The error class of each code."""
