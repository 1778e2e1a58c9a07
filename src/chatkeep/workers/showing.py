"""Long answers made in another process (see `appending`): windows, exports of a session, and forks.

Each task has its work beside it. The server does the same work by itself for short texts, and without the process.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from msgspec import Struct

from chatkeep import exporters
from chatkeep.core.history.windows import Window
from chatkeep.core.life.dropping import FORKED_FROM, Created, origin_of_fork, receipt_of
from chatkeep.core.unknown import written_window
from chatkeep.errors import SessionExistsError
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.answers import json_bytes
from chatkeep.wire.lives import created_answer
from chatkeep.wire.ready import ReadyAnswers
from chatkeep.workers.appending import StoredAnswer


class Showing(Struct, frozen=True, kw_only=True, tag=True):
    """The task to return neighbouring messages as JSON, or with `id` one message, as the API does.

    With `is_list` the messages come without the window around them. With `inline` they have their attachments.
    """

    only_reads: ClassVar[bool] = True
    is_whole: ClassVar[bool] = False
    prefix: str
    key: str
    limit: int | None = None
    before: int | None = None
    after: int | None = None
    max_tokens: int | None = None
    reasoning: bool = False
    log: bool = False
    shape: str | None = None
    id: str | None = None
    is_list: bool = False
    inline: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the messages come as they are stored, without more work on their texts."""
        return self.shape is None and self.max_tokens is None and self.id is None


class SessionExport(Struct, frozen=True, kw_only=True, tag=True):
    """The task to export one session."""

    only_reads: ClassVar[bool] = True
    is_whole: ClassVar[bool] = False
    prefix: str
    key: str
    format: str
    log: bool


class SessionFork(Struct, frozen=True, kw_only=True, tag=True):
    """The task to fork a session. A repeated one (`is_again`) finds the fork that it made."""

    only_reads: ClassVar[bool] = False
    is_whole: ClassVar[bool] = True
    prefix: str
    may_drop: bool
    at: datetime
    key: str
    seq: int | None
    new_key: str | None
    is_again: bool = False


def shown(sessions: Sessions, what: Showing, ready: ReadyAnswers) -> bytes:
    """Return messages as JSON.

    Raises:
        ChatkeepError: as in `Sessions.window` and `Sessions.message`.
    """
    if not what.inline:
        sessions = sessions.naming
    if what.id is not None:
        message = sessions.message(what.key, what.id, log=what.log)
        return json_bytes(written_window(Window(messages=(message,), has_more=False)))
    found = sessions.window(
        what.key,
        limit=what.limit,
        before=what.before,
        after=what.after,
        max_tokens=what.max_tokens,
        reasoning=what.reasoning,
        log=what.log and what.shape is None,
    )
    if what.shape is not None:
        return exporters.shaped_window(what.key, found, what.shape)
    return ready.history(found) if what.is_list else ready.window(found)


def shown_beside(sessions: Sessions, what: Showing, _: bytes) -> StoredAnswer:
    """Return messages as JSON, as `shown` does."""
    return StoredAnswer(shown(sessions, what, ReadyAnswers()))


def exported_beside(sessions: Sessions, what: SessionExport, _: bytes) -> StoredAnswer:
    """Return a session as the bytes of a file.

    Raises:
        ChatkeepError: as in `Sessions.read`.
    """
    session = sessions.read(what.key, log=what.log)
    return StoredAnswer(b"".join(exporters.exported(iter([session]), what.format, single=True)))


def fork_made(sessions: Sessions, what: SessionFork, _: bytes = b"") -> StoredAnswer:
    """Fork a session, and return the encoded answer.

    Raises:
        ChatkeepError: as in `Sessions.fork`.
    """
    allowed = sessions.confined(what.prefix, may_drop=what.may_drop).at(what.at, lambda _: sessions.new_id())
    try:
        forked = allowed.fork(what.key, seq=what.seq, new_key=what.new_key)
    except SessionExistsError:
        before = _made_before(allowed, what) if what.is_again else None
        if before is None:
            raise
        forked = before
    return StoredAnswer(json_bytes(created_answer(forked, what.at)))


def _made_before(sessions: Sessions, what: SessionFork) -> Created | None:
    """Return a session that is the very fork, None if another one has the key."""
    key = what.new_key or ""
    summary, lines = sessions.get(key), sessions.read(key, log=True).messages
    last = sessions.get(what.key).line_count if what.seq is None else what.seq
    origin = origin_of_fork(sessions.get(what.key).header.key, last, len(lines))
    if summary.header.metadata.get(FORKED_FROM) != origin:
        return None
    return Created(summary=summary, receipts=tuple(map(receipt_of, lines)))
