"""Whole sessions with long texts, begun and imported in another process (see `appending`): the tasks, and the work.

A repeated import stores nothing twice, as it merges by the ids of messages. A repeated creation finds its own session
by the ids and the time of its messages.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from io import BytesIO
from typing import ClassVar, Final

import msgspec
from msgspec import Struct
from msgspec.msgpack import Decoder

from chatkeep import importers
from chatkeep.core.keys import RANDOM_BITS
from chatkeep.core.life.dropping import Created, NewSession, receipt_of
from chatkeep.errors import SessionExistsError
from chatkeep.importers.reports import Report
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.answers import json_bytes
from chatkeep.wire.lives import created_answer, new_session_of_body
from chatkeep.workers.appending import StoredAnswer, seeded_ids

_REPORT: Final[Decoder[Report]] = Decoder(Report)


class SessionCreation(Struct, frozen=True, kw_only=True, tag=True):
    """The task to begin a session; `made_key` is its key if the body names none, `seed` is as in `Append`."""

    only_reads: ClassVar[bool] = False
    is_whole: ClassVar[bool] = True
    prefix: str
    may_drop: bool
    at: datetime
    made_key: str | None
    seed: bytes = msgspec.field(default_factory=lambda: secrets.token_bytes(RANDOM_BITS // 8))


class SessionImport(Struct, frozen=True, kw_only=True, tag=True):
    """The task to import sessions in a format of ours."""

    only_reads: ClassVar[bool] = False
    is_whole: ClassVar[bool] = True
    prefix: str
    may_drop: bool
    format: importers.chatkeep.Fmt
    restore_deleted: bool


def session_begun(sessions: Sessions, what: SessionCreation, body: bytes) -> StoredAnswer:
    """Begin the session in a body, and return the encoded answer.

    Raises:
        BrokenInputError, InvalidError: as in `wire.lives.new_session_of_body`.
        ChatkeepError: as in `Sessions.create`.
    """
    allowed = sessions.confined(what.prefix, may_drop=what.may_drop).at(what.at, seeded_ids(what.at, what.seed))
    new = new_session_of_body(body)
    named = new if new.key is not None else msgspec.structs.replace(new, key=what.made_key)
    try:
        began = allowed.create(named)
    except SessionExistsError:
        before = _begun_before(allowed, named, what)
        if before is None:
            raise
        began = before
    return StoredAnswer(json_bytes(created_answer(began, what.at)))


def taken_in(sessions: Sessions, what: SessionImport, body: bytes) -> StoredAnswer:
    """Import the sessions in a body, and return the report for `report_of_answer`.

    Raises:
        ChatkeepError: as in `importers.take_in`.
    """
    allowed = sessions.confined(what.prefix, may_drop=what.may_drop)
    records = importers.chatkeep.read(BytesIO(body), what.format)
    report = importers.take_in(allowed, records, restore_deleted=what.restore_deleted)
    return StoredAnswer(msgspec.msgpack.encode(report))


def report_of_answer(answer: StoredAnswer) -> Report:
    """Return the report of an import."""
    return _REPORT.decode(answer.data)


def _begun_before(sessions: Sessions, new: NewSession, what: SessionCreation) -> Created | None:
    """Return the session as this very task began it before, None if another one has the key."""
    new_id = seeded_ids(what.at, what.seed)
    ids = [one.id or new_id(what.at) for one in new.messages]
    lines = sessions.read(new.key or "", log=True).messages[: len(ids)]
    is_own = [line.id for line in lines] == ids and all((line.stored_at or line.sent_at) == what.at for line in lines)
    if not (lines and is_own):
        return None
    return Created(summary=sessions.get(new.key or ""), receipts=tuple(map(receipt_of, lines)))
