"""The tombstones of a workspace: deletions made here, remembered in one small file.

An import leaves out a session with a tombstone, so nothing deleted comes back by itself. A tombstone has no key, only
the part of the session's file name that is a hash of it. All lines have one length:

    chatkeep tombstones 1 0000000002     the number of sorted lines below
    +4q5ke6r4x2adz3lqv7tm 1700000000     deleted, with the time in seconds since 1970; sorted by hash up to here,
    -4q5ke6r4x2adz3lqv7tm 1700000300     then in the order of the changes; this one forgets the deletion

`?` marks a deletion not known to have ended: it counts while there is no such session. A change takes the lock, appends
one line and flushes it. Readers take no lock: they look up the sorted lines by bisection, and know the others. A line
cut off by a crash is no line, and the next change writes over it. The `+` after a `?` is not flushed, so a power cut
may leave zeros in its place: they are no line either. When many lines are unsorted, the file is replaced by a sorted
one, which keeps the newest million deletions.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct

from chatkeep.disk.files import read_at, to_disk, told
from chatkeep.disk.locks import file_locked
from chatkeep.disk.own import opened_own
from chatkeep.disk.replacing import replace_file
from chatkeep.errors import BusyError, StorageError, StorageFullError
from chatkeep.store.files.tree.tree import digest_in

TOMBSTONES: Final = "tombstones"
"""The name of the file in the workspace."""

_HEADER: Final = re.compile(rb"chatkeep tombstones 1 ([0-9]{10})\n")
_LINE: Final = re.compile(rb"([+?-])([a-z2-7]{20}) ([0-9]{10})\n")
_LINE_BYTES: Final = 33
_PAGE_BYTES: Final = 4096  # the least that a file system leaves unwritten
_LATEST: Final = 10**10 - 1  # seconds since 1970 that a line can say
_LOCK_WAIT_S: Final = 5.0  # time-out; a change is one small write and its flush
_COPY_LINES: Final = 1 << 15  # lines read at once
_log = logging.getLogger("chatkeep.store")


class TombstoneBounds(Struct, frozen=True):
    """The bounds of the file: the deletions that it remembers, and the unsorted lines before it is sorted again.

    Sorting waits for as many unsorted lines as a share of the sorted ones, so that it costs each deletion little.
    """

    remembered: int = 1_000_000
    unsorted: int = 4096
    share: int = 8  # one unsorted line for so many sorted ones


class _Line(NamedTuple):
    digest: bytes
    mark: bytes
    at_s: int

    def encoded(self) -> bytes:
        return b"%b%b %010d\n" % (self.mark, self.digest, self.at_s)


class Tombstones:
    """The deletions made in a workspace, shared by all its processes and safe for threads."""

    def __init__(
        self,
        workspace: Path,
        *,
        is_flushed: bool = True,
        bounds: TombstoneBounds = TombstoneBounds(),  # noqa: B008 - an immutable value
    ) -> None:
        """Take the workspace; the first deletion makes the file. Without `is_flushed` nothing waits for the disk."""
        self._path = workspace / TOMBSTONES
        self._is_flushed = is_flushed
        self._bounds = bounds
        self._guard = threading.Lock()
        self._view = _View(-1, 0, 0)

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._guard:
            self._view = self._view.closed()

    def has(self, name: str, *, is_there: bool) -> bool:
        """Tell whether the deletion of a session's file is remembered; `is_there` says whether there is one now.

        Raises:
            StorageError: when the file cannot be read. An unreadable list never counts as an empty one.
        """
        mark = self._mark(name)
        return mark == b"+" or (mark == b"?" and not is_there)

    def begin(self, name: str) -> bool:
        """Remember, durably, that a session's file is about to be deleted; return False when the disk is full.

        Raises:
            BusyError, StorageError: when that cannot be noted; the session has to stay.
        """
        try:
            self._add([(digest_in(name), b"?")])
        except StorageFullError:
            return False
        return True

    def end(self, name: str, *, has_begun: bool) -> None:
        """Remember that a session's file was deleted. The deletion stands, even if this cannot be noted."""
        try:
            if has_begun and self._mark(name) is None:
                return  # somebody has brought the session back meanwhile
            self._add([(digest_in(name), b"+")], is_flushed=not has_begun)
        except (BusyError, StorageError):
            if not has_begun:
                _log.warning("a deletion on a full disk is not remembered: an import may bring its session back")

    def settle(self, name: str) -> None:
        """Make the end of a session's deletion durable, if there was one; its caller found no such session.

        A killed process may have left the deletion open, and a power cut may open it again. From then on another
        session of the key changes nothing about it. A list that cannot be read stays as it is.
        """
        with contextlib.suppress(StorageError):
            mark = self._mark(name)
            if mark == b"?":
                self.end(name, has_begun=False)
            elif mark == b"+" and self._is_flushed:
                self._flush_unsorted(name)

    def forget(self, names: Iterable[str]) -> None:
        """Forget the deletions of these sessions' files, if there were any.

        Raises:
            BusyError, StorageError: when that cannot be noted.
        """
        if known := [(digest_in(name), b"-") for name in names if self._mark(name) is not None]:
            self._add(known)

    def remember(self, deleted: Mapping[str, int]) -> None:
        """Remember deletions made elsewhere, as `deleted` returns them."""
        if deleted:
            self._add([(digest, b"+") for digest in sorted(deleted)], deleted)

    def deleted(self) -> dict[str, int]:
        """Return all remembered deletions by the hash in the file's name, with their times in seconds since 1970.

        Raises:
            StorageError: when the file cannot be read.
        """
        with self._guard, self._fresh() as view:
            return {line.digest.decode(): line.at_s for line in view.lines()}

    def _mark(self, name: str) -> bytes | None:
        digest = digest_in(name).encode()
        with self._guard, self._fresh() as view:
            line = view.latest.get(digest) or view.sorted_line(digest)
        return None if line is None or line.mark == b"-" else line.mark

    def _flush_unsorted(self, name: str) -> None:
        """Flush the file if the line of a session's deletion is behind the sorted ones, which are on the disk."""
        with self._guard:
            if digest_in(name).encode() not in self._view.latest:
                return
        with told():
            fd = opened_own(self._path, os.O_WRONLY)
            try:
                to_disk(fd)
            finally:
                os.close(fd)

    @contextlib.contextmanager
    def _fresh(self) -> Iterator[_View]:
        """Yield the present file; the caller has the guard."""
        with told():
            self._view = self._view.renewed(self._path)
            yield self._view

    def _add(
        self, changes: Sequence[tuple[str, bytes]], times: Mapping[str, int] = {}, *, is_flushed: bool = True
    ) -> None:
        now_s = min(int(time.time()), _LATEST)
        lines = [_Line(digest.encode(), mark, times.get(digest, now_s)) for digest, mark in changes]
        deadline = time.monotonic() + _LOCK_WAIT_S
        lock = file_locked(self._path.with_suffix(".lock"), deadline, guarded="list of deletions")
        with lock, self._guard, self._fresh() as view:
            unsorted_max = max(self._bounds.unsorted, view.sorted_count // self._bounds.share)
            if view.fd < 0 or view.unsorted_count + len(lines) > unsorted_max:
                grown = view.plus(lines)  # until the file is there, the view stays as it is
                replace_file(self._path, _file_of(grown, self._bounds.remembered))
            else:
                self._append(view, b"".join(line.encoded() for line in lines), is_flushed=is_flushed)

    def _append(self, view: _View, content: bytes, *, is_flushed: bool) -> None:
        fd = opened_own(self._path, os.O_WRONLY)
        try:
            _write(fd, view.size, content)
            if is_flushed and self._is_flushed:
                to_disk(fd)
        finally:
            os.close(fd)


class _View(Struct):
    """The file as read: open for the sorted lines, `latest` with the last unsorted line of each session."""

    fd: int
    sorted_count: int
    size: int
    latest: dict[bytes, _Line] = {}

    @property
    def unsorted_count(self) -> int:
        return self.size // _LINE_BYTES - 1 - self.sorted_count

    def closed(self) -> _View:
        if self.fd >= 0:
            os.close(self.fd)
        return _View(-1, 0, 0)

    def renewed(self, path: Path) -> _View:
        """Return the view of the file under the path now; its unsorted lines are read once."""
        try:
            found = path.lstat()
        except FileNotFoundError:
            return self.closed()
        view = self
        if self.fd < 0 or not os.path.samestat(found, os.fstat(self.fd)) or found.st_size < self.size:
            view = _opened(path)  # if this fails, the descriptor stays open: its number may be another file's by then
            self.closed()
        count = (found.st_size - view.size) // _LINE_BYTES
        if count > 0:
            view.add(_lines_at(view.fd, view.size, count))
            view.size += count * _LINE_BYTES
        return view

    def add(self, lines: Iterable[_Line]) -> None:
        self.latest.update((line.digest, line) for line in lines)

    def plus(self, lines: Iterable[_Line]) -> _View:
        """Return the view with further lines; they share the open file."""
        grown = _View(self.fd, self.sorted_count, self.size, dict(self.latest))
        grown.add(lines)
        return grown

    def sorted_line(self, digest: bytes) -> _Line | None:
        """Return the sorted line of a session, found by bisection."""
        if not self.sorted_count:
            return None
        place = bisect_left(range(self.sorted_count), digest, key=self._digest_at)
        line = next(_lines_at(self.fd, (place + 1) * _LINE_BYTES, 1), None) if place < self.sorted_count else None
        return line if line is not None and line.digest == digest else None

    def lines(self) -> Iterator[_Line]:
        """Yield the lines of remembered deletions, sorted."""
        stored = _lines_at(self.fd, _LINE_BYTES, self.sorted_count) if self.fd >= 0 else iter(())
        older = (line for line in stored if line.digest not in self.latest)
        newer = sorted(line for line in self.latest.values() if line.mark != b"-")
        return merge(older, newer)

    def _digest_at(self, place: int) -> bytes:
        return read_at(self.fd, (place + 1) * _LINE_BYTES + 1, 20)


def fault_of(path: Path) -> str | None:
    """Return the fault of a file of tombstones, None for none. A line that a crash or a power cut left out is none.

    Raises:
        OSError: when it cannot be read.
    """
    try:
        view = _opened(path)
    except StorageError:
        return "it is no whole list of deletions, so nothing can be deleted or imported"
    try:
        count = os.fstat(view.fd).st_size // _LINE_BYTES - 1
        bad = count - sum(1 for _ in _lines_at(view.fd, _LINE_BYTES, count))
        bad -= _unwritten_count(view, count) if bad else 0
        return f"{bad} of its {count} lines cannot be read" if bad else None
    finally:
        view.closed()


def _unwritten_count(view: _View, count: int) -> int:
    """Return how many unsorted lines have only zeros in a page of the disk: their end got there, their bytes did not.

    A file system may keep the new size of a file before the bytes. Sorted lines are flushed before the file is named.
    """
    unwritten = 0
    for start in range(view.size, (count + 1) * _LINE_BYTES, _LINE_BYTES):
        line = read_at(view.fd, start, _LINE_BYTES)
        edge = min(-start % _PAGE_BYTES or _LINE_BYTES, _LINE_BYTES)
        unwritten += any(part and not part.strip(b"\0") for part in (line[:edge], line[edge:]))
    return unwritten


def is_digest(text: str) -> bool:
    """Tell whether a text can be the hash in a session's file name."""
    return _LINE.fullmatch(b"+%b 0000000000\n" % text.encode(errors="replace")) is not None


def _opened(path: Path) -> _View:
    fd = opened_own(path, os.O_RDONLY)
    header = _HEADER.fullmatch(read_at(fd, 0, _LINE_BYTES))
    if header is None:
        os.close(fd)
        raise StorageError(f"'{path.name}' is no list of deletions: `chatkeep doctor --fix` moves it away.")
    count = int(header[1])
    size = (count + 1) * _LINE_BYTES
    if os.fstat(fd).st_size < size:
        os.close(fd)
        raise StorageError(f"'{path.name}' is cut off: `chatkeep doctor --fix` moves it away.")
    return _View(fd, count, size)


def _lines_at(fd: int, start: int, count: int) -> Iterator[_Line]:
    """Yield the readable ones of so many lines."""
    while count > 0:
        size = min(count, _COPY_LINES) * _LINE_BYTES
        content = read_at(fd, start, size)
        for place in range(0, len(content), _LINE_BYTES):
            if found := _LINE.fullmatch(content, place, place + _LINE_BYTES):
                yield _Line(found[2], found[1], int(found[3]))
        start, count = start + size, count - size // _LINE_BYTES


def _file_of(view: _View, count_max: int) -> bytes:
    """Return a file with the deletions of a view, sorted; of too many the newest."""
    lines = list(view.lines())
    if len(lines) > count_max:
        lines = sorted(sorted(lines, key=lambda line: line.at_s)[len(lines) - count_max :])
    return b"chatkeep tombstones 1 %010d\n" % len(lines) + b"".join(line.encoded() for line in lines)


def _write(fd: int, start: int, content: bytes) -> None:
    """Write at the end of a file; take back what a full disk has cut off."""
    written = 0
    try:
        while written < len(content):
            written += os.pwrite(fd, content[written:], start + written)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(fd, start)
        raise
