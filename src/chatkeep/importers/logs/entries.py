"""The entries of a log, one by one: JSON objects on lines, or the elements of a list in a document.

Logs are written while programs run. So the last line may be torn, and a crash may leave half a line in the middle. A
broken entry becomes a flaw with its place, and costs no other one.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple, cast

import msgspec

from chatkeep.core.bounds import MESSAGE_BYTES_MAX, VALUES_MAX, has_more_values, is_deeper
from chatkeep.core.history.mending import scrubbed
from chatkeep.core.model import Json
from chatkeep.core.scanning import BOM, BrokenValueError, LongValueError, Scanner
from chatkeep.errors import BrokenInputError
from chatkeep.importers.assembly import ALTERED
from chatkeep.importers.glimpse import glimpse
from chatkeep.importers.records import lenient_json
from chatkeep.importers.reports import Flaw

RECORD_END: Final = "\0end"
"""The name of the entry that closes a record: no field has it."""

_LINE_BYTES_MAX: Final = 1 << 20  # a longer line goes through a scanner, which cuts long texts
_SEEN_BYTES: Final = 1 << 16  # bytes of a log looked at to tell a document from lines
_OPENINGS_MAX: Final = 40  # lines looked at to recognise a format
_REST_BYTES: Final = 1 << 16  # bytes of a line skipped at once
_BLANK: Final = b" \t\r\n\0"  # a file system may leave zeros behind a power cut


class LogEntry(NamedTuple):
    """An object of a log and its place. In a document, `name` is the field around it, and `value` any JSON value."""

    place: str
    value: Json
    name: str = ""


def entries_of(stream: io.BufferedReader, *lists: str) -> Iterator[LogEntry | Flaw]:
    """Yield the entries of a log: of a document if it begins as an object with one of these lists, else its lines."""
    sight = glimpse(stream.peek(_SEEN_BYTES)[:_SEEN_BYTES].removeprefix(BOM))
    is_document = isinstance(sight, dict) and any(isinstance(sight.get(name), list) for name in lists)
    yield from elements_of(stream, *lists) if is_document else lines_of(stream)


def openings(head: bytes) -> Iterator[dict[str, Json]]:
    """Yield the objects on the first lines of a log, as far as its head goes."""
    for line in head.split(b"\n", _OPENINGS_MAX)[:_OPENINGS_MAX]:
        if isinstance(sight := glimpse(line), dict):
            yield sight


def lines_of(stream: io.BufferedReader) -> Iterator[LogEntry | Flaw]:
    """Yield the objects of JSON lines, and a flaw for each other line; blank lines are passed."""
    number = 0
    while line := stream.readline(_LINE_BYTES_MAX):
        number += 1
        place = f"line {number}"
        if number == 1:
            line = line.removeprefix(BOM)
        is_whole = line.endswith(b"\n") or len(line) < _LINE_BYTES_MAX
        if is_whole and not line.strip(_BLANK):
            continue
        if is_whole:
            yield _entry(line.strip(_BLANK), place)
        else:
            yield from _long_entry(line, stream, place)


def elements_of(stream: io.BufferedReader, *lists: str) -> Iterator[LogEntry | Flaw]:
    """Yield the fields of the object in a document, and the elements of the lists with these names one by one.

    An object behind it is an entry without a name, as on a line.
    """
    scanner = Scanner(cast("BinaryIO", _unmarked(stream)))
    try:
        yield from _fields(scanner, lists)
        number = 1
        while scanner.peek() == b"{":
            number += 1
            yield from _element(scanner, "", f"object {number}")
    except (BrokenValueError, BrokenInputError) as error:
        yield Flaw("the end", str(error))


def records_of(stream: io.BufferedReader, *lists: str) -> Iterator[LogEntry | Flaw]:
    """Yield the fields and elements of many objects, in a list or on lines; an entry named `RECORD_END` closes each."""
    if _is_lines(stream):
        number = 0
        while stream.peek(1):
            number += 1
            line = _Line(b"", stream)
            yield from _record(Scanner(cast("BinaryIO", line)), lists, f"line {number}")
            while line.read(_REST_BYTES):
                pass
        return
    scanner = Scanner(cast("BinaryIO", _unmarked(stream)))
    is_list, number = scanner.skip(b"["), 0
    while scanner.peek() and not (is_list and scanner.skip(b"]")):
        number += 1
        if not (yield from _record(scanner, lists, f"session {number}")):
            return
        scanner.skip(b",")


def _is_lines(stream: io.BufferedReader) -> bool:
    """Tell whether the first line is an object with another line behind it."""
    first, newline, _ = _unmarked(stream).peek(_SEEN_BYTES).partition(b"\n")
    try:
        return bool(newline) and isinstance(msgspec.json.decode(first), dict)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False


def _unmarked(stream: io.BufferedReader) -> io.BufferedReader:
    if stream.peek(len(BOM)).startswith(BOM):
        stream.read(len(BOM))
    return stream


def _record(scanner: Scanner, lists: Sequence[str], place: str) -> Generator[LogEntry | Flaw, None, bool]:
    """Yield the entries of an object; return whether we reached its end."""
    if not scanner.peek():
        return True
    try:
        for entry in _fields(scanner, lists):
            yield (
                entry._replace(place=f"{place}, {entry.place}")
                if isinstance(entry, LogEntry)
                else _within(entry, place)
            )
    except (BrokenValueError, BrokenInputError) as error:
        yield Flaw(place, str(error))
        yield LogEntry(place, None, RECORD_END)
        return False
    yield LogEntry(place, None, RECORD_END)
    return True


def _within(found: LogEntry | Flaw, place: str) -> LogEntry | Flaw:
    inner = f"{place}, {found.place}"
    return found._replace(place=inner) if isinstance(found, LogEntry) else msgspec.structs.replace(found, place=inner)


def _fields(scanner: Scanner, lists: Sequence[str]) -> Iterator[LogEntry | Flaw]:
    if not scanner.skip(b"{"):
        raise BrokenInputError("It is no JSON object.")
    while not scanner.skip(b"}"):
        name = scanner.name()
        if name in lists and scanner.skip(b"["):
            yield from _elements(scanner, name)
        else:
            yield from _element(scanner, name, name)
        scanner.skip(b",")


def _elements(scanner: Scanner, name: str) -> Iterator[LogEntry | Flaw]:
    number = 0
    while not scanner.skip(b"]"):
        if not scanner.peek():
            raise BrokenValueError("It ends too early; what came before was taken.")
        number += 1
        place = f"{name} {number}"
        try:
            yield from _element(scanner, name, place)
        except BrokenValueError as error:
            yield Flaw(place, f"It was left out: {error}")
            raw = scanner.next_object(lambda _: True)
            if raw is None and scanner.peek() != b"]":
                raise
            if raw is not None:
                number += 1
                yield _entry(raw, f"{name} {number}", name)
        scanner.skip(b",")


def _element(scanner: Scanner, name: str, place: str) -> Iterator[LogEntry | Flaw]:
    try:
        raw = scanner.value()
    except LongValueError:
        yield Flaw(place, f"It was left out: It is larger than {MESSAGE_BYTES_MAX} bytes in many small parts.")
        return
    yield from _cuts(scanner, place)
    yield _entry(raw, place, name, is_any=True)


def _entry(raw: bytes, place: str, name: str = "", *, is_any: bool = False) -> LogEntry | Flaw:
    if has_more_values(raw):
        return Flaw(place, f"It was left out: It has more than {VALUES_MAX} values.")
    try:
        value = lenient_json(raw).value
    except BrokenInputError as error:
        return Flaw(place, f"It was left out: {error}")
    if not isinstance(value, dict) and not is_any:
        return Flaw(place, "It was left out: It is no JSON object.")
    return LogEntry(place, scrubbed(value) if is_deeper(raw) else value, name)


def _long_entry(begun: bytes, stream: io.BufferedReader, place: str) -> Iterator[LogEntry | Flaw]:
    line = _Line(begun, stream)
    scanner = Scanner(cast("BinaryIO", line))
    try:
        raw = scanner.value()
    except LongValueError:
        yield Flaw(place, f"It was left out: It is larger than {MESSAGE_BYTES_MAX} bytes in many small parts.")
    except BrokenValueError as error:
        yield Flaw(place, f"It was left out: {error}")
    else:
        yield from _cuts(scanner, place)
        yield _entry(raw, place)
    while line.read(_REST_BYTES):
        pass


def _cuts(scanner: Scanner, place: str) -> Iterator[Flaw]:
    for cut in scanner.cuts:
        yield Flaw(place, f"A text of {cut.count} characters was cut to {cut.kept}.", ALTERED)


class _Line(io.RawIOBase):
    """A stream over the rest of a line whose beginning has been read."""

    def __init__(self, begun: bytes, stream: io.BufferedReader) -> None:
        super().__init__()
        self._begun = begun
        self._stream = stream
        self._has_ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if self._begun:
            piece, self._begun = self._begun, b""
            return piece
        if self._has_ended:
            return b""
        piece = self._stream.readline(size if size > 0 else _REST_BYTES)
        self._has_ended = not piece or piece.endswith(b"\n")
        return piece
