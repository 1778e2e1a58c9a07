"""The promises of `Store.merge`."""

from __future__ import annotations

from msgspec.structs import replace

from chatkeep.core.model import Merged, Selection
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import START, at, draft, search_for, session, talk

_KEY = "slack:U01"


class MergeContract:
    """A merge adds missing messages and changes no stored content."""

    def test_merge_creates(self, store: Store) -> None:
        """A session from elsewhere keeps its header and its messages."""
        whole = session(
            _KEY,
            talk(3),
            channel="pager",
            title="Mine",
            created_at=at(-100),
            metadata={"a": {"b": 1.5}},
            archived=True,
            pinned=True,
            tags=("x", "y"),
            held=True,
        )
        assert (True, 3, 0) == _counts(store.merge(whole))
        assert whole == store.read(_KEY)
        assert 1 == store.list(Selection(archived=True), limit=1).total
        assert [_KEY] == [hit.key for hit in store.search(search_for("line")).hits]

    def test_merge_keeps_the_time_of_storing(self, store: Store) -> None:
        """It comes with a message, and is no content: a stored message keeps its own."""
        assert (True, 1, 0) == _counts(store.merge(session(_KEY, [draft("a", 1, id="a", stored_at=at(9))])))
        again = session(_KEY, [draft("a", 1, id="a", stored_at=at(10)), draft("b", 2, id="b")])
        assert (False, 1, 1) == _counts(store.merge(again))
        assert [at(9), None] == [line.stored_at for line in store.read(_KEY).messages]

    def test_merge_keeps_unknown_fields(self, store: Store) -> None:
        """Unknown fields of header and messages come back unchanged, and count as content of a message."""
        plain = session(_KEY, talk(2), extra={"drops": [1], "": "x"})
        said = tuple(replace(message, extra={"mood": {"good": [1, None]}, "extra": 2}) for message in plain.messages)
        whole = replace(plain, messages=said)
        assert (True, 2, 0) == _counts(store.merge(whole))
        assert whole == store.read(_KEY)
        assert said == store.window(_KEY, limit=5).messages
        assert (False, 0, 2) == _counts(store.merge(whole))
        assert ("id-1", "id-2") == store.merge(plain).conflicts

    def test_merge_empty_session(self, store: Store) -> None:
        """A merge takes a session without messages; its latest activity is its creation."""
        assert (True, 0, 0) == _counts(store.merge(session(_KEY)))
        known = store.get(_KEY)
        assert (0, START, "New Chat", "") == (known.message_count, known.updated_at, known.title, known.preview)
        assert () == store.read(_KEY).messages
        assert ((), False) == (store.window(_KEY, limit=5).messages, store.window(_KEY, limit=5).has_more)
        assert 1 == store.append(_KEY, [draft("Hello")], create=False, expect_count=0).message_count

    def test_merge_extends(self, store: Store) -> None:
        """New messages are appended in their order, with the next seqs."""
        store.append(_KEY, [*talk(2), draft("mine", 9)])
        assert (False, 2, 2) == _counts(store.merge(session(_KEY, talk(4))))
        assert [(1, "line 1"), (2, "line 2"), (3, "mine"), (4, "line 3"), (5, "line 4")] == [
            (message.seq, message.content) for message in store.read(_KEY).messages
        ]

    def test_merge_again(self, store: Store) -> None:
        """A repeated merge changes nothing."""
        whole = session(_KEY, talk(3))
        store.merge(whole)
        assert (False, 0, 3) == _counts(store.merge(whole))
        assert whole == store.read(_KEY)

    def test_merge_conflicts(self, store: Store) -> None:
        """Messages with a stored id but other content are left out and named; the others are added."""
        store.append(_KEY, talk(2))
        other = session(_KEY, [draft("else", id="id-2"), draft("line 1", id="id-1"), draft("new", 7, id="id-7")])
        merged = store.merge(other)
        assert (False, 1, 1, ("id-2",)) == (
            merged.created,
            merged.added_count,
            merged.skipped_count,
            merged.conflicts,
        )
        assert ["line 1", "line 2", "new"] == [message.content for message in store.read(_KEY).messages]

    def test_merge_repeated_id(self, store: Store) -> None:
        """Of several messages with one id in a session, the first is stored."""
        twice = [draft("one", id="a"), draft("two", id="a"), draft("one", id="a"), draft("three", id="b")]
        merged = store.merge(session(_KEY, twice))
        assert (2, 1, ("a",)) == (merged.added_count, merged.skipped_count, merged.conflicts)
        assert [(1, "one"), (2, "three")] == [(each.seq, each.content) for each in store.read(_KEY).messages]

    def test_merge_numbers_anew(self, store: Store) -> None:
        """A merge ignores foreign seqs, and keeps the order."""
        whole = session(_KEY, talk(4))
        part = session(_KEY)
        store.merge(type(part)(header=part.header, messages=whole.messages[2:]))
        assert [(1, "line 3"), (2, "line 4")] == [(each.seq, each.content) for each in store.read(_KEY).messages]

    def test_merge_changes_no_header(self, store: Store) -> None:
        """A merge does not change the header of a stored session."""
        store.append(_KEY, talk(1))
        header = store.read(_KEY).header
        store.merge(session(_KEY, talk(2), title="Theirs", channel="fax", created_at=at(-5), metadata={"a": 1}))
        assert header == store.read(_KEY).header

    def test_merge_what_was_read(self, store: Store) -> None:
        """A read session can be merged again without loss."""
        store.append(_KEY, talk(3))
        whole = store.read(_KEY)
        store.delete(_KEY)
        store.merge(whole)
        assert whole == store.read(_KEY)


def _counts(merged: Merged) -> tuple[bool, int, int]:
    return merged.created, merged.added_count, merged.skipped_count
