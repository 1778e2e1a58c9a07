"""Sessions of other programs: one module per format, and one way to import them.

Every importer yields whole sessions, and a `Flaw` for each unreadable one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from pathlib import Path

import msgspec

from chatkeep.core.model import Session
from chatkeep.errors import BrokenInputError, TooLargeError
from chatkeep.importers.archives import is_archive, unpacked_archive
from chatkeep.importers.assembly import assembled
from chatkeep.importers.catalogue import ENTRY_POINTS, IMPORT_FORMATS, Catalogue
from chatkeep.importers.formats import chatkeep
from chatkeep.importers.formats.chatkeep import OWN_FORMATS
from chatkeep.importers.importer import Importer, Look, Reading, StoredIds
from chatkeep.importers.known import ids_in
from chatkeep.importers.recognising import ImportPlan, PlannedSource, Recognised, files_of, plan_of, recognised, sniff
from chatkeep.importers.reports import Flaw, Report, goes_on, take_in, would_take_in
from chatkeep.importers.sources import READ_ERRORS, OnBytes, Piped, Source, read_failure
from chatkeep.sessions.message_ids import now_utc

__all__ = [
    "ENTRY_POINTS",
    "IMPORT_FORMATS",
    "OWN_FORMATS",
    "Catalogue",
    "Flaw",
    "ImportPlan",
    "Importer",
    "Look",
    "Piped",
    "PlannedSource",
    "Reading",
    "Recognised",
    "Report",
    "Source",
    "assembled",
    "chatkeep",
    "files_of",
    "goes_on",
    "ids_in",
    "is_archive",
    "plan_of",
    "read_sessions",
    "recognised",
    "sniff",
    "take_in",
    "unpacked_archive",
    "would_take_in",
]


def read_sessions(
    source: Source,
    fmt: str | Importer,
    *,
    zone: tzinfo | None = None,
    now: Callable[[], datetime] = now_utc,
    on_bytes: OnBytes = lambda _: None,
    stored_ids: StoredIds = lambda _: {},
    copy: bytes | None = None,
) -> Iterator[Session | Flaw]:
    """Yield the sessions of a file, folder, zip archive or pipe; an unreadable file gives a flaw, and the rest goes on.

    `fmt` is the name of a format or its importer. `zone` applies to times without an offset, by default this machine's
    zone. `on_bytes` gets the number of bytes just read, as they are on disk. `stored_ids` returns the ids of the
    messages that an earlier import stored under a key. Messages of other programs get the time of the import beside
    their own; those of Chatkeep keep what they have, so that an export of them is the same again. `copy` is the
    content of the file at an earlier moment, to read in its place.

    Raises:
        InvalidError: when the format is unknown, the path does not exist or has no session files, or an archive
            is refused.
    """
    importer = Catalogue().importer(fmt) if isinstance(fmt, str) else fmt
    with unpacked_archive(source) as place:
        folder = place if isinstance(place, Path) and place.is_dir() else None
        copies = {} if copy is None or not isinstance(place, Path) else {place: copy}
        reading = Reading(now=now, zone=zone, folder=folder, on_bytes=on_bytes, stored_ids=stored_ids, copies=copies)
        for file in copies or files_of(place, importer):
            at = None if importer.name in OWN_FORMATS else now()
            try:
                yield from (_placed(_stored(record, at), file) for record in importer.read(file, reading))
            except (*READ_ERRORS, BrokenInputError, TooLargeError) as error:
                yield Flaw(file.name, read_failure(error))


def _stored(record: Session | Flaw, at: datetime | None) -> Session | Flaw:
    """Return a session with this time of storing in its messages without one."""
    if at is None or isinstance(record, Flaw):
        return record
    messages = (one if one.stored_at else msgspec.structs.replace(one, stored_at=at) for one in record.messages)
    return msgspec.structs.replace(record, messages=tuple(messages))


def _placed(record: Session | Flaw, file: Source) -> Session | Flaw:
    if isinstance(record, Session) or record.place in {file.name, file.name.partition(".json")[0]}:
        return record
    return msgspec.structs.replace(record, place=f"{file.name}, {record.place}")
