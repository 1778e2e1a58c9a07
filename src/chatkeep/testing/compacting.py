"""The promises of `Store.compact`."""

from __future__ import annotations

import pytest

from chatkeep.core.life.dropping import Chosen, Mark
from chatkeep.core.model import Selection
from chatkeep.core.standing import SeqRange
from chatkeep.core.usage.spending import UsageQuery
from chatkeep.errors import CountConflictError, MessageConflictError, SessionNotFoundError
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import at, draft, search_for, session, talk

_KEY = "telegram:1"


class CompactContract:
    """A compaction erases what was dropped, and nothing else."""

    def test_compact_erases(self, store: Store) -> None:
        """A dropped line keeps its seq, its id, its time and its drops, and nothing more."""
        store.append(_KEY, [*talk(3), draft("zebra", 4, id="z", name="n", metadata={"a": 1}, drops=(SeqRange(2, 2),))])
        store.drop(_KEY, Chosen(last=1), mark=Mark(id="mark", sent_at=at(60)))
        (done,) = store.compact([_KEY])
        assert (_KEY, 2) == (done.key, done.erased_count)
        assert done.freed_bytes > len("line 2zebra")
        lines = store.read(_KEY, log=True).messages
        assert ["id-1", "id-2", "id-3", "z", "mark"] == [line.id for line in lines]
        assert [("user", "line 1"), ("event", ""), ("user", "line 3"), ("event", ""), ("event", "")] == [
            (line.role, line.content) for line in lines
        ]
        assert (4, at(4), (SeqRange(2, 2),), None, None) == (
            lines[3].seq,
            lines[3].sent_at,
            lines[3].drops,
            lines[3].name,
            lines[3].metadata,
        )

    def test_compact_keeps_the_time_of_storing(self, store: Store) -> None:
        """An erased line keeps both of its times."""
        store.append(_KEY, [draft("zebra", 4, id="z", stored_at=at(50))])
        (before,) = store.read(_KEY).messages
        store.drop(_KEY, Chosen(last=1), mark=Mark(id="mark", sent_at=at(60)))
        (done,) = store.compact([_KEY])
        assert 1 == done.erased_count
        after = store.read(_KEY, log=True).messages[0]
        assert before.stored_at is not None
        assert ("", at(4), before.stored_at) == (after.content, after.sent_at, after.stored_at)
        assert not store.compact([_KEY])[0].erased_count

    def test_compact_keeps_the_rest(self, store: Store) -> None:
        """Windows, counts, titles, searches, lists and cursors are as before."""
        store.append("other", talk(2))
        store.append(_KEY, [*talk(9), draft("state", 10, role="event", id="e", metadata={"a": 1})])
        store.drop(_KEY, Chosen(seqs=SeqRange(1, 4)), mark=Mark(id="mark", sent_at=at(60)))
        cursor = store.list(Selection(), limit=1).next_cursor
        before = _seen(store), store.list(Selection(), limit=1, cursor=cursor)
        store.compact([_KEY])
        assert before == (_seen(store), store.list(Selection(), limit=1, cursor=cursor))
        assert [5] == [hit.seq for hit in store.search(search_for('"line 5"')).hits]

    def test_compact_goes_on(self, store: Store) -> None:
        """Appends and drops go on with the next seq; a count from before is right."""
        store.append(_KEY, talk(4))
        store.drop(_KEY, Chosen(seqs=SeqRange(2, 3)), mark=Mark(id="mark", sent_at=at(60)))
        store.compact([_KEY])
        with pytest.raises(CountConflictError):
            store.append(_KEY, [draft("more")], expect_count=4)
        assert 6 == store.append(_KEY, [draft("more", 61)], expect_count=5).message_count
        dropped = store.drop(_KEY, Chosen(last=2), mark=Mark(id="mark 2", sent_at=at(62)))
        assert (["line 4", "more"], 7) == ([one.content for one in dropped.messages], dropped.message_count)
        assert ["line 1"] == [message.content for message in store.window(_KEY, limit=9).messages]

    def test_compact_again(self, store: Store) -> None:
        """What is erased is not erased again; a session without dropped lines stays as it is."""
        store.append("whole", [*talk(2), draft("", 3, role="event", id="e")])
        store.append(_KEY, talk(2))
        store.drop(_KEY, Chosen(everything=True), mark=Mark(id="mark", sent_at=at(60)))
        assert [0, 2] == [one.erased_count for one in store.compact(["whole", _KEY])]
        assert [(_KEY, 0, 0)] == [(one.key, one.erased_count, one.freed_bytes) for one in store.compact([_KEY])]
        assert ["line 1", "line 2", ""] == [line.content for line in store.read("whole", log=True).messages]

    def test_compact_keeps_ids_taken(self, store: Store) -> None:
        """An erased message comes back by no append: its id is taken by a line without its content."""
        store.append(_KEY, talk(2))
        store.drop(_KEY, Chosen(last=1), mark=Mark(id="mark", sent_at=at(60)))
        store.compact([_KEY])
        with pytest.raises(MessageConflictError):
            store.append(_KEY, [talk(2)[1]])
        assert ["line 1"] == [message.content for message in store.window(_KEY, limit=9).messages]

    def test_compact_keeps_marks_repeatable(self, store: Store) -> None:
        """A drop sent again with its mark answers with what it dropped, also when another drop took the mark."""
        store.append(_KEY, talk(3))
        for name in ("a", "b"):
            store.drop(
                _KEY, Chosen(everything=name == "b", last=1 if name == "a" else None), mark=Mark(id=name, sent_at=at(9))
            )
        store.compact([_KEY])
        again = store.drop(_KEY, Chosen(last=1), mark=Mark(id="a", sent_at=at(9)))
        assert ((SeqRange(3, 3),), 4) == (again.drops, again.mark.seq)

    def test_compact_then_merge(self, store: Store) -> None:
        """The session from before, taken in again, brings nothing erased back, and contradicts nothing."""
        store.append(_KEY, talk(3))
        store.drop(_KEY, Chosen(seqs=SeqRange(2, 2)), mark=Mark(id="mark", sent_at=at(60)))
        store.compact([_KEY])
        merged = store.merge(session(_KEY, [*talk(3), draft("more", 70, id="m")]))
        assert (1, 3, ()) == (merged.added_count, merged.skipped_count, merged.conflicts)
        assert ["line 1", "line 3", "more"] == [message.content for message in store.window(_KEY, limit=9).messages]

    def test_compact_tells_the_feed(self, store: Store) -> None:
        """A compaction is a revision for those who follow, and one of nothing is none."""
        store.append(_KEY, talk(2))
        store.drop(_KEY, Chosen(last=1), mark=Mark(id="mark", sent_at=at(60)))
        position = store.changes(None, limit=1).position
        for _ in range(2):
            store.compact([_KEY])
        assert [("revised", _KEY)] == [(one.kind, one.key) for one in store.changes(position, limit=9).changes]

    def test_compact_forgets_usage(self, store: Store) -> None:
        """An erased answer counts no more for tokens and cost; a dropped one did."""
        spent = {"model": "m", "usage": {"prompt_tokens": 7, "completion_tokens": 5}}
        store.append(_KEY, [*talk(1), draft("answer", 2, role="assistant", id="a", metadata=spent)])
        store.drop(_KEY, Chosen(last=1), mark=Mark(id="mark", sent_at=at(60)))
        counts = []
        for _ in range(2):
            counts.append(store.usage(UsageQuery()).total.call_count)
            store.compact([_KEY])
        assert [1, 0] == counts

    def test_compact_no_session(self, store: Store) -> None:
        """A key without a session is an error."""
        with pytest.raises(SessionNotFoundError):
            store.compact(["none"])


def _seen(store: Store) -> object:
    return (
        store.window(_KEY, limit=3),
        store.window(_KEY, limit=3, after=5),
        store.window(_KEY, limit=3, before=7),
        store.get(_KEY),
        store.read(_KEY),
        store.keys(Selection()),
        store.search(search_for("line", unit="message")),
        store.search(search_for('"line 8"')),
        store.search(search_for("state", roles=("event",))),
        store.message(_KEY, "id-7"),
    )
