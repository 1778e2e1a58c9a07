"""The promises of `Store.changes`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from chatkeep.core.feed import Change
from chatkeep.core.model import Revision
from chatkeep.errors import CountConflictError, MessageConflictError, SessionNotFoundError
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import draft, session, talk

_KEY = "cli:default"


def _told(store: Store, after: str) -> list[tuple[str, str, int | None, int | None]]:
    return [_fact(change) for change in store.changes(after, limit=1000).changes]


def _fact(change: Change) -> tuple[str, str, int | None, int | None]:
    return change.kind, change.key, change.first_seq, change.last_seq


class FeedContract:
    """The feed has every change once, in order, and any position continues it."""

    def test_changes_begin_with_now(self, store: Store) -> None:
        """Without a position the answer has no changes, but the present position; no change follows it yet."""
        store.append(_KEY, talk(1))
        begun = store.changes(None, limit=10)
        assert ((), True) == (begun.changes, begun.is_known)
        assert begun == store.changes(begun.position, limit=10)

    def test_changes_tell_of_appends(self, store: Store) -> None:
        """The first append is `created`, later ones are `appended`; each change has its seqs."""
        begun = store.changes(None, limit=1).position
        store.append(_KEY, talk(2))
        store.append(_KEY, [draft("more")])
        assert [("created", _KEY, 1, 2), ("appended", _KEY, 3, 3)] == _told(store, begun)

    def test_changes_tell_of_headers_and_ends(self, store: Store) -> None:
        """Revisions and deletes are changes, and so is a new session under a deleted key."""
        store.append(_KEY, talk(1))
        begun = store.changes(None, limit=1).position
        store.revise(_KEY, Revision(title="Mine"))
        store.delete(_KEY)
        store.append(_KEY, talk(1))
        expected = [("revised", _KEY, None, None), ("deleted", _KEY, None, None), ("created", _KEY, 1, 1)]
        assert expected == _told(store, begun)

    def test_changes_tell_of_merges(self, store: Store) -> None:
        """A merge is `created`, also without messages, or `appended` with the new messages."""
        begun = store.changes(None, limit=1).position
        store.merge(session("empty"))
        store.merge(session(_KEY, talk(2)))
        store.merge(session(_KEY, talk(5)))
        expected = [("created", "empty", None, None), ("created", _KEY, 1, 2), ("appended", _KEY, 3, 5)]
        assert expected == _told(store, begun)

    def test_changes_tell_nothing_of_nothing(self, store: Store) -> None:
        """Repeats and failed writes are no changes."""
        store.append(_KEY, talk(2))
        begun = store.changes(None, limit=1).position
        store.append(_KEY, talk(2))
        store.merge(session(_KEY, talk(2)))
        with pytest.raises(CountConflictError):
            store.append(_KEY, [draft("late")], expect_count=1)
        with pytest.raises(MessageConflictError):
            store.append(_KEY, [draft("other", id="id-1")])
        for fail in (store.delete, lambda key: store.revise(key, Revision(title="Mine"))):
            with pytest.raises(SessionNotFoundError):
                fail("missing")
        assert [] == _told(store, begun)

    def test_changes_show_the_session_as_it_is(self, store: Store) -> None:
        """A change has its session's present summary, as in a list; None for a deleted session."""
        begun = store.changes(None, limit=1).position
        store.append(_KEY, talk(1))
        store.append("gone", talk(1))
        store.revise(_KEY, Revision(title="Mine", metadata={"long": "enough"}))
        store.delete("gone")
        shown = [change.summary for change in store.changes(begun, limit=10).changes]
        listed = store.get(_KEY)
        assert [(_KEY, "Mine", {}), None, (_KEY, "Mine", {}), None] == [
            known and (known.header.key, known.title, known.header.metadata) for known in shown
        ]
        assert {listed.preview} == {known.preview for known in shown if known}

    def test_changes_go_on_anywhere(self, store: Store) -> None:
        """A reader can continue from an answer's position, or any change's, and gets exactly the rest."""
        begun = store.changes(None, limit=1).position
        for number in range(5):
            store.append(f"k{number}", talk(1))
        every = store.changes(begun, limit=1000)
        assert 5 == len({change.position for change in every.changes})
        assert every.position == every.changes[-1].position
        for place, change in enumerate(every.changes, start=1):
            assert every.changes[place:] == store.changes(change.position, limit=1000).changes
        first = store.changes(begun, limit=2)
        assert every.changes[:2] == first.changes
        assert every.changes[2:] == store.changes(first.position, limit=1000).changes

    @pytest.mark.parametrize("position", ["", "0", "A" * 22, "-" * 22, "é" * 22, "x" * 4000])
    def test_changes_from_nowhere(self, store: Store, position: str) -> None:
        """For an invalid position, `is_known` is false, and the answer has the present position."""
        store.append(_KEY, talk(1))
        answer = store.changes(position, limit=10)
        assert ((), False) == (answer.changes, answer.is_known)
        assert answer.position == store.changes(None, limit=10).position

    def test_changes_of_many_writers(self, store: Store) -> None:
        """Beside many writers, a reader of the feed gets every message once, those of a session in order."""
        position = store.changes(None, limit=1).position
        seen: dict[str, list[int]] = {}
        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(store.append, f"many:{number % 3}", [draft(str(number))]) for number in range(60)]
            while sum(map(len, seen.values())) < len(jobs):
                answer = store.changes(position, limit=7)
                is_over = all(job.done() for job in jobs)
                for change in answer.changes:
                    seqs = range(change.first_seq or 0, (change.last_seq or 0) + 1)
                    seen.setdefault(change.key, []).extend(seqs)
                assert answer.changes or not is_over or store.changes(position, limit=1).changes
                position = answer.position
        assert {f"many:{number}": [*range(1, 21)] for number in range(3)} == seen
