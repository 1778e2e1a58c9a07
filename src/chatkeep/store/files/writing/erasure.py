"""Erasing the dropped lines of sessions for good: from their files, their quarantine and the index.

The words leave the index before the file is replaced. So after a crash the file still tells the words of a compaction
that broke off, and a repetition finishes it. An erasure that has begun is counted in the index: until every byte out of
use is overwritten there, a compaction does so, even with nothing left to erase.

The new file is whole and durable before it takes the name. Its other lines have the bytes that they had. A writer waits
for the lock, finds that the inode of the name is another one, and goes on in the new file. A reader with offsets of the
old file sees another inode, and asks the index again.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from chatkeep.core.blobs.blob_names import blob_names
from chatkeep.core.life.compacting import Compacted, compacted, erasable
from chatkeep.core.model import Message, erased
from chatkeep.disk.files import told
from chatkeep.disk.locks import file_locked
from chatkeep.errors import SessionDamagedError, StorageError, StorageFullError
from chatkeep.store.files.index.changes import put_compacted
from chatkeep.store.files.index.databases import IndexRefusedError
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.index.rows import Row
from chatkeep.store.files.index.sets import erasing
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.format import Scan
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.tree import Tree
from chatkeep.store.files.upkeep.intake import entry_of
from chatkeep.store.files.upkeep.place import AN_INDEX
from chatkeep.store.files.upkeep.upkeep import Upkeep
from chatkeep.store.files.writing.locked_writing import Writer

_BUILD_WAIT_S: Final = 30.0  # time-out; another process may be building the index
_PROBE_BYTES: Final = 1 << 16  # written to learn why the disk refuses
_UNWRITTEN: Final = "The index cannot be written, so words would stay in it. Compact again once it can."


class Compactor:
    """Compacts the sessions of a tree."""

    def __init__(self, tree: Tree, upkeep: Upkeep, writer: Writer) -> None:
        """Take an open tree, its index, and the writer of its files."""
        self._tree = tree
        self._upkeep = upkeep
        self._writer = writer

    def compact(self, keys: Sequence[str]) -> tuple[Compacted, ...]:
        """Erase the dropped lines of sessions, as `Store.compact` says."""
        self._check_written()
        self._await_builds()
        try:
            return tuple(map(self._compacted, keys))
        finally:
            self._writer.blobs.settle()
            self._upkeep.ask(self._scrub)

    def _await_builds(self) -> None:
        """Wait for the end of a build of the index: it may have read a message before it was dropped.

        A later build reads it as dropped. A build that broke off leaves a file, and this removes it.
        """
        deadline = time.monotonic() + _BUILD_WAIT_S
        with file_locked(self._tree.workspace / "lock", deadline, guarded="index"), contextlib.suppress(OSError):
            for path in self._tree.workspace.iterdir():
                if AN_INDEX.fullmatch(path.name) and ".new" in path.name:
                    path.unlink(missing_ok=True)

    def _compacted(self, key: str) -> Compacted:
        with self._writer.existing(key) as file:
            row = self._writer.current(file, key).row
            scan = session_file.scan(data := file.read(), row.digest.line_count)
            if scan.state != "whole":
                raise SessionDamagedError(key, scan.reason)
            lines = erasable(scan.messages)
            if lines:
                hashes = {name.sha256 for line in lines for name in blob_names(line)}
                with self._writer.blobs.going([file.name], hashes):
                    self._forget_words(file.name, lines)
                    self._replace(file, row, data, scan, lines)
            return compacted(key, lines)

    def _forget_words(self, name: str, lines: Sequence[Message]) -> None:
        """Take the words of lines out of the index and the quarantine; no search found these lines before."""
        self._upkeep.note(erasing.begin_erasure)
        for labels in erasing.label_batches(lines):
            self._upkeep.note(partial(erasing.erase_labels, labels=labels))
        self._check_written()
        self._tree.drop_quarantined(name)
        self._tree.sweep()

    def _replace(self, file: LockedFile, row: Row, data: bytes, scan: Scan, lines: Sequence[Message]) -> None:
        """Replace a locked file by one without the content of these lines, and update the index."""
        gone = {line.seq: line for line in lines}
        left = session_file.with_other_lines(data, scan, {seq: erased(line) for seq, line in gone.items()})
        self._tree.replace(file, left)
        with self._upkeep.telling(row.name):
            entry = entry_of(row.name, session_file.scan(left), file.stamp_seen())
            if not self._upkeep.note(lambda db: put_compacted(db, row, entry, gone.keys())):
                self._upkeep.heal(file)

    def _check_written(self) -> None:
        """Check that the index on the disk takes writes.

        Raises:
            StorageError: when this process has one in memory instead; it says why, if the disk tells.
        """
        if self._upkeep.ask(lambda index: index.medium.is_shared):
            return
        name = self._tree.workspace / "tmp" / f"{os.getpid()}-{os.urandom(8).hex()}"
        with told():
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, bytes(_PROBE_BYTES))
            finally:
                os.close(fd)
                name.unlink()
        raise StorageError(_UNWRITTEN)

    def _scrub(self, index: Index) -> None:
        """End the erasures begun, in the index on the disk.

        Raises:
            StorageError: when it takes no writes. The sessions are compacted, and another compaction ends the erasures.
        """
        self._check_written()
        try:
            index.medium.scrub()
        except IndexRefusedError as error:
            raise StorageFullError if error.is_full else StorageError(_UNWRITTEN) from error
