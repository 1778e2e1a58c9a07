"""One file of another program into the store, and what came of it.

A file may be read while its program writes: then its end is torn. So what is wrong with a file counts only once the
file keeps still, and an empty one is nothing wrong at all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from chatkeep.core.model import MODEL_TITLE, Header, Revision, Session
from chatkeep.core.text.redaction import Redaction
from chatkeep.disk.files import Stamp
from chatkeep.errors import BusyError, InvalidError, SessionDamagedError, SessionNotFoundError
from chatkeep.exporters.redacting import redacted_session
from chatkeep.importers import Catalogue, Flaw, Report, ids_in, read_sessions, take_in, would_take_in
from chatkeep.importers.importer import look_at
from chatkeep.importers.reports import Record
from chatkeep.sessions.sessions import Sessions
from chatkeep.syncing.walking import FileStamps, SyncedFile, stamps_of

_EMPTY: Final = "It is empty."
_OF_COPY: Final = (Stamp(0, 0, 0, 0),)  # the state of no file


class Taken(Struct, frozen=True, kw_only=True):
    """What came of reading a file: its state before, the report, and the seconds it took.

    `is_whole`: nothing stood in the way, so it need not be read again in this state.
    """

    file: Path
    format: str
    stamps: FileStamps
    report: Report
    seconds: float
    is_whole: bool


class Taker:
    """Takes files into a store; `dry_run` stores nothing."""

    def __init__(self, sessions: Sessions, *, redaction: Redaction | None = None, dry_run: bool = False) -> None:
        """Take the sessions, and what masks secrets in them."""
        self._sessions = sessions
        self._redaction = redaction
        self._take_in = would_take_in if dry_run else take_in
        self._is_preview = dry_run

    def take(self, source: SyncedFile, fmt: str, copy: bytes | None = None) -> Taken | None:
        """Read a file whole, and store what is new; return None when there is no such file, or no log in it.

        With a `copy` of its content at an earlier moment, read that.

        Raises:
            StorageError: when the disk refuses; a second reading goes on where this one stopped.
        """
        began = time.monotonic()
        file = source.path
        stamps = stamps_of(file) if copy is None else _OF_COPY
        if stamps is None or (copy is None and not stamps[0].size) or (source.is_aside and not _is_log(file, fmt)):
            return None
        headers: dict[str, Header] = {}
        report = self._take_in(self._sessions, self._records(file, fmt, copy, headers))
        for header in () if self._is_preview else headers.values():
            self._name(header)
        errors = tuple(flaw for flaw in report.errors if flaw.reason != _EMPTY)
        return Taken(
            file=file,
            format=fmt,
            stamps=stamps,
            report=Report(
                sessions_created=report.sessions_created,
                sessions_extended=report.sessions_extended,
                messages_added=report.messages_added,
                messages_skipped=report.messages_skipped,
                errors=errors,
                sessions_left_out=report.sessions_left_out,
                left_out=report.left_out,
            ),
            seconds=time.monotonic() - began,
            is_whole=all(flaw.code != BusyError.code for flaw in errors),
        )

    def _records(self, file: Path, fmt: str, copy: bytes | None, headers: dict[str, Header]) -> Iterator[Record]:
        """Yield the records of a file; `headers` gets those of sessions with a title."""
        with suppress(FileNotFoundError):  # deleted meanwhile: what came before was stored
            try:
                for record in read_sessions(file, fmt, stored_ids=ids_in(self._sessions), copy=copy):
                    masked = self._masked(record)
                    if isinstance(masked, Session) and (masked.header.title or masked.header.metadata.get(MODEL_TITLE)):
                        headers[masked.header.key] = masked.header
                    yield masked
            except InvalidError as error:
                yield Flaw(file.name, str(error), error.code)

    def _name(self, header: Header) -> None:
        """Give a session the title that its program found meanwhile; one given here stays."""
        with suppress(SessionNotFoundError, SessionDamagedError, BusyError):
            known = self._sessions.get(header.key).header
            made = header.metadata.get(MODEL_TITLE)
            if made and made != known.metadata.get(MODEL_TITLE):
                self._sessions.revise(header.key, Revision(metadata={MODEL_TITLE: made}))
            if header.title and known.title is None:
                self._sessions.revise(header.key, Revision(title=header.title))

    def _masked(self, record: Record) -> Record:
        if self._redaction is None or isinstance(record, Flaw):
            return record
        return redacted_session(record, self._redaction)


def _is_log(file: Path, fmt: str) -> bool:
    """Tell whether a file put aside has the format."""
    try:
        return Catalogue().importer(fmt).recognises(look_at(file)) is not None
    except (InvalidError, OSError):
        return False
