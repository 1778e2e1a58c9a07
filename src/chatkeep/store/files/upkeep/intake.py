"""From files to rows: read session files, repair interrupted writes, update the index.

Whole files are read without a lock. A change enters the index only if neither the row nor the file has
changed since the reading. So a quicker writer is never undone. A file that needs a repair is read again
under its lock.

An incomplete, young and unknown file may be the start of a slow copy from elsewhere. Its complete
messages are served at once. It stays untouched until nothing has changed in it for two seconds.
A file that ends before messages known to be in it is damaged, and never written.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice
from typing import Final

from msgspec import Struct

from chatkeep.core.digest import Digest
from chatkeep.core.keys import parse_key
from chatkeep.disk.files import Stamp
from chatkeep.disk.short_reads import check_read
from chatkeep.errors import BusyError, InvalidKeyError, StorageError, StorageFullError
from chatkeep.store.admin import Progress
from chatkeep.store.files.index import changes, rows
from chatkeep.store.files.index.databases import IndexRefusedError
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.index.rows import Database, Entry, Row
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.format import Scan
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.tree import SUFFIX, NotRegularError, Tree, file_name

ARRIVING: Final = "incomplete, and perhaps still being written"
UNMENDED: Final = "an append to it was cut short, and it cannot be put right now: "
UNSHAPED: Final = "it is in another layout, and cannot be brought into form right now: "
NOT_A_FILE: Final = "not a regular file: links, pipes and folders are never followed"
STRANGE_NAME: Final = "not a session file: its name does not end in .json"
NO_TEXT: Final = "not a session file: its name is no text"
LINKED: Final = "its file has other names (hard links), so it is not written: run `chatkeep doctor --fix`"
TOO_LARGE: Final = "larger than 2 GiB"
SIZE_MAX: Final = 2 << 30  # bytes; a file is read whole, so a larger one is not served
SETTLED_S: Final = 2.0  # without a change; then a copy from elsewhere counts as complete
_TAIL_READ_BYTES: Final = 64  # more than any trailer needs
_CHUNK_BYTES: Final = 1 << 21  # of files a transaction; other writers get in between
_CHUNK_FILES: Final = 500  # files a transaction, where they are small
_CHUNKS_AHEAD: Final = 2  # transactions in the queue, while the next files are read; bounds the memory
NEVER: Final = Stamp(0, 0, 0, 0)  # no file is in this state, so a row with it is always read again


class FileProblem(Struct, frozen=True):
    """A name that cannot be served, and the reason.

    `rightful` is the right name for the session in the file, if only the name is wrong.
    """

    name: str
    reason: str
    stamp: Stamp
    rightful: str | None = None


class _Change(Struct, frozen=True):
    """The new content of a name in the index: an entry, a problem, or None for a missing file.

    It applies only while the index still describes the state `seen`; None if it had no row.
    """

    name: str
    seen: Stamp | None
    found: Entry | FileProblem | None

    @property
    def is_nothing(self) -> bool:
        """Whether the name stands for nothing, before and after."""
        return self.seen is None and self.found is None


class Intake:
    """Reads files into an index. It calls `tell` with each name not served whole, and the reason."""

    def __init__(self, tree: Tree, tell: Callable[[str, str], None]) -> None:
        """Take the folder, and the function to call."""
        self._tree = tree
        self._tell = tell
        self._told: dict[str, str] = {}

    def take_in(
        self, index: Index, names: Sequence[tuple[str, Stamp | None]], on_progress: Progress | None = None
    ) -> None:
        """Update the rows of names; each name comes with the state from its present row, None if it has none.

        Cost: one reading of each file, in transactions of at most 500 files or about 2 MiB. Repairs come last.

        Raises:
            LongReadError: when the caller is to read nothing.
        """
        check_read(1)
        waiting: deque[Future[None]] = deque()
        torn: list[str] = []
        left = iter(names)
        done = 0
        while chunk := list(self._chunk(index, left)):
            torn += [change.name for change, state in chunk if state in {"torn", "loose"}]
            changes = [change for change, state in chunk if state not in {"torn", "loose"} and not change.is_nothing]
            if changes:
                self._flush_names(index)
                waiting.append(index.send(partial(self._apply, changes=changes)))
            if len(waiting) > _CHUNKS_AHEAD:
                waiting.popleft().result()
            done += len(chunk)
            if on_progress is not None:
                on_progress(done, len(names))
        for outcome in waiting:
            outcome.result()
        for name in torn:
            with contextlib.suppress(FileNotFoundError, NotRegularError, BusyError):
                self._put_right(index, name)

    def _flush_names(self, index: Index) -> None:
        """Make the names in the folder durable before other processes find them in the index.

        Raises:
            IndexRefusedError: when the disk refuses: the index must not know more than lasts.
        """
        if index.medium.is_shared:
            try:
                self._tree.flush_names()
            except StorageError as error:
                raise IndexRefusedError(is_full=isinstance(error, StorageFullError)) from error

    def _put_right(self, index: Index, name: str) -> None:
        """Repair a file, or serve its readable part if the disk refuses to write it.

        A failure here hides no other file.
        """
        try:
            with self._tree.locked(name) as file:
                self.heal(index, file)
        except StorageError as error:
            self._serve_as_it_is(index, name, str(error).rstrip("."))

    def _serve_as_it_is(self, index: Index, name: str, hindrance: str) -> None:
        """Index the readable part of a file, when a repair is due but not possible now.

        A shared index keeps the row it has, and stores no state of the file. So the next process tries again.
        """
        known = index.row(name)
        is_private = not index.medium.is_shared
        found = self._readable(name, known) if known is None or is_private else None
        if found is not None:
            scan, stamp = found
            damage = f"{UNMENDED if scan.state == 'torn' else UNSHAPED}{hindrance}"
            self._put(index, entry_of(name, scan, stamp if is_private else NEVER, damage=damage))
        elif known is None:
            self._put(index, FileProblem(name, hindrance, NEVER))
        elif not waits(known):
            self.report(name, hindrance)

    def _readable(self, name: str, known: Row | None) -> tuple[Scan, Stamp] | None:
        """Return the scan of an incomplete file, None if its messages cannot be read one by one."""
        try:
            data, stamp = self._tree.read(name)
        except (FileNotFoundError, NotRegularError, StorageError):
            return None
        found = judged(name, data, stamp, known)
        if isinstance(found, FileProblem):
            return None
        scan = session_file.with_places(data, found) if found.state == "loose" else found
        return None if scan is None else (scan, stamp)

    def heal(self, index: Index, file: LockedFile) -> Row | None:
        """Repair a locked file if necessary, index it, and return its row, None if the file cannot be served.

        Raises:
            BusyError: when another program may still be writing the file.
        """
        stamp = file.stamp()
        data, known = file.read(), index.row(file.name)
        found = judged(file.name, data, stamp, known)
        if isinstance(found, FileProblem):
            self._put(index, found)
            return None
        if found.state == "torn" and may_be_arriving(data, stamp, known):
            self._put(index, entry_of(file.name, found, NEVER, damage=ARRIVING))
            raise BusyError
        if (linkage := self._linkage(file.name)) is not None:
            shown = session_file.with_places(data, found) if found.state == "loose" else found
            whole = None if shown is None else entry_of(file.name, shown, stamp, damage=linkage)
            self._put(index, whole or FileProblem(file.name, linkage, stamp))
            return index.row(file.name)
        if found.state == "loose":
            found = rewrite(self._tree, file, data, found)
        elif found.state == "torn":
            cut_tail(self._tree, file, data, found)
        file.flush()
        self._tree.flush_names()
        self._put(index, entry_of(file.name, found, file.stamp_seen()))
        return index.row(file.name)

    def report(self, name: str, reason: str | None) -> None:
        """Call `tell` about a file not served whole, once for each reason; None means the file is fine again."""
        if reason is None:
            self._told.pop(name, None)
        elif self._told.get(name) != reason:
            self._told[name] = reason
            self._tell(name, reason)

    def _chunk(self, index: Index, names: Iterator[tuple[str, Stamp | None]]) -> Iterator[tuple[_Change, str]]:
        """Yield the changes of the next names and the states of their files, until a chunk is full."""
        size = 0
        for name, seen in islice(names, _CHUNK_FILES):
            found = self._read(name, index.row(name) if seen else None)
            if isinstance(found, tuple):
                scan, stamp = found
                yield _Change(name, seen, entry_of(name, scan, stamp, damage=self._linkage(name))), scan.state
                size += stamp.size
            else:
                yield _Change(name, seen, found), ""
            if size >= _CHUNK_BYTES:
                return

    def _read(self, name: str, known: Row | None) -> tuple[Scan, Stamp] | FileProblem | None:
        """Return the scan of a file, or the reason not to serve it, or None for a missing file."""
        try:
            stamp = self._tree.stamp(name)
            if stamp is None:
                return None
            if not name.endswith(SUFFIX) or stamp.size > SIZE_MAX:
                return FileProblem(name, TOO_LARGE if name.endswith(SUFFIX) else STRANGE_NAME, stamp)
            data, stamp = self._tree.read(name)
        except FileNotFoundError:
            return None
        except NotRegularError:
            return FileProblem(name, NOT_A_FILE, NEVER)
        except StorageError as error:
            return FileProblem(name, str(error), NEVER)
        found = judged(name, data, stamp, known)
        return found if isinstance(found, FileProblem) else (found, stamp)

    def _linkage(self, name: str) -> str | None:
        """Return the reason not to write a file, if it has other names."""
        with contextlib.suppress(OSError):
            return LINKED if self._tree.is_linked(name) else None
        return None

    def _apply(self, db: Database, changes: Sequence[_Change]) -> None:
        """Apply the changes, except where a writer was quicker, in the index or in the folder.

        A writer changes its file first and the index second. So a writer not yet visible in the folder
        comes after this transaction, and finds the rows from here.
        """
        doc = rows.next_doc(db)
        for change in changes:
            if rows.known_stamp(db, change.name) == change.seen and self._is_still(change):
                doc = _put_found(db, change.name, change.found, doc)
                self.report(change.name, _reason(change.found))

    def _is_still(self, change: _Change) -> bool:
        expected = change.found.stamp if change.found else None
        if expected == NEVER:
            return True
        try:
            return self._tree.stamp(change.name) == expected
        except NotRegularError:
            return False

    def _put(self, index: Index, found: Entry | FileProblem) -> None:
        """Store the present state of a locked file in the index."""

        def change(db: Database) -> None:
            _put_found(db, found.name, found, rows.next_doc(db))

        index.write(change)
        self.report(found.name, _reason(found))


def cut_tail(tree: Tree, file: LockedFile, data: bytes, scan: Scan) -> None:
    """Cut the remains of an interrupted append off a locked file; the bytes are kept in quarantine."""
    left = data[scan.tail :].rstrip(b"\n")
    if left:
        tree.quarantine(file.name, left)
    trailer = session_file.trailer(len(scan.messages))
    file.overwrite_tail(scan.tail, trailer + b"\n" * (len(data) - scan.tail - len(trailer)))


def rewrite(tree: Tree, file: LockedFile, data: bytes, scan: Scan) -> Scan:
    """Convert a locked file from another JSON layout into a session file; every field is kept."""
    if scan.header is None:
        raise ValueError(file.name)
    first_line = session_file.header_line(scan.header, session_file.loose_header(data))
    lines = session_file.loose_lines(data)
    content = session_file.whole_file(first_line, lines, len(lines))
    tree.replace(file, content)
    return session_file.scan(content)


def judged(name: str, data: bytes, stamp: Stamp, known: Row | None) -> Scan | FileProblem:
    """Return the scan of the bytes under a name, or the reason not to serve them under it."""
    scan = session_file.scan(data, _committed_count(known))
    if scan.header is None:
        return FileProblem(name, scan.reason, stamp)
    try:
        rightful = file_name(scan.header.key) if parse_key(scan.header.key) == scan.header.key else None
    except InvalidKeyError as error:
        return FileProblem(name, str(error), stamp)
    if name != rightful:
        return FileProblem(name, f"the session in it belongs in a file named {rightful}", stamp, rightful)
    return scan


def _committed_count(known: Row | None) -> int:
    """Return the least number of messages in a whole or torn file; a file known as damaged cannot be torn."""
    if known is None or known.damage == ARRIVING:
        return 0
    return known.digest.line_count if known.damage is None or waits(known) else sys.maxsize


def entry_of(name: str, scan: Scan, stamp: Stamp, *, damage: str | None = None) -> Entry:
    """Return the index entry of a scanned file; the scan must have a header."""
    if scan.header is None:
        raise ValueError(name)
    return Entry(
        name=name,
        header=scan.header,
        digest=Digest().plus(*scan.messages),
        stamp=stamp,
        body=scan.body,
        messages=scan.messages,
        starts=scan.starts,
        ends=scan.ends,
        checksums=scan.checksums,
        damage=damage or (scan.reason if scan.state == "damaged" else None),
    )


def _reason(found: Entry | FileProblem | None) -> str | None:
    if isinstance(found, Entry):
        return found.damage
    return None if found is None else found.reason


def _put_found(db: Database, name: str, found: Entry | FileProblem | None, doc: int) -> int:
    if isinstance(found, FileProblem):
        free = changes.take(db, name, None, doc)
        rows.put_problem(db, name, found.reason, found.stamp)
        return free
    return changes.take(db, name, found, doc)


def may_be_arriving(data: bytes, stamp: Stamp, known: Row | None) -> bool:
    """Tell whether another program may still be writing an incomplete file.

    It may if the file changed in the last two seconds, and not by an append of Chatkeep. An append goes to
    a file served whole before and keeps its inode. It never shortens the file, and leaves newlines at the end.
    """
    return 0 <= time.time() - stamp.modified_ns / 1e9 < SETTLED_S and not (
        known is not None
        and known.damage is None
        and known.stamp.inode == stamp.inode
        and known.stamp.size <= stamp.size
        and data.endswith(b"\n")
    )


def waits(row: Row) -> bool:
    """Tell whether a row's file waits for a repair, due as soon as possible."""
    return row.damage is not None and row.damage.startswith((UNMENDED, UNSHAPED))


def has_tail(file: LockedFile, row: Row) -> bool:
    """Tell whether the trailer is where the row says, in a file with one name."""
    tail = file.end_at(row.tail)[:_TAIL_READ_BYTES]
    return session_file.is_tail(tail, row.digest.line_count) and not file.was_linked
