"""The protocol of an importer: one class per format, one instance per import.

Chatkeep shows each importer a `Look` at a source, asks one for the files of a folder, and lets it read them one by
one. An instance lives for one import. It may keep notes from one file for the next, such as an index beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from io import BufferedReader
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from chatkeep.core.model import Session
from chatkeep.errors import BrokenInputError
from chatkeep.importers.reports import Flaw
from chatkeep.importers.sources import OnBytes, Source, unpacked
from chatkeep.sessions import now_utc


class Look(Struct, frozen=True, kw_only=True):
    """A first look at a source: enough for recognising its format, at the same small cost for any size.

    `path` is None for a pipe. `folder` is the imported folder; None for a source given by itself. `head` is the
    beginning of the unpacked content, at most 64 KiB, without a byte order mark and leading white space. It is empty
    for a folder. A format of many files or a database may look into `path` itself.
    """

    name: str
    path: Path | None = None
    folder: Path | None = None
    is_folder: bool = False
    head: bytes = b""
    is_cut: bool = False

    @property
    def is_lines(self) -> bool:
        """Whether the content is one JSON object per line, by its name or its first line."""
        first_line, newline, _ = self.head.partition(b"\n")
        return self.head.startswith(b"{") and (".jsonl" in self.name or bool(newline and _is_object(first_line)))


class Reading(Struct, frozen=True, kw_only=True):
    """The circumstances of one import.

    `zone` applies to times without an offset; None is this machine's zone. `folder` is the imported folder; None for a
    source given by itself. `on_bytes` gets the number of bytes just read, as they are on disk.
    """

    now: Callable[[], datetime] = now_utc
    zone: tzinfo | None = None
    folder: Path | None = None
    on_bytes: OnBytes = lambda _: None

    @contextmanager
    def content_of(self, source: Source) -> Iterator[BufferedReader]:
        """Yield the content of a file or pipe, unpacked from gzip or zstandard.

        Raises:
            BrokenInputError: when it is empty, or expands too much.
            OSError, and the errors of `READ_ERRORS`: when it cannot be read.
        """
        with unpacked(source, self.on_bytes) as stream:
            if not stream.peek(1):
                raise BrokenInputError("It is empty.")
            yield stream


class Importer(Protocol):
    """A reader of one format; it is made without arguments."""

    @property
    def name(self) -> str:
        """The name of the format for `--as`; the entry point of a plug-in has the same."""
        ...

    def recognises(self, look: Look) -> str | None:
        """Return the reason for taking the source for this format, a short phrase; None for another source."""
        ...

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the files to read in a folder, in a fixed order; none when nothing there has this format.

        A file may be an archive or a database with many sessions.

        Raises:
            OSError: when a folder may not be read: its files are unknown, not none.
        """
        ...

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the sessions of one file or pipe, long ones in parts, and a flaw for each unreadable record.

        Raises:
            BrokenInputError, TooLargeError, OSError, and the errors of `READ_ERRORS`: when nothing more can be read
                from this file. The import goes on with the next one.
        """
        ...


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
