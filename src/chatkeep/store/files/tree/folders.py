"""The open folders of a workspace, followed when another program moves or replaces them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from chatkeep.disk.files import (
    flush_folder,
    is_at,
    is_folder,
    is_nowhere,
    make_folder,
    open_folder,
    open_if_can_be,
    open_nowhere,
    told,
)


class Folders:
    """Descriptors of the folders: `sessions`, `tmp` and `quarantine`. A number stays the same until `close`."""

    def __init__(self, workspace: Path, *, is_durable: bool) -> None:
        """Open the folders; make missing ones, private to their owner.

        On a disk without writes, a workspace with sessions opens as it is; a later write makes the missing folders.

        Raises:
            StorageError: when a folder cannot be used, or the one of the sessions cannot be made.
        """
        self.moves = 0  # folders found replaced by others
        self.sessions_path = workspace / "sessions"
        self._moving = threading.Lock()
        with told():
            make_folder(workspace)
            self._fds = {self.sessions_path: open_folder(self.sessions_path)}
            self._fds |= {(path := workspace / name): open_if_can_be(path) for name in ("tmp", "quarantine")}
            if is_durable:
                flush_folder(workspace)  # their maker may have died before its flush
            self.sessions, self.tmp, self.quarantine = self._fds.values()
            self._sessions_id = _id_of(os.fstat(self.sessions))

    def close(self) -> None:
        """Close the folders; a second call does no harm."""
        with self._moving:
            while self._fds:
                os.close(self._fds.popitem()[1])
            self.sessions = self.tmp = self.quarantine = -1

    def follow(self) -> None:
        """Follow every folder that was replaced or removed on the disk."""
        with told(), self._moving:
            for path, fd in self._fds.items():
                if is_at(fd, path) or (is_nowhere(fd) and not is_folder(path)):
                    continue
                new = open_folder(path) if is_folder(path) else open_nowhere()
                os.dup2(new, fd, inheritable=False)
                os.close(new)
                self.moves += 1
            if self._fds:
                self._sessions_id = _id_of(os.fstat(self.sessions))

    def follow_sessions(self) -> None:
        """Follow the folders if that of the sessions was replaced or removed: one look, for each write."""
        try:
            with told(FileNotFoundError):
                is_there = _id_of(os.lstat(self.sessions_path)) == self._sessions_id
        except FileNotFoundError:
            is_there = False
        if not is_there:
            self.follow()

    def make(self) -> None:
        """Make the missing folders, and follow them. Only writes do this, since other programs may be at work here."""
        with told():
            for path, fd in self._fds.items():
                if not is_at(fd, path):
                    os.close(open_folder(path))
        self.follow()


def _id_of(found: os.stat_result) -> tuple[int, int]:
    """Return the identity of an open or named folder: the numbers of its disk and inode."""
    return found.st_dev, found.st_ino
