"""Chatkeep's own formats: the output of `exporters`, session files copied from a workspace, and similar files.

A record needs a key and messages with a role and content; all other fields are optional.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import datetime
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, cast

from chatkeep.core.model import Session
from chatkeep.core.scanning import BOM, BrokenValueError, LongValueError, Scanner
from chatkeep.importers.assembly import OWN, Assembly
from chatkeep.importers.importer import Look, Reading
from chatkeep.importers.reports import Flaw
from chatkeep.importers.sources import Source, files_among, is_json_file
from chatkeep.sessions.message_ids import now_utc

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Fmt = Literal["json", "jsonl"]

OWN_FORMATS: Final = frozenset(("json", "jsonl"))
"""The formats of Chatkeep's own exports: such a file is asked for, so an import brings back what was deleted."""
_LINE_PIECE_BYTES: Final = 1 << 16  # bytes


class SessionsImporter:
    """Sessions as JSON documents: an export, or a session file. It reads a folder of documents and lines alike."""

    name: Final = "json"

    def recognises(self, look: Look) -> str | None:
        """Recognise an array, and an object with messages and a mark of ours."""
        if look.head.startswith(b"["):
            return "it is a JSON array"
        if look.folder is not None and look.is_lines:
            return "it has a JSON object on each line"
        return "it is a session with messages" if _is_session(look.head) else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the JSON files of the folder `sessions`, or of the folder itself."""
        return _files_in(folder)

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the sessions of a document; of lines, if a file in a folder has some by its name."""
        with reading.content_of(source) as stream:
            yield from read(stream, _fmt_of(source) if reading.folder else "json", now=reading.now)


class SessionLinesImporter:
    """Sessions as lines of JSON, one session each."""

    name: Final = "jsonl"

    def recognises(self, look: Look) -> str | None:
        """Recognise a file by its name or first line; a folder of such files goes by the name of `json`."""
        if look.folder is None and look.is_lines:
            return "it has a JSON object on each line"
        is_one_line = look.is_cut and b"\n" not in look.head  # a document on one line is a line as well
        return "it is one long line" if look.folder is None and is_one_line and _is_session(look.head) else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the JSON files of the folder `sessions`, or of the folder itself."""
        return _files_in(folder)

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the sessions of the lines; of a document, if a file in a folder is one by its name."""
        with reading.content_of(source) as stream:
            yield from read(stream, _fmt_of(source) if reading.folder else "jsonl", now=reading.now)


def read(stream: BinaryIO, fmt: Fmt, *, now: Callable[[], datetime] = now_utc) -> Iterator[Session | Flaw]:
    """Yield the sessions of a file, long ones in parts, and a flaw for each bad record and message."""
    return _lines(stream, now) if fmt == "jsonl" else _documents(stream, now)


def _files_in(folder: Path) -> Iterable[Path]:
    return files_among((folder / "sessions", folder), is_json_file)


def _fmt_of(file: Source) -> Fmt:
    return "jsonl" if ".jsonl" in file.name else "json"


def _is_session(head: bytes) -> bool:
    return head.startswith(b"{") and b'"messages"' in head and (b'"format"' in head or b'"timestamp"' in head)


def _documents(stream: BinaryIO, now: Callable[[], datetime]) -> Iterator[Session | Flaw]:
    """Yield the sessions and flaws of an array of records, or of one record after the other."""
    scanner = Scanner(cast("BinaryIO", _WithoutMark(stream)))
    first = scanner.peek()
    if first not in {b"[", b"{"}:
        yield Flaw("session 1", "It is not JSON." if first else "It is empty.")
        return
    is_list, has_ended = scanner.skip(b"["), False
    number = 0
    while scanner.peek() and not (has_ended := is_list and scanner.skip(b"]")):
        number += 1
        if not (yield from _record(scanner, f"session {number}", now)) and not scanner.find_record():
            break
        scanner.skip(b",")
    if not number:
        yield Flaw("the file", "There are no sessions in it.")
    if is_list and not has_ended:
        yield Flaw("the end", "The list of sessions has none: the file is cut.")


def _record(scanner: Scanner, place: str, now: Callable[[], datetime]) -> Generator[Session | Flaw, None, bool]:
    """Yield the sessions and flaws of a record; return whether we reached its end."""
    if scanner.peek() == b"{":
        assembly = Assembly(OWN, place, now)
        yield from assembly.record(scanner)
        return not assembly.is_broken
    reason, is_whole = "It is no session.", True
    try:
        scanner.value()
    except LongValueError:
        pass
    except BrokenValueError as error:
        reason, is_whole = str(error), False
    yield Flaw(place, reason)
    return is_whole


def _lines(stream: BinaryIO, now: Callable[[], datetime]) -> Iterator[Session | Flaw]:
    number = count = 0
    while True:
        number += 1
        line = _Line(stream)
        scanner = Scanner(cast("BinaryIO", line))
        if number == 1:
            scanner = Scanner(cast("BinaryIO", _WithoutMark(cast("BinaryIO", line))))
        first = scanner.peek()
        count += bool(first)
        is_whole = first and (yield from _record(scanner, f"line {number}", now))
        if is_whole and first == b"{" and scanner.peek():
            yield Flaw(f"line {number}", "There is more in it than a session; the rest was left out.")
        line.skip()
        if line.is_last:
            break
    if not count:
        yield Flaw("the file", "There are no sessions in it.")


class _Line(RawIOBase):
    """A stream over one line of another stream."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self.is_last = False
        self._stream = stream
        self._has_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._has_ended:
            return 0
        view = memoryview(buffer)
        piece = self._stream.readline(len(view))
        self.is_last = not piece
        self._has_ended = not piece or piece.endswith(b"\n")
        view[: len(piece)] = piece
        return len(piece)

    def skip(self) -> None:
        """Read on to the end of the line."""
        while self.read(_LINE_PIECE_BYTES):
            pass


class _WithoutMark(RawIOBase):
    """A stream without the byte order mark of UTF-8 at its start."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._is_new = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        piece = self._stream.read(len(view))
        if self._is_new:
            while 0 < len(piece) < len(BOM) and BOM.startswith(piece) and (more := self._stream.read(len(BOM))):
                piece += more
            piece, self._is_new = piece.removeprefix(BOM), False
        view[: len(piece)] = piece
        return len(piece)
