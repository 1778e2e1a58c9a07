"""A writable database over a read-only file: the written pages stay in the memory of this process.

SQLite reads and writes through the functions of a *virtual file system*. This one reads pages from the file, and
keeps written pages in memory. So its memory grows with the writes, not with the file.

Another process may still write the file. So each read of a page compares the state of the file with that at its
opening. After a change the database is lost, and the store opens another. The write-ahead log beside the file is
copied into memory as a whole.

Locks are those of SQLite's rollback journal: many readers, or one writer. They work between the connections of
this process, as no other process sees its writes.

Source: https://sqlite.org/lockingv3.html for the levels of locks, https://sqlite.org/c3ref/io_methods.html for the
functions.
"""

from __future__ import annotations

import io
import os
import threading
import time
from pathlib import Path
from typing import Final

import apsw

_PAGE_BYTES: Final = 4096  # the default of SQLite
_SETTLED_NS: Final = 50_000_000  # nanoseconds; the clocks of file systems tick every 1 to 10 ms
_LOG_HEAD_BYTES: Final = 32  # the header of a write-ahead log
_SHARED: Final = apsw.SQLITE_LOCK_SHARED
_RESERVED: Final = apsw.SQLITE_LOCK_RESERVED
_NONE: Final = apsw.SQLITE_LOCK_NONE


class Copy:
    """A file as SQLite sees it: the pages of a read-only base, and the pages written since."""

    def __init__(self, base: Path | None = None) -> None:
        """Open the base, which stays as it is; without one the file begins empty."""
        self._fd = -1 if base is None else os.open(base, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._seen = self._state()
        self._pages: dict[int, bytearray] = {}
        self.size = self._base_size = self._seen[0]

    def close(self) -> None:
        """Close the base."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self, start: int, size: int) -> bytes:
        """Return `size` bytes from an offset, fewer at the end of the file.

        Raises:
            apsw.CorruptError: when the base has changed since it was opened.
        """
        size = max(0, min(size, self.size - start))
        pieces = []
        while size > 0:
            number, offset = divmod(start, _PAGE_BYTES)
            piece = bytes(self._page(number)[offset : offset + size])
            pieces.append(piece)
            start += len(piece)
            size -= len(piece)
        return b"".join(pieces)

    def write(self, start: int, data: bytes) -> None:
        """Write data at an offset."""
        self.size = max(self.size, start + len(data))
        while data:
            number, offset = divmod(start, _PAGE_BYTES)
            piece = data[: _PAGE_BYTES - offset]
            page = bytearray(self._page(number))
            page[offset : offset + len(piece)] = piece
            self._pages[number] = page
            start += len(piece)
            data = data[len(piece) :]

    @property
    def written_bytes(self) -> int:
        """The size of the written pages in memory."""
        return len(self._pages) * _PAGE_BYTES

    def truncate(self, size: int) -> None:
        """Make the file shorter."""
        self.size, self._base_size = size, min(size, self._base_size)
        last, offset = divmod(size, _PAGE_BYTES)
        if last in self._pages:
            self._pages[last][offset:] = bytes(_PAGE_BYTES - offset)
        self._pages = {number: page for number, page in self._pages.items() if number * _PAGE_BYTES < size}

    def _page(self, number: int) -> bytes | bytearray:
        page = self._pages.get(number)
        return self._base_page(number) if page is None else page

    def _base_page(self, number: int) -> bytes:
        start = number * _PAGE_BYTES
        size = min(_PAGE_BYTES, self._base_size - start)
        found = b""
        if size > 0:
            found = os.pread(self._fd, size, start)
            if self._state() != self._seen or len(found) < size:
                raise apsw.CorruptError("the file has changed")
        return found.ljust(_PAGE_BYTES, b"\0")

    def _state(self) -> tuple[int, int, int]:
        if self._fd < 0:
            return (0, 0, 0)
        held = os.fstat(self._fd)
        return (held.st_size, held.st_mtime_ns, held.st_ctime_ns)

    def is_settled(self) -> bool:
        """Tell whether a write from now on would get another time: the last one is not of the last 50 ms."""
        return not 0 <= time.time_ns() - self._seen[1] < _SETTLED_NS


class _Locks:
    """The locks on one file: its readers, and its writer if there is one."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.readers: set[_Handle] = set()
        self.writer: _Handle | None = None
        self.is_closing = False  # the writer waits for the last readers, and lets no other in

    def take(self, who: _Handle, level: int) -> bool:
        """Give a lock of this level, or return False if another handle is in the way."""
        with self.guard:
            if level == _SHARED:
                if self.is_closing and self.writer is not who:
                    return False
                self.readers.add(who)
                return True
            if self.writer not in {None, who}:
                return False
            self.writer = who
            if level == _RESERVED:
                return True
            self.is_closing = True
            return not self.readers - {who}

    def give_back(self, who: _Handle, level: int) -> None:
        """Lower the lock of a handle to this level: shared or none."""
        with self.guard:
            if self.writer is who:
                self.writer, self.is_closing = None, False
            if level == _NONE:
                self.readers.discard(who)


class _Handle:
    """An open file of one connection; the names of the functions are SQLite's."""

    # ruff: noqa: N802 - see above

    def __init__(self, copy: Copy, locks: _Locks) -> None:
        self._copy = copy
        self._locks = locks

    def xRead(self, amount: int, start: int) -> bytes:
        return self._copy.read(start, amount)

    def xWrite(self, data: bytes, start: int) -> None:
        self._copy.write(start, bytes(data))

    def xTruncate(self, newsize: int) -> None:
        self._copy.truncate(newsize)

    def xSync(self, flags: int) -> None:
        """Do nothing: it is all in memory."""

    def xFileSize(self) -> int:
        return self._copy.size

    def xLock(self, level: int) -> None:
        if not self._locks.take(self, level):
            raise apsw.BusyError

    def xUnlock(self, level: int) -> None:
        self._locks.give_back(self, level)

    def xCheckReservedLock(self) -> bool:
        return self._locks.writer is not None

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: ARG002 - the form of SQLite's functions
        return False

    def xSectorSize(self) -> int:
        return _PAGE_BYTES

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xClose(self) -> None:
        self._locks.give_back(self, _NONE)


class Overlay(apsw.VFS):
    """The files of one database in memory: the main file over its base on the disk, and others. `close` drops them."""

    # ruff: noqa: N802

    def __init__(self, base: Path | None) -> None:
        """Start from a database on the disk, read-only, with its write-ahead log; None for an empty one."""
        self.name = f"chatkeep-overlay-{id(self):x}"
        self._files: dict[str, tuple[Copy, _Locks]] = {}
        self._files[_MAIN] = (Copy(base), _Locks())
        if base is not None and (log := _log_of(base)):
            copy, _ = self._files[f"{_MAIN}-wal"] = (Copy(), _Locks())
            copy.write(0, log)
        super().__init__(self.name, "", maxpathname=64)

    def connected(self, flags: int = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE) -> tuple[str, int, str]:
        """Return the arguments of a new connection: file name, flags, and the name of this file system."""
        return _MAIN, flags, self.name

    def is_settled(self) -> bool:
        """Tell whether a later write to the base would show in its times."""
        return self._files[_MAIN][0].is_settled()

    @property
    def written_bytes(self) -> int:
        """The size of the written pages of all files."""
        return sum(copy.written_bytes for copy, _ in self._files.values())

    def close(self) -> None:
        """Drop the files; call it after the last connection is closed."""
        self.unregister()
        for copy, _ in self._files.values():
            copy.close()
        self._files.clear()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _Handle:  # type: ignore[override]  # any object will do
        """Open a file, a new empty one if there is none; without a name, a temporary one."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        flags[1] = flags[0]
        if path is None:
            return _Handle(Copy(), _Locks())
        if path not in self._files:
            self._files[path] = (Copy(), _Locks())
        return _Handle(*self._files[path])

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: ARG002 - the form of SQLite's functions
        """Tell whether a file of this name exists."""
        return pathname in self._files

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: ARG002, FBT001 - the form of SQLite's functions
        """Remove a file."""
        found = self._files.pop(filename, None)
        if found is not None:
            found[0].close()

    def xFullPathname(self, name: str) -> str:
        """Return the name as it is."""
        return name


def snapshot(log: io.RawIOBase) -> bytes:
    """Return a snapshot of a write-ahead log.

    Another process may write it meanwhile. SQLite checks the checksum of each frame, so a half-written end does no
    harm. A writer that restarts the log writes its header first, so an equal header proves one run of the log.
    """
    while True:
        log.seek(0)
        found = log.readall()
        log.seek(0)
        if log.read(_LOG_HEAD_BYTES) == found[:_LOG_HEAD_BYTES]:
            return found


def _log_of(database: Path) -> bytes:
    """Return the write-ahead log of a database, empty if it has none."""
    try:
        with database.with_name(f"{database.name}-wal").open("rb", buffering=0) as log:
            return snapshot(log)
    except FileNotFoundError:
        return b""


_MAIN: Final = "/index"
