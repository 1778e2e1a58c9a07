"""Writing sessions under the locks of their files: the file first, the index second."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

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
from chatkeep.store.files.writing.blob_keeping import Blobs
from chatkeep.store.files.writing.digesting import digest_after
from chatkeep.store.files.writing.known_ends import KnownEnds
from chatkeep.store.files.writing.labelling import labelled
from chatkeep.store.sets.terms import Indexed


class NewFile(NamedTuple):
    """A session to be stored: its header, its lines, and the unknown fields of its header."""

    header: Header
    messages: Sequence[Message]
    extra: dict[str, Json]


class _EncodedFile(NamedTuple):
    """A session to be stored, as the bytes of its file and the labels of its messages."""

    new: NewFile
    name: str
    first_line: bytes
    lines: Sequence[bytes]
    indexed: Sequence[Indexed]

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return session_file.whole_file(self.first_line, self.lines, len(self.lines))

    def entry(self, stamp: Stamp) -> Entry:
        """Return the content for the index."""
        entry = Entry(
            name=self.name,
            header=self.new.header,
            digest=Digest().plus(*self.new.messages),
            stamp=stamp,
            body=len(self.first_line),
            messages=self.new.messages,
            indexed=self.indexed,
        )
        return rows.with_lines(entry, self.lines, len(self.first_line))


class Writer:
    """Locks session files, and writes them: a new one, a new header, more lines."""

    def __init__(self, tree: Tree, upkeep: Upkeep, tombstones: Tombstones, blobs: Blobs) -> None:
        """Take an open tree, its index, the deletions made in it, and the blobs of its attachments."""
        self._tree = tree
        self._upkeep = upkeep
        self.blobs = blobs
        self._tombstones = tombstones
        self._suspects: set[str] = set()
        self._ends = KnownEnds(upkeep)

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

    def end(self, file: LockedFile, key: str, ids: Collection[str]) -> RowAndSpots:
        """Return the same as `current`, from memory if possible; without drops among the new lines it is enough.

        Raises:
            SessionDamagedError: when the file must not be written.
        """
        row = self._ends.row(file, ids)
        if row is not None and row.header.key == key and has_tail(file, row):
            return RowAndSpots(row, [])
        return self.current(file, key, ids)

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

    def put_at_end(self, file: LockedFile, row: Row, messages: Sequence[Message], *, may_lack: bool = False) -> None:
        """Append lines to a locked file, durably; without any, make the stored ones durable.

        With `may_lack` they may name blobs that are not here.
        """
        if not messages:
            file.flush()  # the process behind a stored message may have died before its flush
            return
        with self.blobs.kept(file.name, messages, may_lack=may_lack) as lines:
            self._put_at_end(file, row, lines)

    def _put_at_end(self, file: LockedFile, row: Row, messages: Sequence[Message]) -> None:
        indexed = labelled(self._upkeep, messages)
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
            if self._upkeep.note(lambda db: rows.grow(db, row, grown)):
                self._ends.grown(row, grown, messages)
            else:
                self._upkeep.heal(file)

    def create(self, header: Header, messages: Sequence[Message], extra: dict[str, Json] | None = None) -> None:
        """Make a session's file and row; one from elsewhere has `extra`, and may name blobs that are not here.

        Raises:
            FileExistsError: when another writer was quicker.
        """
        with self.blobs.kept(file_name(header.key), messages, may_lack=extra is not None) as lines:
            new = self._encoded(NewFile(header, lines, extra or {}))
            self._settle(new.name)
            with self._tree.created(new.name, new.content) as file, self._upkeep.telling(new.name):
                entry = new.entry(file.stamp_seen())
                self._upkeep.note(lambda db: changes.take_all(db, [entry]))

    def create_all(self, files: Sequence[NewFile]) -> frozenset[str]:
        """Make the files and rows of new sessions together; return their names, without those that are taken."""
        with self.blobs.all_kept({file_name(one.header.key): one.messages for one in files}) as kept:
            return self._created([one._replace(messages=kept[file_name(one.header.key)]) for one in files])

    def _created(self, files: Sequence[NewFile]) -> frozenset[str]:
        encoded = {one.name: one for one in map(self._encoded, files)}
        for name in encoded:
            self._settle(name)
        contents = {name: one.content for name, one in encoded.items()}
        with self._tree.created_together(contents) as made:
            with self._upkeep.telling(*made):
                entries = [encoded[name].entry(file.stamp_seen()) for name, file in made.items()]
                self._upkeep.note(lambda db: changes.take_all(db, entries))
            return frozenset(made)

    def _settle(self, name: str) -> None:
        """Make the end of a session's deletion durable, as a new session is another one; one still there stands."""
        with contextlib.suppress(NotRegularError):
            if self._tree.stamp(name) is None:
                self._tombstones.settle(name)

    def _encoded(self, new: NewFile) -> _EncodedFile:
        first_line = session_file.header_line(new.header, session_file.with_unknown(new.extra))
        lines = session_file.message_lines(new.messages)
        return _EncodedFile(new, file_name(new.header.key), first_line, lines, labelled(self._upkeep, new.messages))

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
