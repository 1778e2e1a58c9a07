"""Names in place of attachments, and which blobs may go.

A blob is durable before a message that names it is written. It goes when no message names it any more: neither in a
session, nor in the trash, nor in the unreadable part of a damaged file. `room` says what keeps the two apart.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from chatkeep.core.blobs.blob_names import (
    BLOB_BYTES_DEFAULT,
    Attachment,
    BlobName,
    blob_names,
    hashes_in,
    may_name,
    without_attachments,
)
from chatkeep.core.model import Message
from chatkeep.errors import BlobNotFoundError, BusyError, InvalidError, StorageError
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.tree.blob_room import BlobRoom, PendingNote
from chatkeep.store.files.tree.trash import Trash
from chatkeep.store.files.tree.tree import NotRegularError, Tree
from chatkeep.store.files.upkeep.upkeep import Upkeep

MISSING: Final = "names an attachment that is not stored here: send its bytes"
_ABANDONED_S: Final = 3600  # age of an unfinished blob whose writer has surely died

_Lines = Sequence[Message]


class Blobs:
    """The blobs of a tree of session files."""

    def __init__(
        self, tree: Tree, upkeep: Upkeep, trash: Trash, room: BlobRoom, *, bytes_min: int = BLOB_BYTES_DEFAULT
    ) -> None:
        """Take an open tree, its index, its trash, and the room; attachments of `bytes_min` and more go there."""
        self._tree = tree
        self._upkeep = upkeep
        self._trash = trash
        self._room = room
        self._bytes_min = bytes_min
        self._settling = threading.Lock()
        self._unnoted: set[str] = set()

    @contextlib.contextmanager
    def kept(self, name: str, lines: _Lines, *, may_lack: bool = False) -> Iterator[_Lines]:
        """Yield the lines of a session's file with names for attachments, for a block that writes them.

        The blobs are stored before it, and none goes during it. With `may_lack` lines may name blobs that are not here.

        Raises:
            InvalidError: when a line names a blob that is not here, and that no session names.
            BusyError, StorageError: when a blob cannot be stored; the block has not begun.
        """
        if not any(may_name(line, self._bytes_min) for line in lines):
            yield lines
            return
        with self.all_kept({name: lines}, may_lack=may_lack) as kept:
            yield kept[name]

    @contextlib.contextmanager
    def all_kept(self, files: Mapping[str, _Lines], *, may_lack: bool = True) -> Iterator[Mapping[str, _Lines]]:
        """Yield the lines of several files, as `kept` does."""
        found: dict[str, Attachment] = {}
        lean = {name: self._lean(lines, found) for name, lines in files.items()}
        named = {name: _hashes_in(lines) for name, lines in lean.items()}
        wanted = frozenset[str]().union(*named.values())
        if not wanted:
            yield lean
            return
        with self._room.shared() as folder:
            self._check(folder, wanted - found.keys(), may_lack=may_lack)
            with self._noted([name for name, hashes in named.items() if hashes], wanted):
                for sha256, attachment in found.items():
                    self._room.put(folder, sha256, attachment.content)
                yield lean

    @contextlib.contextmanager
    def _noted(self, names: Iterable[str], hashes: Collection[str]) -> Iterator[None]:
        """Leave a note for a block that writes names; it stays while the index does not know who names the blobs."""
        note = self._room.note(names, hashes)
        yield
        if not self._upkeep.owes:
            self._room.drop(note)

    def _lean(self, lines: _Lines, found: dict[str, Attachment]) -> _Lines:
        def keep(attachment: Attachment) -> None:
            found[attachment.name.sha256] = attachment

        return [
            without_attachments(line, self._bytes_min, keep) if may_name(line, self._bytes_min) else line
            for line in lines
        ]

    def _check(self, folder: int, wanted: Iterable[str], *, may_lack: bool) -> None:
        if not may_lack and not all(self._room.has(folder, sha256) or self._is_named(sha256) for sha256 in wanted):
            raise InvalidError("content", MISSING)

    def _is_named(self, sha256: str) -> bool:
        """Tell whether a session names a blob: one that is lost may be named again, as in a fork."""
        return self._upkeep.ask(lambda index: index.names_blob(sha256))

    def put(self, source: BinaryIO) -> BlobName:
        """Store what a stream has as a blob, durably, for a message to come; return its name."""
        return self._room.put_stream(source)

    def opened(self, sha256: str, prefix: str = "") -> BinaryIO:
        """Return an open blob named by a session under a prefix; the caller closes it.

        Raises:
            BlobNotFoundError: when there is none.
        """
        if not self._upkeep.answer(lambda index: index.names_blob(sha256, prefix)):
            raise BlobNotFoundError
        return self._room.opened(sha256)

    def sizes(self, prefix: str) -> tuple[int, int]:
        """Return the number of the blobs named under a prefix, and their bytes."""
        return self._upkeep.answer(lambda index: index.blob_sizes(prefix))

    def named_by(self, name: str) -> frozenset[str]:
        """Return the hashes of the blobs that a session names, by its file; the caller has it locked.

        In a file that the index has otherwise, or not whole, whatever looks like a name counts.

        Raises:
            FileNotFoundError: when there is none.
        """
        hashes = self._upkeep.ask(partial(Index.blobs_of, name=name))
        if self._is_known(name) and name not in self._upkeep.ask(lambda index: index.problems()):
            return hashes
        content, _ = self._tree.read(name)
        return hashes | hashes_in(content)

    @contextlib.contextmanager
    def going(self, names: Sequence[str], hashes: Collection[str]) -> Iterator[None]:
        """Run a block that lets go of blobs. A call of `settle`, without a file locked, then removes the unnamed."""
        if not hashes:
            yield
            return
        with self._room.shared():
            try:
                self._room.note(names, hashes)
            except StorageError:  # a full disk: what goes makes room, and this process alone knows what to remove
                self._unnoted.update(hashes)
            yield

    @contextlib.contextmanager
    def returning(self, name: str) -> Iterator[None]:
        """Let no blob go of a file in the trash for a block that brings it back, nor before the index knows it."""
        hashes = self._trash.blobs_of(name)
        if not hashes:
            yield
            return
        with self._room.shared(), self._noted([name], hashes):
            yield

    def settle(self) -> None:
        """Remove the blobs of writes and deletions that ended, where nothing names them; if others are busy, later."""
        with contextlib.suppress(BusyError, StorageError):
            notes = self._room.notes()
            if not (notes or self._unnoted) or self._upkeep.follows:
                return
            for name in {name for note in notes.values() for name in note.sessions}:
                self._upkeep.refresh(name)
            with self._settling, self._room.alone() as folder:
                self._settle(folder, self._room.notes())

    def _settle(self, folder: int, notes: Mapping[Path, PendingNote]) -> None:
        if self._upkeep.owes:
            self._upkeep.catch_up()  # an index in memory does not hear of the names that others wrote
        unsure = [path for path, note in notes.items() if not all(map(self._is_known, note.sessions))]
        settled = [path for path in notes if path not in unsure]
        waiting = {sha256 for path in unsure for sha256 in notes[path].blobs}
        loose = {sha256 for path in settled for sha256 in notes[path].blobs} | self._unnoted
        self._room.remove(folder, self.unnamed(loose - waiting))
        self._unnoted -= loose - waiting
        self._room.remove(folder, list(self._room.unfinished(_ABANDONED_S)))
        for path in settled:
            self._room.drop(path)

    def unnamed(self, hashes: Iterable[str]) -> list[str]:
        """Return the hashes of blobs that nothing names; the caller has the room alone."""
        loose = [one for one in hashes if not self._is_named(one)]
        if not loose:
            return []
        elsewhere = self._trash.blobs() | self._in_damaged(loose)
        return [one for one in loose if one not in elsewhere]

    def _is_known(self, name: str) -> bool:
        """Tell whether the index has a file as it is."""
        try:
            return self._upkeep.stamp(name) == self._tree.stamp(name)
        except NotRegularError:
            return True

    def _in_damaged(self, hashes: Sequence[str]) -> set[str]:
        """Return the hashes that stand anywhere in files that cannot be read whole."""
        found: set[str] = set()
        for name in self._upkeep.ask(lambda index: index.problems()):
            with contextlib.suppress(FileNotFoundError, NotRegularError):
                content, _ = self._tree.read(name)
                found.update(one for one in hashes if one.encode() in content)
        return found


def _hashes_in(lines: _Lines) -> frozenset[str]:
    return frozenset(name.sha256 for line in lines for name in blob_names(line))
