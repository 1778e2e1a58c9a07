"""The promises of `Store.merge` about deletions."""

from __future__ import annotations

import pytest

from chatkeep.errors import SessionDeletedError, SessionNotFoundError
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import draft, session, talk

_KEY = "slack:U01"


class DeletionContract:
    """A store remembers deletions, and an import leaves their sessions out."""

    def test_merge_unless_deleted(self, store: Store) -> None:
        """A session deleted here is left out, and no other one."""
        store.merge(session(_KEY, talk(2)), unless_deleted=True)
        store.delete(_KEY)
        with pytest.raises(SessionDeletedError):
            store.merge(session(_KEY, talk(3)), unless_deleted=True)
        with pytest.raises(SessionNotFoundError):
            store.get(_KEY)
        assert store.merge(session("slack:U02", talk(1)), unless_deleted=True).created

    def test_merge_unless_deleted_made_anew(self, store: Store) -> None:
        """A new session of the key takes nothing of the deleted one from an import."""
        store.append(_KEY, talk(2))
        store.delete(_KEY)
        store.append(_KEY, [draft("anew")])
        with pytest.raises(SessionDeletedError):
            store.merge(session(_KEY, talk(2)), unless_deleted=True)
        assert ["anew"] == [message.content for message in store.read(_KEY).messages]

    def test_merge_brings_back(self, store: Store) -> None:
        """A merge without the condition brings the session back, and the deletion is forgotten."""
        store.append(_KEY, talk(2))
        store.delete(_KEY)
        assert store.merge(session(_KEY, talk(2))).created
        assert 1 == store.merge(session(_KEY, talk(3)), unless_deleted=True).added_count

    def test_merge_unless_deleted_again(self, store: Store) -> None:
        """A session brought back and deleted again is left out again."""
        for _ in range(2):
            store.merge(session(_KEY, talk(1)))
            store.delete(_KEY)
        with pytest.raises(SessionDeletedError):
            store.merge(session(_KEY, talk(1)), unless_deleted=True)
