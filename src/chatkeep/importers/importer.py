"""The protocol of an importer: one class per format, one instance per import.

Chatkeep shows each importer a `Look` at a source, asks one for the files of a folder, and lets it read them one by
one. An instance lives for one import. It may keep notes from one file for the next, such as an index beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, tzinfo
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from chatkeep.core.model import Json, Session
from chatkeep.core.scanning import BOM
from chatkeep.errors import BrokenInputError, InvalidError
from chatkeep.importers.glimpse import glimpse
from chatkeep.importers.reports import Flaw
from chatkeep.importers.sources import (
    READ_ERRORS,
    OnBytes,
    Piped,
    Source,
    files_below,
    is_json_file,
    read_failure,
    shown_name,
    unpacked,
)
from chatkeep.sessions.message_ids import now_utc

_HEAD_BYTES: Final = 1 << 16  # bytes of content shown to importers

StoredIds = Callable[[str], Mapping[str, int]]
"""Returns the ids of the messages stored under a key, each with the count of its tool calls."""


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
    def sight(self) -> Json:
        """The JSON value at the beginning, as far as the head goes: an object, a list, or None."""
        return glimpse(self.head)

    @property
    def is_lines(self) -> bool:
        """Whether the content is one JSON object per line, by its name or its first line."""
        first_line, newline, _ = self.head.partition(b"\n")
        return self.head.startswith(b"{") and (".jsonl" in self.name or bool(newline and _is_object(first_line)))


class Reading(Struct, frozen=True, kw_only=True):
    """The circumstances of one import.

    `zone` applies to times without an offset; None is this machine's zone. `folder` is the imported folder; None for a
    source given by itself. `on_bytes` gets the number of bytes just read, as they are on disk. `stored_ids` returns the
    ids of the messages that an earlier import stored under a key; none for a new session. `copies` has the content of
    files that may have changed since.
    """

    now: Callable[[], datetime] = now_utc
    zone: tzinfo | None = None
    folder: Path | None = None
    on_bytes: OnBytes = lambda _: None
    stored_ids: StoredIds = lambda _: {}
    copies: Mapping[Path, bytes] = {}

    @contextmanager
    def content_of(self, source: Source) -> Iterator[BufferedReader]:
        """Yield the content of a file or pipe, unpacked from gzip or zstandard.

        Raises:
            BrokenInputError: when it is empty, or expands too much.
            OSError, and the errors of `READ_ERRORS`: when it cannot be read.
        """
        copy = self.copies.get(source) if isinstance(source, Path) else None
        place = source if copy is None else Piped(source.name, BytesIO(copy))
        with unpacked(place, self.on_bytes) as stream:
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


def look_at(source: Source, folder: Path | None = None) -> Look:
    """Return a first look at a file or pipe, the beginning of its content.

    Raises:
        InvalidError: when it does not exist, is empty, or cannot be read.
    """
    if isinstance(source, Path) and not source.exists():
        raise InvalidError("path", f"{source} does not exist")
    try:
        with unpacked(source) as stream:
            head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    except (*READ_ERRORS, BrokenInputError) as error:
        raise InvalidError("path", f"{shown_name(source)} cannot be read: {read_failure(error)}") from error
    if not head:
        raise InvalidError("path", f"{shown_name(source)} is empty")
    return Look(
        name=source.name,
        path=source if isinstance(source, Path) else None,
        folder=folder,
        head=head.removeprefix(BOM).lstrip(),
        is_cut=len(head) == _HEAD_BYTES,
    )


def recognised_below(
    folder: Path,
    recognises: Callable[[Look], str | None],
    beginning: str = "",
    is_wanted: Callable[[str], bool] = is_json_file,
) -> list[Path]:
    """Return the files in a folder and below it, of wanted names, that an importer recognises, by their paths.

    If names begin as the program's own files do, only these files are looked at: it writes many others beside them.

    Raises:
        OSError: when a folder may not be read: its files are unknown, not none.
    """
    files = files_below(folder, is_wanted)
    named_so = [file for file in files if file.name.startswith(beginning)]
    found = []
    for file in named_so or files:
        with suppress(InvalidError):
            if recognises(look_at(file, folder)) is not None:
                found.append(file)
    return found


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
