"""Long calls of the model, recorded in another process (see `appending`): the tasks, and the work itself.

The body of a call has a whole conversation. Parsing it and matching it with the stored sessions takes long, and
memory; the server only passes it on.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
from msgspec import Struct
from msgspec.msgpack import Decoder

from chatkeep.model.asked import Asked, asked_in
from chatkeep.model.endings import patiently
from chatkeep.model.places import Root
from chatkeep.model.protocols import PROTOCOLS
from chatkeep.model.recording import Held, Recording, root_of
from chatkeep.sessions.sessions import Sessions
from chatkeep.workers.appending import StoredAnswer

_KEPT_BYTES_MAX: Final = 2 << 20  # bytes; parsing a longer body again costs little beside storing it
_ROOT: Final[Decoder[Root | None]] = Decoder(Root | None)
_HELD: Final[Decoder[Held | None]] = Decoder(Held | None)


class RootRequest(Struct, frozen=True, kw_only=True, tag=True):
    """The task to find the root of a conversation: the key named by its client, if any, and the caller."""

    only_reads: ClassVar[bool] = True
    is_whole: ClassVar[bool] = False
    prefix: str
    protocol: str
    named: str | None
    by: str


class Holding(Struct, frozen=True, kw_only=True, tag=True):
    """The task to store a conversation, beginning at `root`."""

    only_reads: ClassVar[bool] = False
    is_whole: ClassVar[bool] = False
    prefix: str
    protocol: str
    root: Root


class CallHolder:
    """Both tasks of a call: the second one comes soon, with the same body, and need not parse it again. Thread-safe.

    It keeps one parsed body of up to 2 MiB: about 16 MiB of memory.
    """

    def __init__(self) -> None:
        """Begin with no body."""
        self._kept: tuple[str, bytes, Asked] | None = None

    def opened(self, sessions: Sessions, what: RootRequest, body: bytes) -> StoredAnswer:
        """Return the root of a body's conversation, for `root_of_answer`.

        Raises:
            InvalidKeyError, ForbiddenError: as in `root_of`.
        """
        asked = asked_in(body, PROTOCOLS[what.protocol])
        if asked is not None and len(body) <= _KEPT_BYTES_MAX:
            self._kept = (what.protocol, body, asked)
        root = None if asked is None else root_of(sessions, asked, what.named, what.by)
        return StoredAnswer(msgspec.msgpack.encode(root))

    def held(self, sessions: Sessions, what: Holding, body: bytes) -> StoredAnswer:
        """Store the conversation of a body, and return its place, for `held_of_answer`.

        Raises:
            ChatkeepError: as in `Recording.begin`.
        """
        kept, self._kept = self._kept, None
        is_same = kept is not None and kept[:2] == (what.protocol, body)
        asked = kept[2] if kept is not None and is_same else asked_in(body, PROTOCOLS[what.protocol])
        del body, kept  # a long one takes as much memory again as its messages
        return held(sessions, what, asked)


def held(sessions: Sessions, what: Holding, asked: Asked | None) -> StoredAnswer:
    """Store a conversation, and return its place.

    Raises:
        ChatkeepError: as in `Recording.begin`.
    """
    recording = Recording(sessions, what.root, asked.drafts if asked else (), PROTOCOLS[what.protocol])
    patiently(recording.begin)
    return StoredAnswer(msgspec.msgpack.encode(recording.held))


def root_of_answer(answer: StoredAnswer) -> Root | None:
    """Return the root of a conversation; None if the body has none."""
    return _ROOT.decode(answer.data)


def held_of_answer(answer: StoredAnswer) -> Held | None:
    """Return the place of a stored conversation."""
    return _HELD.decode(answer.data)
