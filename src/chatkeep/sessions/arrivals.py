"""Sessions from elsewhere on their way into a store: checked by every rule, one by one or many together."""

from __future__ import annotations

from collections.abc import Sequence

from chatkeep.core.keys import parse_key
from chatkeep.core.life.incoming import checked_session
from chatkeep.core.model import Merged, Session
from chatkeep.errors import ChatkeepError, StorageError
from chatkeep.sessions.attachments import Attachments
from chatkeep.sessions.confinement import Confinement
from chatkeep.store.protocol import OwnStore


class Arrivals:
    """The imports of a store, confined as the use cases are."""

    def __init__(self, store: OwnStore, reach: Confinement) -> None:
        """Take the store, and the reach of the caller."""
        self._store = store
        self._reach = reach

    def merge(self, session: Session, *, unless_deleted: bool = False) -> Merged:
        """Import a session, as `Sessions.merge` says."""
        return self._store.merge(self._checked(session), unless_deleted=unless_deleted)

    def merge_all(
        self, sessions: Sequence[Session], *, unless_deleted: bool = False
    ) -> tuple[Merged | ChatkeepError, ...]:
        """Import sessions in order, and return for each what `merge` returns or raises; all are durable then.

        Raises:
            StorageError: when the disk refuses; some of the sessions may be stored.
        """
        checked: list[Session] = []
        refused: dict[int, ChatkeepError] = {}
        for place, session in enumerate(sessions):
            try:
                checked.append(self._checked(session))
            except StorageError:
                raise
            except ChatkeepError as error:
                refused[place] = error
        merged = iter(self._store.merge_all(checked, unless_deleted=unless_deleted))
        return tuple(refused[place] if place in refused else next(merged) for place in range(len(sessions)))

    def is_deleted(self, key: str) -> bool:
        """Tell whether the session of a key was deleted here, and no import has brought it back."""
        return self._store.is_deleted(parse_key(key))

    def _checked(self, session: Session) -> Session:
        self._reach.check_may_drop(session.messages)
        checked = checked_session(session)
        Attachments(self._store, self._reach).within_reach(checked.messages)
        self._reach.writable(checked.header.key)
        return checked
