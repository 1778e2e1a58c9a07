"""Appends of long texts, done in a process of their own (see `beside`): what is handed over, and doing it.

To read, check and fold a long text takes Python long, whatever is in it, and nobody else's request shall wait for
that. So the bytes of the body go to the other process as they came, with all else that decides what is stored: ids and
time as well. Whoever does the work, once or twice, stores the same.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.msgpack import Decoder

from chatkeep import errors, wire
from chatkeep.bodies import drafts_of
from chatkeep.core import ids
from chatkeep.errors import ChatkeepError, StorageError
from chatkeep.sessions import Sessions
from chatkeep.store.protocol import Store

_LENGTH_BYTES: Final = 4


class Append(Struct, frozen=True, kw_only=True):
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


class Answer(Struct, frozen=True, tag=True):
    """What is told of an append, and how many messages it stored."""

    data: bytes
    stored_count: int


_APPEND: Final = Decoder(Append)
_OUTCOME: Final[Decoder[Answer | Refusal]] = Decoder(Answer | Refusal)


def handed_over(asked: Append, body: bytes) -> tuple[bytes, bytes]:
    """Return an append as a message to the other process, in two parts, so that a long body is not copied."""
    told = msgspec.msgpack.encode(asked)
    return len(told).to_bytes(_LENGTH_BYTES, "big") + told, body


def done(sessions: Sessions, asked: Append, body: bytes) -> Answer:
    """Store the messages of a body among these sessions, and return what is told of them.

    Raises:
        BrokenInputError, InvalidError: as `bodies.drafts_of` says.
        ChatkeepError: as `Sessions.append` says.
    """
    appended = sessions.at(asked.at, _ids(asked)).append(
        asked.key, drafts_of(body), channel=asked.channel, create=asked.create, expect_count=asked.expect_count
    )
    return Answer(wire.encoded(wire.append_answer(appended)), appended.stored_count)


def outcome(store: Store, message: bytes) -> bytes:
    """Return what came of an append that was handed over, nothing when the disk refused: who asked sees for itself."""
    end = _LENGTH_BYTES + int.from_bytes(message[:_LENGTH_BYTES], "big")
    asked = _APPEND.decode(message[_LENGTH_BYTES:end])
    try:
        return msgspec.msgpack.encode(done(Sessions(store).confined(asked.prefix), asked, message[end:]))
    except StorageError:
        return b""
    except ChatkeepError as error:
        return msgspec.msgpack.encode(Refusal(error.code, str(error), vars(error)))


def answer_of(told: bytes) -> Answer:
    """Return the answer that an outcome is.

    Raises:
        ChatkeepError: the one that the outcome is.
    """
    found = _OUTCOME.decode(told)
    if isinstance(found, Answer):
        return found
    kind = errors.BY_CODE[found.code]
    error = kind.__new__(kind)
    error.args = (found.sentence,)
    vars(error).update(found.facts)
    raise error


def _ids(asked: Append) -> Callable[[datetime], str]:
    numbers = itertools.count(ids.number_after(0, asked.at, int.from_bytes(asked.seed, "big")))
    return lambda _: ids.id_of(next(numbers))
