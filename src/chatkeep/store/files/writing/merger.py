"""Sessions from elsewhere, merged into the files: new ones many together, with one flush of the folder for all.

A group of new sessions is written first, then its files are flushed side by side, then all get their names, and one
transaction takes them into the index. So an import waits for the disk once a group, not three times a session.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from chatkeep.core.model import Merged, Session
from chatkeep.errors import ChatkeepError, SessionDeletedError
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.tombstones import Tombstones
from chatkeep.store.files.tree.tree import NotRegularError, Tree, file_name
from chatkeep.store.files.writing.choosing import stored_in
from chatkeep.store.files.writing.locked_writing import NewFile, Writer
from chatkeep.store.merging import Merging, merged_in_turn, merging


class Merger:
    """Merges sessions into the files of a tree."""

    def __init__(self, tree: Tree, writer: Writer, tombstones: Tombstones) -> None:
        """Take an open tree, the writer of its files, and its list of deletions."""
        self._tree = tree
        self._writer = writer
        self._tombstones = tombstones

    def merge(self, session: Session, *, unless_deleted: bool = False) -> Merged:
        """Take in a session, as `Store.merge` says."""
        key = session.header.key
        while True:
            with self._writer.held(key) as file:
                if unless_deleted and self._tombstones.has(file_name(key), is_there=file is not None):
                    raise SessionDeletedError(key)
                if not unless_deleted:
                    self._tombstones.forget([file_name(key)])
                if file is not None:
                    return self._merge_into(file, session)
            found = merging(session.messages, {}, 0)
            with contextlib.suppress(FileExistsError):
                self._writer.create(session.header, found.lines, session.extra)
                return found.merged(len(session.messages), created=True)

    def merge_all(
        self, sessions: Sequence[Session], *, unless_deleted: bool = False
    ) -> tuple[Merged | ChatkeepError, ...]:
        """Take in sessions in order, as `Store.merge_all` says."""
        outcomes: list[Merged | ChatkeepError] = []
        new: dict[str, Session] = {}

        def take(session: Session) -> Merged:
            return self.merge(session, unless_deleted=unless_deleted)

        for session in sessions:
            name = file_name(session.header.key)
            if name not in new and self._is_new(name):
                new[name] = session
                continue
            outcomes += self._created(new, unless_deleted=unless_deleted)
            new = {}
            outcomes += merged_in_turn(take, [session])
        outcomes += self._created(new, unless_deleted=unless_deleted)
        return tuple(outcomes)

    def _is_new(self, name: str) -> bool:
        """Tell whether a merge would most likely make a file of this name; one deleted before is merged by itself."""
        try:
            is_there = self._tree.stamp(name) is not None
        except NotRegularError:
            return False
        return not is_there and not self._tombstones.has(name, is_there=False)

    def _created(self, new: dict[str, Session], *, unless_deleted: bool) -> tuple[Merged | ChatkeepError, ...]:
        """Make the files of new sessions together; one that another writer made meanwhile is merged into."""
        found = {name: merging(session.messages, {}, 0) for name, session in new.items()}
        files = [NewFile(one.header, found[name].lines, one.extra) for name, one in new.items()]
        made = self._writer.create_all(files) if files else frozenset()

        def outcome(session: Session) -> Merged:
            name = file_name(session.header.key)
            if name in made:
                return found[name].merged(len(session.messages), created=True)
            return self.merge(session, unless_deleted=unless_deleted)

        return merged_in_turn(outcome, list(new.values()))

    def _merge_into(self, file: LockedFile, session: Session) -> Merged:
        wanted = {message.id: message for message in session.messages}
        row, spots = self._writer.current(file, session.header.key, wanted)
        stored = stored_in(file, spots, wanted)
        found: Merging = merging(session.messages, stored, row.digest.line_count)
        self._writer.put_at_end(file, row, found.lines, may_lack=True)
        return found.merged(len(session.messages), created=False)
