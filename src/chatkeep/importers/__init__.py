"""Sessions of other programs: one module per format, and one way to import them.

Every reader yields whole sessions, and a `Flaw` for each unreadable one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Final, cast

from chatkeep.core.model import Session
from chatkeep.errors import BrokenInputError, InvalidError, TooLargeError
from chatkeep.importers.formats import chatkeep, grip, pocketpaw
from chatkeep.importers.reports import Flaw, Report, take_in, would_take_in
from chatkeep.importers.sources import READ_ERRORS, OnBytes, Piped, Source, files_of, read_failure, sniff, unpacked
from chatkeep.sessions import now_utc

__all__ = [
    "FORMATS",
    "Flaw",
    "Piped",
    "Report",
    "Source",
    "chatkeep",
    "files_of",
    "read",
    "sniff",
    "take_in",
    "would_take_in",
]

IMPORT_FORMATS: Final = ("json", "jsonl", "pocketpaw", "grip")


def read_sessions(
    source: Source,
    fmt: str,
    *,
    zone: tzinfo | None = None,
    now: Callable[[], datetime] = now_utc,
    on_bytes: OnBytes = lambda _: None,
) -> Iterator[Session | Flaw]:
    """Yield the sessions of a file, folder or pipe; an unreadable file gives a flaw, and the rest goes on.

    `zone` applies to times without an offset, by default this machine's zone. `on_bytes` gets the number of bytes just
    read, as they are on disk.

    Raises:
        InvalidError: when the format is unknown, or the path does not exist or has no session files.
    """
    if fmt not in IMPORT_FORMATS:
        raise InvalidError("format", f"must be one of {', '.join(IMPORT_FORMATS)}")
    notes = cache(pocketpaw.notes_in)
    mixed = isinstance(source, Path) and source.is_dir()

    def sessions_of(file: Source) -> Iterator[Session | Flaw]:
        name = file.name.partition(".json")[0]
        beside = notes(file.parent) if isinstance(file, Path) else {}
        with unpacked(file, on_bytes) as stream:
            if not stream.peek(1):
                raise BrokenInputError("It is empty.")
            if fmt == "pocketpaw":
                yield from pocketpaw.read(stream, name, beside, now=now, zone=zone)
            elif fmt == "grip":
                yield from grip.read(stream, file.name, now=now)
            else:
                yield from chatkeep.read(stream, _own_format(file) if mixed else cast("chatkeep.Fmt", fmt), now=now)

    for file in files_of(source, fmt):
        try:
            yield from (_placed(record, file) for record in sessions_of(file))
        except (*READ_ERRORS, BrokenInputError, TooLargeError) as error:
            yield Flaw(file.name, read_failure(error))


def _own_format(file: Source) -> chatkeep.Fmt:
    return "jsonl" if ".jsonl" in file.name else "json"


def _placed(record: Session | Flaw, file: Source) -> Session | Flaw:
    if isinstance(record, Session) or record.place in {file.name, file.name.partition(".json")[0]}:
        return record
    return Flaw(f"{file.name}, {record.place}", record.reason)
