"""The promises of `Store` about the trash."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chatkeep.core.life.dropping import Chosen, Mark
from chatkeep.core.model import Selection
from chatkeep.errors import (
    CountConflictError,
    SessionDeletedError,
    SessionExistsError,
    SessionNotFoundError,
)
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import at, draft, search_for, session, talk

_KEY = "telegram:1"


class TrashContract:
    """A session in the trash is gone for everybody, and comes back as it was."""

    def test_delete_to_the_trash(self, store: Store) -> None:
        """Nothing finds the session but the trash; its key is free."""
        store.append(_KEY, talk(2))
        store.delete(_KEY, to_trash=True)
        with pytest.raises(SessionNotFoundError):
            store.get(_KEY)
        assert ((), ()) == (store.keys(Selection(archived=None)).keys, store.search(search_for("line")).hits)
        (found,) = store.trash()
        assert (_KEY, "telegram", None) == (found.key, found.channel, found.title)
        assert found.size_bytes > 0
        assert timedelta(minutes=-5) < datetime.now(UTC) - found.deleted_at < timedelta(minutes=5)
        with pytest.raises(SessionDeletedError):
            store.merge(session(_KEY, talk(2)), unless_deleted=True)
        with pytest.raises(SessionNotFoundError):
            store.delete(_KEY, to_trash=True)

    def test_delete_for_good(self, store: Store) -> None:
        """Without the trash there is nothing to bring back."""
        store.append(_KEY, talk(2))
        store.delete(_KEY)
        assert () == store.trash()
        with pytest.raises(SessionNotFoundError):
            store.restore(_KEY)

    def test_restore_as_it_was(self, store: Store) -> None:
        """Header, log, ids and times are the same, and appends go on; the deletion is forgotten."""
        store.merge(session(_KEY, talk(3), title="Mine", pinned=True, metadata={"a": [1]}, extra={"theirs": 1}))
        store.drop(_KEY, Chosen(last=1), mark=Mark(id="mark", sent_at=at(60)))
        before = store.read(_KEY, log=True), store.get(_KEY)
        store.delete(_KEY, to_trash=True)
        assert "Mine" == store.trash()[0].title
        assert before[1] == store.restore(_KEY)
        assert before == (store.read(_KEY, log=True), store.get(_KEY))
        assert [_KEY] == [hit.key for hit in store.search(search_for("line")).hits]
        assert () == store.trash()
        assert 5 == store.append(_KEY, [draft("more")], expect_count=4).message_count
        assert 0 == store.merge(session(_KEY, talk(3)), unless_deleted=True).added_count

    def test_restore_the_last_or_another(self, store: Store) -> None:
        """Of a key deleted several times the last one comes back, or the one with an id."""
        for name in ("first", "second", "third"):
            store.append(_KEY, [draft(name)])
            store.delete(_KEY, to_trash=True)
        first = store.trash()[-1]
        assert "third" == store.restore(_KEY).title
        with pytest.raises(SessionExistsError):
            store.restore(_KEY)
        store.delete(_KEY)
        assert "first" == store.restore(_KEY, trash_id=first.id).title
        assert 1 == len(store.trash())
        store.delete(_KEY)
        for wrong in (first.id, "none"):
            with pytest.raises(SessionNotFoundError):
                store.restore(_KEY, trash_id=wrong)

    def test_restore_where_there_is_one(self, store: Store) -> None:
        """A new session of the key stays as it is, and so does the trash."""
        store.append(_KEY, talk(2))
        store.delete(_KEY, to_trash=True)
        store.append(_KEY, [draft("anew")])
        with pytest.raises(SessionExistsError):
            store.restore(_KEY)
        assert (["anew"], 1) == ([one.content for one in store.read(_KEY).messages], len(store.trash()))

    def test_purge_by_key_prefix_and_time(self, store: Store) -> None:
        """What is purged does not come back; the rest does."""
        for key in ("a:1", "a:2", "b:1"):
            store.append(key, talk(1))
            store.delete(key, to_trash=True)
        assert ["b:1", "a:2", "a:1"] == [one.key for one in store.trash()]
        assert ["a:2", "a:1"] == [one.key for one in store.trash("a:")]
        assert () == store.purge("a:", before=datetime(2024, 1, 1, tzinfo=UTC))
        assert ["a:1"] == [one.key for one in store.purge(keys=["a:1"])]
        assert ["b:1"] == [one.key for one in store.purge("b:", before=datetime.now(UTC) + timedelta(hours=1))]
        assert ["a:2"] == [one.key for one in store.trash()]
        with pytest.raises(SessionNotFoundError):
            store.restore("a:1")
        assert 1 == store.restore("a:2").message_count
        assert () == store.purge()

    def test_stale_writer_of_a_deleted_session(self, store: Store) -> None:
        """A writer that knows a session from before its deletion does not raise it from the dead."""
        store.append(_KEY, talk(2))
        for to_trash in (True, False):
            store.delete(_KEY, to_trash=to_trash)
            with pytest.raises(CountConflictError):
                store.append(_KEY, [draft("late")], expect_count=2)
            with pytest.raises(SessionNotFoundError):
                store.append(_KEY, [draft("late")], create=False)
            with pytest.raises(SessionNotFoundError):
                store.get(_KEY)
            if to_trash:
                store.restore(_KEY)

    def test_trash_tells_the_feed(self, store: Store) -> None:
        """A deletion and a restoration are changes like any other."""
        store.append(_KEY, talk(2))
        position = store.changes(None, limit=1).position
        store.delete(_KEY, to_trash=True)
        store.restore(_KEY)
        assert ["deleted", "created"] == [one.kind for one in store.changes(position, limit=9).changes]
