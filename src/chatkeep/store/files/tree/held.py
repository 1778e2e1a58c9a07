"""A session file in the hands of one thread: what it may do to its bytes, and what it looks at before.

Bytes are written in place only to a file that is as it was looked at and has one name: through another
name, a write would change a file that may lie anywhere.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

from chatkeep.disk.files import Durability, Stamp, read_at, stamp_of, to_disk, told
from chatkeep.errors import BusyError
from chatkeep.store.files.tree.format import reserved_size

_COPY_BYTES: Final = 1 << 20


class LockedFile:
    """A session file that this thread alone may write, until it is let go."""

    def __init__(self, fd: int, name: str, durability: Durability) -> None:
        """Take an open, locked descriptor."""
        self.fd = fd
        self.name = name
        self.is_suspect = False  # a flush has failed: what is in memory may never reach the disk
        self._durability = durability
        self._seen = self.stamp()

    def stamp(self) -> Stamp:
        """Look at the file, and return its present state."""
        with told():
            self._seen = stamp_of(os.fstat(self.fd))
        return self._seen

    def stamp_seen(self) -> Stamp:
        """Return the state that this thread has last seen or written; if others wrote since, one that never was.

        The time of a change is that of now, for it changes with the names of a file too.
        """
        with told():
            now = stamp_of(os.fstat(self.fd))
        return Stamp(self._seen.size, self._seen.modified_ns, now.changed_ns, now.inode)

    def is_as_seen(self) -> bool:
        """Tell whether nobody else has written since this thread looked at the file, or wrote it."""
        with told():
            now = os.fstat(self.fd)
        return (now.st_size, now.st_mtime_ns) == (self._seen.size, self._seen.modified_ns)

    def is_linked(self) -> bool:
        """Tell whether the file has more than one name, so that a write would change something else as well."""
        with told():
            return os.fstat(self.fd).st_nlink > 1

    def read(self) -> bytes:
        """Return all bytes of the file."""
        with told():
            return read_at(self.fd, 0, os.fstat(self.fd).st_size)

    def read_at(self, start: int, size: int) -> bytes:
        """Return so many bytes from a place, fewer at the end of the file."""
        with told():
            return read_at(self.fd, start, size)

    def became(self, new: LockedFile) -> None:
        """Take over what is known of the file that this one's descriptor stands for now."""
        self._seen, self.is_suspect = new._seen, False

    def flush(self) -> None:
        """Return when what is written is durable."""
        with told():
            self._flush()

    def overwrite_tail(self, tail: int, content: bytes) -> None:
        """Put `content` in place of everything from `tail` on, durably, or leave the file as it was.

        Raises:
            BusyError: when somebody else has written since the file was looked at, or given it another name.
            StorageFullError: when there is no space; the file is as it was.
            StorageError: when the disk refuses; the file is as it was, or torn there at worst.
        """
        before = self.read_at(tail, len(content))
        with told():
            self._reserve(tail + len(content))
            if self.is_linked() or not self.is_as_seen():
                raise BusyError
            try:
                written = 0
                while written < len(content):
                    written += os.pwrite(self.fd, content[written:], tail + written)
                self._seen = stamp_of(os.fstat(self.fd))
                self._flush()
            except OSError:
                _restore(self.fd, tail, before + b"\n" * (len(content) - len(before)))
                raise

    def _reserve(self, needed: int) -> None:
        """Make room ahead of a write, in newlines, so that a full disk is met before anything is touched."""
        size = self._seen.size
        if needed <= size or self.is_linked() or not self.is_as_seen():
            return
        goal = reserved_size(needed)
        try:
            while size < goal:
                size += os.pwrite(self.fd, b"\n" * min(goal - size, _COPY_BYTES), size)
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
    """Put back what a failed write may have overwritten; if that fails too, the next open repairs it."""
    with contextlib.suppress(OSError):
        os.pwrite(fd, before, start)
        to_disk(fd)
