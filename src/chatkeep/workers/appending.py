"""Work on long texts, done in a process of its own (see `beside`): what is handed over, and doing it.

To read, check and fold a long text takes Python long, whatever is in it, and nobody else's request shall wait for
that. So the bytes of the body go to the other process as they came, with all else that decides what is stored: ids and
time as well. Whoever does the work, once or twice, stores the same.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct
from msgspec.msgpack import Decoder

from chatkeep import errors
from chatkeep.core import ids
from chatkeep.errors import ChatkeepError, StorageError
from chatkeep.sessions import Sessions
from chatkeep.store.protocol import Store
from chatkeep.wire.answers import append_answer, json_bytes
from chatkeep.wire.bodies import drafts_of_body

_LENGTH_BYTES: Final = 4


class Append(Struct, frozen=True, kw_only=True, tag=True):
    """What is asked for beside the body; `seed` is what the ids begin with of messages that bring none."""

    key: str
    prefix: str
    channel: str | None
    create: bool
    expect_count: int | None
    at: datetime
    seed: bytes = msgspec.field(default_factory=lambda: secrets.token_bytes(ids.RANDOM_BITS // 8))


class Refusal(Struct, frozen=True, tag=True):
    """An error, so that it can be raised again by whoever is told of it."""

    code: str
    sentence: str
    facts: dict[str, str | int | None]


class StoredAnswer(Struct, frozen=True, tag=True):
    """What is told of work that was done, and how many messages an append stored."""

    data: bytes
    stored_count: int = 0


_OUTCOME: Final[Decoder[StoredAnswer | Refusal]] = Decoder(StoredAnswer | Refusal)


class Task(Protocol):
    """What is asked for beside a body; it is done among the sessions under a prefix."""

    @property
    def prefix(self) -> str:
        """How the keys begin that it may reach."""


Works = Mapping[type[Any], Callable[[Sessions, Any, bytes], StoredAnswer]]
"""How each kind is done."""


def handed_over(asked: Task, body: bytes) -> tuple[bytes, bytes]:
    """Return what is asked for as a message to the other process, in two parts, so that a long body is not copied."""
    told = msgspec.msgpack.encode(asked)
    return len(told).to_bytes(_LENGTH_BYTES, "big") + told, body


def done(sessions: Sessions, asked: Append, body: bytes) -> StoredAnswer:
    """Store the messages of a body among these sessions, and return what is told of them.

    Raises:
        BrokenInputError, InvalidError: as `bodies.drafts_of` says.
        ChatkeepError: as `Sessions.append` says.
    """
    appended = sessions.at(asked.at, _ids(asked)).append(
        asked.key, drafts_of_body(body), channel=asked.channel, create=asked.create, expect_count=asked.expect_count
    )
    return StoredAnswer(json_bytes(append_answer(appended)), appended.stored_count)


def outcome(store: Store, works: Works, message: bytes) -> bytes:
    """Return what came of what was handed over, nothing when the disk refused: who asked sees for itself."""
    end = _LENGTH_BYTES + int.from_bytes(message[:_LENGTH_BYTES], "big")
    asked = msgspec.msgpack.decode(message[_LENGTH_BYTES:end], type=reduce(or_, works))
    work, sessions = works[type(asked)], Sessions(store).confined(asked.prefix)
    try:
        return msgspec.msgpack.encode(work(sessions, asked, message[end:]))
    except StorageError:
        return b""
    except ChatkeepError as error:
        return msgspec.msgpack.encode(Refusal(error.code, str(error), vars(error)))


def answer_of(told: bytes) -> StoredAnswer:
    """Return the answer that an outcome is.

    Raises:
        ChatkeepError: the one that the outcome is.
    """
    found = _OUTCOME.decode(told)
    if isinstance(found, StoredAnswer):
        return found
    kind = errors.BY_CODE[found.code]
    error = kind.__new__(kind)
    error.args = (found.sentence,)
    vars(error).update(found.facts)
    raise error


def _ids(asked: Append) -> Callable[[datetime], str]:
    numbers = itertools.count(ids.number_after(0, asked.at, int.from_bytes(asked.seed, "big")))
    return lambda _: ids.id_of(next(numbers))
