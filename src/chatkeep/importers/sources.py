"""Sources of records: files, folders and pipes, plain or compressed, and their content.

Unpacking is bounded. Above 256 MiB, content of more than a thousand times its packed size is refused. Input ending
within its compression is an error, even after readable content.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import zstandard

from chatkeep.errors import BrokenInputError
from chatkeep.importers.records import why

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

OnBytes = Callable[[int], None]
_Read = Callable[[int], bytes]

READ_ERRORS: Final = (OSError, EOFError, zlib.error, zstandard.ZstdError)
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_SUFFIXES: Final = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".json.zst", ".jsonl.zst")
_PEEK_BYTES: Final = 1 << 16  # bytes of content; its format is found from as many
_STEP_BYTES: Final = 1 << 7  # bytes of zstd input at a time; of a bomb, these unpack to 4 MiB
_WINDOW_BYTES_MAX: Final = 8 << 20  # bytes; every zstd decoder should take this much (RFC 8878, 3.1.1.1.2)
_EXPANDED_FREELY_BYTES: Final = 1 << 28  # bytes of content before the ratio counts
_EXPANSION_MAX: Final = 1000  # bytes of content for each byte read


class Piped:
    """Input readable only once, such as a pipe; `name` names it in reports."""

    def __init__(self, name: str, packed: BinaryIO) -> None:
        """Take the packed bytes; read their beginning at once."""
        self.name = name
        self.content = _unpacked(packed, lambda _: None)


Source = Path | Piped


@contextlib.contextmanager
def unpacked(source: Source, on_bytes: OnBytes = lambda _: None) -> Iterator[io.BufferedReader]:
    """Yield the unpacked content of a file; `on_bytes` gets the number of packed bytes just read.

    Raises:
        OSError, and the errors of `READ_ERRORS`: when it cannot be read.
        BrokenInputError: when it expands too much.
    """
    if isinstance(source, Piped):
        yield source.content
        return
    with source.open("rb", buffering=0) as file:
        yield _unpacked(cast("BinaryIO", file), on_bytes)


def files_among(places: Iterable[Path], is_wanted: Callable[[str], bool]) -> list[Path]:
    """Return the files with a wanted name, by name, of the first of these folders with any.

    Raises:
        OSError: when a folder may not be read: its files are unknown, not none.
    """
    for place in places:
        files = sorted(file for file in entries_in(place) if is_wanted(file.name) and file.is_file())
        if files:
            return files
    return []


def files_below(folder: Path, is_wanted: Callable[[str], bool]) -> list[Path]:
    """Return the files with a wanted name in a folder and below it, by path; links to folders are not followed.

    Raises:
        OSError: when a folder may not be read: its files are unknown, not none.
    """
    found = []
    waiting = [folder]
    while waiting:
        for entry in entries_in(waiting.pop()):
            if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
                waiting.append(entry)
            elif is_wanted(entry.name) and entry.is_file():
                found.append(entry)
    return sorted(found)


def shown_name(source: Source) -> str:
    """Return the path of a file or folder, or the name of a pipe."""
    return source.name if isinstance(source, Piped) else str(source)


def is_json_file(name: str) -> bool:
    """Tell whether a file has JSON in it by its name, plain or compressed; hidden and helper files have not."""
    return name.endswith(_SUFFIXES) and not name.startswith(("_", "."))


def entries_in(folder: Path) -> list[Path]:
    """Return the entries of a folder; an empty list when it does not exist.

    Raises:
        OSError: when the folder may not be read: its entries are unknown, not none.
    """
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _unpacked(packed: BinaryIO, on_bytes: OnBytes) -> io.BufferedReader:
    metered = _Metered(packed, on_bytes)
    buffered = io.BufferedReader(metered)
    magic = buffered.peek(len(_ZSTD))
    read: _Read = buffered.read1
    if magic.startswith(_GZIP):
        read = gzip.GzipFile(fileobj=buffered).read1
    elif magic.startswith(_ZSTD):
        read = cast("_Read", _Frames(buffered).read)
    return io.BufferedReader(_Content(read, metered), _PEEK_BYTES)


class _Metered(io.RawIOBase):
    """A stream with a count of the bytes read from it."""

    def __init__(self, packed: BinaryIO, on_bytes: OnBytes) -> None:
        super().__init__()
        self._packed = packed
        self._on_bytes = on_bytes
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = cast("io.RawIOBase", self._packed).readinto(buffer) or 0
        self.count += count
        self._on_bytes(count)
        return count


class _Frames(io.RawIOBase):
    """Unpacked zstandard frames. The library's own reader takes an end inside a frame for the end of the data."""

    def __init__(self, packed: io.BufferedReader[_Metered]) -> None:
        super().__init__()
        self._packed = packed
        self._left = b""
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        while not self._plain and (data := self._left or self._packed.read(_STEP_BYTES)):
            frame = self._frame or zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX).decompressobj()
            self._plain = memoryview(frame.decompress(data))
            self._left = frame.unused_data if frame.eof else b""
            self._frame = None if frame.eof else frame
        if not self._plain and self._frame is not None:
            raise EOFError("it ends too early")
        piece, self._plain = self._plain[: len(view)], self._plain[len(view) :]
        view[: len(piece)] = piece
        return len(piece)


class _Content(io.RawIOBase):
    """Unpacked content in full pieces, bounded in proportion to the packed bytes read.

    An error waits until the reader has all content before it.
    """

    def __init__(self, read: _Read, packed: _Metered) -> None:
        super().__init__()
        self._read = read
        self._packed = packed
        self._count = 0
        self._error: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._error is not None:
            raise self._error
        view = memoryview(buffer)
        filled = 0
        try:
            while filled < len(view) and (piece := self._read(len(view) - filled)):
                view[filled : filled + len(piece)] = piece
                filled += len(piece)
                self._check(len(piece))
        except (*READ_ERRORS, BrokenInputError) as error:
            self._error = error
            if not filled:
                raise
        return filled

    def _check(self, count: int) -> None:
        self._count += count
        if self._count > max(_EXPANDED_FREELY_BYTES, self._packed.count * _EXPANSION_MAX):
            raise BrokenInputError(f"The file expands to more than {_EXPANSION_MAX} times its size.")


def read_failure(error: Exception) -> str:
    """Return the reason of a failed read."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}."
    if isinstance(error, zstandard.ZstdError) and "too much memory" in f"{error}":
        return "Unpacking it takes more than 8 MiB of memory at once: pack it again, without `--ultra` and `--long`."
    if isinstance(error, READ_ERRORS):
        return f"The compressed data is damaged: {error}."
    return why(error)
