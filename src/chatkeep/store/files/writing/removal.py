"""Deleting sessions, for good or to the trash, and bringing them back; attachments go with the last that names them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from chatkeep.core.life.trashing import Trashed, trashed_in
from chatkeep.errors import SessionExistsError, SessionNotFoundError
from chatkeep.store.files.tree.tombstones import Tombstones
from chatkeep.store.files.tree.trash import Trash
from chatkeep.store.files.tree.tree import NotRegularError, Tree, file_name
from chatkeep.store.files.upkeep.upkeep import Upkeep
from chatkeep.store.files.writing.blob_keeping import Blobs
from chatkeep.store.files.writing.locked_writing import Writer


class Remover:
    """Removes the sessions of a tree."""

    def __init__(self, tree: Tree, upkeep: Upkeep, writer: Writer, tombstones: Tombstones, trash: Trash) -> None:
        """Take an open tree, its index, the writer of its files, its list of deletions, and its trash."""
        self._tree = tree
        self._upkeep = upkeep
        self._writer = writer
        self._tombstones = tombstones
        self._trash = trash

    @property
    def _blobs(self) -> Blobs:
        return self._writer.blobs

    def delete(self, key: str, *, to_trash: bool = False) -> None:
        """Remove a session and every trace of it, or move it to the trash, as `Store.delete` says."""
        name = file_name(key)
        has_begun = self._removed(key, name, to_trash=to_trash)
        self._tombstones.end(name, has_begun=has_begun)
        self._tree.drop_quarantined(name)
        self._blobs.settle()

    def _removed(self, key: str, name: str, *, to_trash: bool) -> bool:
        """Remove a file, or move it to the trash; tell whether its deletion has begun."""
        has_begun = False
        try:
            with self._tree.locked(name):
                hashes = self._blobs.named_by(name)
                with self._blobs.going([name], () if to_trash else hashes):  # the trash lists them before they go
                    has_begun = self._tombstones.begin(name)
                    if to_trash:
                        self._trash.put(name, hashes)
                    else:
                        self._tree.remove(name)
                    self._writer.forget(name)
        except NotRegularError:
            has_begun = self._tombstones.begin(name)
            self._tree.remove(name)
            self._writer.forget(name)
        except FileNotFoundError:
            self._tree.flush_names()  # another process may have removed it and failed before its flush
            self._tombstones.settle(name)
            self._writer.forget(name)
            self._tree.drop_quarantined(name)
            raise SessionNotFoundError(key) from None
        return has_begun

    def restore(self, key: str, *, trash_id: str | None = None) -> None:
        """Bring a session back from the trash, as `Store.restore` says."""
        name = file_name(key)
        try:
            with self._blobs.returning(name), self._trash.brought_back(name, trash_id) as file:
                self._tombstones.forget([name])
                with self._upkeep.telling(name):
                    self._upkeep.heal(file)
        except FileNotFoundError:
            raise SessionNotFoundError(key) from None
        except FileExistsError:
            raise SessionExistsError(key) from None

    def purge(self, prefix: str, keys: Sequence[str] | None, before: datetime | None) -> tuple[Trashed, ...]:
        """Remove sessions from the trash for good, as `Store.purge` says."""
        gone = trashed_in(self._trash.sessions(prefix), keys, before)
        unreadable = self._trash.unreadable(before) if keys is None and not prefix else ()
        ids = [*(one.id for one in gone), *unreadable]
        if ids:
            with self._blobs.going((), self._trash.blobs(ids)):
                self._trash.remove(ids)
            self._blobs.settle()
        return gone
