"""Changes of the index: committed in groups, one failure alone, and the database kept in shape beside them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from chatkeep.store.files.index.databases import IndexLostError, OnDisk
from chatkeep.store.files.index.rows import Database
from chatkeep.store.files.index.sets import sealing
from chatkeep.store.files.index.turns import committing
from chatkeep.store.files.index.turns.committing import Committer


@pytest.fixture
def medium(tmp_path: Path) -> OnDisk:
    """Return a database with a table of numbers."""
    path = tmp_path / "index.sqlite3"
    OnDisk.make(path)
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE numbers (number INTEGER, of INTEGER)")
    return OnDisk(path)


@pytest.fixture
def committer(medium: OnDisk) -> Iterator[Committer]:
    """Yield the writer of the database."""
    made = Committer(medium.connected(cache_kb=1024), medium)
    yield made
    made.close()


def _put(number: int, of: int = 0) -> committing.Write[int]:
    def change(db: Database) -> int:
        db.execute("INSERT INTO numbers VALUES (?, ?)", (number, of))
        if number < 0:
            raise ValueError(number)
        return number

    return change


def _numbers(medium: OnDisk) -> list[tuple[int, int]]:
    with closing(medium.connected(read_only=True, cache_kb=64)) as db:
        return [(number, of) for number, of in db.execute("SELECT number, of FROM numbers ORDER BY of, rowid")]


def test_write_by_many_threads(committer: Committer, medium: OnDisk) -> None:
    """Each thread gets the answers to its own changes, after their commit, and all are stored in its order."""
    told: dict[int, list[int]] = {of: [] for of in range(8)}

    def work(of: int) -> None:
        told[of] += [committer.write(_put(number, of)) for number in range(100)]

    threads = [threading.Thread(target=work, args=(of,)) for of in told]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {of: list(range(100)) for of in range(8)} == told
    assert [(number, of) for of in range(8) for number in range(100)] == _numbers(medium)


def test_write_in_one_transaction(committer: Committer, medium: OnDisk) -> None:
    """Changes that wait for another one are committed together; one that fails takes no other one with it."""
    outcomes: dict[int, object] = {}
    is_begun, may_go_on = threading.Event(), threading.Event()
    commits: list[int] = []

    def slow(db: Database) -> int:
        is_begun.set()
        assert may_go_on.wait(30)
        return _put(0)(db)

    def work(number: int) -> None:
        try:
            outcomes[number] = committer.write(slow if number == 0 else _put(number))
        except ValueError as error:
            outcomes[number] = str(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1, 2, -3, 4)]
    threads[0].start()
    assert is_begun.wait(30)

    def noted() -> bool:
        commits.append(len(commits))
        return False

    committer._db.set_commit_hook(noted)
    for thread in threads[1:]:
        thread.start()
    while len(committer._waiting) < 4:
        pass
    may_go_on.set()
    for thread in threads:
        thread.join()
    assert {0: 0, 1: 1, 2: 2, -3: "-3", 4: 4} == outcomes
    assert [0, 1, 2, 4] == sorted(number for number, _ in _numbers(medium))
    assert len(commits) == 4  # the slow one, and the three good ones after their group failed


def test_write_after_a_thread_gave_up(committer: Committer, medium: OnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiting thread that is stopped, as by Ctrl-C, leaves the queue, and the threads behind it go on."""
    is_begun, may_go_on = threading.Event(), threading.Event()

    def slow(db: Database) -> int:
        is_begun.set()
        assert may_go_on.wait(30)
        return _put(1)(db)

    def stopped(_: object) -> None:
        while len(committer._waiting) < 2:
            pass
        may_go_on.set()
        first.join()  # by now it has told the stopped thread to lead
        raise KeyboardInterrupt

    first = threading.Thread(target=committer.write, args=(slow,))
    first.start()
    assert is_begun.wait(30)
    with monkeypatch.context() as patch:
        own, wait = threading.get_ident(), committing._Waiting.wait

        def wait_or_stop(one: committing._Waiting) -> None:
            (stopped if threading.get_ident() == own else wait)(one)

        patch.setattr(committing._Waiting, "wait", wait_or_stop)
        behind = threading.Thread(target=committer.write, args=(_put(3),))
        threading.Timer(0.05, behind.start).start()
        with pytest.raises(KeyboardInterrupt):
            committer.write(_put(2))
    behind.join(30)
    assert not behind.is_alive()
    assert [(1, 0), (3, 0)] == _numbers(medium)
    assert 4 == committer.write(_put(4))


def test_write_to_a_closed_index(committer: Committer) -> None:
    """A closed index takes no change, and a second closing does no harm."""
    committer.close()
    committer.close()
    with pytest.raises(IndexLostError):
        committer.write(_put(1))
    with pytest.raises(IndexLostError):
        committer.send(_put(1))


def test_close_before_a_thread_leads(committer: Committer, medium: OnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread whose turn comes only after the end of the index gets the error of a closed one, as those behind it."""
    is_begun, is_closed = threading.Event(), threading.Event()
    errors: list[Exception] = []
    wait = committing._Waiting.wait

    def slow(db: Database) -> int:
        is_begun.set()
        while len(committer._waiting) < 2:
            pass
        return _put(1)(db)

    def late(own: committing._Waiting) -> None:
        wait(own)
        assert is_closed.wait(30)

    def write(number: int) -> None:
        try:
            committer.write(_put(number))
        except (IndexLostError, apsw.Error) as error:
            errors.append(error)

    monkeypatch.setattr(committing._Waiting, "wait", late)
    first = threading.Thread(target=committer.write, args=(slow,))
    first.start()
    assert is_begun.wait(30)
    behind = [threading.Thread(target=write, args=(number,)) for number in (2, 3)]
    for thread in behind:
        thread.start()
    first.join()
    committer.close()
    is_closed.set()
    for thread in behind:
        thread.join(30)
    assert [IndexLostError] * 2 == [type(error) for error in errors]
    assert [(1, 0)] == _numbers(medium)


def test_write_where_the_log_cannot_be_copied(
    committer: Committer, medium: OnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that is committed is answered, although the copy of the log after it meets a full disk."""
    monkeypatch.setattr(committing, "_LOG_PAGES", 1)
    monkeypatch.setattr(committing, "_LOG_PAGES_MAX", 1)

    def refused(_: committing._Housework, __: apsw.Connection) -> None:
        raise apsw.FullError

    monkeypatch.setattr(committing._Housework, "_copy", refused)
    assert 1 == committer.write(_put(1))
    assert [(1, 0)] == _numbers(medium)


@pytest.mark.parametrize("error", [MemoryError(), apsw.NoMemError(), IndexLostError("gone"), ValueError("odd")])
def test_send_after_the_housework_failed(
    committer: Committer, medium: OnDisk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Any error of the care for the database is put off: the thread of the index goes on, and so does every change."""

    def refused(_: Database) -> int:
        raise error

    monkeypatch.setattr(sealing, "fresh_count", refused)
    monkeypatch.setattr(committing, "_LOG_PAGES", 1)
    monkeypatch.setattr(OnDisk, "is_in_place", refused)
    assert [0, 1, 2] == [committer.send(_put(number)).result(30) for number in range(3)]
    assert 3 == committer.write(_put(3))
    monkeypatch.setattr(sealing, "fresh_count", lambda _: 1 << 20)
    monkeypatch.setattr(sealing, "sealing", refused)
    assert [4, 5, 6] == [committer.send(_put(number)).result(30) for number in range(4, 7)]
    committer.close()
    assert [(number, 0) for number in range(7)] == _numbers(medium)


def test_copying_the_log_beside_the_changes(
    committer: Committer, medium: OnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write-ahead log is copied back by the thread of the index: no change waits for its flushes, and it ends."""
    monkeypatch.setattr(committing, "_LOG_PAGES", 1)  # so the second change below finds a log copied whole
    copied_by: list[str] = []
    copy = committing._Housework._copy

    def noted(self: committing._Housework, db: apsw.Connection) -> None:
        copied_by.append(threading.current_thread().name)
        copy(self, db)

    monkeypatch.setattr(committing._Housework, "_copy", noted)
    log = medium.path.with_name(medium.path.name + "-wal")
    for number in range(2000):
        committer.write(_put(number))
        if number % 100 == 99:
            for _ in range(2):  # the thread has copied the log before it takes the second one
                committer.send(_put(number)).result()
    assert {"chatkeep-index"} == set(copied_by)
    assert log.stat().st_size < 400 * 4096
