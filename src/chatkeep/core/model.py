"""The values of Chatkeep: messages, sessions, and facts about them known without reading them.

All are immutable, and all times are aware datetimes in UTC. A `Message` encodes to exactly the JSON of the session
file and the HTTP API. So the order of its fields is the order of the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from chatkeep.core.bounds import MESSAGE_BYTES_MAX
from chatkeep.core.checks import (
    TITLE_CHARS_MAX,
    check_metadata,
    check_name,
    check_shape,
    encoded_json,
)
from chatkeep.core.keys import composed
from chatkeep.core.text import reasoning, titles
from chatkeep.errors import InvalidError, TooLargeError

Json = Any
"""A client's own JSON value, only kept by Chatkeep: content parts, tool calls, metadata."""

Role = Literal["system", "developer", "user", "assistant", "tool"]
Mode = Literal["all", "any"]
Sort = Literal["relevance", "recent"]
Unit = Literal["session", "message"]

ROLES: Final[tuple[Role, ...]] = ("system", "developer", "user", "assistant", "tool")
TALK_ROLES: Final[frozenset[Role]] = frozenset(("user", "assistant"))
MODEL_TITLE: Final = "model_title"
"""Name in a session's metadata of the model's title; the user's own title is a field of the header."""

_NO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)


class Draft(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message without a place in a session yet. `Sessions` fills in a missing id and time."""

    role: Role
    content: str | list[Json] | None
    sent_at: datetime | None = field(default=None, name="timestamp")
    id: str | None = None
    name: str | None = None
    tool_calls: list[Json] | None = None
    tool_call_id: str | None = None
    metadata: dict[str, Json] | None = None

    def says_the_same(self, other: Draft) -> bool:
        """Tell whether two messages have equal content; id and time do not count."""
        return _said(self) == _said(other)


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One message of a session. `seq` is its place, 1, 2, 3 ...; it alone defines the order.

    `extra` has fields unknown to Chatkeep, as another program wrote them: see `core.unknown`.
    """

    seq: int
    role: Role
    content: str | list[Json] | None
    sent_at: datetime = field(name="timestamp")
    id: str
    name: str | None = None
    tool_calls: list[Json] | None = None
    tool_call_id: str | None = None
    metadata: dict[str, Json] | None = None
    extra: dict[str, Json] | None = field(default=None, name="")

    @property
    def text(self) -> str:
        """The words of the content, without an answer's thinking: the string, or the text parts one per line."""
        if self.role != "assistant":
            return text_of(self.content)
        return text_of(reasoning.without_reasoning(self.content))

    @property
    def reasoning(self) -> str:
        """The model's thinking before its answer, in words; empty for messages of others."""
        return reasoning.reasoning_of(self.content, self.metadata) if self.role == "assistant" else ""

    def says_the_same(self, other: Message | Draft) -> bool:
        """Tell whether two messages have equal content; seq, id and time do not count."""
        return _said(self) == _said(other)


class Header(Struct, frozen=True, kw_only=True):
    """A session's data besides its messages. `title` is the user's own title, or None."""

    key: str
    channel: str
    title: str | None
    created_at: datetime
    metadata: dict[str, Json] = field(default_factory=dict)
    archived: bool = False
    pinned: bool = False
    tags: tuple[str, ...] = ()


class Session(Struct, frozen=True, kw_only=True):
    """A whole session, as exported and imported.

    `extra` has fields of its header unknown to Chatkeep, as another program wrote them.
    """

    header: Header
    messages: tuple[Message, ...]
    extra: dict[str, Json] = field(default_factory=dict)


class Digest(Struct, frozen=True, kw_only=True):
    """The facts of a session's messages for a list, folded from one message after the other.

    `title_hint` and `preview_hint` describe messages without words for people, until a message has some.
    """

    message_count: int = 0
    talk_count: int = 0
    auto_title: str | None = None
    title_hint: str = ""
    preview: str = ""
    preview_hint: str = ""
    latest_at: datetime | None = None

    def plus(self, *messages: Message) -> Digest:
        """Return the digest of the same messages and these after them."""
        talk = [message for message in messages if message.role in TALK_ROLES]
        latest_at = max((message.sent_at for message in messages), default=self.latest_at)
        asked = () if self.auto_title else (said for said in talk if said.role == "user")
        title = _first_short(titles.title(said.text, said.content) for said in asked)
        preview = _first_short(titles.preview(said.text, said.content) for said in reversed(talk))
        auto_title, latest = self.auto_title or title.said or None, preview.said or self.preview
        return Digest(
            message_count=self.message_count + len(messages),
            talk_count=self.talk_count + len(talk),
            auto_title=auto_title,
            title_hint="" if auto_title else self.title_hint or title.described,
            preview=latest,
            preview_hint="" if latest else preview.described or self.preview_hint,
            latest_at=latest_at if self.latest_at is None or latest_at is None else max(self.latest_at, latest_at),
        )

    @property
    def made_title(self) -> str | None:
        """The title from the messages, None if they give none."""
        return self.auto_title or self.title_hint or None


class Summary(Struct, frozen=True, kw_only=True):
    """A session without its messages.

    `message_count` counts all messages, `talk_count` those of users and assistants.
    """

    header: Header
    message_count: int
    talk_count: int
    title: str
    preview: str
    updated_at: datetime
    damage: str | None = None


def summary(header: Header, digest: Digest, damage: str | None = None) -> Summary:
    """Return a session's summary. `damage` says why it is read-only, None for a whole one."""
    return Summary(
        header=header,
        message_count=digest.message_count,
        talk_count=digest.talk_count,
        title=title_of(header, digest.made_title),
        preview=digest.preview or digest.preview_hint,
        updated_at=digest.latest_at or header.created_at,
        damage=damage,
    )


def title_of(header: Header, made_title: str | None) -> str:
    """Return a session's title: the user's own, else the model's, else the one from its messages."""
    made = header.metadata.get(MODEL_TITLE)
    if not isinstance(made, str) or not 1 <= len(made) <= TITLE_CHARS_MAX:
        made = None
    return header.title or made or made_title or titles.NO_TITLE


class Receipt(Struct, frozen=True, kw_only=True):
    """The place of a message: proof that it is stored."""

    seq: int
    id: str
    sent_at: datetime = field(name="timestamp")


class Appended(Struct, frozen=True, kw_only=True):
    """The answer to an append. `stored_count` is 0 when every message was there already."""

    key: str
    message_count: int
    stored_count: int
    receipts: tuple[Receipt, ...]


class Merged(Struct, frozen=True, kw_only=True):
    """The answer to an import of one session. `conflicts` are ids taken by other content, left out."""

    created: bool
    added_count: int
    skipped_count: int
    conflicts: tuple[str, ...] = ()


class Revision(Struct, frozen=True, kw_only=True):
    """Changes to a session's header; unset fields stay. `metadata` is a merge patch (RFC 7396)."""

    title: str | UnsetType | None = UNSET
    archived: bool | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    metadata: dict[str, Json] | UnsetType = UNSET

    def applied_to(self, header: Header) -> Header:
        """Return the header with the changes made.

        Raises:
            InvalidError: when the merged metadata would be too large.
        """
        changes = {
            name: value
            for name in ("title", "archived", "pinned", "tags")
            if (value := getattr(self, name)) is not UNSET
        }
        if self.metadata is not UNSET:
            changes["metadata"] = check_metadata(_merge_patch(header.metadata, self.metadata))
        return msgspec.structs.replace(header, **changes)


class Selection(Struct, frozen=True, kw_only=True):
    """A choice of sessions. `archived` or `pinned` None means both.

    A key must begin with all `prefixes`, and a session must have all of the `tags`, each of them exactly.
    `updated_after` includes that time, `updated_before` does not.
    """

    prefixes: tuple[str, ...] = ()
    channel: str | None = None
    archived: bool | None = False
    pinned: bool | None = None
    tags: tuple[str, ...] = ()
    updated_after: datetime | None = None
    updated_before: datetime | None = None

    def composed(self) -> Selection:
        """Return the same selection with its names as they are stored."""
        return msgspec.structs.replace(
            self,
            prefixes=tuple(map(composed, self.prefixes)),
            channel=None if self.channel is None else composed(self.channel),
            tags=tuple(map(composed, self.tags)),
        )

    @property
    def prefix(self) -> str | None:
        """The longest prefix, standing for all of them, or None when no key can begin with all."""
        longest = max(self.prefixes, key=len, default="")
        return longest if all(longest.startswith(prefix) for prefix in self.prefixes) else None

    @property
    def is_by_marks(self) -> bool:
        """Whether tags or pins choose the sessions; a store may then have to look at every one."""
        return self.pinned is not None or bool(self.tags)


class Page(Struct, frozen=True, kw_only=True):
    """Part of a list of sessions. `total` counts all matches, `next_cursor` is None on the last page."""

    sessions: tuple[Summary, ...]
    total: int
    next_cursor: str | None


class KeyPage(Struct, frozen=True, kw_only=True):
    """Part of the list of keys, by code point; `total` counts all matches."""

    keys: tuple[str, ...]
    total: int
    next_cursor: str | None


class Hit(Struct, frozen=True, kw_only=True):
    """A session's best message for a query. `highlights` are [start, end) character offsets into `excerpt`."""

    key: str
    title: str
    channel: str
    updated_at: datetime
    seq: int
    message_id: str
    role: Role
    excerpt: str
    highlights: tuple[tuple[int, int], ...]
    match_count: int


class Hits(Struct, frozen=True, kw_only=True):
    """The answer to a search. `partial` means that the search could not read all messages that it needed."""

    hits: tuple[Hit, ...]
    mode: Mode = "all"
    partial: bool = False


class Status(Struct, frozen=True, kw_only=True):
    """Counts and sizes of the visible sessions.

    `problems` maps the names of unservable stored things to reasons.
    """

    session_count: int
    message_count: int
    size_bytes: int
    channels: dict[str, int]
    problems: dict[str, str]


def text_of(content: str | list[Json] | None) -> str:
    """Return the words of a message's content: the string, or the text of its parts, one per line."""
    if isinstance(content, str):
        return content
    parts = (part if isinstance(part, str) else _part_text(part) for part in content or ())
    return "\n".join(filter(None, parts))


def check_draft(draft: Draft) -> None:
    """Check the rules of an incoming message that types cannot express.

    Raises:
        InvalidError: for content of another kind, NUL or a lone surrogate, a bad id, a time out of range, and for
            a message nested too deep or with too many values.
        TooLargeError: when the message is larger than 16 MiB as JSON, its id and time not counted.
    """
    if draft.content is None and not draft.tool_calls:
        raise InvalidError("content", "is missing: it may be null or left out only beside tool_calls")
    for part in draft.content if isinstance(draft.content, list) else ():
        if not isinstance(part, dict | str):
            raise InvalidError("content", "a list of parts holds objects or strings")
    for name in ("id", "name", "tool_call_id"):
        check_name(name, getattr(draft, name))
    try:
        encoded = encoded_json("message", draft)
    except InvalidError:
        for name in ("content", "tool_calls", "metadata"):
            encoded_json(name, getattr(draft, name))
        raise
    if len(encoded) - _given_bytes(draft) > MESSAGE_BYTES_MAX:
        raise TooLargeError("message", MESSAGE_BYTES_MAX)
    check_shape("message", encoded)


def check_extra(message: Message) -> None:
    """Check a message's unknown fields together with its known ones.

    Raises:
        InvalidError, TooLargeError: as for `check_draft`.
    """
    if not message.extra:
        return
    known = encoded_json("message", msgspec.structs.replace(message, extra=None, id="", sent_at=_NO_TIME))
    encoded = known[:-1] + b"," + encoded_json("message", message.extra)[1:]
    if len(encoded) > MESSAGE_BYTES_MAX:
        raise TooLargeError("message", MESSAGE_BYTES_MAX)
    check_shape("message", encoded)


def utc(at: datetime) -> datetime:
    """Return the same instant in UTC; a time without an offset is taken as UTC.

    Raises:
        InvalidError: when the instant lies outside the years 1 to 9999.
    """
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise InvalidError("timestamp", "lies outside the years 1 to 9999") from error


def _given_bytes(draft: Draft) -> int:
    """Return the bytes of id and time in a message as JSON.

    They do not count toward its bound, as the store may have added both.
    """
    empty = Draft(role=draft.role, content=None)
    given = msgspec.structs.replace(empty, id=draft.id, sent_at=draft.sent_at)
    return len(msgspec.json.encode(given)) - len(msgspec.json.encode(empty))


def _first_short(texts: Iterable[titles.Short]) -> titles.Short:
    """Return the first words for people, and the first description up to there."""
    described = ""
    for text in texts:
        if text.said:
            return titles.Short(text.said, described)
        described = described or text.described
    return titles.Short("", described)


def _said(message: Message | Draft) -> bytes:
    """Return a client's content as JSON bytes; 1, 1.0 and true are three values."""
    said = (
        message.role,
        message.content,
        message.name,
        message.tool_calls or None,
        message.tool_call_id,
        message.metadata or None,
        (message.extra or None) if isinstance(message, Message) else None,
    )
    return msgspec.json.encode(said, order="deterministic")


def _part_text(part: Json) -> str:
    text = part.get("text", part.get("refusal")) if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""


def _merge_patch(target: dict[str, Json], patch: dict[str, Json]) -> dict[str, Json]:
    """Source: RFC 7396, section 2."""
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            inner = merged.get(name)
            merged[name] = _merge_patch(inner if isinstance(inner, dict) else {}, value)
        else:
            merged[name] = value
    return merged
