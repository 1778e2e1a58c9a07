"""Messages read from their files without a lock: the index gives the spots, the files give the bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from chatkeep.core.model import Hit, Hits, Message
from chatkeep.core.search.highlighter import hit_of
from chatkeep.core.search.search import Search, hits_shown
from chatkeep.disk.files import Stamp
from chatkeep.errors import StorageError
from chatkeep.store.files.index.rows import FoundMessage, Spot
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.pieces import FilePiece, PendingRead, readings
from chatkeep.store.files.tree.tree import NotRegularError, Tree
from chatkeep.store.files.upkeep.upkeep import Upkeep

ATTEMPTS: Final = 3  # readings; a file may change after the index was asked, each time


class MessageReader:
    """Reads the messages of windows and searches."""

    def __init__(self, tree: Tree, upkeep: Upkeep) -> None:
        """Take an open tree and its index."""
        self._tree = tree
        self._upkeep = upkeep

    def hits(self, search: Search) -> Hits:
        """Return the messages found by a query, as `Store.search` says."""
        if not search.query.terms:
            return Hits(hits=())
        for _ in range(ATTEMPTS):
            answer = self._upkeep.answer(lambda index: index.find(search, self._read_found))
            pieces = [
                FilePiece(one.row.name, one.spot.start, one.spot.size) for one in answer.found if one.spot is not None
            ]
            with contextlib.closing(readings(self._tree, pieces)) as read:
                shown = [self._hit(one, read, search) for one in answer.found]
            if all(isinstance(one, Hit) for one in shown):
                break
            if self._upkeep.follows:  # perhaps another folder is in place: the next search reads it
                self._tree.find_place()
                raise StorageError("A file is not as the index says.")
        return hits_shown(shown, answer.answer)

    def messages(self, name: str, stamp: Stamp | None, spots: Sequence[Spot]) -> tuple[Message, ...] | None:
        """Return the messages at these spots of a file's state, None if the file is in another state by now."""
        if not spots or stamp is None:
            return ()
        first, last = spots[0].start, spots[-1]
        with contextlib.closing(
            PendingRead(self._tree, FilePiece(name, first, last.start + last.size - first))
        ) as reading:
            return self._read_messages(reading, stamp, spots)

    def _read_messages(self, reading: PendingRead, stamp: Stamp, spots: Sequence[Spot]) -> tuple[Message, ...] | None:
        """Return the messages in a piece of a file, None if the file is in another state by now.

        An append under way changes the state but no message. After any other change the index is updated first.
        """
        name, first = reading.piece.name, reading.piece.start
        try:
            data, now = reading.read()
        except (FileNotFoundError, NotRegularError):
            data, now = b"", stamp
        parts = (data[spot.start - first : spot.start - first + spot.size] for spot in spots)
        found = [session_file.parse_message(part, spot.seq) for part, spot in zip(parts, spots, strict=True)]
        messages = tuple(message for message in found if message is not None)
        is_meant = now == stamp or (now.inode == stamp.inode and self._tree.is_held(name))
        if is_meant and len(messages) == len(spots):
            return messages
        if stamp == self._upkeep.ask(lambda index: index.stamp(name)):
            self._upkeep.refresh(name)
        return None

    def _read_found(self, found: Sequence[FoundMessage]) -> Sequence[Message | None]:
        """Return messages from their files, None for one that cannot be read now; a reader of the answer finds out."""
        placed = [(one, one.spot) for one in found if one.spot is not None]
        pieces = [FilePiece(one.row.name, spot.start, spot.size) for one, spot in placed]
        read = zip(placed, readings(self._tree, pieces), strict=True)
        return [self._message_now(one, spot, reading) for (one, spot), reading in read]

    def _message_now(self, found: FoundMessage, spot: Spot, reading: PendingRead) -> Message | None:
        """Return a found message if its file is in the state of the index."""
        with contextlib.suppress(FileNotFoundError, NotRegularError, StorageError):
            data, now = reading.read()
            if now == found.row.stamp:
                return session_file.parse_message(data, spot.seq)
        return None

    def _hit(self, found: FoundMessage, read: Iterator[PendingRead], search: Search) -> Hit | StorageError | None:
        """Return the hit for a found message, None if its file has changed, or the error of reading it."""
        if found.spot is None:
            return hit_of(found.row.summary, None, search, found.match_count)
        try:
            messages = self._read_messages(next(read), found.row.stamp, [found.spot])
        except StorageError as error:
            return error
        return hit_of(found.row.summary, messages[0], search, found.match_count) if messages else None
