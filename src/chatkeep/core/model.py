"""The values of Chatkeep: messages, sessions, and facts about them known without reading them.

All are immutable, and all times are aware datetimes in UTC. A `Message` encodes to exactly the JSON of the session
file and the HTTP API. So the order of its fields is the order of the bytes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from chatkeep.core.blobs import blob_names
from chatkeep.core.checks import TITLE_CHARS_MAX, check_metadata
from chatkeep.core.keys import composed
from chatkeep.core.standing import EVENT, Drops, Moves, Role, standing
from chatkeep.core.text import reasoning, titles, work
from chatkeep.core.text.patching import merge_patch
from chatkeep.errors import InvalidError

Json = Any
"""A client's own JSON value, only kept by Chatkeep: content parts, tool calls, metadata."""

Mode = Literal["all", "any"]
Sort = Literal["relevance", "recent"]
Unit = Literal["session", "message"]
MetadataMode = Literal["merge", "replace"]

MODEL_TITLE: Final = "model_title"
"""Name in a session's metadata of the model's title; the user's own title is a field of the header."""


class Draft(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message without a place in a session yet. `Sessions` fills in a missing id and time, and `stored_at`.

    `drops` are ranges of earlier seqs that no longer stand: see `core.standing`.
    """

    role: Role
    content: str | list[Json] | None
    sent_at: datetime | None = field(default=None, name="timestamp")
    id: str | None = None
    name: str | None = None
    tool_calls: list[Json] | None = None
    tool_call_id: str | None = None
    metadata: dict[str, Json] | None = None
    drops: Drops | None = None
    stored_at: datetime | None = None

    def says_the_same(self, other: Draft) -> bool:
        """Tell whether two messages have equal content; id and time do not count."""
        return _spoken(self) == _spoken(other)


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line of a session. `seq` is its place, 1, 2, 3 ...; it alone defines the order.

    `drops` are ranges of earlier seqs that no longer stand: see `core.standing`. `stored_at` is beside a sender's time.
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
    drops: Drops | None = None
    stored_at: datetime | None = None
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

    @property
    def work(self) -> str:
        """The words of the work behind the text: thinking, the names and arguments of calls, what tools gave back."""
        named = (self.name,) if self.role == "tool" and self.name else ()
        called = (*work.words_of_calls(self.tool_calls), *work.words_of_parts(self.content))
        return "\n\n".join(filter(None, (*named, self.reasoning, *called)))

    @property
    def is_mark(self) -> bool:
        """Whether the line only drops others, and has nothing of its own."""
        return bool(self.drops) and self.role == EVENT and not (self.content or self.metadata or self.extra)

    @property
    def is_erased(self) -> bool:
        """Whether the line may be what a compaction leaves of a dropped one: an event without anything of its own."""
        return self == erased(self)

    def says_the_same(self, other: Message | Draft) -> bool:
        """Tell whether two messages have equal content; seq, id and time do not count."""
        return _spoken(self) == _spoken(other)


class Header(Struct, frozen=True, kw_only=True):
    """A session's data besides its messages. `title` is the user's own, or None. No rule takes a `held` session."""

    key: str
    channel: str
    title: str | None
    created_at: datetime
    metadata: dict[str, Json] = field(default_factory=dict)
    archived: bool = False
    pinned: bool = False
    tags: tuple[str, ...] = ()
    held: bool = False


class Session(Struct, frozen=True, kw_only=True):
    """A whole session, as exported and imported: its log, or what stands of it.

    `extra` has fields of its header unknown to Chatkeep, as another program wrote them.
    """

    header: Header
    messages: tuple[Message, ...]
    extra: dict[str, Json] = field(default_factory=dict)

    def as_it_stands(self) -> Session:
        """Return the session as if what was dropped had never been there: numbered anew, without drops."""
        if not any(line.drops for line in self.messages):
            return self
        kept = (line for line in standing(self.messages) if not line.is_mark)
        numbered = (msgspec.structs.replace(line, seq=seq, drops=None) for seq, line in enumerate(kept, start=1))
        return msgspec.structs.replace(self, messages=tuple(numbered))


class Summary(Struct, frozen=True, kw_only=True):
    """A session without its messages.

    `message_count` counts all messages, `talk_count` those of users and assistants. `line_count` counts every line of
    the log, with dropped messages and events: the number for `expect_count`.
    """

    header: Header
    line_count: int
    message_count: int
    talk_count: int
    title: str
    preview: str
    updated_at: datetime
    damage: str | None = None


def erased(line: Message) -> Message:
    """Return what a compaction leaves of a dropped line: its place, its id, its times and what it drops."""
    own = ("seq", "sent_at", "id", "drops", "stored_at")
    return Message(role=EVENT, content="", **{name: getattr(line, name) for name in own})


def title_of(header: Header, made_title: str | None) -> str:
    """Return a session's title: the user's own, else the model's, else the one from its messages."""
    return given_title(header) or made_title or titles.NO_TITLE


def given_title(header: Header) -> str | None:
    """Return the title that the user or a model gave to a session, None without one."""
    made = header.metadata.get(MODEL_TITLE)
    if not isinstance(made, str) or not 1 <= len(made) <= TITLE_CHARS_MAX:
        made = None
    return header.title or made


class Receipt(Struct, frozen=True, kw_only=True):
    """The place of a message: proof that it is stored."""

    seq: int
    id: str
    sent_at: datetime = field(name="timestamp")


class Appended(Struct, frozen=True, kw_only=True):
    """The answer to an append. `stored_count` is 0 when every message was there already.

    `message_count` counts every line of the session, dropped ones and events too: the number for `expect_count`.
    `drops` are the seqs dropped by a replacement of all messages.
    """

    key: str
    message_count: int
    stored_count: int
    receipts: tuple[Receipt, ...]
    drops: Drops = ()


class Merged(Struct, frozen=True, kw_only=True):
    """The answer to an import of one session. `conflicts` are ids taken by other content, left out.

    `moves` has the seqs of its lines here: see `core.standing.Moved`. Answers over HTTP lack them.
    """

    created: bool
    added_count: int
    skipped_count: int
    conflicts: tuple[str, ...] = ()
    moves: Moves = ()


class Revision(Struct, frozen=True, kw_only=True):
    """Changes to a session's header; unset fields stay.

    `metadata` is a merge patch (RFC 7396), or with `metadata_mode` "replace" all of the metadata.
    """

    title: str | UnsetType | None = UNSET
    archived: bool | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    held: bool | UnsetType = UNSET
    metadata: dict[str, Json] | UnsetType = UNSET
    metadata_mode: MetadataMode = "merge"

    def applied_to(self, header: Header) -> Header:
        """Return the header with the changes made.

        Raises:
            InvalidError: when the merged metadata would be too large.
        """
        changes = {
            name: value
            for name in ("title", "archived", "pinned", "tags", "held")
            if (value := getattr(self, name)) is not UNSET
        }
        if self.metadata is not UNSET:
            merges = self.metadata_mode == "merge"
            told = merge_patch(header.metadata, self.metadata) if merges else self.metadata
            changes["metadata"] = check_metadata(told)
        return msgspec.structs.replace(header, **changes)


class Selection(Struct, frozen=True, kw_only=True):
    """A choice of sessions. `archived` or `pinned` None means both.

    A key must begin with all `prefixes`, and a session must have all of the `tags`, each of them exactly. In its
    metadata each name of `metadata` must have the value: a text, or another scalar as JSON writes it. A name with
    dots leads into objects: `forked_from.session`.
    `updated_after` includes that time, `updated_before` does not.
    `keys` are the only ones that count; `sessions` sets them to those of a `person`.
    """

    prefixes: tuple[str, ...] = ()
    channel: str | None = None
    archived: bool | None = False
    pinned: bool | None = None
    tags: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    person: str | None = None
    keys: tuple[str, ...] | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None

    def composed(self) -> Selection:
        """Return the same selection with its names as they are stored."""
        return msgspec.structs.replace(
            self,
            prefixes=tuple(map(composed, self.prefixes)),
            channel=None if self.channel is None else composed(self.channel),
            tags=tuple(map(composed, self.tags)),
            person=None if self.person is None else composed(self.person),
        )

    @property
    def prefix(self) -> str | None:
        """The longest prefix, standing for all of them, or None when no key can begin with all."""
        longest = max(self.prefixes, key=len, default="")
        return longest if all(longest.startswith(prefix) for prefix in self.prefixes) else None

    @property
    def is_resolved(self) -> bool:
        """Whether the keys of a person are there; without them a store has no session for one."""
        return self.person is None or self.keys is not None

    @property
    def is_by_marks(self) -> bool:
        """Whether tags, pins, metadata or keys choose the sessions; a store may then have to look at every one."""
        return self.pinned is not None or bool(self.tags) or bool(self.metadata) or self.keys is not None


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
    """A session's best message for a query. `highlights` are [start, end) character offsets into `excerpt`.

    A session found by its names alone (title, key, tags) has a `match_count` of 0, and shows its first message of the
    user; `seq` is 0 if it has no messages. `title_highlights` are offsets into `title`.
    """

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
    title_highlights: tuple[tuple[int, int], ...] = ()


class Elsewhere(Struct, frozen=True, kw_only=True):
    """Where a search without hits would have some: the matching messages of other `roles`, and without the filters.

    `unfiltered` counts messages of the same roles, in any session under the same prefix, of any time.
    """

    roles: dict[Role, int]
    unfiltered: int = 0


class Hits(Struct, frozen=True, kw_only=True):
    """The answer to a search. `partial` means that the search could not read all messages that it needed.

    `elsewhere` is there if there are no hits, but would be for other roles or filters. `next_cursor` is None on the
    last page.
    """

    hits: tuple[Hit, ...]
    mode: Mode = "all"
    partial: bool = False
    elsewhere: Elsewhere | None = None
    next_cursor: str | None = None


class Status(Struct, frozen=True, kw_only=True):
    """Counts and sizes of the visible sessions, and of the attachments kept beside them.

    `problems` maps the names of unservable stored things to reasons.
    """

    session_count: int
    message_count: int
    size_bytes: int
    channels: dict[str, int]
    problems: dict[str, str]
    blob_count: int = 0
    blob_bytes: int = 0


def text_of(content: str | list[Json] | None) -> str:
    """Return the words of a message's content: the string, or the text of its parts, one per line."""
    if isinstance(content, str):
        return content
    parts = (part if isinstance(part, str) else _part_text(part) for part in content or ())
    return "\n".join(filter(None, parts))


def utc(at: datetime) -> datetime:
    """Return the same instant in UTC; a time without an offset is taken as UTC.

    Raises:
        InvalidError: when the instant lies outside the years 1 to 9999.
    """
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise InvalidError("timestamp", "lies outside the years 1 to 9999") from error


def _spoken(message: Message | Draft) -> bytes:
    """Return a client's content as JSON bytes; 1, 1.0 and true are three values, an attachment and its name one."""
    message = blob_names.unattached(message)
    said = (
        message.role,
        message.content,
        message.name,
        message.tool_calls or None,
        message.tool_call_id,
        message.metadata or None,
        message.drops or None,
        (message.extra or None) if isinstance(message, Message) else None,
    )
    return msgspec.json.encode(said, order="deterministic")


def _part_text(part: Json) -> str:
    text = part.get("text", part.get("refusal")) if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""
