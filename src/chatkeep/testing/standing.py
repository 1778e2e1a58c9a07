"""The promises of `Store` about lines that drop earlier ones, and about events."""

from __future__ import annotations

import pytest

from chatkeep.core.model import Json, Message, Selection
from chatkeep.core.standing import SeqRange
from chatkeep.errors import CountConflictError, InvalidError, MessageConflictError
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import at, draft, search_for, session, talk

_KEY = "telegram:1"


def _drops(*ranges: tuple[int, int]) -> tuple[SeqRange, ...]:
    return tuple(SeqRange(*one) for one in ranges)


class StandingContract:
    """What was dropped is gone at once from everything but the log; events are kept, but not said."""

    def test_append_drops_the_last(self, store: Store) -> None:
        """A dropped message leaves windows, counts, preview and search; the log keeps every line."""
        store.append(_KEY, [*talk(3), draft("a zebra", 4, id="z")])
        dropped = store.append(_KEY, [draft("", 5, role="event", drops=_drops((4, 4)))])
        assert (5, 1, 5) == (dropped.message_count, dropped.stored_count, dropped.receipts[0].seq)
        assert ["line 1", "line 2", "line 3"] == _window(store)
        known = store.get(_KEY)
        assert (5, 3, 3, "line 3") == (known.line_count, known.message_count, known.talk_count, known.preview)
        assert () == store.search(search_for("zebra")).hits
        assert () == store.search(search_for("zebra", roles=None)).hits
        assert ["line 1", "line 2", "line 3", "a zebra", ""] == _log(store)

    def test_append_drops_all(self, store: Store) -> None:
        """A session of which nothing stands has no title of its own, no preview, no messages; it can go on."""
        store.append(_KEY, talk(4))
        store.append(_KEY, [draft("", 9, role="event", drops=_drops((1, 4)))])
        known = store.get(_KEY)
        assert (5, 0, 0, "New Chat", "") == (
            known.line_count,
            known.message_count,
            known.talk_count,
            known.title,
            known.preview,
        )
        assert ([], 0) == (_window(store), store.status().message_count)
        store.append(_KEY, [draft("again", 10)])
        assert (["again"], "again", 1) == (_window(store), store.get(_KEY).title, store.status().message_count)

    def test_append_replaces_the_tail(self, store: Store) -> None:
        """A message may drop what it stands for; then it is the preview, and the others keep their seqs."""
        store.append(_KEY, talk(4))
        store.append(_KEY, [draft("better", 5, drops=_drops((3, 4))), draft("and more", 6, role="assistant")])
        assert [(1, "line 1"), (2, "line 2"), (5, "better"), (6, "and more")] == [
            (message.seq, message.content) for message in store.window(_KEY, limit=9).messages
        ]
        assert (4, "and more") == (store.get(_KEY).message_count, store.get(_KEY).preview)

    def test_append_drops_the_title(self, store: Store) -> None:
        """The title comes from the first message that stands."""
        store.append(_KEY, [draft("first", 1), draft("second", 2), draft([{"type": "image"}], 3), draft("third", 4)])
        for seq, title in ((1, "second"), (2, "third")):
            store.append(_KEY, [draft("", 5, role="event", drops=_drops((seq, seq)))])
            assert title == store.get(_KEY).title

    def test_append_drops_the_preview(self, store: Store) -> None:
        """The preview comes from the last message with words that stands."""
        store.append(_KEY, [*talk(2), draft([{"type": "image"}], 3), draft("last", 4), draft("42", 5, role="tool")])
        store.append(_KEY, [draft("", 6, role="event", drops=_drops((4, 4)))])
        assert "line 2" == store.get(_KEY).preview
        store.append(_KEY, [draft("", 6, role="event", drops=_drops((1, 2)))])
        assert (2, 1) == (store.get(_KEY).message_count, store.get(_KEY).talk_count)

    def test_append_drops_in_the_middle(self, store: Store) -> None:
        """Windows pass over what is gone, in both directions, and fill up to their limit."""
        store.append(_KEY, talk(9))
        store.append(_KEY, [draft("", 10, role="event", drops=_drops((3, 5), (7, 7)))])
        assert [1, 2, 6, 8, 9] == _seqs(store)
        assert ([6, 8], True) == _part(store, limit=2, before=9)
        assert ([6, 8, 9], False) == _part(store, limit=3, after=2)
        assert ([2, 6], True) == _part(store, limit=2, before=7)
        assert ([6], True) == _part(store, limit=1, after=4)
        assert ([7, 8, 9, 10], True) == _part(store, limit=4, log=True)
        assert ([3, 4], True) == _part(store, limit=2, after=2, log=True)

    def test_append_drops_a_drop(self, store: Store) -> None:
        """A dropped line keeps what it dropped in force: nothing comes back."""
        store.append(_KEY, talk(3))
        store.append(_KEY, [draft("", 4, role="event", drops=_drops((3, 3)))])
        store.append(_KEY, [draft("", 5, role="event", drops=_drops((4, 4)))])
        assert ["line 1", "line 2"] == _window(store)

    def test_append_drops_twice(self, store: Store) -> None:
        """What is gone already is not counted down again."""
        store.append(_KEY, talk(4))
        for _ in range(2):
            store.append(_KEY, [draft("", 5, role="event", drops=_drops((2, 3), (3, 4)))])
        assert (1, 1, 1) == (store.get(_KEY).message_count, store.get(_KEY).talk_count, store.status().message_count)

    def test_append_drops_within_a_batch(self, store: Store) -> None:
        """A line of a batch may drop an earlier one of the same batch, also in a new session."""
        store.append(_KEY, [draft("oops", 1), draft("zebra", 2, drops=_drops((1, 1)))])
        assert (["zebra"], "zebra", "zebra") == (_window(store), store.get(_KEY).title, store.get(_KEY).preview)
        assert () == store.search(search_for("oops")).hits

    @pytest.mark.parametrize("last", [3, 4, 1 << 52])
    def test_append_drops_ahead(self, store: Store, last: int) -> None:
        """A line that drops itself or later ones is refused, and nothing of its batch is stored."""
        store.append(_KEY, talk(2))
        with pytest.raises(InvalidError):
            store.append(_KEY, [draft("", 3, role="event", drops=_drops((2, last)))])
        assert (2, ["line 1", "line 2"]) == (store.get(_KEY).line_count, _window(store))

    def test_append_drops_again(self, store: Store) -> None:
        """A repeated line answers its first place; with other drops its id is taken."""
        store.append(_KEY, talk(3))
        pop = draft("", 4, role="event", id="pop", drops=_drops((3, 3)))
        first = store.append(_KEY, [pop])
        again = store.append(_KEY, [pop])
        assert (first.receipts, 0) == (again.receipts, again.stored_count)
        with pytest.raises(MessageConflictError):
            store.append(_KEY, [draft("", 4, role="event", id="pop", drops=_drops((2, 3)))])
        assert ["line 1", "line 2"] == _window(store)

    def test_append_a_dropped_message_again(self, store: Store) -> None:
        """A late retry does not raise a message from the dead: it keeps its place in the log."""
        store.append(_KEY, talk(3))
        store.append(_KEY, [draft("", 4, role="event", drops=_drops((2, 3)))])
        again = store.append(_KEY, talk(3))
        assert ([1, 2, 3], 0) == ([receipt.seq for receipt in again.receipts], again.stored_count)
        assert ["line 1"] == _window(store)

    def test_append_expecting_lines(self, store: Store) -> None:
        """`expect_count` counts every line, so it sees that something was dropped."""
        store.append(_KEY, talk(3))
        store.append(_KEY, [draft("", 4, role="event", drops=_drops((3, 3)))], expect_count=3)
        with pytest.raises(CountConflictError):
            store.append(_KEY, [draft("late")], expect_count=3)
        assert 5 == store.append(_KEY, [draft("right")], expect_count=4).message_count

    def test_append_keeps_updated_at(self, store: Store) -> None:
        """To take back is activity: the time of the latest line counts, a dropped one included."""
        store.append(_KEY, [draft("early", 1), draft("late", 20)])
        store.append(_KEY, [draft("", 5, role="event", drops=_drops((2, 2)))])
        assert at(20) == store.get(_KEY).updated_at

    def test_append_event(self, store: Store) -> None:
        """An event is kept in its place, and is in no count, title, preview, window or default search."""
        event = draft("zebra", 0, role="event", metadata={"state": [1, None]})
        store.append(_KEY, [event, *talk(2)])
        known = store.get(_KEY)
        assert (3, 2, 2, "line 1") == (known.line_count, known.message_count, known.talk_count, known.title)
        assert (["line 1", "line 2"], 2) == (_window(store), store.status().message_count)
        assert () == store.search(search_for("zebra")).hits
        assert [1] == [hit.seq for hit in store.search(search_for("zebra", roles=("event",))).hits]
        (line,) = store.window(_KEY, limit=1, before=2, log=True).messages
        assert line.says_the_same(event)
        assert 2 == sum(period.message_count for period in store.stats().periods)

    def test_append_drops_an_event(self, store: Store) -> None:
        """A dropped event is found no more, and counts nothing down."""
        store.append(_KEY, [draft("zebra", role="event"), *talk(1)])
        store.append(_KEY, [draft("", 2, role="event", drops=_drops((1, 1)))])
        assert 1 == store.get(_KEY).message_count
        assert () == store.search(search_for("zebra", roles=("event",))).hits
        assert 1 == sum(period.message_count for period in store.stats().periods)

    def test_read_the_log(self, store: Store) -> None:
        """A whole session has every line, with what it drops."""
        store.append(_KEY, talk(2))
        store.append(_KEY, [draft("better", 3, drops=_drops((2, 2)))])
        lines = store.read(_KEY, log=True).messages
        assert [(1, None), (2, None), (3, _drops((2, 2)))] == [(line.seq, line.drops) for line in lines]

    def test_read_what_stands(self, store: Store) -> None:
        """Without its log a session is as if what was dropped had never been there, events included."""
        store.append(_KEY, [*talk(3), draft("state", 3, role="event", id="e")])
        store.append(_KEY, [draft("better", 4, id="b", drops=_drops((2, 3)))])
        store.append(_KEY, [draft("", 5, role="event", drops=_drops((1, 1)))])
        lines = store.read(_KEY).messages
        assert [(1, "e", None), (2, "b", None)] == [(line.seq, line.id, line.drops) for line in lines]

    def test_changes_tell_drops(self, store: Store) -> None:
        """The feed tells of an append which seqs it dropped."""
        store.append(_KEY, talk(3))
        before = store.changes(None, limit=1).position
        store.append(_KEY, [draft("better", 4, drops=_drops((3, 3), (1, 2)))])
        (change,) = store.changes(before, limit=9).changes
        assert ("appended", 4, 4, _drops((1, 3))) == (change.kind, change.first_seq, change.last_seq, change.drops)

    def test_merge_a_log(self, store: Store) -> None:
        """The log of a session comes in whole, and the same stands of it; again, it adds nothing."""
        whole = session(_KEY, [*talk(3), draft("better", 4, id="b", drops=_drops((2, 3))), draft("more", 5, id="m")])
        assert store.merge(whole).created
        assert (whole.messages, [1, 4, 5]) == (store.read(_KEY, log=True).messages, _seqs(store))
        assert (0, 5) == ((merged := store.merge(whole)).added_count, merged.skipped_count)

    def test_merge_a_log_into_another(self, store: Store) -> None:
        """What a line drops moves with the seqs: the same messages are gone, and no other one."""
        store.append(_KEY, [draft("mine 1", 1), *talk(2), draft("mine 2", 2)])
        lines = [*talk(3), draft("better", 4, id="b", drops=_drops((2, 3)))]
        for added in (2, 0):
            assert added == store.merge(session(_KEY, lines)).added_count
            assert ["mine 1", "line 1", "mine 2", "better"] == _window(store)
        assert ["mine 1", "line 1", "line 2", "mine 2", "line 3", "better"] == _log(store)

    def test_merge_a_log_that_begins_with_a_conflict(self, store: Store) -> None:
        """A message left out has no place here, so what drops it drops nothing else in its place."""
        store.append(_KEY, [draft("mine 1", id="a"), draft("mine 2", 1, id="b")])
        lines = [draft("theirs", id="a"), draft("better", 4, id="c", drops=_drops((1, 1)))]
        for added in (1, 0):
            merged = store.merge(session(_KEY, lines))
            assert (added, ("a",)) == (merged.added_count, merged.conflicts)
            assert ["mine 1", "mine 2", "better"] == _window(store)

    def test_merge_what_stands(self, store: Store) -> None:
        """A dropped message does not come back with a copy of the session from before."""
        store.append(_KEY, talk(3))
        before = store.read(_KEY, log=True)
        store.append(_KEY, [draft("", 4, role="event", drops=_drops((2, 3)))])
        assert 0 == store.merge(before).added_count
        assert ["line 1"] == _window(store)

    def test_list_after_drops(self, store: Store) -> None:
        """Lists tell the same as a look at the session."""
        store.append(_KEY, [draft("first", 1), draft("second", 2)])
        store.append(_KEY, [draft("", 3, role="event", drops=_drops((1, 1)))])
        (listed,) = store.list(Selection(), limit=9).sessions
        assert store.get(_KEY) == listed
        assert ("second", "second", 1) == (listed.title, listed.preview, listed.message_count)


def _window(store: Store) -> list[str | list[Json] | None]:
    return [message.content for message in store.window(_KEY, limit=500).messages]


def _log(store: Store) -> list[str | list[Json] | None]:
    return [line.content for line in store.window(_KEY, limit=500, log=True).messages]


def _seqs(store: Store) -> list[int]:
    return _places(store.window(_KEY, limit=500).messages)


def _part(
    store: Store, *, limit: int, before: int | None = None, after: int | None = None, log: bool = False
) -> tuple[list[int], bool]:
    window = store.window(_KEY, limit=limit, before=before, after=after, log=log)
    return _places(window.messages), window.has_more


def _places(messages: tuple[Message, ...]) -> list[int]:
    return [message.seq for message in messages]
