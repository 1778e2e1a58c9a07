"""A locked session file: one thread reads it and writes its end.

A write in place needs two things: the file is as this thread last saw it, and has one name. A second
name may lie anywhere, and a write would change the file there too.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

from chatkeep.disk.files import Durability, Stamp, read_at, stamp_of, to_disk, told, write_drained
from chatkeep.errors import BusyError
from chatkeep.store.files.tree.format import reserved_size

_RESERVED_BYTES: Final = 1 << 20  # the most to reserve between two flushes
_AHEAD_BYTES: Final = 4096  # read at once from the end on: the trailer, and the bytes under most appends


class LockedFile:
    """A session file for this thread alone to write, until its lock is released."""

    def __init__(self, fd: int, name: str, durability: Durability, found: os.stat_result) -> None:
        """Take an open, locked descriptor, and its state."""
        self.fd = fd
        self.name = name
        self.is_suspect = False  # a flush has failed: the cached pages may never reach the disk
        self._durability = durability
        self._ahead: tuple[int, bytes] = (-1, b"")
        self._seen = stamp_of(found)
        self.was_linked = found.st_nlink > 1  # when this thread last looked

    @property
    def seen(self) -> Stamp:
        """The state in which this thread last saw or left the file, without another look."""
        return self._seen

    def stamp(self) -> Stamp:
        """Look at the file, and return its present state."""
        with told():
            found = os.fstat(self.fd)
        self._seen, self.was_linked = stamp_of(found), found.st_nlink > 1
        return self._seen

    def stamp_seen(self) -> Stamp:
        """Return the state this thread last saw or wrote.

        If others have written since, no file ever had this state. The change time is the present one, since it also
        changes with the names of the file.
        """
        with told():
            return self.stamp_by(os.fstat(self.fd))

    def stamp_by(self, now: os.stat_result) -> Stamp:
        """Return the state this thread last saw or wrote, by a present look at the file."""
        return Stamp(self._seen.size, self._seen.modified_ns, now.st_ctime_ns, now.st_ino)

    def is_as_seen(self, now: os.stat_result | None = None) -> bool:
        """Tell whether nobody else has written since this thread last saw or wrote the file."""
        with told():
            now = now or os.fstat(self.fd)
        return (now.st_size, now.st_mtime_ns) == (self._seen.size, self._seen.modified_ns)

    def is_linked(self) -> bool:
        """Tell whether the file has more than one name; a write would then change something else as well."""
        with told():
            return os.fstat(self.fd).st_nlink > 1

    def read(self) -> bytes:
        """Return all bytes of the file."""
        with told():
            return read_at(self.fd, 0, os.fstat(self.fd).st_size)

    def read_at(self, start: int, size: int) -> bytes:
        """Return so many bytes from an offset, fewer at the end of the file."""
        with told():
            return read_at(self.fd, start, size)

    def end_at(self, tail: int) -> bytes:
        """Return the first bytes of the file's end, from an offset on; an overwriting reads them no more."""
        self._ahead = (tail, self.read_at(tail, _AHEAD_BYTES))
        return self._ahead[1]

    def became(self, new: LockedFile) -> None:
        """Take over the state of the new file behind this descriptor."""
        self._ahead = (-1, b"")
        self._seen, self.was_linked, self.is_suspect = new._seen, new.was_linked, False

    def flush(self) -> None:
        """Return when everything written is durable, as far as the durability asks for it."""
        with told():
            self._flush()

    def overwrite_tail(self, tail: int, content: bytes) -> None:
        """Replace everything from `tail` on by `content`, durably, or leave the file as it was.

        Raises:
            BusyError: when somebody else has written since this thread saw the file, or given it another name.
            StorageFullError: when there is no space; the file is as it was.
            StorageError: when the disk refuses; the file is as it was, or torn there at worst.
        """
        before = self._under(tail, len(content))
        with told():
            self._reserve(tail + len(content))
            now = os.fstat(self.fd)
            if now.st_nlink > 1 or not self.is_as_seen(now):
                raise BusyError
            try:
                write_drained(self.fd, tail, content, self._flush)
                self._seen = stamp_of(os.fstat(self.fd))
                self._flush()
            except OSError:
                _restore(self.fd, tail, before + b"\n" * (len(content) - len(before)))
                raise

    def _under(self, tail: int, size: int) -> bytes:
        """Return the bytes under a write, as they are while nobody else writes: read already, or read now."""
        start, ahead = self._ahead
        self._ahead = (-1, b"")
        is_enough = start == tail and (size <= len(ahead) or len(ahead) < _AHEAD_BYTES)
        return ahead[:size] if is_enough else self.read_at(tail, size)

    def _reserve(self, needed: int) -> None:
        """Append newlines ahead of a write, so a full disk shows before any committed byte changes."""
        size = self._seen.size
        if needed <= size or self.is_linked() or not self.is_as_seen():
            return
        goal = reserved_size(needed)
        try:
            while size < goal:
                piece = b"\n" * min(goal - size, _RESERVED_BYTES)
                write_drained(self.fd, size, piece, self._flush)
                size += len(piece)
                if size < goal:
                    self._flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self.fd, size)
            raise
        self.stamp()
        self._flush()

    def _flush(self) -> None:
        if self._durability == "full":
            try:
                to_disk(self.fd)
            except OSError:
                self.is_suspect = True
                raise


def _restore(fd: int, start: int, before: bytes) -> None:
    """Restore the bytes under a failed write; if this fails too, the next open repairs the file."""
    with contextlib.suppress(OSError):
        os.pwrite(fd, before, start)
        to_disk(fd)
