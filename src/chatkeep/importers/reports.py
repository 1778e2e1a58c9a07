"""Import sessions one by one, and report the results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core.keys import KEY_CHARS_MAX
from chatkeep.core.life.incoming import checked_session
from chatkeep.core.model import Merged, Message, Session
from chatkeep.core.standing import Moved, moved_drops
from chatkeep.errors import (
    ChatkeepError,
    ForbiddenError,
    InvalidError,
    MessageConflictError,
    SessionDeletedError,
    SessionNotFoundError,
)
from chatkeep.importers.known import settled
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.merging import merged_in_turn
from chatkeep.wire.errors import advised

ERRORS_MAX: Final = 1000  # flaws listed in a report; further ones are counted
_GARBAGE_MAX: Final = 10_000  # flaws without a session between them before we give up a source
_NAMED_CONFLICTS: Final = 3  # message ids in one sentence

_TOLD_ALONE: Final = ({ForbiddenError.code}, {SessionDeletedError.code})
"""The codes told as the failure of a whole import, when there is no other."""

_GROUP_MAX: Final = 64  # sessions merged at once; each has a file open meanwhile
_GROUP_BYTES: Final = 1 << 20  # of text, in such a group; the next session may exceed it
_PARTS_BYTES: Final = 4096  # taken for the size of content that is no text


EncodedReports = dict[str, bytes]
"""Message ids, each with a fingerprint of the message."""


class Flaw(Struct, frozen=True):
    """The reason for leaving out a record or a part of it. `place` is a line, a file or a key.

    `code` is the code of the error. `conflicts` has all message ids already taken by other content.
    """

    place: str
    reason: str
    code: str = "broken_input"
    conflicts: tuple[str, ...] = ()


class Report(Struct, frozen=True, kw_only=True):
    """The results of an import. A known session without new messages counts only by its skipped messages.

    `left_out` has the keys of sessions deleted here, at most 1000 of the `sessions_left_out`.
    """

    sessions_created: int = 0
    sessions_extended: int = 0
    messages_added: int = 0
    messages_skipped: int = 0
    errors: tuple[Flaw, ...] = ()
    sessions_left_out: int = 0
    left_out: tuple[str, ...] = ()

    @property
    def failure(self) -> str | None:
        """The error code of an import with nothing taken and nothing known before; None for any other import."""
        has_taken = self.sessions_created or self.messages_added or self.messages_skipped
        if has_taken or not (self.errors or self.left_out):
            return None
        codes = {flaw.code for flaw in self.errors} or {SessionDeletedError.code}
        return codes.pop() if codes in _TOLD_ALONE else InvalidError.code


OnSession = Callable[[Session | Flaw], None]
Record = Session | Flaw
_Outcome = tuple[Record, Merged | Flaw]


def take_in(
    sessions: Sessions,
    records: Iterable[Record],
    *,
    on_session: OnSession | None = None,
    restore_deleted: bool = False,
) -> Report:
    """Merge the sessions into the store, long ones part by part, and return the results.

    The report names each failed record, at most 1000 of them, and the import goes on. `on_session` gets each record
    when it is done, or the flaw of a refused one. Sessions deleted here are left out, unless `restore_deleted` is set.

    Raises:
        StorageError: when the disk refuses; a second import continues where the first stopped.
    """
    return _reported(_Merges(sessions, unless_deleted=not restore_deleted).outcomes(records), on_session)


class _Merges:
    """Merges of sessions in parts: what a later part drops of earlier ones gets the seqs that these got."""

    def __init__(self, sessions: Sessions, *, unless_deleted: bool) -> None:
        self._sessions = sessions
        self._unless_deleted = unless_deleted
        self._moves: list[Moved] = []

    def outcomes(self, records: Iterable[Record]) -> Iterator[_Outcome]:
        """Yield the records in order, each with the outcome of its merge; many sessions are merged at once.

        A later part of a session is merged by itself, once the parts before it are.
        """
        group: list[Record] = []
        size = 0
        for record in records:
            if goes_on(record):
                yield from self._merged(group)
                group, size = [record], _GROUP_BYTES
            else:
                group.append(record)
                size += 0 if isinstance(record, Flaw) else _size_of(record)
            if size >= _GROUP_BYTES or len(group) >= _GROUP_MAX:
                yield from self._merged(group)
                group, size = [], 0
        yield from self._merged(group)

    def _merged(self, group: Sequence[Record]) -> Iterator[_Outcome]:
        sessions = [self._moved(record) for record in group if isinstance(record, Session)]
        told = self._sessions.arrivals.merge_all(sessions, unless_deleted=self._unless_deleted)
        merged = zip(sessions, told, strict=True)
        for record in group:
            if isinstance(record, Flaw):
                yield record, record
                continue
            session, outcome = next(merged)
            if not goes_on(record):
                self._moves = []
            if isinstance(outcome, Merged):
                self._moves += outcome.moves
                (outcome,) = merged_in_turn(partial(settled, self._sessions, merged=outcome), [session])
            yield record, _told(record, outcome)

    def _moved(self, session: Session) -> Session:
        """Return a session, or the next part of one: then its drops of earlier parts have the seqs here."""
        messages = session.messages
        if not (goes_on(session) and messages[0].drops):
            return session
        drops = moved_drops(messages[0].drops, self._moves) or None
        return msgspec.structs.replace(
            session, messages=(msgspec.structs.replace(messages[0], drops=drops), *messages[1:])
        )


def _size_of(session: Session) -> int:
    """Return about how many bytes of text a session has."""
    return sum(len(one.content) if isinstance(one.content, str) else _PARTS_BYTES for one in session.messages)


def would_take_in(
    sessions: Sessions,
    records: Iterable[Record],
    *,
    on_session: OnSession | None = None,
    restore_deleted: bool = False,
) -> Report:
    """Return the report of `take_in` without storing anything."""
    told: dict[str, EncodedReports] = {}

    def would_merge(session: Session) -> Merged:
        merged = settled(sessions, session, _would_merge(sessions, session, told))
        if not restore_deleted and sessions.arrivals.is_deleted(session.header.key):
            raise SessionDeletedError(session.header.key)
        return merged

    def outcomes() -> Iterator[_Outcome]:
        for record in records:
            if isinstance(record, Flaw):
                yield record, record
            else:
                yield record, _told(record, merged_in_turn(would_merge, [record])[0])

    return _reported(outcomes(), on_session)


def _reported(outcomes: Iterator[_Outcome], on_session: OnSession | None) -> Report:
    created = extended = added = skipped = left_out = 0
    errors: list[Flaw] = []
    gone = _LeftOut()
    is_counted = False
    for record, merged in outcomes:
        flaw = merged if isinstance(merged, Flaw) else _conflict(record, merged)
        if flaw is not None and flaw.code == SessionDeletedError.code:
            gone.add(flaw.place, is_new=not goes_on(record))
            flaw = None
        if isinstance(merged, Merged):
            is_counted &= goes_on(record)
            created += merged.created
            extended += not merged.created and merged.added_count > 0 and not is_counted
            is_counted |= merged.created or merged.added_count > 0
            added += merged.added_count
            skipped += merged.skipped_count
        if len(errors) + left_out >= _GARBAGE_MAX and not (created or added or skipped):
            errors.append(Flaw("the rest", "It was not read: there was nothing but errors so far."))
            break
        if flaw is not None and len(errors) < ERRORS_MAX:
            errors.append(flaw)
        else:
            left_out += flaw is not None
        if on_session is not None:
            on_session(merged if isinstance(merged, Flaw) else record)
    if left_out:
        errors.append(Flaw("the rest", f"{left_out} more errors of this import are not listed."))
    return Report(
        sessions_created=created,
        sessions_extended=extended,
        messages_added=added,
        messages_skipped=skipped,
        errors=tuple(errors),
        sessions_left_out=gone.count,
        left_out=tuple(gone.keys),
    )


class _LeftOut:
    """The sessions that an import leaves out because they were deleted here."""

    def __init__(self) -> None:
        self.count = 0
        self.keys: dict[str, None] = {}

    def add(self, key: str, *, is_new: bool) -> None:
        """Count a session, once for all its parts, and name it among the first ones."""
        if is_new and key not in self.keys:
            self.count += 1
            if len(self.keys) < ERRORS_MAX:
                self.keys[key] = None


def goes_on(record: Record) -> bool:
    """Tell whether a record is a later part of the session before it."""
    return isinstance(record, Session) and bool(record.messages) and record.messages[0].seq > 1


def _told(session: Session, outcome: Merged | ChatkeepError) -> Merged | Flaw:
    if isinstance(outcome, Merged):
        return outcome
    return Flaw(session.header.key[:KEY_CHARS_MAX], advised(outcome), outcome.code)  # an invalid key may be very long


def _conflict(record: Record, merged: Merged) -> Flaw | None:
    if isinstance(record, Flaw) or not merged.conflicts:
        return None
    named = ", ".join(merged.conflicts[:_NAMED_CONFLICTS])
    more = ", ..." if len(merged.conflicts) > _NAMED_CONFLICTS else ""
    reason = f"{len(merged.conflicts)} messages were left out, their ids are taken by other content: {named}{more}."
    return Flaw(record.header.key, reason, MessageConflictError.code, merged.conflicts)


def _would_merge(sessions: Sessions, session: Session, told: dict[str, EncodedReports]) -> Merged:
    checked = checked_session(session)
    key = checked.header.key
    created = False
    if key not in told:
        try:
            told[key] = {message.id: _fingerprint(message) for message in sessions.read(key, log=True).messages}
        except SessionNotFoundError:
            told[key] = {}
            created = True
    known = told[key]
    before = len(known)
    conflicts = tuple(m.id for m in checked.messages if known.setdefault(m.id, _fingerprint(m)) != _fingerprint(m))
    added = len(known) - before
    skipped = len(checked.messages) - added - len(conflicts)
    return Merged(created=created, added_count=added, skipped_count=skipped, conflicts=conflicts)


def _fingerprint(message: Message) -> bytes:
    said = (
        message.role,
        message.content,
        message.name,
        message.tool_calls,
        message.tool_call_id,
        message.metadata,
        message.extra,
    )
    return hashlib.blake2b(msgspec.json.encode(said, order="deterministic"), digest_size=16).digest()
