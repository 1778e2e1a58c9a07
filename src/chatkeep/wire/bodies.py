"""The bodies of requests: their types, their decoding, and the times and durations in them.

The structs check types. The rules of `core` check everything else, and have their own error messages. The
patterns here only show the same rules in the OpenAPI document, for people and for test tools.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from chatkeep.core.bounds import (
    BATCH_MAX,
    DEPTH_MAX,
    DROPS_MAX,
    MODEL_CHARS_MAX,
    VALUES_MAX,
    check_depth,
    has_more_values,
)
from chatkeep.core.checks import BLANKS, NAME_CHARS_MAX, TAGS_MAX, TITLE_CHARS_MAX
from chatkeep.core.keys import CHANNEL_CHARS_MAX, KEY_CHARS_MAX
from chatkeep.core.model import Draft, Json, MetadataMode, Revision, utc
from chatkeep.core.standing import EVENT, ROLES, Role, SeqRange
from chatkeep.core.text.surrogates import LONE_SURROGATE, has_lone_escape
from chatkeep.errors import BrokenInputError, InvalidError

BULK_KEYS_MAX: Final = 10_000  # keys in one deletion
CHAT_CHARS_MAX: Final = 100_000  # of a message to the model
LARGE_BYTES: Final = 64 << 10  # of a body; a thread parses a larger one, not the event loop
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_1: Final = -62135596800.0
_YEAR_10000: Final = 253402300800.0
_DURATION_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION_DIGITS_MAX: Final = 9  # the longest timedelta has 999,999,999 days
_T = TypeVar("_T")
_PLACE: Final = re.compile(r" - at `(?:key in )?\$?\.?(.*)`$")
_UNKNOWN: Final = "Object contains unknown field"
_NAMED: Final = re.compile(r"(?:unknown|missing required) field `(.*?)`(?: - at|$)")
_BROKEN: Final = "The body is not valid JSON in UTF-8 with numbers in range."

_CONTROLS: Final = r"\u0000-\u001f\u007f-\u009f"
_FORMATS: Final = (
    r"\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u180e\u200b\u200e-\u200f\u2028-\u202e"
    r"\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
KEY_SCHEMA: Final[dict[str, Json]] = {
    "minLength": 1,
    "maxLength": KEY_CHARS_MAX,
    "pattern": rf"^(?!\s)[^{_CONTROLS}{_FORMATS}]+(?<!\s)$",
}
NAME_SCHEMA: Final[dict[str, Json]] = {
    "minLength": 1,
    "maxLength": NAME_CHARS_MAX,
    "pattern": f"^[^{_CONTROLS}]+$",
}
LABEL_SCHEMA: Final[dict[str, Json]] = {
    "minLength": 1,
    "maxLength": CHANNEL_CHARS_MAX,
    "pattern": rf"^(?!\s)[^{_CONTROLS}]+(?<!\s)$",
}
_FILTER_SCHEMA: Final[dict[str, Json]] = {"minLength": 1}  # as in lists, a text no session has finds none
_SPACE: Final = r"\s\u001c-\u001f\u0085"
_REFUSED: Final = r"\u0000-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f\u202a-\u202e\u2066-\u2069"
_TITLE_SCHEMA: Final[dict[str, Json]] = {
    "pattern": (
        rf"^(?=[\s\S]*[^{_SPACE}{_REFUSED}{_FORMATS}{BLANKS}])"
        rf"[{_SPACE}]*[^{_SPACE}{_REFUSED}]"
        rf"(?:[^{_REFUSED}]{{0,{TITLE_CHARS_MAX - 2}}}[^{_SPACE}{_REFUSED}])?[{_SPACE}]*$"
    )
}
_AGE_SCHEMA: Final[dict[str, Json]] = {
    "anyOf": [{"pattern": r"^[0-9]{1,9}[smhd]$"}, {"format": "date-time"}],
    "examples": ["30d", "2024-01-15T10:30:00Z"],
}
_SAYS_SOMETHING: Final[dict[str, Json]] = {
    "anyOf": [
        {"properties": {"content": {"type": ["string", "array"]}}, "required": ["content"]},
        {"properties": {"tool_calls": {"type": "array", "minItems": 1}}, "required": ["tool_calls"]},
        {"properties": {"role": {"const": EVENT}}, "required": ["role"]},
    ]
}
_CHAT_KEY_SCHEMA: Final[dict[str, Json]] = {
    "minLength": 1,
    "maxLength": KEY_CHARS_MAX,
    "pattern": r"^[\w:.@-]+$",
}
_FILTERS: Final = ("prefix", "channel", "older_than")


def _keys_or_filters(*filters: str, **others: Json) -> list[Json]:
    """Return the two ways of a body to choose: by `keys`, or by some of these filters; and the rules beside them."""
    no_filters: dict[str, Json] = {name: {"type": "null"} for name in filters}
    by_keys: Json = {"required": ["keys"], "properties": {"keys": {"type": "array"}, **no_filters, **others}}
    by_filters: list[Json] = [
        {"required": [name], "properties": {name: {"type": "string"}, "keys": {"type": "null"}, **others}}
        for name in filters
    ]
    return [by_keys, *by_filters]


def _keys_filters_or_all(*filters: str) -> list[Json]:
    """Return the ways of a body to choose: by `keys`, by some of these filters, or by `all`."""
    no_filters: dict[str, Json] = {name: {"type": "null"} for name in filters}
    by_all: Json = {
        "required": ["all"],
        "properties": {"all": {"const": True}, "keys": {"type": "null"}, **no_filters},
    }
    return [*_keys_or_filters(*filters, all={"const": False}), by_all]


Key = Annotated[str, Meta(extra_json_schema=KEY_SCHEMA)]
Name = Annotated[str, Meta(extra_json_schema=NAME_SCHEMA)]
Label = Annotated[str, Meta(extra_json_schema=LABEL_SCHEMA)]
Title = Annotated[str, Meta(extra_json_schema=_TITLE_SCHEMA)]
Filter = Annotated[str, Meta(extra_json_schema=_FILTER_SCHEMA)]
Age = Annotated[str, Meta(extra_json_schema=_AGE_SCHEMA)]
At = Annotated[datetime, Meta(tz=True)]
UnixSeconds = Annotated[float, Meta(ge=_YEAR_1, lt=_YEAR_10000)]


class DraftBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A message to append. `timestamp` is RFC 3339 or Unix seconds; `content` is null only in events and beside calls.

    `drops` are ranges of earlier seqs that no longer stand, such as `[[5, 6]]`; the token needs the scope `delete`.
    """

    role: Role
    content: str | list[dict[str, Json] | str] | None = None
    timestamp: At | UnixSeconds | None = None
    id: Name | None = None
    name: Name | None = None
    tool_calls: list[Json] | None = None
    tool_call_id: Name | None = None
    metadata: dict[str, Json] | None = None
    drops: Annotated[tuple[SeqRange, ...], Meta(min_length=1, max_length=DROPS_MAX)] | None = None


DraftsBody = DraftBody | Annotated[list[DraftBody], Meta(min_length=1, max_length=BATCH_MAX)]
_DRAFTS: Final[msgspec.json.Decoder[DraftBody | list[DraftBody]]] = msgspec.json.Decoder(DraftsBody)


class ChatBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message to the model. Without a key the server makes a session; without a model the configured one answers."""

    message: Annotated[str, Meta(min_length=1, max_length=CHAT_CHARS_MAX)]
    session_key: Annotated[str, Meta(extra_json_schema=_CHAT_KEY_SCHEMA)] | None = None
    model: Annotated[str, Meta(min_length=1, max_length=MODEL_CHARS_MAX)] | None = None


class SignInBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The proof for signing in: the code of the server's printed sign-in link, or a token."""

    code: Annotated[str, Meta(max_length=256)] = ""
    token: Annotated[str, Meta(max_length=256)] = ""


class TitleBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The new title: 1 to 200 characters after trimming."""

    title: Title


class RevisionBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Changes to a session; missing fields stay as they are.

    `metadata` is a merge patch (RFC 7396), or with `metadata_mode` "replace" all of the metadata.
    """

    title: Title | UnsetType | None = UNSET
    archived: bool | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET
    tags: Annotated[tuple[Label, ...], Meta(max_length=TAGS_MAX)] | UnsetType = UNSET
    held: bool | UnsetType = UNSET
    metadata: dict[str, Json] | UnsetType = UNSET
    metadata_mode: MetadataMode = "merge"


class BulkBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sessions to delete: either these keys, or all sessions matching every given filter.

    `trash` says whether they can come back; without it the setting `trash_days` does.
    """

    keys: Annotated[list[Key], Meta(max_length=BULK_KEYS_MAX)] | None = None
    prefix: Filter | None = None
    channel: Filter | None = None
    older_than: Age | None = None
    dry_run: bool = True
    trash: bool | None = None


RULES: Final[dict[str, dict[str, Json]]] = {
    DraftBody.__name__: _SAYS_SOMETHING,
    BulkBody.__name__: {"anyOf": _keys_or_filters(*_FILTERS)},
    "CompactBody": {"anyOf": _keys_filters_or_all(*_FILTERS)},
    "PurgeBody": {"anyOf": _keys_filters_or_all("prefix", "older_than")},
}
"""JSON Schema rules across the fields of a body, by the body's name."""


def drafts_of_body(data: bytes) -> list[Draft]:
    """Return the messages of the body of an append: one message, or a list (then one more level may nest).

    Raises:
        BrokenInputError, InvalidError: as `decoded` and `draft_of_body` say.
    """
    try:
        body = decoded(data, _DRAFTS, DEPTH_MAX + data.lstrip()[:1].startswith(b"["))
    except InvalidError as error:
        if not error.reason.startswith(_UNKNOWN):
            raise
        reason = f"{error.reason}; there are {', '.join(DraftBody.__struct_fields__)}, and your own go into metadata"
        raise InvalidError(error.field, reason) from error
    return [draft_of_body(one) for one in ([body] if isinstance(body, DraftBody) else body)]


def draft_of_body(body: DraftBody) -> Draft:
    """Return the message in a body.

    Raises:
        InvalidError: when the time lies outside the years 1 to 9999.
    """
    fields = msgspec.structs.asdict(body)
    del fields["timestamp"]
    return Draft(sent_at=moment_of(body.timestamp), **fields)


def moment_of(at: datetime | float | None) -> datetime | None:
    """Return the time in a body, in UTC.

    Raises:
        InvalidError: when it lies outside the years 1 to 9999.
    """
    moment = _EPOCH + timedelta(microseconds=round(at * 1_000_000)) if isinstance(at, float) else at
    return None if moment is None else utc(moment)


def draft_body(draft: Draft) -> DraftBody:
    """Return a message as a body; the server itself says the time of storing."""
    fields = msgspec.structs.asdict(draft)
    del fields["stored_at"]
    return DraftBody(timestamp=fields.pop("sent_at"), **fields)


def revision_of(body: RevisionBody) -> Revision:
    """Return the changes in a body."""
    return Revision(**msgspec.structs.asdict(body))


def revision_body(revision: Revision) -> RevisionBody:
    """Return changes as a body."""
    return RevisionBody(**msgspec.structs.asdict(revision))


def with_choices(reason: str, place: str) -> str:
    """Return the reason for refusing a value at a place of a document; for a role, with the allowed values."""
    if reason.startswith("Invalid enum value") and place.rpartition(".")[2] == "role":
        return f"{reason}, must be one of {', '.join(ROLES)}"
    return reason


def parse_time(field: str, text: str) -> datetime:
    """Return the time of an RFC 3339 text, in UTC.

    Raises:
        InvalidError: naming the field, when the text is no such time.
    """
    try:
        return utc(msgspec.convert(text, At))
    except (msgspec.ValidationError, UnicodeError, InvalidError) as error:
        raise InvalidError(field, "must be a time such as 2024-01-15T10:30:00Z") from error


def parse_date(field: str, text: str) -> date:
    """Return the day of a text such as `2024-01-15`.

    Raises:
        InvalidError: naming the field, when the text is no day.
    """
    try:
        return msgspec.convert(text, date)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise InvalidError(field, "must be a day such as 2024-01-15") from error


def parse_duration(field: str, text: str) -> timedelta:
    """Return the duration of a text such as `30d`, `12h`, `5m` or `90s`.

    Raises:
        InvalidError: naming the field, when the text is no duration.
    """
    digits, unit = text[:-1], _DURATION_UNITS.get(text[-1:])
    if unit is None or not (digits.isascii() and digits.isdigit()) or len(digits) > _DURATION_DIGITS_MAX:
        raise InvalidError(field, "must be a duration such as 30d, 12h, 5m or 90s")
    return timedelta(**{unit: int(digits)})


def parse_age(field: str, text: str, now: datetime) -> datetime:
    """Return the time of a text: a duration before `now`, or a time in RFC 3339. The earliest is the year 1.

    Raises:
        InvalidError: naming the field, when the text is neither.
    """
    if "-" in text:
        return parse_time(field, text)
    try:
        return now - parse_duration(field, text)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def decoded(data: bytes, decoder: msgspec.json.Decoder[_T], depth_max: int = DEPTH_MAX) -> _T:
    """Return JSON as the type of the decoder.

    Raises:
        BrokenInputError: when it is not JSON, or nested too deep.
        InvalidError: naming the wrong field, or when there are too many values or a lone surrogate.
    """
    check_values(data)
    check_depth(data, depth_max)
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        _check_syntax(data)
        raise _invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _check_surrogates(data)
        raise BrokenInputError(_BROKEN) from error


def check_values(data: bytes) -> None:
    """Check JSON for at most `VALUES_MAX` values (100,000), without parsing it.

    Raises:
        InvalidError: when it has more.
        BrokenInputError: when it is also nested too deep.
    """
    if has_more_values(data):
        check_depth(data[:LARGE_BYTES], DEPTH_MAX)
        raise InvalidError("body", f"has more than {VALUES_MAX} values; send it in parts")


def _check_surrogates(data: bytes) -> None:
    """Check for escaped surrogates without their other half.

    Raises:
        InvalidError: when there is one.
    """
    if has_lone_escape(data):
        raise InvalidError("body", LONE_SURROGATE)


def _check_syntax(data: bytes) -> None:
    """Check the whole body for broken JSON: the decoder stops at a wrong value before it.

    Raises:
        BrokenInputError: when it is broken.
        InvalidError: when it has a lone surrogate.
    """
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _check_surrogates(data)
        raise BrokenInputError(_BROKEN) from error


def _invalid(told: str) -> InvalidError:
    place = _PLACE.search(told)
    named = _NAMED.search(told)
    reason = with_choices(told[: place.start()] if place else told, place[1] if place else "")
    parts = [part for part in (place and place[1], named and named[1]) if part]
    return InvalidError(".".join(parts) or "body", reason)
