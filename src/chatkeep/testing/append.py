"""The promises of `Store.append`."""

from __future__ import annotations

import pytest

from chatkeep.core.model import Draft, Receipt
from chatkeep.errors import CountConflictError, MessageConflictError, SessionNotFoundError
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import at, draft, search_for, talk

_KEY = "telegram:1"


class AppendContract:
    """Appends are atomic, ordered, and stored once."""

    def test_append_creates(self, store: Store) -> None:
        """The first append creates the session and returns the first place."""
        appended = store.append(_KEY, [draft("Hello", 5, id="a")])
        assert (_KEY, 1, 1) == (appended.key, appended.message_count, appended.stored_count)
        assert (Receipt(seq=1, id="a", sent_at=at(5)),) == appended.receipts

    def test_append_goes_on(self, store: Store) -> None:
        """Later appends get the next seqs, whatever their times."""
        store.append(_KEY, [draft("one", 10)])
        appended = store.append(_KEY, [draft("two", 5), draft("three", 7)])
        assert [2, 3] == [receipt.seq for receipt in appended.receipts]
        assert 3 == appended.message_count
        assert ["one", "two", "three"] == _contents(store)

    def test_append_keeps_every_field(self, store: Store) -> None:
        """Every field of a message comes back."""
        said = draft("42", role="tool", name="adder", tool_call_id="call-1", metadata={"took": 0.25})
        store.append(_KEY, [said])
        message = store.read(_KEY).messages[0]
        assert message.says_the_same(said)
        assert (said.id, said.sent_at, "adder", "call-1") == (
            message.id,
            message.sent_at,
            message.name,
            message.tool_call_id,
        )

    def test_append_keeps_microseconds(self, store: Store) -> None:
        """A time comes back to the microsecond."""
        store.append(_KEY, [draft("now", 0.123457)])
        assert at(0.123457) == store.read(_KEY).messages[0].sent_at

    def test_append_keeps_the_time_of_storing(self, store: Store) -> None:
        """The time of storing comes back beside the time said; a retry does not change it. A server has its own."""
        store.append(_KEY, [draft("said long ago", 1, id="a", stored_at=at(60.000001))])
        (first,) = store.read(_KEY).messages
        assert first.sent_at < at(60) < (first.stored_at or first.sent_at)
        again = store.append(_KEY, [draft("said long ago", 2, id="a", stored_at=at(70))])
        assert (0, at(1)) == (again.stored_count, again.receipts[0].sent_at)
        assert (first,) == store.read(_KEY).messages == store.window(_KEY, limit=5).messages
        assert at(1) == store.get(_KEY).updated_at

    def test_append_makes_created_at_the_earliest_time(self, store: Store) -> None:
        """`created_at` is the earliest time of the first append; later messages do not change it."""
        store.append(_KEY, [draft("late", 20), draft("early", 10)])
        store.append(_KEY, [draft("earliest", 1)])
        assert at(10) == store.get(_KEY).header.created_at

    def test_append_makes_updated_at_the_latest_time(self, store: Store) -> None:
        """The latest activity is the latest message time, not the time of the last message."""
        store.append(_KEY, [draft("late", 20), draft("early", 10)])
        assert at(20) == store.get(_KEY).updated_at

    @pytest.mark.parametrize(
        "key,channel",
        [
            ("telegram:1", "telegram"),
            ("discord:1", "discord"),
            ("slack:U01", "slack"),
            ("cli:default", "cli"),
            ("websocket:1", "web"),
            ("user:alice", "api"),
            ("telegram", "api"),
        ],
    )
    def test_append_derives_channel(self, store: Store, key: str, channel: str) -> None:
        """Without a channel, the key names it."""
        store.append(key, [draft()])
        assert channel == store.get(key).header.channel

    def test_append_takes_channel(self, store: Store) -> None:
        """The channel of the first append is the session's; later ones do not count."""
        store.append(_KEY, [draft()], channel="pager")
        store.append(_KEY, [draft()], channel="fax")
        assert "pager" == store.get(_KEY).header.channel

    def test_append_without_create(self, store: Store) -> None:
        """`create=False` requires an existing session, and creates none."""
        with pytest.raises(SessionNotFoundError):
            store.append(_KEY, [draft()], create=False)
        with pytest.raises(SessionNotFoundError):
            store.get(_KEY)
        store.append(_KEY, [draft()])
        assert 2 == store.append(_KEY, [draft()], create=False).message_count

    def test_append_again(self, store: Store) -> None:
        """A repeated append returns the first place and time of a stored message, and stores nothing."""
        first = store.append(_KEY, [draft("Hello", 1, id="a")])
        store.append(_KEY, [draft("more", 2)])
        again = store.append(_KEY, [draft("Hello", 99, id="a")])
        assert first.receipts == again.receipts
        assert (2, 0) == (again.message_count, again.stored_count)
        assert ["Hello", "more"] == _contents(store)
        assert at(2) == store.get(_KEY).updated_at

    def test_append_again_in_part(self, store: Store) -> None:
        """The stored messages of a batch keep their places, and the others are appended."""
        store.append(_KEY, talk(2))
        appended = store.append(_KEY, [*talk(2)[::-1], draft("line 3", 3, id="id-3")])
        assert [2, 1, 3] == [receipt.seq for receipt in appended.receipts]
        assert (3, 1) == (appended.message_count, appended.stored_count)
        assert ["line 1", "line 2", "line 3"] == _contents(store)

    def test_append_twice_in_one_batch(self, store: Store) -> None:
        """A message twice in a batch is stored once."""
        twice = draft("Hello", id="a")
        appended = store.append(_KEY, [twice, draft("between"), twice])
        assert [1, 2, 1] == [receipt.seq for receipt in appended.receipts]
        assert (2, 2) == (appended.message_count, appended.stored_count)

    @pytest.mark.parametrize(
        "other",
        [
            draft("Bye", id="id-2", role="assistant"),
            draft("line 2", id="id-2", role="user"),
            draft("line 2", id="id-2", role="assistant", name="bob"),
            draft("line 2", id="id-2", role="assistant", metadata={"a": 1}),
        ],
    )
    def test_append_taken_id(self, store: Store, other: Draft) -> None:
        """An id stored with other content refuses the whole batch; nothing of it is stored."""
        store.append(_KEY, talk(2))
        with pytest.raises(MessageConflictError):
            store.append(_KEY, [draft("before"), other, draft("after")])
        assert ["line 1", "line 2"] == _contents(store)
        assert 2 == store.get(_KEY).message_count
        assert () == store.search(search_for("before")).hits

    def test_append_id_taken_in_the_batch(self, store: Store) -> None:
        """Two contents under one id in a batch are refused, and no session is created."""
        with pytest.raises(MessageConflictError):
            store.append(_KEY, [draft("one", id="a"), draft("two", id="a")])
        with pytest.raises(SessionNotFoundError):
            store.get(_KEY)

    def test_append_id_of_another_session(self, store: Store) -> None:
        """Ids are unique within a session, not beyond it."""
        store.append(_KEY, [draft("one", id="a")])
        assert 1 == store.append("telegram:2", [draft("two", id="a")]).stored_count

    def test_append_expecting_count(self, store: Store) -> None:
        """An append succeeds if the session has the expected count."""
        store.append(_KEY, [draft()], expect_count=0)
        assert 3 == store.append(_KEY, [draft(), draft()], expect_count=1).message_count

    @pytest.mark.parametrize("expect_count", [0, 1, 3])
    def test_append_expecting_another_count(self, store: Store, expect_count: int) -> None:
        """A session with another count refuses the append and stays unchanged."""
        store.append(_KEY, talk(2))
        with pytest.raises(CountConflictError):
            store.append(_KEY, [draft("more")], expect_count=expect_count)
        assert 2 == store.get(_KEY).message_count

    def test_append_expecting_count_of_no_session(self, store: Store) -> None:
        """A missing session counts as empty, and a refused append does not create it."""
        with pytest.raises(CountConflictError):
            store.append(_KEY, [draft()], expect_count=1)
        with pytest.raises(SessionNotFoundError):
            store.get(_KEY)

    def test_append_again_expecting_the_old_count(self, store: Store) -> None:
        """A retry of a stored batch succeeds with its old expected count, also after later appends."""
        first = store.append(_KEY, talk(2), expect_count=0)
        store.append(_KEY, [draft("more")])
        again = store.append(_KEY, talk(2), expect_count=0)
        assert first.receipts == again.receipts
        assert 0 == again.stored_count

    def test_append_a_thousand(self, store: Store) -> None:
        """A batch of 1,000 messages is stored in its order."""
        appended = store.append(_KEY, talk(1000))
        assert list(range(1, 1001)) == [receipt.seq for receipt in appended.receipts]
        assert [f"line {n}" for n in range(1, 1001)] == _contents(store)


def _contents(store: Store) -> list[object]:
    return [message.content for message in store.read(_KEY).messages]
