"""Long calls of the model, recorded by the process beside the server (see `appending`): what is handed over, doing it.

The body of a call brings a whole conversation. To parse it, and to find where it goes on with what is stored, takes
long, and memory; the server itself only passes it on.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct
from msgspec.msgpack import Decoder

from chatkeep.model.asked import asked_in
from chatkeep.model.chat import patiently
from chatkeep.model.recording import Held, Recording, Root, root_of
from chatkeep.sessions import Sessions
from chatkeep.workers.appending import StoredAnswer

_ROOT: Final[Decoder[Root | None]] = Decoder(Root | None)
_HELD: Final[Decoder[Held | None]] = Decoder(Held | None)


class RootRequest(Struct, frozen=True, kw_only=True, tag=True):
    """To find where a conversation begins: the key that its client named, if it did, and who asks."""

    prefix: str
    named: str | None
    by: str


class Holding(Struct, frozen=True, kw_only=True, tag=True):
    """To have a conversation stored that begins there."""

    prefix: str
    root: str
    is_named: bool


def opened(sessions: Sessions, what: RootRequest, body: bytes) -> StoredAnswer:
    """Return where the conversation of a body begins, as `root_of_answer` reads it.

    Raises:
        InvalidKeyError, ForbiddenError: as `root_of` says.
    """
    asked = asked_in(body)
    root = None if asked is None else root_of(sessions, *asked, what.named, what.by)
    return StoredAnswer(msgspec.msgpack.encode(root))


def held(sessions: Sessions, what: Holding, body: bytes) -> StoredAnswer:
    """Have the conversation of a body stored, and return where, as `held_of_answer` reads it.

    Raises:
        ChatkeepError: as `Recording.begin` says.
    """
    asked = asked_in(body)
    recording = Recording(sessions, what.root, asked.drafts if asked else (), is_named=what.is_named)
    patiently(recording.begin)
    return StoredAnswer(msgspec.msgpack.encode(recording.held))


def root_of_answer(answer: StoredAnswer) -> Root | None:
    """Return where a conversation begins, None when the body has none."""
    return _ROOT.decode(answer.data)


def held_of_answer(answer: StoredAnswer) -> Held | None:
    """Return where a conversation is stored."""
    return _HELD.decode(answer.data)
