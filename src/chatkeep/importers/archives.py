"""Zip archives, unpacked into a private folder that goes away after the import.

An archive is refused as a whole before anything of it is imported: a bomb, names that lead out of the folder, links,
entries that overlap or share a name, passwords, damage. Chatkeep unpacks only files with text or databases in them, so
pictures cost nothing.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from chatkeep.errors import InvalidError
from chatkeep.importers.sources import OnBytes, Source

_MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06")
_ENTRIES_MAX: Final = 50_000  # an entry takes about one KiB of memory
_ENTRY: Final = b"PK\x01\x02"
_END: Final = struct.Struct("<4s8xI6x")
"""The end of an archive: its mark, and the bytes of its list of entries. Source: APPNOTE 6.3.10, 4.3.16."""
_END_64: Final = struct.Struct("<4s36xQ8x")
"""The same of a large archive, 20 bytes before the other. Source: 4.3.14."""
_END_BYTES_MAX: Final = 1 << 16  # bytes of a comment behind the end
_LOCATOR_BYTES: Final = 20
_LEVELS_MAX: Final = 64  # of folders
_NAME_BYTES_MAX: Final = 255  # of a file or folder: the bound of most file systems
_EXPANDED_FREELY_BYTES: Final = 1 << 28  # bytes of content before the ratio counts
_EXPANSION_MAX: Final = 1000  # bytes of content for each byte of the archive
_LOCAL_HEADER_BYTES: Final = 30  # of an entry, before its name
_PIECE_BYTES: Final = 1 << 18
_SPARE_BYTES: Final = 64 << 20  # stays free on the disk
_ENCRYPTED: Final = 0x1
_METHODS: Final = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
_GREEDY: Final = frozenset((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
"""Methods whose unpacking takes what the archive asks for: 40 KB of LZMA took 780 MB of memory."""
_DATABASES: Final = (".db", ".sqlite", ".sqlite3", ".vscdb", ".db-wal", ".sqlite-wal", ".sqlite3-wal")
_BROKEN: Final = (
    *(zipfile.BadZipFile, zlib.error),
    *(EOFError, NotImplementedError, ValueError, RuntimeError),
)


def is_archive(source: Source) -> bool:
    """Tell whether a source is a zip archive, by its first bytes."""
    if not isinstance(source, Path) or not source.is_file():
        return False
    try:
        with source.open("rb") as file:
            return file.read(len(_MAGIC[0])) in _MAGIC
    except OSError:
        return False  # whoever reads it says why


@contextmanager
def unpacked_archive(source: Source, on_bytes: OnBytes = lambda _: None) -> Iterator[Source]:
    """Yield the folder with the files of a zip archive; any other source as it is.

    `on_bytes` gets the number of bytes just unpacked.

    Raises:
        InvalidError: when the archive is hostile, damaged or protected, or the disk has no room for its files.
    """
    if not isinstance(source, Path) or not is_archive(source):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="chatkeep-import-") as folder:
        _unpack(source, Path(folder), on_bytes)
        yield Path(folder)


def _unpack(archive: Path, folder: Path, on_bytes: OnBytes) -> None:
    try:
        _check_count(archive)
        with zipfile.ZipFile(archive) as packed:
            entries = packed.infolist()
            _check(archive, packed, entries)
            wanted = [entry for entry in entries if not entry.is_dir() and _is_wanted(entry.filename)]
            _check_room(archive, folder, sum(entry.file_size for entry in wanted))
            for entry in wanted:
                _unpack_entry(packed, entry, folder.joinpath(*PurePosixPath(entry.filename).parts), on_bytes)
    except _BROKEN as error:
        raise _refusal(archive, f"it is damaged: {error}") from error
    except OSError as error:
        raise _refusal(archive, f"it cannot be unpacked: {error.strerror or error}") from error


def _unpack_entry(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, into: Path, on_bytes: OnBytes) -> None:
    """Write one file; the library reads no more than the size in the list, and checks its sum."""
    into.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with packed.open(entry) as content, into.open("xb") as file:
        while piece := content.read(_PIECE_BYTES):
            file.write(piece)
            on_bytes(len(piece))


def _check_count(archive: Path) -> None:
    """Count the entries before the library takes all of them into memory; the end of an archive may lie about them."""
    with archive.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        end, size_bytes = _list_of(file, size)
        at, count, overlap = max(0, end - size_bytes), 0, b""
        file.seek(at)
        while at < end and count <= _ENTRIES_MAX:
            piece = file.read(min(_PIECE_BYTES, end - at))
            if not piece:
                break
            at += len(piece)
            count += (overlap + piece).count(_ENTRY)
            overlap = piece[1 - len(_ENTRY) :]
    if count > _ENTRIES_MAX:
        raise _refusal(archive, f"it has more than {_ENTRIES_MAX:,} entries")


def _list_of(file: BinaryIO, size: int) -> tuple[int, int]:
    """Return the end of the list of entries and its bytes, as the library finds them; none without an end."""
    start = max(0, size - _END_BYTES_MAX - _END.size)
    file.seek(start)
    tail = file.read(size - start)
    plain = len(tail) - _END.size  # without a comment
    place = plain if plain >= 0 and tail.startswith(_MAGIC[1], plain) else tail.rfind(_MAGIC[1])
    if place < 0 or len(tail) - place < _END.size:
        return 0, 0
    end = start + place
    before = end - _LOCATOR_BYTES - _END_64.size
    if before >= 0:
        file.seek(before)
        mark, size_bytes = _END_64.unpack(file.read(_END_64.size))
        if mark == b"PK\x06\x06":
            return before, size_bytes
    return end, _END.unpack_from(tail, place)[1]


def _check(archive: Path, packed: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo]) -> None:
    for entry in entries:
        if fault := _fault_of(entry):
            raise _refusal(archive, f"its entry {_shown(entry.filename)} {fault}")
    size_bytes = sum(entry.file_size for entry in entries)
    if size_bytes > max(_EXPANDED_FREELY_BYTES, archive.stat().st_size * _EXPANSION_MAX):
        raise _refusal(archive, f"it expands to more than {_EXPANSION_MAX:,} times its size")
    _check_names(archive, entries)
    _check_places(archive, entries, packed.start_dir)


def _fault_of(entry: zipfile.ZipInfo) -> str | None:
    """Return the reason for refusing an entry."""
    name, kind = entry.orig_filename, stat.S_IFMT(entry.external_attr >> 16)
    parts = name.replace("\\", "/").split("/")
    if not name or "\0" in name or name.startswith(("/", "\\")) or parts[0][1:2] == ":" or ".." in parts:
        return "leads out of the archive"
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "is a link" if kind == stat.S_IFLNK else "is no file"
    if len(parts) > _LEVELS_MAX or any(len(part.encode(errors="replace")) > _NAME_BYTES_MAX for part in parts):
        return "has too long a name, or lies in too many folders"
    if entry.flag_bits & _ENCRYPTED:
        return "is protected by a password: unpack the archive, then import the folder"
    if entry.compress_type in _GREEDY:
        return "is packed with bzip2 or LZMA, which may take much memory: unpack the archive, then import the folder"
    return None if entry.compress_type in _METHODS else "is packed in a way that is not known"


def _check_names(archive: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Check that no two files have one path, and none has the path of a folder."""
    files = [PurePosixPath(entry.filename) for entry in entries if not entry.is_dir()]
    names, folders = set(files), {parent for file in files for parent in file.parents}
    if len(names) < len(files) or names & folders:
        raise _refusal(archive, "two of its entries have one name")


def _check_places(archive: Path, entries: Sequence[zipfile.ZipInfo], end: int) -> None:
    """Check that no two entries share bytes."""
    places = sorted((entry.header_offset, _end_of(entry)) for entry in entries)
    starts_after = all(after >= before_end for (_, before_end), (after, _) in pairwise(places))
    if not starts_after or (places and places[-1][1] > end):
        raise _refusal(archive, "its entries overlap")


def _end_of(entry: zipfile.ZipInfo) -> int:
    """Return the least place where an entry may end; its own header may be longer than the list says."""
    return entry.header_offset + _LOCAL_HEADER_BYTES + len(entry.orig_filename) + entry.compress_size


def _check_room(archive: Path, folder: Path, size_bytes: int) -> None:
    if shutil.disk_usage(folder).free < size_bytes + _SPARE_BYTES:
        mib = (size_bytes + _SPARE_BYTES) >> 20
        raise _refusal(archive, f"unpacking it needs {mib:,} MiB in {folder.parent}; TMPDIR names another folder")


def _is_wanted(name: str) -> bool:
    last = PurePosixPath(name).name
    return ".json" in last or last.endswith(_DATABASES)


def _refusal(archive: Path, reason: str) -> InvalidError:
    return InvalidError("path", f"{archive} is refused: {reason}")


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:80]}...")  # noqa: PLR2004 - short enough for a sentence
