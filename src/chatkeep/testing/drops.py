"""The promises of `Store` about taking back lines, replacing all of them, and beginning a session."""

from __future__ import annotations

import pytest

from chatkeep.core.life.dropping import Chosen, Mark, NewSession
from chatkeep.core.model import Json
from chatkeep.core.standing import SeqRange
from chatkeep.errors import (
    CountConflictError,
    InvalidError,
    MessageConflictError,
    MessageNotFoundError,
    SessionExistsError,
    SessionNotFoundError,
)
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import at, draft, search_for, talk

_KEY = "telegram:1"
_ALL = Chosen(everything=True)


def _mark(name: str = "mark") -> Mark:
    return Mark(id=name, sent_at=at(60))


def _seqs(first: int, last: int) -> Chosen:
    return Chosen(seqs=SeqRange(first, last))


class DropContract:
    """Taking back is an append under the session's lock; nobody drops for another."""

    def test_drop_the_last(self, store: Store) -> None:
        """Each drop takes the last message that stands, and returns it."""
        store.append(_KEY, [*talk(3), draft("state", 4, role="event", id="e")])
        for seq, name in ((3, "a"), (2, "b")):
            dropped = store.drop(_KEY, Chosen(last=1), mark=_mark(name))
            assert ((SeqRange(seq, seq),), [f"line {seq}"]) == (
                dropped.drops,
                [message.content for message in dropped.messages],
            )
        assert (_KEY, 6, 6, "b") == (dropped.key, dropped.message_count, dropped.mark.seq, dropped.mark.id)
        assert ["line 1"] == _window(store)
        assert ("line 1", 6, 1) == (
            store.get(_KEY).preview,
            store.get(_KEY).line_count,
            store.get(_KEY).message_count,
        )

    def test_drop_the_last_of_fewer(self, store: Store) -> None:
        """More than there is takes all messages, and no event."""
        store.append(_KEY, [draft("state", 0, role="event", id="e"), *talk(2)])
        dropped = store.drop(_KEY, Chosen(last=500), mark=_mark())
        assert ((SeqRange(2, 3),), 2) == (dropped.drops, len(dropped.messages))
        assert [1] == [hit.seq for hit in store.search(search_for("state", roles=("event",))).hits]

    def test_drop_a_seq(self, store: Store) -> None:
        """A message in the middle goes; its neighbours keep their seqs."""
        store.append(_KEY, talk(3))
        dropped = store.drop(_KEY, _seqs(2, 2), mark=_mark())
        assert ["line 2"] == [message.content for message in dropped.messages]
        assert ["line 1", "line 3"] == _window(store)
        assert () == store.search(search_for('"line 2"')).hits

    def test_drop_a_range(self, store: Store) -> None:
        """A range may go beyond the end, and over what is gone."""
        store.append(_KEY, talk(6))
        store.drop(_KEY, _seqs(4, 4), mark=_mark("a"))
        dropped = store.drop(_KEY, _seqs(3, 99), mark=_mark("b"))
        assert ((SeqRange(3, 7),), ()) == (dropped.drops, dropped.messages)
        assert ["line 1", "line 2"] == _window(store)

    @pytest.mark.parametrize("role", ["user", "event"])
    def test_drop_an_id(self, store: Store, role: str) -> None:
        """An id names a line: a message, or an event."""
        chosen = draft("zebra", 4, id="z", role="event" if role == "event" else "user")
        store.append(_KEY, [*talk(40), chosen, draft("more", 5)])
        dropped = store.drop(_KEY, Chosen(id="z"), mark=_mark())
        assert ((SeqRange(41, 41),), ["zebra"]) == (dropped.drops, [one.content for one in dropped.messages])
        assert () == store.search(search_for("zebra", roles=None)).hits

    def test_drop_everything(self, store: Store) -> None:
        """Nothing stands afterwards, events included; the session goes on."""
        store.append(_KEY, [*talk(3), draft("state", 4, role="event")])
        store.drop(_KEY, _ALL, mark=_mark())
        assert ([], 5, 0) == (_window(store), store.get(_KEY).line_count, store.get(_KEY).message_count)
        assert () == store.search(search_for("state", roles=None)).hits
        assert 6 == store.append(_KEY, [draft("again", 9)]).message_count

    @pytest.mark.parametrize("lines", [Chosen(last=1), _seqs(1, 2), _seqs(3, 3), _seqs(9, 9), Chosen(id="none"), _ALL])
    def test_drop_what_is_gone(self, store: Store, lines: Chosen) -> None:
        """A drop of nothing is refused, and stores nothing; a mark is nothing to drop."""
        store.append(_KEY, talk(2))
        store.drop(_KEY, _ALL, mark=_mark("a"))
        with pytest.raises(MessageNotFoundError):
            store.drop(_KEY, lines, mark=_mark("b"))
        assert 3 == store.get(_KEY).line_count

    def test_drop_by_the_id_of_a_mark(self, store: Store) -> None:
        """A mark cannot be taken back by its id: nothing comes back."""
        store.append(_KEY, talk(2))
        store.drop(_KEY, Chosen(last=1), mark=_mark("a"))
        with pytest.raises(MessageNotFoundError):
            store.drop(_KEY, Chosen(id="a"), mark=_mark("b"))

    def test_drop_again(self, store: Store) -> None:
        """A drop sent again with its mark answers as before, and drops nothing more."""
        store.append(_KEY, talk(3))
        first = store.drop(_KEY, Chosen(last=1), mark=_mark(), expect_count=3)
        again = store.drop(_KEY, Chosen(last=1), mark=_mark(), expect_count=3)
        assert first == again
        assert ["line 1", "line 2"] == _window(store)
        with pytest.raises(MessageConflictError):
            store.drop(_KEY, Chosen(last=1), mark=_mark("id-1"))

    def test_drop_expecting_lines(self, store: Store) -> None:
        """`expect_count` counts every line."""
        store.append(_KEY, talk(3))
        with pytest.raises(CountConflictError):
            store.drop(_KEY, Chosen(last=1), mark=_mark(), expect_count=2)
        store.drop(_KEY, Chosen(last=1), mark=_mark(), expect_count=3)
        assert 4 == store.get(_KEY).line_count

    def test_drop_of_no_session(self, store: Store) -> None:
        """A drop makes no session."""
        with pytest.raises(SessionNotFoundError):
            store.drop("none", _ALL, mark=_mark())

    def test_replace_all(self, store: Store) -> None:
        """Other messages take the place of all, in one append."""
        store.append(_KEY, [*talk(3), draft("state", 4, role="event", id="e")])
        replaced = store.replace(_KEY, [draft("new 1", 5, id="n1"), draft("new 2", 6, id="n2")], mark=_mark())
        assert (6, 2, (SeqRange(1, 4),)) == (replaced.message_count, replaced.stored_count, replaced.drops)
        assert [(5, "n1"), (6, "n2")] == [(one.seq, one.id) for one in replaced.receipts]
        assert (["new 1", "new 2"], "new 1", "new 2") == (
            _window(store),
            store.get(_KEY).title,
            store.get(_KEY).preview,
        )

    def test_replace_a_tail(self, store: Store) -> None:
        """The messages that begin both lists alike keep their seqs, also over a gap."""
        store.append(_KEY, talk(5))
        store.drop(_KEY, _seqs(2, 2), mark=_mark("a"))
        same = [one for one in talk(4) if one.id != talk(2)[1].id]
        replaced = store.replace(_KEY, [*same, draft("other", 7, id="o")], mark=_mark("b"))
        assert ([1, 3, 4, 7], 1, (SeqRange(5, 6),)) == (
            [one.seq for one in replaced.receipts],
            replaced.stored_count,
            replaced.drops,
        )
        assert ["line 1", "line 3", "line 4", "other"] == _window(store)

    def test_replace_by_more(self, store: Store) -> None:
        """A list that only grew is an append, and drops nothing."""
        store.append(_KEY, talk(2))
        replaced = store.replace(_KEY, talk(3), mark=_mark())
        assert (1, (), 3) == (replaced.stored_count, replaced.drops, replaced.message_count)

    def test_replace_by_the_same(self, store: Store) -> None:
        """The same list again stores nothing, also with a stale count."""
        store.append(_KEY, talk(3))
        for _ in range(2):
            replaced = store.replace(_KEY, [draft("one", 5, id="n")], mark=_mark(), expect_count=3)
        assert (0, 4, [4]) == (replaced.stored_count, replaced.message_count, [one.seq for one in replaced.receipts])

    def test_replace_by_nothing(self, store: Store) -> None:
        """An empty list drops everything, by the mark."""
        store.append(_KEY, talk(3))
        for stored in (1, 0):
            replaced = store.replace(_KEY, [], mark=_mark())
            assert (stored, 4, ()) == (replaced.stored_count, replaced.message_count, replaced.receipts)
        assert [] == _window(store)

    def test_replace_by_nothing_with_an_id_of_the_log(self, store: Store) -> None:
        """A mark whose id is taken is refused, even by a mark from before: ids are unique, and nothing is stored."""
        store.append(_KEY, talk(3))
        store.drop(_KEY, Chosen(last=1), mark=_mark("a"))
        for name in ("id-1", "id-3", "a"):
            with pytest.raises(MessageConflictError):
                store.replace(_KEY, [], mark=_mark(name))
        assert (4, ["line 1", "line 2"]) == (store.get(_KEY).line_count, _window(store))

    def test_replace_keeps_events(self, store: Store) -> None:
        """Events count as lines of both lists."""
        lines = [draft("state", 1, role="event", id="e", metadata={"a": 1}), *talk(2)]
        store.append(_KEY, lines)
        assert 0 == store.replace(_KEY, lines, mark=_mark()).stored_count
        assert (SeqRange(1, 3),) == store.replace(_KEY, [draft("new", 3, id="n")], mark=_mark()).drops

    def test_replace_with_ids_of_the_log(self, store: Store) -> None:
        """An id of the log cannot be said again in another place or with other content; nothing is stored."""
        store.append(_KEY, talk(3))
        other = draft("other", 5, id=talk(1)[0].id)
        for drafts in (talk(3)[::-1], [other], [draft("x", id="x"), draft("y", id="x")]):
            with pytest.raises(MessageConflictError):
                store.replace(_KEY, drafts, mark=_mark())
        assert (3, ["line 1", "line 2", "line 3"]) == (store.get(_KEY).line_count, _window(store))

    def test_replace_expecting_lines(self, store: Store) -> None:
        """A session that moved on is not replaced."""
        store.append(_KEY, talk(3))
        with pytest.raises(CountConflictError):
            store.replace(_KEY, [draft("new", id="n")], mark=_mark(), expect_count=2)
        assert 4 == store.replace(_KEY, [draft("new", id="n")], mark=_mark(), expect_count=3).message_count

    def test_replace_of_no_session(self, store: Store) -> None:
        """Messages begin a session, unless that is unwanted; nothing begins none."""
        for drafts, create in ((talk(2), False), ((), True)):
            with pytest.raises(SessionNotFoundError):
                store.replace(_KEY, drafts, mark=_mark(), create=create)
        with pytest.raises(CountConflictError):
            store.replace(_KEY, talk(2), mark=_mark(), expect_count=1)
        with pytest.raises(SessionNotFoundError):
            store.get(_KEY)
        replaced = store.replace(_KEY, talk(2), mark=_mark(), expect_count=0)
        assert (2, 2, ()) == (replaced.message_count, replaced.stored_count, replaced.drops)
        assert ["line 1", "line 2"] == _window(store)

    def test_create_a_session(self, store: Store) -> None:
        """A session begins with its header and messages."""
        new = NewSession(
            key=_KEY,
            channel="pager",
            title="Mine",
            metadata={"user": "alice", "n": [1, None]},
            pinned=True,
            archived=True,
            tags=("x", "y"),
            messages=tuple(talk(2)),
        )
        created = store.create(new)
        assert ([1, 2], store.get(_KEY)) == ([one.seq for one in created.receipts], created.summary)
        header = created.summary.header
        assert ("pager", "Mine", {"user": "alice", "n": [1, None]}) == (header.channel, header.title, header.metadata)
        assert (True, True, ("x", "y"), at(1)) == (header.pinned, header.archived, header.tags, header.created_at)
        assert ["line 1", "line 2"] == _window(store)

    def test_create_an_empty_session(self, store: Store) -> None:
        """A session may begin without messages; its first append goes on."""
        created = store.create(NewSession(key=_KEY, created_at=at(5)))
        assert (0, at(5), "telegram", ()) == (
            created.summary.line_count,
            created.summary.updated_at,
            created.summary.header.channel,
            created.receipts,
        )
        assert 1 == store.append(_KEY, talk(1), expect_count=0).message_count

    def test_create_what_exists(self, store: Store) -> None:
        """A key with a session is refused, and the session stays."""
        store.append(_KEY, talk(2))
        with pytest.raises(SessionExistsError):
            store.create(NewSession(key=_KEY, created_at=at(0), messages=(draft("theirs", id="t"),)))
        assert ["line 1", "line 2"] == _window(store)

    def test_create_with_drops(self, store: Store) -> None:
        """The first messages may drop earlier ones among them, but none ahead."""
        whole = (draft("oops", id="a"), draft("better", 1, id="b", drops=(SeqRange(1, 1),)))
        with pytest.raises(InvalidError):
            store.create(NewSession(key=_KEY, created_at=at(0), messages=whole[::-1]))
        assert "better" == store.create(NewSession(key=_KEY, created_at=at(0), messages=whole)).summary.title

    def test_create_with_one_id_twice(self, store: Store) -> None:
        """Ids are unique from the beginning."""
        with pytest.raises(MessageConflictError):
            store.create(NewSession(key=_KEY, created_at=at(0), messages=(draft("a", id="a"), draft("b", id="a"))))
        with pytest.raises(SessionNotFoundError):
            store.get(_KEY)

    def test_message_by_its_id(self, store: Store) -> None:
        """One message is found by its id, anywhere in the session."""
        store.append(_KEY, talk(40))
        for seq in (1, 33, 40):
            assert seq == store.message(_KEY, str(talk(40)[seq - 1].id)).seq

    def test_message_that_does_not_stand(self, store: Store) -> None:
        """What was dropped, and an event, is in the log alone."""
        store.append(_KEY, [*talk(2), draft("state", 3, role="event", id="e")])
        store.drop(_KEY, Chosen(last=1), mark=_mark())
        gone = str(talk(2)[1].id)
        for name, content in ((gone, "line 2"), ("e", "state"), ("mark", "")):
            with pytest.raises(MessageNotFoundError):
                store.message(_KEY, name)
            assert content == store.message(_KEY, name, log=True).content
        with pytest.raises(MessageNotFoundError):
            store.message(_KEY, "none", log=True)
        with pytest.raises(SessionNotFoundError):
            store.message("none", gone)


def _window(store: Store) -> list[str | list[Json] | None]:
    return [message.content for message in store.window(_KEY, limit=500).messages]
