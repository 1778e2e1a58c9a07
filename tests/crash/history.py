"""What was done with sessions, and what was answered: the record that `checker` judges.

A `Witness` works with a store and notes every operation when it begins, and again when it was
answered. What is killed in between leaves the first note only. The id of a message ends in its size,
and its content is made from its id, so that whoever sees a message knows every byte it must have.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

import msgspec
from msgspec import Struct

from chatkeep.core.history.windows import Window
from chatkeep.core.model import Appended, Draft, Header, Merged, Message, Revision, Session, Summary
from chatkeep.errors import SessionNotFoundError
from chatkeep.testing import at

NEVER: Final = 1 << 62
"""When an operation ended of which nobody knows how it ended."""

Verb = Literal["append", "rename", "delete", "read"]
_WINDOW: Final = 20
_MICROSECONDS: Final = 10**6


class Seen(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session as an answer showed it.

    `ids` are those of its newest messages, all of them in a `is_whole` one. The time of its creation
    (in microseconds) and its title are in every answer but a window.
    """

    count: int
    ids: tuple[str, ...] = ()
    created: int | None = None
    title: str | None = None
    is_whole: bool = False


class Operation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that was done with a session, from when to when (nanoseconds of one clock), and its answer."""

    who: str
    number: int
    verb: Verb
    key: str
    began: int
    ended: int = NEVER
    ids: tuple[str, ...] = ()
    seqs: tuple[int, ...] = ()
    title: str = ""
    seen: Seen | None = None
    is_missing: bool = False

    @property
    def is_answered(self) -> bool:
        """Whether somebody was told how it ended."""
        return self.ended != NEVER

    @property
    def is_done(self) -> bool:
        """Whether somebody was told that it was done."""
        return self.is_answered and not self.is_missing


class Door(Protocol):
    """A way to a store. One that answers nothing beyond success is a command line."""

    def append(self, key: str, drafts: Sequence[Draft], /) -> Appended | None:
        """Store messages at the end of a session."""

    def merge(self, session: Session, /) -> Merged | None:
        """Take in a session from elsewhere."""

    def revise(self, key: str, revision: Revision, /) -> Summary | None:
        """Give a session a title."""

    def delete(self, key: str, /) -> None:
        """Remove a session."""

    def read(self, key: str, /) -> Session:
        """Return a whole session."""


class Witness:
    """Somebody who works through a door and notes what is done there."""

    def __init__(self, who: str, door: Door, note: Callable[[bytes], object]) -> None:
        """Take a name that nobody else has, and where to note: whole lines are given."""
        self._who = who
        self._door = door
        self._note = note
        self._number = 0

    def new_ids(self, *sizes: int) -> tuple[str, ...]:
        """Return ids for messages of these sizes that are to be sent next."""
        return tuple(f"{self._who}.{self._number}.{part}.{size}" for part, size in enumerate(sizes))

    def append(self, key: str, ids: tuple[str, ...]) -> None:
        """Append messages."""
        now = datetime.now(UTC)
        drafts = [msgspec.structs.replace(draft_of(one, size_of(one)), sent_at=now) for one in ids]

        def call() -> dict[str, object]:
            told = self._door.append(key, drafts)
            return {"seqs": tuple(receipt.seq for receipt in told.receipts)} if told else {}

        self._do("append", key, call, ids=ids)

    def merge(self, key: str, ids: tuple[str, ...]) -> None:
        """Append messages as an import does."""
        now = datetime.now(UTC)
        header = Header(key=key, channel="api", title=None, created_at=now)
        messages = tuple(
            Message(seq=seq, role="user", content=content_of(one, size_of(one)), sent_at=now, id=one)
            for seq, one in enumerate(ids, start=1)
        )

        def call() -> dict[str, object]:
            self._door.merge(Session(header=header, messages=messages))
            return {}

        self._do("append", key, call, ids=ids)

    def rename(self, key: str) -> None:
        """Give a session a title that no other has."""
        title = f"{self._who} {self._number}"

        def call() -> dict[str, object]:
            told = self._door.revise(key, Revision(title=title))
            return {"seen": _summary_seen(told)} if told else {}

        self._do("rename", key, call, title=title)

    def delete(self, key: str) -> None:
        """Delete a session."""

        def call() -> dict[str, object]:
            self._door.delete(key)
            return {}

        self._do("delete", key, call)

    def read(self, key: str) -> None:
        """Read a whole session."""
        self._do("read", key, lambda: {"seen": _session_seen(self._door.read(key))})

    def look(self, key: str, get: Callable[[str], Summary]) -> None:
        """Look at what is known of a session."""
        self._do("read", key, lambda: {"seen": _summary_seen(get(key))})

    def window(self, key: str, window: Callable[..., Window]) -> None:
        """Read the end of a session."""
        self._do("read", key, lambda: {"seen": _window_seen(window(key, limit=_WINDOW))})

    def _do(self, verb: Verb, key: str, call: Callable[[], dict[str, object]], **about: object) -> None:
        number = self._number
        self._number += 1
        begun = Operation(who=self._who, number=number, verb=verb, key=key, began=time.monotonic_ns(), **about)  # type: ignore[arg-type]
        self._note(msgspec.json.encode(begun) + b"\n")
        try:
            answer = call()
        except SessionNotFoundError:
            answer = {"is_missing": True}
        ended = msgspec.structs.replace(begun, ended=time.monotonic_ns(), **answer)
        self._note(msgspec.json.encode(ended) + b"\n")


def operations_in(lines: Iterable[bytes]) -> list[Operation]:
    """Return the operations that notes tell of; a line that was not finished is left out."""
    decode = msgspec.json.Decoder(Operation).decode
    told = (decode(line) for line in lines if line.endswith(b"\n"))
    return list({(one.who, one.number): one for one in told}.values())


def acknowledged_in(operations: Iterable[Operation]) -> list[str]:
    """Return the ids of the messages that somebody was told are stored."""
    return [one for operation in operations if operation.is_done for one in operation.ids]


def content_of(message_id: str, size: int) -> str:
    """Return the text of a message, made from its id, so that whoever has the id knows every byte."""
    pattern = hashlib.sha256(message_id.encode()).hexdigest()
    return (pattern * (size // len(pattern) + 1))[:size]


def draft_of(message_id: str, size: int) -> Draft:
    """Return the draft that a writer sends for an id."""
    return Draft(role="user", content=content_of(message_id, size), id=message_id, sent_at=at(0))


def size_of(message_id: str) -> int:
    """Return the size of the message that a witness gave this id."""
    return int(message_id.rpartition(".")[2])


def _session_seen(session: Session) -> Seen:
    header = session.header
    return Seen(
        count=len(session.messages),
        ids=tuple(map(_id_seen, session.messages)),
        created=_microseconds(header.created_at),
        title=header.title,
        is_whole=[message.seq for message in session.messages] == list(range(1, len(session.messages) + 1)),
    )


def _summary_seen(summary: Summary) -> Seen:
    header = summary.header
    return Seen(count=summary.message_count, created=_microseconds(header.created_at), title=header.title)


def _window_seen(window: Window) -> Seen:
    return Seen(count=window.messages[-1].seq if window.messages else 0, ids=tuple(map(_id_seen, window.messages)))


def _id_seen(message: Message) -> str:
    """Return the id of a message whose content is what it has to be; another is one that nobody sent."""
    is_intact = message.content == content_of(message.id, size_of(message.id))
    return message.id if is_intact else f"altered {message.id}"


def _microseconds(when: datetime) -> int:
    return round(when.timestamp() * _MICROSECONDS)
