"""Where records come from: files and folders, plain or compressed, whose format is told by their content.

Compressed input is bounded: what expands more than a thousand times is refused once it is large.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import msgspec
import zstandard

from chatkeep.errors import BrokenInputError, InvalidError
from chatkeep.importers.records import BOM, why

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

OnBytes = Callable[[int], None]

UNREADABLE: Final = (OSError, EOFError, zlib.error, zstandard.ZstdError)
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_SUFFIXES: Final = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".json.zst", ".jsonl.zst")
_PEEK_BYTES: Final = 1 << 16
_SNIFFED_FILES: Final = 100
_EXPANDED_FREELY_BYTES: Final = 1 << 28
_EXPANSION_MAX: Final = 1000


@contextmanager
def opened(path: Path, on_bytes: OnBytes = lambda _: None) -> Iterator[BinaryIO]:
    """Yield the content of a file, unpacked; `on_bytes` is told how many more bytes of the file were read.

    Raises:
        OSError, and the errors of `UNREADABLE`: when it cannot be read.
        BrokenInputError: when it expands beyond measure.
    """
    with path.open("rb", buffering=0) as file:
        metered = _Metered(file, on_bytes)
        packed = io.BufferedReader(metered)
        magic = packed.peek(len(_ZSTD))
        if magic.startswith(_GZIP):
            plain = cast("BinaryIO", gzip.GzipFile(fileobj=packed))
        elif magic.startswith(_ZSTD):
            plain = cast("BinaryIO", zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True))
        else:
            yield packed
            return
        yield io.BufferedReader(_Bounded(plain, metered))


def files_of(path: Path, fmt: str) -> Sequence[Path]:
    """Return the files to read: the path itself, or the session files in that folder, by name.

    Raises:
        InvalidError: when the path does not exist, or holds none.
    """
    if not path.exists():
        raise InvalidError("path", f"{path} does not exist")
    if not path.is_dir():
        return [path]
    for folder in _places(path, fmt):
        files = sorted(file for file in folder.glob("*") if _is_session_file(file))
        if files:
            return files
    raise InvalidError("path", f"{path} holds no session files")


def sniff(path: Path) -> str:
    """Return the format of a file or folder: `json`, `jsonl`, `pocketpaw` or `grip`.

    Raises:
        InvalidError: when it is none of them, or cannot be read.
    """
    if any((folder / "_index.json").is_file() for folder in _places(path, "pocketpaw")):
        return "pocketpaw"
    for file in files_of(path, "json")[:_SNIFFED_FILES]:
        fmt = _format_of(file)
        if fmt is not None:
            return "json" if path.is_dir() and fmt == "jsonl" else fmt
    raise InvalidError("path", f"the format of {path} is not known; name it with --as")


def _format_of(file: Path) -> str | None:
    try:
        with opened(file) as stream:
            head = stream.read(_PEEK_BYTES).removeprefix(BOM).lstrip()
    except (*UNREADABLE, BrokenInputError) as error:
        if isinstance(error, PermissionError | IsADirectoryError):
            raise InvalidError("path", f"{file} cannot be read: {error.strerror}") from error
        return None
    first_line, newline, _ = head.partition(b"\n")
    if head.startswith(b"["):
        return "pocketpaw" if head[1:].lstrip().startswith(b"{") and b'"messages"' not in head else "json"
    if not head.startswith(b"{"):
        return None
    if ".jsonl" in file.name or (newline and _is_object(first_line)):
        return "jsonl"
    return _object_format(head)


def _object_format(head: bytes) -> str | None:
    if b'"session_id"' in head and b'"key"' not in head:
        return "pocketpaw"
    if b'"messages"' not in head:
        return None
    return "json" if b'"format"' in head or b'"timestamp"' in head else "grip"


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False


def _places(path: Path, fmt: str) -> Sequence[Path]:
    inner = ["memory/sessions", "memory", "sessions", "."] if fmt == "pocketpaw" else ["sessions", "."]
    return [path / name for name in inner]


def _is_session_file(file: Path) -> bool:
    hidden = file.name.startswith(("_", ".")) or file.name.endswith("_compaction.json")
    return file.name.endswith(_SUFFIXES) and not hidden and file.is_file()


class _Metered(io.RawIOBase):
    """A file that tells how much of it was read."""

    def __init__(self, file: io.FileIO, on_bytes: OnBytes) -> None:
        super().__init__()
        self._file = file
        self._on_bytes = on_bytes
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = self._file.readinto(buffer) or 0
        self.count += count
        self._on_bytes(count)
        return count


class _Bounded(io.RawIOBase):
    """Unpacked content that may not be out of proportion to what was read for it."""

    def __init__(self, plain: BinaryIO, packed: _Metered) -> None:
        super().__init__()
        self._plain = plain
        self._packed = packed
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        piece = self._plain.read(len(view))
        view[: len(piece)] = piece
        self._count += len(piece)
        if self._count > max(_EXPANDED_FREELY_BYTES, self._packed.count * _EXPANSION_MAX):
            raise BrokenInputError(f"The file expands to more than {_EXPANSION_MAX} times its size.")
        return len(piece)


def reason_of(error: Exception) -> str:
    """Return why a file could not be read."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}."
    if isinstance(error, UNREADABLE):
        return f"The compressed data is damaged: {error}."
    return why(error)
