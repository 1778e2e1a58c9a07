"""The use cases of the trash: look, bring back, remove for good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from chatkeep.core.life.trashing import Trashed, trashed_in
from chatkeep.core.model import Selection, Summary
from chatkeep.errors import InvalidError, SessionNotFoundError
from chatkeep.sessions.confinement import Confinement
from chatkeep.store.protocol import Store


class TrashCan:
    """The deleted sessions within reach."""

    def __init__(self, store: Store, reach: Confinement) -> None:
        """Take the store, and the reach of the caller."""
        self._store = store
        self._reach = reach

    @property
    def days(self) -> int:
        """How long deleted sessions stay here, in days, if the settings send them here; else 0."""
        return self._reach.trash_days

    def sessions(self, prefix: str = "") -> tuple[Trashed, ...]:
        """Return the sessions in the trash whose keys begin so, the last deleted first."""
        within = self._reach.within(Selection(prefixes=(prefix,))).prefix
        return () if within is None else self._store.trash(within)

    def restore(self, key: str, *, trash_id: str | None = None) -> Summary:
        """Bring a session back, as `Store.restore` does.

        Raises:
            SessionNotFoundError, SessionExistsError, StorageError: as in `Store.restore`.
        """
        return self._store.restore(self._reach.own(key), trash_id=trash_id)

    def purge(
        self,
        prefix: str = "",
        *,
        keys: Sequence[str] | None = None,
        before: datetime | None = None,
        dry_run: bool = False,
    ) -> tuple[Trashed, ...]:
        """Remove sessions from the trash for good, and return them; a dry run only returns them.

        Raises:
            SessionNotFoundError: when the trash has none of a key; nothing is removed then.
            StorageError: when the disk refuses.
        """
        own = None if keys is None else tuple(map(self._reach.own, keys))
        within = self._reach.within(Selection(prefixes=(prefix,))).prefix
        found = trashed_in(self.sessions(prefix), own, before)
        for key in own or ():
            if not any(one.key == key for one in found):
                raise SessionNotFoundError(key)
        return found if dry_run or within is None else self._store.purge(within, keys=own, before=before)


def check_purged(*, keys: bool, filters: bool, everything: bool) -> None:
    """Check that a purge has one way to choose: keys, filters, or everything.

    Raises:
        InvalidError: when it has none or several.
    """
    if keys + filters + everything != 1:
        raise InvalidError("keys", "give keys, or at least one of prefix and older_than, or all")
