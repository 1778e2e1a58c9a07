"""Work on long texts in another process (see `beside`): the messages between the processes, and the work itself.

Python takes long to parse, check and fold a long text, and no other request should wait for that. So the raw bytes of
the body go to the other process. The task has all other inputs, even message ids and time. So both processes would
store the same, and a repeated task stores nothing twice.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, ClassVar, Final, Protocol

import msgspec
from msgspec import Struct
from msgspec.msgpack import Decoder

from chatkeep import errors
from chatkeep.core.keys import RANDOM_BITS, id_of, number_after
from chatkeep.core.life.dropping import Mark
from chatkeep.core.model import Appended
from chatkeep.errors import ChatkeepError, StorageError
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.protocol import OwnStore
from chatkeep.wire.answers import append_answer, json_bytes
from chatkeep.wire.bodies import drafts_of_body
from chatkeep.wire.lives import replacement_of_body

_LENGTH_BYTES: Final = 4  # bytes before the task, with its length


class Append(Struct, frozen=True, kw_only=True, tag=True):
    """An append without its body; `seed` is the random part of the ids we make for messages without one.

    With `replaces` its messages replace all others; if there are none, a line with the id `mark` drops those.
    """

    only_reads: ClassVar[bool] = False
    is_whole: ClassVar[bool] = False
    key: str
    prefix: str
    channel: str | None
    create: bool
    expect_count: int | None
    at: datetime
    may_drop: bool = False
    replaces: bool = False
    mark: str | None = None
    seed: bytes = msgspec.field(default_factory=lambda: secrets.token_bytes(RANDOM_BITS // 8))


class Refusal(Struct, frozen=True, tag=True):
    """An error, in a form to raise again in the asking process."""

    code: str
    sentence: str
    facts: dict[str, str | int | None]


class StoredAnswer(Struct, frozen=True, tag=True):
    """The answer to finished work, and the number of messages stored by an append."""

    data: bytes
    stored_count: int = 0


_OUTCOME: Final[Decoder[StoredAnswer | Refusal]] = Decoder(StoredAnswer | Refusal)


class Task(Protocol):
    """A piece of work without its body, confined to the sessions under a prefix."""

    only_reads: ClassVar[bool]
    """Whether the work stores nothing. Such work is quick, and does not wait for work that stores."""

    is_whole: ClassVar[bool]
    """Whether the body has whole sessions. Such work may take long for its bytes, and holds up no messages."""

    @property
    def prefix(self) -> str:
        """The prefix of all keys within reach of the work."""


Works = Mapping[type[Any], Callable[[Sessions, Any, bytes], StoredAnswer]]
"""The function to do each kind of task."""


def handed_over(asked: Task, body: bytes) -> tuple[bytes, bytes]:
    """Return a task as a message to the other process, in two parts to avoid a copy of a long body."""
    told = msgspec.msgpack.encode(asked)
    return len(told).to_bytes(_LENGTH_BYTES, "big") + told, body


def done(sessions: Sessions, asked: Append, body: bytes) -> StoredAnswer:
    """Store the messages of a body, and return the answer to the append.

    Raises:
        BrokenInputError, InvalidError: as in `wire.bodies.drafts_of_body`.
        ChatkeepError: as in `Sessions.append` and `Sessions.replace`.
    """
    allowed = sessions.confined(asked.prefix, may_drop=asked.may_drop).at(asked.at, seeded_ids(asked.at, asked.seed))
    appended = _replaced(allowed, asked, body) if asked.replaces else _appended(allowed, asked, body)
    return StoredAnswer(json_bytes(append_answer(appended)), appended.stored_count)


def outcome(store: OwnStore, works: Works, message: bytes) -> bytes:
    """Return the outcome of a message's task; empty if the disk refused, as the asking process then tries by itself."""
    end = _LENGTH_BYTES + int.from_bytes(message[:_LENGTH_BYTES], "big")
    asked = msgspec.msgpack.decode(message[_LENGTH_BYTES:end], type=reduce(or_, works))
    work, sessions = works[type(asked)], Sessions(store).confined(asked.prefix)
    body = [message[end:]]
    del message  # from here on, only the work has the bytes, and it may drop them
    try:
        return msgspec.msgpack.encode(work(sessions, asked, body.pop()))
    except StorageError:
        return b""
    except ChatkeepError as error:
        return msgspec.msgpack.encode(Refusal(error.code, str(error), vars(error)))


def answer_of(told: bytes) -> StoredAnswer:
    """Return the answer in an outcome.

    Raises:
        ChatkeepError: when the outcome is a refusal.
    """
    found = _OUTCOME.decode(told)
    if isinstance(found, StoredAnswer):
        return found
    kind = errors.BY_CODE[found.code]
    error = kind.__new__(kind)
    error.args = (found.sentence,)
    vars(error).update(found.facts)
    raise error


def _appended(sessions: Sessions, asked: Append, body: bytes) -> Appended:
    return sessions.append(
        asked.key, drafts_of_body(body), channel=asked.channel, create=asked.create, expect_count=asked.expect_count
    )


def _replaced(sessions: Sessions, asked: Append, body: bytes) -> Appended:
    return sessions.replace(
        asked.key,
        replacement_of_body(body),
        create=asked.create,
        mark=Mark(id=asked.mark),
        expect_count=asked.expect_count,
    )


def seeded_ids(at: datetime, seed: bytes) -> Callable[[datetime], str]:
    """Return a maker of message ids: of a moment and a random part, so that a repeated task makes the same."""
    numbers = itertools.count(number_after(0, at, int.from_bytes(seed, "big")))
    return lambda _: id_of(next(numbers))
