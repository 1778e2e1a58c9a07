"""Writing sessions under the locks of their files: the file first, the index second."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence

import msgspec

from chatkeep.core.digest import Digest
from chatkeep.core.model import Header, Json, Message
from chatkeep.disk.files import Stamp
from chatkeep.errors import BusyError, SessionDamagedError, SessionNotFoundError
from chatkeep.store.files.index import changes, rows
from chatkeep.store.files.index.index import Index, RowAndSpots
from chatkeep.store.files.index.rows import Database, Entry, Row
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.tombstones import Tombstones
from chatkeep.store.files.tree.tree import NotRegularError, Tree, file_name
from chatkeep.store.files.upkeep.intake import NOT_A_FILE, has_tail, waits
from chatkeep.store.files.upkeep.upkeep import Upkeep
from chatkeep.store.files.writing.digesting import digest_after


class Writer:
    """Locks session files, and writes them: a new one, a new header, more lines."""

    def __init__(self, tree: Tree, upkeep: Upkeep, tombstones: Tombstones) -> None:
        """Take an open tree, its index, and the deletions made in it."""
        self._tree = tree
        self._upkeep = upkeep
        self._tombstones = tombstones
        self._suspects: set[str] = set()

    @contextlib.contextmanager
    def held(self, key: str) -> Iterator[LockedFile | None]:
        """Lock a session's file for this thread, or yield None if there is none."""
        lock = self._tree.locked(file_name(key))
        try:
            file = lock.__enter__()
        except FileNotFoundError:
            yield None
            return
        except NotRegularError:
            raise SessionDamagedError(key, NOT_A_FILE) from None
        try:
            if file.name in self._suspects:
                self._upkeep.renew(file)
                self._suspects.discard(file.name)
            yield file
        finally:
            if file.is_suspect:
                self._suspects.add(file.name)
            lock.__exit__(None, None, None)

    @contextlib.contextmanager
    def existing(self, key: str) -> Iterator[LockedFile]:
        """Lock a session's file for this thread.

        Raises:
            SessionNotFoundError: when there is none.
        """
        with self.held(key) as file:
            if file is None:
                self._upkeep.refresh(file_name(key))
                raise SessionNotFoundError(key)
            yield file

    def current(self, file: LockedFile, key: str, ids: Collection[str] = ()) -> RowAndSpots:
        """Return the row of a locked file in its present state, and the spots of the lines that may have these ids.

        The file is repaired first if necessary.

        Raises:
            SessionDamagedError: when the file must not be written.
        """

        def look(index: Index) -> RowAndSpots | None:
            return index.row_and_spots(file.name, key, ids)

        found = self._upkeep.ask(look)
        is_known = found is not None and found.row.stamp == file.seen and not waits(found.row)
        if found is None or not is_known or (found.row.damage is None and not has_tail(file, found.row)):
            self._upkeep.heal(file)
            found = self._upkeep.ask(look)
        if found is None:
            reason = self._upkeep.ask(lambda index: index.problem(file.name))
            raise SessionDamagedError(key, reason or "it cannot be read")
        if found.row.damage is not None:
            raise SessionDamagedError(key, found.row.damage)
        return found

    def headed(self, file: LockedFile, row: Row, header: Header) -> Row:
        """Replace a locked file by one with this header, and return its row."""
        old = file.read()
        first_line = session_file.header_line(header, old[: row.body - 1])
        content = session_file.whole_file(first_line, [old[row.body : row.tail]], row.digest.line_count)
        self._tree.replace(file, content)
        stamp, body = file.stamp_seen(), len(first_line)
        tail = row.tail + body - row.body
        with self._upkeep.telling(row.name):
            self._upkeep.note(lambda db: rows.revise_row(db, row, header, stamp, body=body, tail=tail))
        return msgspec.structs.replace(row, header=header, stamp=stamp, body=body, tail=tail)

    def put_at_end(self, file: LockedFile, row: Row, messages: Sequence[Message]) -> None:
        """Append lines to a locked file, durably; without any, make the stored ones durable."""
        if not messages:
            file.flush()  # the process behind a stored message may have died before its flush
            return
        indexed = self._upkeep.prepared(messages)
        if session_file.needs_format(messages) and session_file.is_old(file.read_at(0, session_file.HEAD_BYTES)):
            row = self.headed(file, row, row.header)
        digest = digest_after(self._upkeep, file, row, messages)
        lines = session_file.message_lines(messages)
        content = b"".join(lines) + session_file.trailer(digest.line_count)
        file.overwrite_tail(row.tail, content)
        stamp = self._tree.kept_stamp(file, row.tail, content)
        if stamp is None:
            raise BusyError  # a program without our lock has written there; its bytes stay
        with self._upkeep.telling(row.name):
            entry = Entry(
                name=row.name,
                header=row.header,
                digest=digest,
                stamp=stamp,
                body=row.body,
                messages=messages,
                indexed=indexed,
            )
            grown = rows.with_lines(entry, lines, row.tail, row.checksum)
            if not self._upkeep.note(lambda db: rows.grow(db, row, grown)):
                self._upkeep.heal(file)

    def create(self, header: Header, messages: Sequence[Message], extra: dict[str, Json] | None = None) -> None:
        """Make a session's file and row.

        Raises:
            FileExistsError: when another writer was quicker.
        """
        indexed = self._upkeep.prepared(messages)
        name, first_line = (
            file_name(header.key),
            session_file.header_line(header, session_file.with_unknown(extra or {})),
        )
        lines = session_file.message_lines(messages)
        content = session_file.whole_file(first_line, lines, len(lines))
        self._tombstones.settle(name)  # this session is another one
        with self._tree.created(name, content) as file, self._upkeep.telling(name):
            entry = Entry(
                name=name,
                header=header,
                digest=Digest().plus(*messages),
                stamp=file.stamp_seen(),
                body=len(first_line),
                messages=messages,
                indexed=indexed,
            )
            made = rows.with_lines(entry, lines, len(first_line))
            self._upkeep.note(lambda db: changes.take(db, name, made))

    def forget(self, name: str) -> None:
        """Remove a deleted file from the index, unless the index already describes a new file of that name."""

        def change(db: Database) -> None:
            if not self._describes(rows.known_stamp(db, name), name):
                changes.take(db, name, None)

        with self._upkeep.telling(name):
            self._upkeep.note(change)

    def _describes(self, stamp: Stamp | None, name: str) -> bool:
        try:
            return stamp is not None and stamp == self._tree.stamp(name)
        except NotRegularError:
            return False
