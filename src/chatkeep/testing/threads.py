"""The promises about concurrent use of a store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Final, TypeVar

from chatkeep.core.model import Revision, Selection
from chatkeep.errors import CountConflictError, SessionNotFoundError
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import draft, session

THREADS: Final = 8
ROUNDS: Final = 20
_KEY: Final = "api:shared"
_Answer = TypeVar("_Answer")


class ThreadContract:
    """Writes of many threads have the same result as in some order, one after the other."""

    def test_append_from_threads(self, store: Store) -> None:
        """Every message is stored once, at the place of its receipt, those of a thread in its order."""

        def append_all(thread: int) -> list[tuple[int, str]]:
            places = []
            for n in range(ROUNDS):
                appended = store.append(_KEY, [draft(f"{thread}/{n}", n, id=f"{thread}/{n}")])
                places += [(receipt.seq, receipt.id) for receipt in appended.receipts]
            return places

        receipts = sorted(place for places in _at_once(append_all) for place in places)
        stored = [(message.seq, message.id) for message in store.read(_KEY).messages]
        assert receipts == stored
        assert list(range(1, THREADS * ROUNDS + 1)) == [seq for seq, _ in stored]
        for thread in range(THREADS):
            own = [message_id for _, message_id in stored if message_id.startswith(f"{thread}/")]
            assert [f"{thread}/{n}" for n in range(ROUNDS)] == own

    def test_append_batches_from_threads(self, store: Store) -> None:
        """The messages of a batch are neighbours."""

        def append_batch(thread: int) -> list[int]:
            appended = store.append(_KEY, [draft(f"{thread}/{n}", n) for n in range(ROUNDS)])
            return [receipt.seq for receipt in appended.receipts]

        for seqs in _at_once(append_batch):
            assert list(range(seqs[0], seqs[0] + ROUNDS)) == seqs
        assert THREADS * ROUNDS == store.get(_KEY).message_count

    def test_append_same_message_from_threads(self, store: Store) -> None:
        """A message from many threads is stored once, and all of them get the same receipt."""
        answers = _at_once(lambda _: store.append(_KEY, [draft("Hello", id="a")]))
        assert 1 == len({answer.receipts for answer in answers})
        assert 1 == sum(answer.stored_count for answer in answers)
        assert 1 == store.get(_KEY).message_count

    def test_append_expecting_count_from_threads(self, store: Store) -> None:
        """Of many appends with the same expected count, one succeeds."""

        def try_to_append(thread: int) -> int:
            try:
                return store.append(_KEY, [draft(f"{thread}")], expect_count=0).stored_count
            except CountConflictError:
                return 0

        assert 1 == sum(_at_once(try_to_append))
        assert 1 == store.get(_KEY).message_count

    def test_append_to_many_sessions_from_threads(self, store: Store) -> None:
        """Concurrent appends to different sessions do not disturb each other."""

        def append_to_own(thread: int) -> None:
            for n in range(ROUNDS):
                store.append(f"api:{thread}-{n % 5}", [draft("zebra", n)])

        _at_once(append_to_own)
        page = store.list(Selection(), limit=100)
        assert [ROUNDS // 5] * THREADS * 5 == [known.message_count for known in page.sessions]
        assert THREADS * ROUNDS == store.status().message_count

    def test_read_beside_appends(self, store: Store) -> None:
        """A message once visible stays visible, to every verb."""
        store.append(_KEY, [draft("first")])

        def append_or_look(thread: int) -> list[int]:
            seen = []
            for _ in range(ROUNDS):
                if thread % 2:
                    store.append(_KEY, [draft("more")])
                else:
                    seen.append(len(store.read(_KEY).messages))
                    seen.append(store.window(_KEY, limit=1).messages[-1].seq)
                    seen.append(store.get(_KEY).message_count)
            return seen

        for seen in _at_once(append_or_look):
            assert sorted(seen) == seen
        assert 1 + THREADS // 2 * ROUNDS == store.get(_KEY).message_count

    def test_revise_from_threads(self, store: Store) -> None:
        """Concurrent patches of different members all apply, and no append beside them is lost."""
        store.append(_KEY, [draft("first")])

        def revise_and_append(thread: int) -> None:
            for n in range(5):
                store.revise(_KEY, Revision(metadata={f"{thread}-{n}": n}))
                store.append(_KEY, [draft("more")])

        _at_once(revise_and_append)
        expected = {f"{thread}-{n}": n for thread in range(THREADS) for n in range(5)}
        assert expected == store.get(_KEY).header.metadata
        assert 1 + THREADS * 5 == len(store.read(_KEY).messages)

    def test_merge_from_threads(self, store: Store) -> None:
        """Concurrent merges of one session create it once."""
        whole = session(_KEY, [draft(f"{n}", n, id=f"{n}") for n in range(ROUNDS)])
        merges = _at_once(lambda _: store.merge(whole))
        assert (1, ROUNDS) == (sum(each.created for each in merges), sum(each.added_count for each in merges))
        assert whole == store.read(_KEY)

    def test_delete_while_appending(self, store: Store) -> None:
        """An append beside a delete comes before it or creates a new session, never half a session."""

        def append_or_delete(thread: int) -> int:
            if thread % 2:
                return sum(store.append(_KEY, [draft("zebra")]).stored_count for _ in range(ROUNDS))
            for _ in range(ROUNDS):
                _delete_if_there(store)
            return 0

        _at_once(append_or_delete)
        _delete_if_there(store)
        assert 0 == store.status().session_count
        assert 1 == store.append(_KEY, [draft("again")]).message_count
        assert ["again"] == [message.content for message in store.read(_KEY).messages]


def _at_once(work: Callable[[int], _Answer]) -> list[_Answer]:
    """Return the results of 8 threads, started at the same moment."""
    barrier = Barrier(THREADS)

    def begin_together(thread: int) -> _Answer:
        barrier.wait(timeout=60)
        return work(thread)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin_together, range(THREADS)))


def _delete_if_there(store: Store) -> None:
    try:
        store.delete(_KEY)
    except SessionNotFoundError:
        return
