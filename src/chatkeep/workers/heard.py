"""Long answers of a model, read and stored in another process (see `appending`): the task, and the work itself.

The server reads an answer while it passes, to know its end. It does not read long JSON, nor events longer than
`READ_BYTES_MAX`: a call of a library for so many bytes keeps all other threads waiting. It keeps the bytes, and the
other process reads them again.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final

from msgspec import Struct

from chatkeep.core.history.masking import Mask
from chatkeep.core.history.tape.tape import Tape
from chatkeep.core.model import Draft
from chatkeep.model.endings import patiently
from chatkeep.model.places import Root
from chatkeep.model.protocols import PROTOCOLS
from chatkeep.model.recording import Held, Recording
from chatkeep.sessions.sessions import Sessions
from chatkeep.workers.appending import StoredAnswer

READ_BYTES_MAX: Final = 1 << 17  # bytes of an event that the server reads; the slowest take it 30 ms, in turns
_LONG_BYTES: Final = 1 << 18  # bytes of an answer for the other process: a shorter one takes no step of 10 ms


class HeardAnswer(Struct, frozen=True, kw_only=True, tag=True):
    """The task to store an answer behind its request; its bytes are the body of the task.

    `secret` is hidden in all texts, `cut` the reason of an early end. `is_long` says that bytes were left out.
    """

    only_reads: ClassVar[bool] = False
    is_whole: ClassVar[bool] = False
    prefix: str
    protocol: str
    root: Root
    held: Held
    media_type: str
    secret: str
    latency_ms: int
    thought_ms: int | None
    cut: str | None
    is_long: bool


def heard_answer(recording: Recording, tape: Tape, mask: Mask, latency_ms: int, cut: str | None) -> HeardAnswer | None:
    """Return the task to store a long answer; None for a short one, or without its request in the store."""
    held = recording.held
    if held is None or len(tape.kept) <= _LONG_BYTES:
        return None
    return HeardAnswer(
        prefix=recording.prefix,
        protocol=recording.protocol.name,
        root=recording.root,
        held=held,
        media_type=tape.media_type,
        secret=mask.secret,
        latency_ms=latency_ms,
        thought_ms=tape.thought_ms,
        cut=cut,
        is_long=tape.is_cut,
    )


def store_heard(sessions: Sessions, what: HeardAnswer, body: bytes) -> StoredAnswer:
    """Store an answer; nothing is stored twice.

    Raises:
        ChatkeepError: as in `Recording.finish`.
    """
    protocol = PROTOCOLS[what.protocol]
    tape = Tape(what.media_type, protocol=protocol, mask=Mask(what.secret))
    tape.add_kept(body, what.thought_ms, is_cut=what.is_long)
    draft = tape.draft(what.latency_ms, what.cut)
    if draft is not None:
        recording = Recording(sessions, what.root, (), protocol)
        recording.go_on(what.held)
        patiently(partial(recording.finish, draft))
    return StoredAnswer(b"")


def draft_of_tape(tape: Tape, latency_ms: int, cut: str | None) -> Draft | None:
    """Close a tape, and return its answer; one with events left out is read again, whole."""
    tape.close()
    return (tape.read_again() if tape.has_left_out else tape).draft(latency_ms, cut)
