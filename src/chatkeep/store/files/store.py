"""The operations of a store over session files: the file first, the index second, both under the file's lock."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO

from chatkeep.core.blobs.blob_names import BLOB_BYTES_DEFAULT, BlobName
from chatkeep.core.feed import Changes
from chatkeep.core.history.windows import Window, neighbours
from chatkeep.core.keys import channel_of
from chatkeep.core.life import batches
from chatkeep.core.life.compacting import Compacted
from chatkeep.core.life.dropping import (
    Chosen,
    Created,
    Dropped,
    Mark,
    NewSession,
    begun,
    created,
    dropped,
    dropping_of,
    replaced,
    replacing,
)
from chatkeep.core.life.trashing import Trashed
from chatkeep.core.model import (
    Appended,
    Draft,
    Header,
    Hits,
    KeyPage,
    Merged,
    Message,
    Page,
    Revision,
    Selection,
    Session,
    Status,
    Summary,
)
from chatkeep.core.paging import Place, cursor_at, place_of, scope_of
from chatkeep.core.search.search import Search
from chatkeep.core.standing import SeqRange, said
from chatkeep.core.stats import PeriodUnit, Stats
from chatkeep.core.usage.spending import UsageQuery, UsageReport
from chatkeep.disk.files import Durability
from chatkeep.disk.short_reads import check_read
from chatkeep.errors import (
    ChatkeepError,
    CountConflictError,
    MessageConflictError,
    MessageNotFoundError,
    SessionDamagedError,
    SessionExistsError,
    SessionNotFoundError,
)
from chatkeep.store.admin import Progress
from chatkeep.store.files.index import rows
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.index.rows import Row
from chatkeep.store.files.reading.fetching import ATTEMPTS, MessageReader
from chatkeep.store.files.reading.recent import KeptWindows, WindowAsked
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.blob_room import BlobRoom
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.tombstones import Tombstones
from chatkeep.store.files.tree.trash import Trash
from chatkeep.store.files.tree.tree import NotRegularError, Tree, file_name
from chatkeep.store.files.upkeep.intake import NOT_A_FILE
from chatkeep.store.files.upkeep.upkeep import Upkeep
from chatkeep.store.files.writing.blob_keeping import Blobs
from chatkeep.store.files.writing.choosing import chosen, dropped_by, kept, stands_from, stored_in
from chatkeep.store.files.writing.erasure import Compactor
from chatkeep.store.files.writing.locked_writing import Writer
from chatkeep.store.files.writing.merger import Merger
from chatkeep.store.files.writing.removal import Remover
from chatkeep.store.sets.terms import EVERY_ROLE


class FilesStore:
    """A store with one JSON file per session as its truth. Many processes may open one workspace."""

    def __init__(self, tree: Tree, upkeep: Upkeep, room: BlobRoom, *, blob_bytes: int) -> None:
        """Take an open tree, its index, and the room for attachments of `blob_bytes` and more."""
        self._tree = tree
        self._upkeep = upkeep
        self._reader = MessageReader(tree, upkeep)
        self._windows = KeptWindows(tree)
        self._tombstones = Tombstones(tree.workspace, is_flushed=tree.is_flushed)
        self._trash = Trash(tree)
        self._blobs = Blobs(tree, upkeep, self._trash, room, bytes_min=blob_bytes)
        self._writer = Writer(tree, upkeep, self._tombstones, self._blobs)
        self._remover = Remover(tree, upkeep, self._writer, self._tombstones, self._trash)
        self._compactor = Compactor(tree, upkeep, self._writer)
        self._merger = Merger(tree, self._writer, self._tombstones)

    @classmethod
    def open(  # noqa: PLR0913 - the options of a store
        cls,
        workspace: Path,
        *,
        durability: Durability = "full",
        watch: bool = False,
        follow: bool = False,
        lock_timeout_s: float = 5.0,
        on_progress: Progress | None = None,
        on_problem: Callable[[str, str], None] | None = None,
        blob_bytes: int = BLOB_BYTES_DEFAULT,
    ) -> FilesStore:
        """Open a workspace, make it if it is missing, and bring its index up to date.

        Attachments of `blob_bytes` and more have files of their own.
        With `watch`, changes by other programs to the files are visible within two seconds. With `follow`, no
        file is looked at: another process has the workspace open and keeps the index true. `on_problem` is
        called with the name of each file not served whole, and the reason.

        Raises:
            StorageError: when the folders cannot be made or used, or the index cannot be built.
        """
        tree = Tree(workspace, durability=durability, lock_timeout_s=lock_timeout_s)
        try:
            tree.sweep()
            upkeep = Upkeep(tree, watch=watch, follow=follow, on_progress=on_progress, on_problem=on_problem)
        except BaseException:
            tree.close()
            raise
        room = BlobRoom(workspace, durability=durability, lock_timeout_s=lock_timeout_s)
        store = cls(tree, upkeep, room, blob_bytes=blob_bytes)
        store.settle()
        return store

    def close(self) -> None:
        """Close the index and the folders; every answered write stays stored."""
        self._upkeep.close()
        self._tombstones.close()
        self._tree.close()

    # Writing

    def append(
        self,
        key: str,
        drafts: Sequence[Draft],
        *,
        channel: str | None = None,
        create: bool = True,
        expect_count: int | None = None,
    ) -> Appended:
        """Store drafts at the end of a session, as `Store.append` says."""
        while True:
            with self._writer.held(key) as file:
                if file is not None:
                    return self._extend(file, key, drafts, expect_count)
            if not create:
                raise SessionNotFoundError(key)
            if expect_count:
                raise CountConflictError(expect_count, 0)
            new = batches.unrepeated(drafts)
            messages = batches.numbered(new.values(), 0)
            created_at = min(message.sent_at for message in messages)
            header = Header(key=key, channel=channel or channel_of(key), title=None, created_at=created_at)
            with contextlib.suppress(FileExistsError):
                self._writer.create(header, messages)
                return batches.appended(key, drafts, {message.id: message for message in messages}, messages, 0)

    def drop(self, key: str, lines: Chosen, *, mark: Mark, expect_count: int | None = None) -> Dropped:
        """Take back chosen lines, as `Store.drop` says."""
        with self._writer.existing(key) as file:
            mark_id = mark.id or ""
            row, spots = self._writer.current(file, key, (mark_id,))
            count, known = row.digest.line_count, stored_in(file, spots, (mark_id,)).get(mark_id)
            if known is not None:
                file.flush()  # its process may have died before
                messages = dropped_by(self._upkeep, file, row, dropping_of(known)) if lines.is_few else ()
                return dropped(key, known, count, messages)
            if expect_count not in {None, count}:
                raise CountConflictError(expect_count or 0, count)
            drops, messages = chosen(self._upkeep, file, row, lines)
            placed = batches.numbered([mark.dropping(drops)], count)
            self._writer.put_at_end(file, row, placed)
            return dropped(key, placed[0], count + 1, messages)

    def replace(
        self,
        key: str,
        drafts: Sequence[Draft],
        *,
        mark: Mark,
        create: bool = True,
        expect_count: int | None = None,
    ) -> Appended:
        """Replace all messages, as `Store.replace` says."""
        while True:
            with self._writer.held(key) as file:
                if file is not None:
                    return self._substitute(file, key, drafts, mark, expect_count)
            if not (create and drafts):
                raise SessionNotFoundError(key)
            if expect_count:
                raise CountConflictError(expect_count, 0)
            header, messages = begun(NewSession(key=key, messages=tuple(drafts)))
            with contextlib.suppress(FileExistsError):
                self._writer.create(header, messages)
                return replaced(key, drafts, (), messages, 0)

    def create(self, new: NewSession) -> Created:
        """Begin a session, as `Store.create` says."""
        header, messages = begun(new)
        try:
            self._writer.create(header, messages)
        except FileExistsError:
            raise SessionExistsError(header.key) from None
        return created(header, messages)

    def revise(self, key: str, revision: Revision) -> Summary:
        """Change a session's header, as `Store.revise` says."""
        with self._writer.existing(key) as file:
            row = self._writer.current(file, key).row
            return self._writer.headed(file, row, revision.applied_to(row.header)).summary

    def compact(self, keys: Sequence[str]) -> tuple[Compacted, ...]:
        """Erase the dropped lines of sessions for good, as `Store.compact` says."""
        return self._compactor.compact(keys)

    def delete(self, key: str, *, to_trash: bool = False) -> None:
        """Remove a session and every trace of it, or move it to the trash, as `Store.delete` says."""
        self._remover.delete(key, to_trash=to_trash)

    def trash(self, prefix: str = "") -> tuple[Trashed, ...]:
        """Return the sessions in the trash, as `Store.trash` says."""
        return tuple(self._trash.sessions(prefix))

    def restore(self, key: str, *, trash_id: str | None = None) -> Summary:
        """Bring a session back from the trash, as `Store.restore` says."""
        self._remover.restore(key, trash_id=trash_id)
        return self.get(key)

    def purge(
        self, prefix: str = "", *, keys: Sequence[str] | None = None, before: datetime | None = None
    ) -> tuple[Trashed, ...]:
        """Remove sessions from the trash for good, as `Store.purge` says."""
        return self._remover.purge(prefix, keys, before)

    def is_deleted(self, key: str) -> bool:
        """Tell whether the deletion of a session is remembered, as `OwnStore.is_deleted` says."""
        name = file_name(key)
        try:
            is_there = self._tree.stamp(name) is not None
        except NotRegularError:
            is_there = True
        return self._tombstones.has(name, is_there=is_there)

    def merge(self, session: Session, *, unless_deleted: bool = False) -> Merged:
        """Take in a session, as `Store.merge` says."""
        return self._merger.merge(session, unless_deleted=unless_deleted)

    def merge_all(
        self, sessions: Sequence[Session], *, unless_deleted: bool = False
    ) -> tuple[Merged | ChatkeepError, ...]:
        """Take in sessions in order, as `Store.merge_all` says."""
        return self._merger.merge_all(sessions, unless_deleted=unless_deleted)

    # Reading

    def get(self, key: str) -> Summary:
        """Return the summary of a session, as `Store.get` says."""
        return self._row(key).summary

    def size_of(self, key: str) -> int:
        """Return the bytes of a session's file."""
        return self._row(key).stamp.size

    def read(self, key: str, *, log: bool = False) -> Session:
        """Return a whole session, as `Store.read` says, without any change not yet answered."""
        session = self._log(key)
        return session if log else session.as_it_stands()

    def _log(self, key: str) -> Session:
        row = self._row(key)
        check_read(row.stamp.size)
        try:
            data, stamp = self._tree.read(file_name(key))
        except FileNotFoundError:
            self._upkeep.refresh(file_name(key))
            raise SessionNotFoundError(key) from None
        except NotRegularError:
            raise SessionDamagedError(key, NOT_A_FILE) from None
        scan = session_file.scan(data)
        if scan.header is None or scan.header.key != key:
            raise SessionDamagedError(key, scan.reason or "another session's file")
        header, messages = scan.header, scan.messages
        # the stamp is older than the bytes
        is_known = row.stamp == stamp and len(messages) == row.digest.line_count
        if not is_known and row.header.created_at == header.created_at and self._tree.is_held(row.name):
            header, messages = row.header, messages[: row.digest.line_count]
        return Session(header=header, messages=tuple(messages), extra=scan.extra)

    def window(
        self, key: str, *, limit: int, before: int | None = None, after: int | None = None, log: bool = False
    ) -> Window:
        """Return neighbouring messages, oldest first, as `Store.window` says."""
        name, roles = file_name(key), None if log else EVERY_ROLE
        asked = WindowAsked(name, limit, before, after, log)
        kept = self._windows.get(asked, lambda: self._upkeep.answer(lambda index: index.stamp(name), name))
        if kept is not None:
            return kept
        check_read(1)
        for _ in range(ATTEMPTS):
            spots, stamp = self._upkeep.answer(
                lambda index: index.spots(name, limit=limit + 1, before=before, after=after, roles=roles), name
            )
            if not spots and self._upkeep.answer(lambda index: index.row(name), name) is not None:
                return Window(messages=(), has_more=False)
            if not spots:
                self._row(key)  # indexes the file, or raises SessionNotFoundError
                continue
            forward = after is not None and before is None
            chosen = spots[:limit] if forward else spots[-limit:]
            check_read(sum(spot.size for spot in chosen))
            messages = self._reader.messages(name, stamp, chosen)
            if messages is not None:
                window = Window(messages=messages, has_more=len(spots) > limit)
                return self._windows.keep(asked, window, stamp, sum(spot.size for spot in spots))
        lines = self._log(key).messages  # the file changes faster than its index
        return neighbours(lines if log else said(lines), limit=limit, before=before, after=after)

    def message(self, key: str, message_id: str, *, log: bool = False) -> Message:
        """Return one message by its id, as `Store.message` says."""
        name = self._row(key).name
        found = self._upkeep.answer(lambda index: index.row_and_spots(name, key, (message_id,)), name)
        for spot in () if found is None else found.spots:
            for message in self.window(key, limit=1, before=spot.seq + 1, after=spot.seq - 1, log=log).messages:
                if message.id == message_id:
                    return message
        raise MessageNotFoundError

    def list(self, selection: Selection, *, limit: int, cursor: str | None = None, metadata: bool = False) -> Page:
        """Return sessions by latest activity, as `Store.list` says."""
        scope = scope_of("sessions", selection)
        after = None if cursor is None else place_of(cursor, scope)

        def look(index: Index) -> Page:
            if metadata:
                return page(index)  # 256 KiB for each session: too large to keep
            return index.kept((selection, limit, cursor), lambda: page(index))

        def page(index: Index) -> Page:
            found, total = index.page(selection, limit=limit + 1, after=after, metadata=metadata)
            sessions = tuple(found[:limit])
            next_cursor = cursor_at(rows.place_in_list(sessions[-1]), scope) if found[limit:] else None
            return Page(sessions=sessions, total=total, next_cursor=next_cursor)

        return self._upkeep.answer(look)

    def keys(self, selection: Selection, *, limit: int | None = None, cursor: str | None = None) -> KeyPage:
        """Return keys by code point, as `Store.keys` says."""
        scope = scope_of("keys", selection)
        after = None if cursor is None else place_of(cursor, scope)
        one_more = None if limit is None else limit + 1
        found, total = self._upkeep.answer(lambda index: index.keys(selection, limit=one_more, after=after))
        keys = tuple(found[:limit])
        has_more = limit is not None and len(found) > limit
        return KeyPage(keys=keys, total=total, next_cursor=cursor_at(Place(keys[-1]), scope) if has_more else None)

    def search(self, search: Search) -> Hits:
        """Return the messages found by a query, matched and ranked as in `core.search`."""
        return self._reader.hits(search)

    def status(self, prefix: str = "") -> Status:
        """Return counts and sizes of the sessions whose keys begin with the prefix."""
        totals = self._upkeep.answer(lambda index: index.totals(prefix))
        blob_count, blob_bytes = self._blobs.sizes(prefix)
        return Status(
            session_count=sum(count for _, count, _, _ in totals),
            message_count=sum(messages for _, _, messages, _ in totals),
            size_bytes=sum(size for _, _, _, size in totals),
            channels={channel: count for channel, count, _, _ in totals},
            problems=self._upkeep.answer(lambda index: index.problems(prefix)),
            blob_count=blob_count,
            blob_bytes=blob_bytes,
        )

    def stats(self, prefix: str = "", *, unit: PeriodUnit = "month", since: date | None = None) -> Stats:
        """Return counts over time, by channel and tag, and the largest sessions, as `Store.stats` says."""
        return self._upkeep.answer(lambda index: index.stats(prefix, unit, since))

    def usage(self, asked: UsageQuery) -> UsageReport:
        """Return the tokens and the cost of answers by group, as `Store.usage` says."""
        return self._upkeep.answer(lambda index: index.usage(asked))

    def changes(self, after: str | None, *, limit: int, prefix: str = "") -> Changes:
        """Return the changes after a position, as `Store.changes` says."""
        return self._upkeep.answer(lambda index: index.changes(after, limit=limit, prefix=prefix))

    def blob(self, sha256: str, prefix: str = "") -> BinaryIO:
        """Return an open attachment, as `OwnStore.blob` says."""
        return self._blobs.opened(sha256, prefix)

    def put_blob(self, source: BinaryIO) -> BlobName | None:
        """Store an attachment for a message to come, as `OwnStore.put_blob` says."""
        return self._blobs.put(source)

    # Beyond the protocol: for files only

    def settle(self) -> None:
        """Remove the attachments of writes and deletions that broke off."""
        self._blobs.settle()

    @property
    def has_new_index(self) -> bool:
        """Whether opening the store built the index, because it was missing or unusable."""
        return self._upkeep.is_new

    @property
    def is_told(self) -> bool:
        """Whether the shared index on the disk has every change answered here."""
        return not self._upkeep.owes

    def warm_up(self) -> None:
        """Load the tables of searches into memory; the next question reports a lost index."""
        self._upkeep.warm_up()

    def reindex(self, on_progress: Progress | None = None) -> None:
        """Build the index anew from the files."""
        self._upkeep.rebuild(on_progress)

    # Under the lock

    def _extend(self, file: LockedFile, key: str, drafts: Sequence[Draft], expect_count: int | None) -> Appended:
        unrepeated = batches.unrepeated(drafts)
        drops = any(draft.drops for draft in drafts)
        row, spots = (self._writer.current if drops else self._writer.end)(file, key, unrepeated)
        stored = stored_in(file, spots, unrepeated)
        for message_id, message in stored.items():
            if not message.says_the_same(unrepeated[message_id]):
                raise MessageConflictError(message_id)
        new = [draft for message_id, draft in unrepeated.items() if message_id not in stored]
        count = row.digest.line_count
        if new and expect_count not in {None, count}:
            raise CountConflictError(expect_count or 0, count)
        messages = batches.numbered(new, count)
        self._writer.put_at_end(file, row, messages)
        return batches.appended(
            row.header.key, drafts, {**stored, **{message.id: message for message in messages}}, messages, count
        )

    def _substitute(
        self, file: LockedFile, key: str, drafts: Sequence[Draft], mark: Mark, expect_count: int | None
    ) -> Appended:
        row, spots = self._writer.current(file, key, {mark.id or "", *(draft.id or "" for draft in drafts)})
        count = row.digest.line_count
        stay = kept(self._upkeep, file, row, drafts)
        first = stay[-1].seq + 1 if stay else 1
        gone = (SeqRange(first, count),) if stands_from(self._upkeep, row, first) else ()
        new = replacing(drafts[len(stay) :], mark, gone)
        if new and expect_count not in {None, count}:
            raise CountConflictError(expect_count or 0, count)
        for taken in stored_in(file, spots, {draft.id or "" for draft in new}):
            raise MessageConflictError(taken)
        messages = batches.numbered(new, count)
        self._writer.put_at_end(file, row, messages)
        return replaced(row.header.key, drafts, stay, messages, count)

    # Without a lock

    def _row(self, key: str) -> Row:
        """Return a session's row; without one in the index, look for the file first.

        Raises:
            SessionNotFoundError, SessionDamagedError: as `Store.get` says.
        """
        name = file_name(key)
        row = self._upkeep.answer(lambda index: index.row(name), name)
        if row is None:
            self._upkeep.refresh(name)
            row = self._upkeep.answer(lambda index: index.row(name), name)
        if row is None:
            problem = self._upkeep.answer(lambda index: index.problem(name), name)
            raise SessionNotFoundError(key) if problem is None else SessionDamagedError(key, problem)
        return row
