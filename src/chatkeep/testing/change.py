"""The promises of `Store.revise` and `Store.delete`."""

from __future__ import annotations

import pytest

from chatkeep.core.bounds import METADATA_BYTES_MAX
from chatkeep.core.model import Revision, Selection
from chatkeep.errors import InvalidError, SessionNotFoundError
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import START, draft, search_for, talk

_KEY = "user:alice"


class ChangeContract:
    """A revision is atomic; a delete leaves no trace."""

    def test_revise_title(self, store: Store) -> None:
        """The user's title replaces the first words, also after more messages."""
        store.append(_KEY, talk(2))
        known = store.revise(_KEY, Revision(title="Mine"))
        assert ("Mine", "Mine") == (known.title, known.header.title)
        store.append(_KEY, [draft("more")])
        assert "Mine" == store.get(_KEY).title
        assert "Mine" == store.list(Selection(), limit=1).sessions[0].title
        assert "Mine" == store.read(_KEY).header.title

    def test_revise_title_away(self, store: Store) -> None:
        """Without a title from the user, the first words are the title again."""
        store.append(_KEY, talk(1))
        store.revise(_KEY, Revision(title="Mine"))
        known = store.revise(_KEY, Revision(title=None))
        assert ("line 1", None) == (known.title, known.header.title)
        assert known == store.get(_KEY)

    def test_revise_marks(self, store: Store) -> None:
        """A revision sets only the given marks and tags; the others stay."""
        store.append(_KEY, talk(1))
        store.revise(_KEY, Revision(title="Mine", pinned=True, tags=("b", "a")))
        store.revise(_KEY, Revision(archived=True))
        header = store.get(_KEY).header
        assert ("Mine", True, True, ("b", "a")) == (header.title, header.pinned, header.archived, header.tags)
        header = store.revise(_KEY, Revision(pinned=False, archived=False, tags=())).header
        assert ("Mine", False, False, ()) == (header.title, header.pinned, header.archived, header.tags)

    def test_revise_held(self, store: Store) -> None:
        """A hold stays through appends and other revisions until it is taken away; a list shows it."""
        store.append(_KEY, talk(1))
        assert store.revise(_KEY, Revision(held=True)).header.held
        store.revise(_KEY, Revision(metadata={"a": 1}, metadata_mode="replace", pinned=True))
        store.append(_KEY, [draft("more", 9)])
        listed = store.list(Selection(), limit=1).sessions[0].header
        assert (True, True, True) == (store.get(_KEY).header.held, store.read(_KEY).header.held, listed.held)
        assert not store.revise(_KEY, Revision(held=False)).header.held
        assert not store.get(_KEY).header.held

    def test_revise_archived(self, store: Store) -> None:
        """An archived session leaves the usual list and comes back to its place."""
        store.append(_KEY, talk(1))
        store.revise(_KEY, Revision(archived=True))
        assert 0 == store.list(Selection(), limit=1).total
        assert 1 == store.list(Selection(archived=True), limit=1).total
        store.revise(_KEY, Revision(archived=False))
        assert (_KEY,) == store.keys(Selection()).keys

    def test_revise_metadata(self, store: Store) -> None:
        """A metadata patch removes members given as null, patches objects inside, and replaces all else."""
        store.append(_KEY, talk(1))
        store.revise(_KEY, Revision(metadata={"a": 1, "b": {"c": [1, 2], "d": "x"}, "e": True}))
        known = store.revise(_KEY, Revision(metadata={"a": None, "b": {"c": [3], "new": 0.5}, "gone": None}))
        expected = {"b": {"c": [3], "d": "x", "new": 0.5}, "e": True}
        assert expected == known.header.metadata
        assert expected == store.read(_KEY).header.metadata

    def test_revise_metadata_beyond_its_limit(self, store: Store) -> None:
        """A patch beyond the limit of metadata is refused, and the whole revision with it."""
        store.append(_KEY, talk(1))
        store.revise(_KEY, Revision(metadata={"a": "x" * (METADATA_BYTES_MAX - 100)}))
        with pytest.raises(InvalidError):
            store.revise(_KEY, Revision(title="Mine", metadata={"b": "y" * 200}))
        header = store.get(_KEY).header
        assert (None, ["a"]) == (header.title, list(header.metadata))

    def test_revise_changes_no_time(self, store: Store) -> None:
        """A revision changes no time, no count and no place in the list."""
        store.append(_KEY, talk(3))
        store.append("user:bob", [draft("newer", 60)])
        before = store.get(_KEY)
        after = store.revise(_KEY, Revision(title="Mine", tags=("x",), metadata={"a": 1}))
        assert (before.updated_at, before.header.created_at, 3) == (
            after.updated_at,
            after.header.created_at,
            after.message_count,
        )
        assert ["user:bob", _KEY] == [each.header.key for each in store.list(Selection(), limit=9).sessions]
        assert [1, 2, 3] == [message.seq for message in store.read(_KEY).messages]

    def test_revise_then_append(self, store: Store) -> None:
        """After a revision, appends get the next seqs, and the stored message ids are still known."""
        store.append(_KEY, talk(2))
        store.revise(_KEY, Revision(title="A much longer title than there was before " * 4))
        assert [3] == [receipt.seq for receipt in store.append(_KEY, [draft("line 3", 3)]).receipts]
        assert 0 == store.append(_KEY, talk(2)).stored_count
        assert 3 == len(store.read(_KEY).messages)

    def test_revise_nothing(self, store: Store) -> None:
        """An empty revision returns the present summary."""
        store.append(_KEY, talk(1))
        assert store.get(_KEY) == store.revise(_KEY, Revision())

    def test_revise_missing(self, store: Store) -> None:
        """A revision of a missing session fails and creates none."""
        with pytest.raises(SessionNotFoundError):
            store.revise(_KEY, Revision(title="Mine"))
        assert 0 == store.keys(Selection()).total

    def test_delete(self, store: Store) -> None:
        """No verb finds a trace of a deleted session; the others stay."""
        store.append(_KEY, [draft("needle one")])
        store.append("user:bob", [draft("needle two")])
        store.delete(_KEY)
        for ask in (store.get, store.read, store.delete):
            with pytest.raises(SessionNotFoundError):
                ask(_KEY)
        with pytest.raises(SessionNotFoundError):
            store.window(_KEY, limit=1)
        with pytest.raises(SessionNotFoundError):
            store.append(_KEY, [draft()], create=False)
        assert ["user:bob"] == [each.header.key for each in store.list(Selection(), limit=9).sessions]
        assert ("user:bob",) == store.keys(Selection()).keys
        assert ["user:bob"] == [hit.key for hit in store.search(search_for("needle")).hits]
        assert (1, 1) == (store.status().session_count, store.status().message_count)

    def test_delete_missing(self, store: Store) -> None:
        """A delete of a missing or deleted session fails."""
        with pytest.raises(SessionNotFoundError):
            store.delete(_KEY)
        store.append(_KEY, talk(1))
        store.delete(_KEY)
        with pytest.raises(SessionNotFoundError):
            store.delete(_KEY)

    def test_delete_and_append(self, store: Store) -> None:
        """A new session under a deleted one's key begins at 1 and has nothing of the old one."""
        store.append(_KEY, talk(3), channel="fax")
        store.revise(_KEY, Revision(title="Mine", metadata={"a": 1}, archived=True))
        store.delete(_KEY)
        appended = store.append(_KEY, [draft("Fresh", id="id-1")])
        assert ([1], 1, 1) == (
            [receipt.seq for receipt in appended.receipts],
            appended.message_count,
            appended.stored_count,
        )
        known = store.get(_KEY)
        assert ("Fresh", "api", {}, False, START) == (
            known.title,
            known.header.channel,
            known.header.metadata,
            known.header.archived,
            known.updated_at,
        )
        assert () == store.search(search_for("line")).hits
