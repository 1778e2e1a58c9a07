"""Taking back lines of a session, and beginning a session: the requests, and the answers.

To take back is to append (see `core.standing`): a line of its own, the *mark*, drops what was chosen. To replace
everything is one append too: the messages that begin both lists alike stay, the first new one drops all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Final

import msgspec
from msgspec import Struct, field

from chatkeep.core.checks import check_name
from chatkeep.core.digest import Digest, summary
from chatkeep.core.keys import channel_of
from chatkeep.core.life.message_rules import check_reach
from chatkeep.core.model import Appended, Draft, Header, Json, Message, Receipt, Session, Summary
from chatkeep.core.standing import EVENT, Drops, SeqRange, holds, ranges_of, standing
from chatkeep.errors import InvalidError, MessageConflictError, MessageNotFoundError

LAST_MAX: Final = 500  # messages dropped by their number; their content is in the answer
REPLACED_MAX: Final = 10_000  # messages of a replacement or of a new session, stored in one write
FORKED_FROM: Final = "forked_from"
"""Name in a session's metadata of its origin: see `origin_of_fork`."""
SEQ_MAX: Final = (1 << 53) - 1  # the largest integer exact in JavaScript


class Chosen(Struct, frozen=True, kw_only=True):
    """A choice of lines of a session, by one of these: the `last` messages, a range of seqs, an id, or `everything`.

    Only lines that stand count. The last messages are those said; the other ways choose events, too.
    """

    last: int | None = None
    seqs: SeqRange | None = None
    id: str | None = None
    everything: bool = False

    @property
    def is_few(self) -> bool:
        """Whether the choice has at most `LAST_MAX` messages, so that an answer has room for them."""
        return not self.everything and (self.seqs is None or self.seqs.first == self.seqs.last)


class Mark(Struct, frozen=True, kw_only=True):
    """The line that drops others: its id and its times. With an id of your own a repeated drop drops nothing more."""

    id: str | None = None
    sent_at: datetime | None = None
    stored_at: datetime | None = None

    def dropping(self, drops: Drops) -> Draft:
        """Return the line, with what it drops."""
        own = Draft(role=EVENT, content="", id=self.id, drops=drops)
        return msgspec.structs.replace(own, sent_at=self.sent_at, stored_at=self.stored_at)


class Dropped(Struct, frozen=True, kw_only=True):
    """The answer to a drop: the seqs that no longer stand, and the place of the mark.

    `message_count` counts the lines of the session, the mark too. `messages` has what was dropped, if it was chosen by
    its number, its seq or its id.
    """

    key: str
    message_count: int
    drops: Drops
    mark: Receipt
    messages: tuple[Message, ...] = ()


class NewSession(Struct, frozen=True, kw_only=True):
    """A session to begin: its header, and its first messages. Without a key one is made.

    Messages of another session bring their own fields, but get new seqs.
    """

    key: str | None = None
    channel: str | None = None
    title: str | None = None
    created_at: datetime | None = None
    metadata: dict[str, Json] = field(default_factory=dict)
    archived: bool = False
    pinned: bool = False
    tags: tuple[str, ...] = ()
    messages: tuple[Draft | Message, ...] = ()


class Created(Struct, frozen=True, kw_only=True):
    """The answer to a beginning: the new session, and the places of its messages."""

    summary: Summary
    receipts: tuple[Receipt, ...]


def check_lines(lines: Chosen) -> None:
    """Check that a choice has one way to choose, with good numbers.

    Raises:
        InvalidError: when it has none or several, or a number or an id breaks its rule.
    """
    ways = (lines.last is not None, lines.seqs is not None, lines.id is not None, lines.everything)
    if sum(ways) != 1:
        raise InvalidError("last", "choose by exactly one of last, seq, id and all")
    if lines.last is not None and not 1 <= lines.last <= LAST_MAX:
        raise InvalidError("last", f"must be 1 to {LAST_MAX}")
    check_name("id", lines.id)
    if lines.seqs is not None and not 1 <= lines.seqs.first <= lines.seqs.last <= SEQ_MAX:
        raise InvalidError("seq", "must be a seq such as 5, or a range of them such as 5-9")


def standing_lines(log: Sequence[Message]) -> list[Message]:
    """Return the lines of a whole log that stand, marks left out."""
    return [line for line in standing(log) if not line.is_mark]


def chosen_of(log: Sequence[Message], lines: Chosen) -> list[Message]:
    """Return the chosen lines of a whole log.

    Raises:
        MessageNotFoundError: when there is none.
    """
    found = standing_lines(log)
    if lines.last is not None:
        found = [line for line in found if line.role != EVENT][-lines.last :]
    elif lines.seqs is not None:
        found = [line for line in found if holds((lines.seqs,), line.seq)]
    elif lines.id is not None:
        found = [line for line in found if line.id == lines.id]
    if not found:
        raise MessageNotFoundError
    return found


def drops_of(lines: Chosen, found: Iterable[Message], count: int) -> Drops:
    """Return the seqs that a choice drops of a session with `count` lines: everything, a range, or the found lines."""
    if lines.everything:
        return (SeqRange(1, count),)
    if lines.seqs is not None:
        return (SeqRange(lines.seqs.first, min(lines.seqs.last, count)),)
    return ranges_of(line.seq for line in found)


def dropping_of(known: Message) -> Drops:
    """Return what a stored line drops, for a drop that is sent again with its id.

    Raises:
        MessageConflictError: when the line is no mark.
    """
    if not known.is_mark:
        raise MessageConflictError(known.id)
    return known.drops or ()


def dropped(key: str, mark: Message, line_count: int, messages: Iterable[Message] = ()) -> Dropped:
    """Return the answer to a drop."""
    place, drops = receipt_of(mark), mark.drops or ()
    return Dropped(key=key, message_count=line_count, drops=drops, mark=place, messages=tuple(messages))


def kept_of(lines: Iterable[Message], drafts: Sequence[Draft]) -> list[Message]:
    """Return the standing lines that begin a session and a list of drafts alike: the same ids and content.

    What a line drops does not count: the first message of a replacement has drops that its sender does not know.
    """
    pairs = zip(lines, drafts, strict=False)
    return [line for line, _ in takewhile(lambda pair: _is_the_same(*pair), pairs)]


def _is_the_same(line: Message, draft: Draft) -> bool:
    return line.id == draft.id and msgspec.structs.replace(line, drops=None).says_the_same(draft)


def unnamed_as(lines: Iterable[Message], drafts: Sequence[Draft], complete: Sequence[Draft]) -> list[Draft]:
    """Return complete drafts, those without an id of the sender under the id of the line in the same place.

    Only lines with the same content lend their ids, up to the first that has not.
    """
    named = list(complete)
    for place, (line, draft) in enumerate(zip(lines, drafts, strict=False)):
        borrowed = msgspec.structs.replace(complete[place], id=draft.id or line.id)
        if not _is_the_same(line, borrowed):
            break
        named[place] = borrowed
    return named


def forked(source: Session, seq: int | None, key: str, now: datetime) -> NewSession:
    """Return a session to begin with what stands of another one's log, up to a seq.

    Raises:
        InvalidError: when the seq is negative.
        MessageNotFoundError: when the log has no such line.
    """
    last = len(source.messages) if seq is None else seq
    if last < 0:
        raise InvalidError("seq", "must not be negative")
    if last > len(source.messages):
        raise MessageNotFoundError
    header = source.header
    lines = (line for line in standing_lines(source.messages) if line.seq <= last)
    messages = tuple(msgspec.structs.replace(line, drops=None) for line in lines)
    return NewSession(
        key=key,
        channel=header.channel,
        title=header.title,
        created_at=None if messages else now,
        metadata={**header.metadata, FORKED_FROM: origin_of_fork(header.key, last, len(messages))},
        tags=header.tags,
        messages=messages,
    )


def origin_of_fork(key: str, seq: int, count: int) -> dict[str, Json]:
    """Return the origin of a fork: the `session`, the `seq` there of the last line in common, and `copied`.

    That is the number of copied lines. It is left out if it is the seq: then every line was copied.
    """
    return {"session": key, "seq": seq, **({} if count == seq else {"copied": count})}


def replacing(new: Sequence[Draft], mark: Mark, gone: Drops) -> list[Draft]:
    """Return the drafts to append for new messages in place of those `gone`: the first drops them.

    Raises:
        MessageConflictError: when two drafts have one id.
    """
    _check_ids(new)
    if not gone:
        return list(new)
    if not new:
        return [mark.dropping(gone)]
    return [msgspec.structs.replace(new[0], drops=gone), *new[1:]]


def replaced(
    key: str, drafts: Sequence[Draft], kept: Sequence[Message], new: Sequence[Message], count: int
) -> Appended:
    """Return the answer to a replacement, of a session that had `count` lines."""
    return Appended(
        key=key,
        message_count=count + len(new),
        stored_count=len(new),
        receipts=tuple(map(receipt_of, (*kept, *new)[: len(drafts)])),
        drops=(new[0].drops or ()) if new else (),
    )


def begun(new: NewSession) -> tuple[Header, list[Message]]:
    """Return the header and the numbered messages of a new session; it has a key, and each draft an id and a time.

    Raises:
        InvalidError: when a message drops itself or a later one.
        MessageConflictError: when two messages have one id.
    """
    _check_ids(new.messages)
    messages = [_numbered(one, seq) for seq, one in enumerate(new.messages, start=1)]
    check_reach(messages)
    key, times = new.key or "", [message.sent_at for message in messages]
    header = Header(
        key=key,
        channel=new.channel or channel_of(key),
        title=new.title,
        created_at=new.created_at or min(times),
        metadata=new.metadata,
        archived=new.archived,
        pinned=new.pinned,
        tags=new.tags,
    )
    return header, messages


def created(header: Header, messages: Sequence[Message]) -> Created:
    """Return the answer to a beginning."""
    return Created(summary=summary(header, Digest().plus(*messages)), receipts=tuple(map(receipt_of, messages)))


def _numbered(one: Draft | Message, seq: int) -> Message:
    if isinstance(one, Message):
        return msgspec.structs.replace(one, seq=seq)
    return Message(seq=seq, **msgspec.structs.asdict(one))


def _check_ids(messages: Iterable[Draft | Message]) -> None:
    """Check that no two messages have one id.

    Raises:
        MessageConflictError: naming the id.
    """
    ids: set[str | None] = set()
    for one in messages:
        if one.id in ids:
            raise MessageConflictError(one.id or "")
        ids.add(one.id)


def receipt_of(message: Message) -> Receipt:
    """Return the place of a stored message."""
    return Receipt(seq=message.seq, id=message.id, sent_at=message.sent_at)
