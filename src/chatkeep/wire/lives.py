"""The JSON for the life of a session: beginning, forking, replacing and taking back, and for the caller's token."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from chatkeep.core.bounds import DEPTH_MAX
from chatkeep.core.checks import TAGS_MAX
from chatkeep.core.life.compacting import Compacted
from chatkeep.core.life.dropping import REPLACED_MAX, SEQ_MAX, Created, Dropped, NewSession
from chatkeep.core.life.retention import Departure
from chatkeep.core.life.trashing import Trashed
from chatkeep.core.model import Draft, Json, Message, Receipt
from chatkeep.core.standing import Drops, SeqRange
from chatkeep.core.unknown import message_in, written
from chatkeep.errors import InvalidError
from chatkeep.wire.answers import SessionDetail, session_detail, summary_of_detail
from chatkeep.wire.bodies import (
    BULK_KEYS_MAX,
    Age,
    At,
    DraftBody,
    Filter,
    Key,
    Label,
    Name,
    Title,
    UnixSeconds,
    decoded,
    draft_body,
    draft_of_body,
    moment_of,
)

_RANGE: Final = re.compile(r"([1-9][0-9]{0,15})(?:-([1-9][0-9]{0,15}))?")
SEQS_SCHEMA: Final[dict[str, Json]] = {"pattern": r"^[1-9][0-9]{0,15}(-[1-9][0-9]{0,15})?$"}
_BELOW_LISTS: Final = 2  # levels around the messages of a new session

Messages = Annotated[list[DraftBody], Meta(max_length=REPLACED_MAX)]


class NewSessionBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A session to begin; without a key the server makes one. Messages are as in an append."""

    key: Key | None = None
    channel: Label | None = None
    title: Title | None = None
    created_at: At | UnixSeconds | None = None
    metadata: dict[str, Json] = {}
    archived: bool = False
    pinned: bool = False
    tags: Annotated[tuple[Label, ...], Meta(max_length=TAGS_MAX)] = ()
    messages: Messages = []


class ForkBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The session to fork, the seq of its last message to take (all without it), and the key of the new session."""

    session: Key
    seq: Annotated[int, Meta(ge=0, le=SEQ_MAX)] | None = None
    key: Key | None = None


class CreatedAnswer(SessionDetail, frozen=True, kw_only=True):
    """A new session, and the places of its messages."""

    messages: tuple[Receipt, ...]


class DropAnswer(Struct, frozen=True, kw_only=True):
    """The seqs that no longer stand, the place of the line that drops them, and the number of lines now.

    `messages` has what was dropped, unless it was chosen by a range of seqs or `all`.
    """

    session: str
    message_count: int
    drops: Drops
    mark: Receipt
    messages: tuple[Message, ...]


class CompactBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sessions to compact: these keys, all sessions matching every given filter, or all of them."""

    keys: Annotated[list[Key], Meta(max_length=BULK_KEYS_MAX)] | None = None
    prefix: Filter | None = None
    channel: Filter | None = None
    older_than: Age | None = None
    all: bool = False
    dry_run: bool = False


class CompactAnswer(Struct, frozen=True, kw_only=True):
    """The lines erased for good, and the bytes of JSON they took; in a dry run, those it would erase.

    `sessions` has the sessions with such lines, `left_out` the keys of damaged ones.
    """

    sessions: tuple[Compacted, ...]
    erased_count: int
    freed_bytes: int
    dry_run: bool
    left_out: tuple[str, ...] = ()


class TrashList(Struct, frozen=True, kw_only=True):
    """The sessions in the trash, the last deleted first."""

    sessions: tuple[Trashed, ...]
    count: int


class RestoreBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The session to bring back from the trash: the last deleted of its key, or the one with an id of the list."""

    key: Key
    id: Name | None = None


class PurgeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to remove from the trash for good: these keys, all that match the given filters, or all.

    `older_than` is the time since the deletion, or the time of it.
    """

    keys: Annotated[list[Key], Meta(max_length=BULK_KEYS_MAX)] | None = None
    prefix: Filter | None = None
    older_than: Age | None = None
    all: bool = False
    dry_run: bool = False


class PurgeAnswer(TrashList, frozen=True, kw_only=True):
    """The sessions removed from the trash for good; in a dry run, those it would remove."""

    dry_run: bool


class TokenAnswer(Struct, frozen=True, kw_only=True):
    """The caller's token: its rights, the prefix of its keys, and its own limit of requests a minute if it has one."""

    id: str
    name: str
    scopes: tuple[str, ...]
    prefix: str
    rate: int | None
    created_at: At
    expires_at: At | None


_REPLACEMENT: Final = msgspec.json.Decoder(Messages)
_NEW: Final = msgspec.json.Decoder(NewSessionBody)


class _DropFacts(Struct, frozen=True):
    session: str
    message_count: int
    drops: Drops
    mark: Receipt
    messages: tuple[msgspec.Raw, ...]


def replacement_of_body(data: bytes) -> list[Draft]:
    """Return the messages of the body of a replacement: a list, perhaps empty.

    Raises:
        BrokenInputError, InvalidError: as `decoded` and `draft_of_body` say.
    """
    return [draft_of_body(one) for one in decoded(data, _REPLACEMENT, DEPTH_MAX + 1)]


def new_session_of_body(data: bytes) -> NewSession:
    """Return the session to begin in a body.

    Raises:
        BrokenInputError, InvalidError: as `decoded` and `draft_of_body` say.
    """
    body = decoded(data, _NEW, DEPTH_MAX + _BELOW_LISTS)
    fields = {name: getattr(body, name) for name in NewSessionBody.__struct_fields__}
    fields["created_at"] = moment_of(body.created_at)
    fields["messages"] = tuple(map(draft_of_body, body.messages))
    return NewSession(**fields)


def new_session_body(new: NewSession) -> NewSessionBody:
    """Return a session to begin as a body.

    Raises:
        InvalidError: when a message has fields that Chatkeep does not know.
    """
    fields = msgspec.structs.asdict(new)
    return NewSessionBody(**{**fields, "messages": [draft_body(_draft_in(one)) for one in new.messages]})


def _draft_in(one: Draft | Message) -> Draft:
    if isinstance(one, Draft):
        return one
    fields = msgspec.structs.asdict(one)
    del fields["seq"]
    if fields.pop("extra"):
        raise InvalidError("messages", "have fields that Chatkeep does not know, which merge takes alone")
    return Draft(**fields)


def seqs_of_text(text: str) -> SeqRange:
    """Return the range of seqs in a text such as `5` or `5-9`.

    Raises:
        InvalidError: when the text is none.
    """
    found = _RANGE.fullmatch(text)
    if found is None or int(found[2] or found[1]) < int(found[1]):
        raise InvalidError("seq", "must be a seq such as 5, or a range of them such as 5-9")
    return SeqRange(int(found[1]), int(found[2] or found[1]))


def text_of_seqs(seqs: SeqRange) -> str:
    """Return a range as the text of `seqs_of_text`."""
    return str(seqs.first) if seqs.first == seqs.last else f"{seqs.first}-{seqs.last}"


def created_answer(created: Created, now: datetime) -> CreatedAnswer:
    """Return a new session in the key dialect."""
    detail = msgspec.structs.asdict(session_detail(created.summary, now))
    return CreatedAnswer(**detail, messages=created.receipts)


def created_of(answer: CreatedAnswer) -> Created:
    """Return the result of a `created_answer`."""
    return Created(summary=summary_of_detail(answer), receipts=answer.messages)


def drop_answer_bytes(dropped: Dropped) -> bytes:
    """Return the answer to a drop as JSON, its messages with their unknown fields."""
    answer = DropAnswer(
        session=dropped.key,
        message_count=dropped.message_count,
        drops=dropped.drops,
        mark=dropped.mark,
        messages=(),
    )
    return msgspec.json.encode({**msgspec.structs.asdict(answer), "messages": written(dropped.messages)})


def dropped_of(data: bytes) -> Dropped:
    """Return the result of a drop from its answer."""
    facts = msgspec.json.decode(data, type=_DropFacts)
    return Dropped(
        key=facts.session,
        message_count=facts.message_count,
        drops=facts.drops,
        mark=facts.mark,
        messages=tuple(map(message_in, facts.messages)),
    )


class PruneReport(Struct, frozen=True, kw_only=True):
    """The sessions that went by the retention rules, or in a dry run would go, each with its rule and the reason.

    `left_out` has the keys of sessions that were used, changed or busy meanwhile: they stay.
    """

    sessions: tuple[Departure, ...]
    count: int
    rule_count: int
    dry_run: bool
    left_out: tuple[str, ...] = ()
