"""The files of a program's home: sessions, and logs put aside under longer names.

A log may be rotated: renamed or copied to its name with something behind it, such as `.1` or a date. Messages that came
just before are only there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from chatkeep.disk.files import Stamp
from chatkeep.importers.homes import HistoryPlace, Homed

_UNFINISHED: Final = frozenset((".tmp", ".temp", ".lock", ".swp", ".part", ".partial", ".new", ".crswap"))
_LOG: Final = "-wal"  # of a SQLite database, which changes before the database does

FileStamps = tuple[Stamp, ...]
"""The state of a file, and of the log beside a database."""


class SyncedFile(Struct, frozen=True):
    """A file to read. `is_aside`: a rotated log, to be looked into before it is taken for one."""

    path: Path
    is_aside: bool = False


def source_at(importer: Homed, changed: Path) -> SyncedFile | None:
    """Return the file to read after a change of this one; None for a file without history."""
    if (source := importer.source_of(changed)) is not None:
        return SyncedFile(source)
    if not changed.suffix or changed.suffix in _UNFINISHED or changed.name.startswith("."):
        return None
    above = changed.with_suffix("")
    return SyncedFile(changed, is_aside=True) if importer.source_of(above) == above else None


def files_at(place: HistoryPlace, importer: Homed) -> Iterator[SyncedFile]:
    """Yield the files of a place; a folder that may not be read has none."""
    waiting = [place.folder]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if place.is_deep and not entry.name.startswith("."):
                        waiting.append(Path(entry.path))
                    continue
                found = source_at(importer, Path(entry.path))
                if found is not None and found.path.name == entry.name and entry.is_file():
                    yield found


def stamps_of(file: Path) -> FileStamps | None:
    """Return the state of a file, None for a missing one."""
    try:
        found = [os.stat(file)]  # noqa: PTH116 - Path.stat takes three times as long
        with suppress(FileNotFoundError):
            found.append(os.stat(f"{file}{_LOG}"))  # noqa: PTH116
    except OSError:
        return None
    return tuple(Stamp(one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_ino) for one in found)
