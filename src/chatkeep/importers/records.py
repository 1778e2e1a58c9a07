"""A session as another program wrote it, turned into one of ours.

A record may lack nearly everything: ids, times, even its own start. We derive missing values from the rest of the
record alone. So one record always gives one session, and a second import adds nothing. A value breaking a rule is
mended or left out, and reported; its neighbours stay as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Struct, field

from chatkeep.core.bounds import DEPTH_MAX, MESSAGE_BYTES_MAX, VALUES_MAX, has_more_values
from chatkeep.core.checks import (
    TAGS_MAX,
    TITLE_CHARS_MAX,
    check_channel,
    check_metadata,
    check_name,
    check_tags,
    check_title,
)
from chatkeep.core.history.mending import LEFT_OUT, REPLACED, scrubbed, storable
from chatkeep.core.keys import KEY_CHARS_MAX, channel_of, parse_key
from chatkeep.core.life.message_rules import check_draft, check_drops, check_extra
from chatkeep.core.model import Draft, Header, Json, Message, utc
from chatkeep.core.standing import ROLES, Drops, Role
from chatkeep.core.unknown import FORMATS
from chatkeep.errors import BrokenInputError, InvalidError, InvalidKeyError, TooLargeError

_T = TypeVar("_T")
_SHOWN_CHARS: Final = 40  # characters of a bad value quoted in a report
_ANY_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)  # any valid time, for checks of other fields
_APART: Final = "other fields of the message"
_KEPT: Final = "left_out"
"""The key in a message's metadata for values its own fields could not take."""

_REPLACED: Final = "characters that cannot be stored were replaced by U+FFFD"
_HEAD_REPLACED: Final = "parts of its header that cannot be stored were replaced"
_SHORTENED: Final = (
    f"it was cut to fit into {MESSAGE_BYTES_MAX >> 20} MiB and {DEPTH_MAX} levels; marks say where, and how much"
)
_STOOD_FOR: Final = "it is too large in many small parts; a short message stands for it"


class ImportedMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A storable message; a missing time or id comes from its neighbours later.

    `seq` is the one in the record, None without one; `drops` are seqs of the record.
    """

    role: Role
    content: str | list[Json] | None = None
    timestamp: datetime | None = None
    id: str | None = None
    name: str | None = None
    tool_calls: list[Json] | None = None
    tool_call_id: str | None = None
    metadata: dict[str, Json] | None = None
    drops: Drops | None = None
    stored_at: datetime | None = None
    seq: int | None = None
    extra: dict[str, Json] | None = None


class Head(Struct, frozen=True, kw_only=True):
    """The fields of a record besides its messages. `last_at` is the time of its last message."""

    key: str
    channel: str | None = None
    title: str | None = None
    created_at: datetime | None = None
    metadata: dict[str, Json] = field(default_factory=dict)
    archived: bool = False
    pinned: bool = False
    tags: tuple[str, ...] = ()
    held: bool = False
    last_at: datetime | None = None
    extra: dict[str, Json] = field(default_factory=dict)

    def header(self, created_at: datetime) -> Header:
        """Return the header of the session."""
        fields = msgspec.structs.asdict(self)
        del fields["last_at"], fields["extra"]
        return Header(**{**fields, "created_at": created_at, "channel": self.channel or channel_of(self.key)})


class ReadRecord(NamedTuple):
    """A value read from a record, and the changes made to it as sentences."""

    value: Any
    told: tuple[str, ...] = ()


class _Outline(Struct, frozen=True, kw_only=True):
    """The fields we still read from a message with too many values."""

    role: str = "user"
    id: str | None = None
    timestamp: str | float | None = None


def lenient_json(raw: bytes) -> ReadRecord:
    """Return the value of JSON, even with invalid UTF-8, lone surrogates or control characters in it.

    Raises:
        BrokenInputError: when it is not JSON.
    """
    try:
        return ReadRecord(msgspec.json.decode(raw))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    text = raw.decode(errors="replace")
    try:
        value = json.loads(text, strict=False)
    except RecursionError as error:
        raise BrokenInputError("It is nested too deep.") from error
    except ValueError as error:
        raise BrokenInputError(f"It is not JSON: {error}.") from error
    return ReadRecord(scrubbed(value), (_REPLACED,))


def imported_message(
    raw: bytes, shape: Callable[[dict[str, Json]], dict[str, Json]], zone: tzinfo | None
) -> ReadRecord:
    """Return the message in the JSON, its fields renamed by `shape`.

    Raises:
        BrokenInputError, InvalidError: when it is beyond mending.
    """
    if has_more_values(raw):
        return _outlined(raw, zone)
    value, told = lenient_json(raw)
    if not isinstance(value, dict):
        raise BrokenInputError("It is no object.")
    return mended_message(shape(value), zone, told)


def mended_message(message: Mapping[str, Json], zone: tzinfo | None, told: tuple[str, ...] = ()) -> ReadRecord:
    """Return the message in the fields of our `json` format; `told` has the changes made to it before.

    Raises:
        InvalidError: when it is beyond mending.
    """
    fields = _Fields(message)
    role = fields.take("role")
    if role not in ROLES:
        raise InvalidError("role", f"{_shown(role)} is none of {', '.join(ROLES)}")
    content, calls = fields.take("content"), fields.checked("tool_calls", _a_list)
    if not (content is None or _is_content(content)):
        raise InvalidError("content", "must be text, or a list of parts that are objects or texts")
    names: dict[str, Any] = {name: fields.checked(name, _a_name) for name in ("id", "name", "tool_call_id")}
    sent_at, stored_at = (fields.checked(name, lambda at: instant(at, zone)) for name in ("timestamp", "stored_at"))
    given = fields.checked("metadata", _an_object)
    metadata = given or {}
    drops, seq = fields.checked("drops", _some_ranges), fields.checked("seq", _a_seq)
    if told:
        marks = metadata.get("altered")
        metadata = {**metadata, "altered": [*(marks if isinstance(marks, list) else ()), REPLACED]}
    if fields.left:
        metadata = {**metadata, _KEPT: scrubbed(fields.left)}
    draft = Draft(
        role=role,
        content="" if content is None and not calls else content,
        tool_calls=calls,
        metadata=metadata or given,
        drops=drops,
        **names,
    )
    kept, extra = _storable(draft, fields.rest())
    kept_fields = msgspec.structs.asdict(kept)
    del kept_fields["sent_at"]
    kept_fields["stored_at"] = stored_at
    said = ImportedMessage(timestamp=sent_at, seq=seq, extra=extra or None, **kept_fields)
    return ReadRecord(said, tuple(dict.fromkeys((*told, *fields.told, *_changes(draft, kept)))))


def head_of(fields: Mapping[str, Json], zone: tzinfo | None = UTC) -> ReadRecord:
    """Return the head of a session, read from the fields of a record.

    Raises:
        InvalidError: when the key is missing or invalid, or the version of the format is unknown.
    """
    given = dict(fields)
    clean = scrubbed(given)
    left = _Fields(clean, [] if clean == given else [_HEAD_REPLACED])
    if (version := left.take("format")) not in (None, *FORMATS):
        raise InvalidError("format", f"{_shown(version)} is not known: it was written by a newer version")
    key = left.take("key")
    if not isinstance(key, str):
        raise InvalidError("key", "is missing, or no text")
    title = left.take("title")
    if isinstance(title, str) and len(title.strip()) > TITLE_CHARS_MAX:
        left.told.append(f"its title of {len(title)} characters was cut")
        title = title.strip()[: TITLE_CHARS_MAX - 1] + "…"
    head = Head(
        key=_key(key),
        channel=left.checked("channel", _a_channel),
        title=_Fields({"title": title}, left.told).checked("title", _a_title),
        created_at=left.checked("created_at", lambda at: instant(at, zone)),
        metadata=left.checked("metadata", lambda value: check_metadata(_an_object(value))) or {},
        archived=left.checked("archived", _a_flag) or False,
        pinned=left.checked("pinned", _a_flag) or False,
        tags=_tags(left),
        held=left.checked("held", _a_flag) or False,
        extra=_extra(left),
    )
    return ReadRecord(head, tuple(left.told))


def fitting_key(name: str, outside_id: str, mark: str = ":") -> str:
    """Return the key of a session with an id elsewhere, behind the name of that place.

    The id stays readable if it may stand in a key, and is short enough. Else its digest stands for it.
    """
    key = f"{name}{mark}{outside_id}"
    try:
        return key if parse_key(key) == key else _digested(name, mark, outside_id)
    except InvalidKeyError:
        return _digested(name, mark, outside_id)


def _digested(name: str, mark: str, outside_id: str) -> str:
    digest = hashlib.blake2b(outside_id.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    room = KEY_CHARS_MAX - len(mark) - len(digest)
    return f"{name if len(name) <= room else _digested('', '', name)}{mark}{digest}"


def instant(at: Json, zone: tzinfo | None = UTC) -> datetime | None:
    """Return the time in UTC; `zone` applies to a time without an offset (None: this machine's zone).

    Raises:
        InvalidError: when it is no time, or out of range.
    """
    if at is None:
        return None
    try:
        if isinstance(at, str):
            at = msgspec.convert(at, datetime)
        if isinstance(at, datetime):
            return utc(at.replace(tzinfo=zone).astimezone(UTC) if at.tzinfo is None else at)
        if isinstance(at, int | float) and not isinstance(at, bool):
            return datetime.fromtimestamp(at, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise InvalidError("timestamp", "is no time between the years 1 and 9999") from error
    raise InvalidError("timestamp", "is no time")


def made_id(key: str, said: ImportedMessage, met: dict[int, int]) -> str:
    """Return an id made only from the message's content and time, and the count of equal messages before it.

    Only equal messages are counted. So a program may drop old messages, or insert one, without making others look new.
    """
    words = (key, said.role, said.content, said.name, said.tool_calls, said.tool_call_id, said.timestamp)
    encoded = msgspec.json.encode(words)
    mark = int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest())
    met[mark] = met.get(mark, 0) + 1
    return hashlib.blake2b(b"%d " % met[mark] + encoded, digest_size=16).hexdigest()


def why(error: Exception) -> str:
    """Return the fault of a record, as a sentence for people."""
    if isinstance(error, msgspec.ValidationError):
        return f"{error}."
    if isinstance(error, msgspec.DecodeError | UnicodeDecodeError):
        return f"It is not JSON: {error}."
    return "It is nested too deep." if isinstance(error, RecursionError) else str(error)


def _storable(draft: Draft, extra: dict[str, Json]) -> tuple[Draft, dict[str, Json]]:
    """Return a message and its unknown fields, both cut to the limits of storage."""
    if not extra:
        return storable(draft), extra
    try:
        check_draft(draft)
        check_extra(Message(seq=1, id="", sent_at=_ANY_TIME, extra=extra, **_said(draft)))
    except (InvalidError, TooLargeError, RecursionError):
        together = msgspec.structs.replace(draft, metadata={**(draft.metadata or {}), _APART: extra})
        kept = storable(together)
        metadata = dict(kept.metadata or {})
        extra = metadata.pop(_APART, {})
        return msgspec.structs.replace(kept, metadata=metadata or None), extra
    return draft, extra


def _said(draft: Draft) -> dict[str, Any]:
    fields = msgspec.structs.asdict(draft)
    del fields["sent_at"], fields["id"]
    return fields


class _Fields:
    """The fields of an object, taken one by one; `left` has the values breaking a rule, `told` a sentence for each."""

    def __init__(self, fields: Mapping[str, Json], told: list[str] | None = None) -> None:
        self.told = [] if told is None else told
        self.left: dict[str, Json] = {}
        self._fields = dict(fields)

    def take(self, name: str) -> Json:
        return self._fields.pop(name, None)

    def rest(self, *without: str) -> dict[str, Json]:
        """Return the fields not yet taken, except these names."""
        return {name: value for name, value in self._fields.items() if name not in without}

    def checked(self, name: str, check: Callable[[Json], _T]) -> _T | None:
        """Return a field; if it breaks its rule, note why and return None."""
        value = self.take(name)
        try:
            return None if value is None else check(value)
        except InvalidError as error:
            self.told.append(f"its {name} {_shown(value)} was left out: it {error.reason}")
            self.left[name] = value
        return None


def _outlined(raw: bytes, zone: tzinfo | None) -> ReadRecord:
    try:
        outline = msgspec.json.decode(raw, type=_Outline)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BrokenInputError(f"It has more than {VALUES_MAX} values.") from error
    if outline.role not in ROLES:
        raise InvalidError("role", f"{_shown(outline.role)} is none of {', '.join(ROLES)}")
    fields = _Fields({"timestamp": outline.timestamp, "id": outline.id})
    digest = hashlib.sha256(raw).hexdigest()
    content = f"[A message of more than {VALUES_MAX} values, too many to keep, SHA-256 {digest}]"
    said = ImportedMessage(
        role=outline.role,
        content=content,
        timestamp=fields.checked("timestamp", lambda at: instant(at, zone)),
        id=fields.checked("id", _a_name),
        metadata={"altered": [LEFT_OUT]},
    )
    return ReadRecord(said, (_STOOD_FOR, *fields.told))


def _changes(before: Draft, after: Draft) -> list[str]:
    """Return the changes to a message, as sentences."""
    if after is before:
        return []
    marks = (after.metadata or {}).get("altered", ())
    said = {REPLACED: _REPLACED, LEFT_OUT: _STOOD_FOR}
    return [said.get(mark, _SHORTENED) for mark in marks]


def _shown(value: Json) -> str:
    """Return a value short enough for a sentence."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def _key(key: str) -> str:
    try:
        return parse_key(key)
    except InvalidKeyError as error:
        raise InvalidError("key", error.reason) from error


def _extra(fields: _Fields) -> dict[str, Json]:
    """Return the unknown fields of a session, if they fit."""
    rest = fields.rest("messages", "message_count")
    try:
        return check_metadata(rest)
    except InvalidError as error:
        fields.told.append(f"its fields {_shown(', '.join(rest))} were left out: they {error.reason}")
    return {}


def _tags(fields: _Fields) -> tuple[str, ...]:
    given = fields.checked("tags", _a_list) or []
    tags: list[str] = []
    for tag in given:
        if (known := _Fields({"tag": tag}, fields.told).checked("tag", _a_tag)) is not None and known not in tags:
            tags.append(known)
    if len(tags) > TAGS_MAX:
        fields.told.append(f"only its first {TAGS_MAX} tags were taken")
    return tuple(tags[:TAGS_MAX])


def _is_content(value: Json) -> bool:
    if isinstance(value, list):
        return all(isinstance(part, dict | str) for part in value)
    return isinstance(value, str)


def _a_list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise InvalidError("", "is no list")
    return value


def _an_object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise InvalidError("", "is no object")
    return value


def _a_seq(value: Json) -> int | None:
    """Return the seq; a value of another kind is none of ours."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _some_ranges(value: Json) -> Drops:
    try:
        drops = msgspec.convert(value, Drops)
        check_drops(drops)
    except (msgspec.ValidationError, InvalidError) as error:
        raise InvalidError("drops", "is no list of ranges of seqs") from error
    return drops


def _a_flag(value: Json) -> bool:
    if not isinstance(value, bool):
        raise InvalidError("", "is neither true nor false")
    return value


def _a_name(value: Json) -> str:
    if not isinstance(value, str):
        raise InvalidError("", "is no text")
    check_name("", value)
    return value


def _a_channel(value: Json) -> str:
    return check_channel(_a_text(value))


def _a_title(value: Json) -> str:
    return check_title(_a_text(value))


def _a_tag(value: Json) -> str:
    (tag,) = check_tags((_a_text(value),))
    return tag


def _a_text(value: Json) -> str:
    if not isinstance(value, str):
        raise InvalidError("", "is no text")
    return value
