"""A database in memory over a file that is only read."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from chatkeep.store.files.index.overlay import Copy, Overlay, snapshot


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """Return a database whose last commit is in its write-ahead log alone, as long as the test lasts."""
    path = tmp_path / "base"
    with closing(apsw.Connection(str(path))) as db:
        assert "wal" == db.pragma("journal_mode", "wal")
        db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT); CREATE VIRTUAL TABLE words USING fts5 (text)")
        db.executemany("INSERT INTO t VALUES (?, ?)", ((number, "x" * 100) for number in range(1000)))
        list(db.execute("PRAGMA wal_checkpoint(truncate)"))
        db.execute("INSERT INTO words VALUES ('in the log')")
        os.utime(path, (0, 0))
        yield path


@pytest.fixture
def opened(base: Path) -> Iterator[Callable[[], apsw.Connection]]:
    """Return a way to connect to the database over the base, with the log taken in."""
    overlay = Overlay(base)
    connections: list[apsw.Connection] = []

    def connect() -> apsw.Connection:
        path, flags, vfs = overlay.connected()
        connections.append(apsw.Connection(path, flags=flags, vfs=vfs))
        return connections[-1]

    first = connect()
    first.pragma("locking_mode", "exclusive")
    first.pragma("journal_mode", "delete")
    first.close()
    yield connect
    for connection in connections:
        connection.close()
    overlay.close()


def test_read_what_the_base_and_its_log_have(opened: Callable[[], apsw.Connection]) -> None:
    """What is only in the log is there, and all the rest."""
    db = opened()
    assert (1000, 1) == db.execute("SELECT count(*), (SELECT count(*) FROM words('log')) FROM t").get


def test_write_leaves_the_base_as_it_is(base: Path, opened: Callable[[], apsw.Connection]) -> None:
    """What is written is seen by every connection here, and no byte of the disk changes."""
    before = {path.name: path.read_bytes() for path in base.parent.iterdir() if not path.name.endswith("-shm")}
    db, other = opened(), opened()
    db.execute("DELETE FROM t WHERE n >= 10; INSERT INTO words VALUES ('another one'); VACUUM")

    assert (10, 2) == other.execute("SELECT count(*), (SELECT count(*) FROM words) FROM t").get
    assert "ok" == other.pragma("integrity_check")
    after = {path.name: path.read_bytes() for path in base.parent.iterdir() if not path.name.endswith("-shm")}
    assert before == after


def test_read_of_a_base_that_has_changed_is_refused(base: Path, opened: Callable[[], apsw.Connection]) -> None:
    """Pages of two states of the base are never mixed: the database is lost when others write it."""
    db = opened()
    assert 1 == db.execute("SELECT count(*) FROM words").get
    with closing(apsw.Connection(str(base))) as writer:
        writer.execute("UPDATE t SET text = 'y'")
        list(writer.execute("PRAGMA wal_checkpoint(truncate)"))

    with pytest.raises(apsw.CorruptError):
        list(db.execute("SELECT sum(length(text)) FROM t"))


def test_write_while_others_read(opened: Callable[[], apsw.Connection]) -> None:
    """A writer waits for readers, readers for a writer that ends, and two writers are never at it."""
    reader, writer, other = opened(), opened(), opened()
    rows = reader.execute("SELECT n FROM t")
    next(rows)
    writer.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (5000, 'new')")

    with pytest.raises(apsw.BusyError):
        other.execute("BEGIN IMMEDIATE")
    with pytest.raises(apsw.BusyError):
        writer.execute("COMMIT")
    assert 999 == len(list(rows))
    writer.execute("COMMIT")
    assert 1001 == reader.execute("SELECT count(*) FROM t").get


def test_many_threads_see_whole_transactions(opened: Callable[[], apsw.Connection]) -> None:
    """What is written together is seen together."""
    writer, wrong = opened(), []
    stop = threading.Event()

    def look(db: apsw.Connection) -> None:
        db.set_busy_timeout(5000)
        while not stop.is_set():
            low, high = db.execute("SELECT min(text), max(text) FROM t WHERE n < 3").get
            if low != high:
                wrong.append((low, high))

    threads = [threading.Thread(target=look, args=(opened(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    writer.set_busy_timeout(5000)
    for number in range(200):
        writer.execute("BEGIN IMMEDIATE; UPDATE t SET text = ? WHERE n < 3; COMMIT", (f"{number}",))
    stop.set()
    for thread in threads:
        thread.join()
    assert [] == wrong


def test_copy_is_what_a_file_would_be(tmp_path: Path) -> None:
    """Reads, writes and truncations anywhere give what they give of a file."""
    path = tmp_path / "file"
    content = os.urandom(10_000)
    path.write_bytes(content)
    copy, model = Copy(path), bytearray(content)
    for start, data in ((0, b"a" * 10), (4090, b"b" * 20), (9_990, b"c" * 5000), (30_000, b"d")):
        copy.write(start, data)
        model[len(model) :] = bytes(max(0, start - len(model)))
        model[start : start + len(data)] = data
        assert bytes(model) == copy.read(0, 100_000)
    for size in (20_000, 4_100, 4_096, 5):
        copy.truncate(size)
        del model[size:]
        assert bytes(model) == copy.read(0, 100_000)
    copy.write(6_000, b"e")
    assert bytes(model[:5]) + bytes(5_995) + b"e" == copy.read(0, 100_000)
    assert content == path.read_bytes()
    copy.close()


def test_log_is_read_again_when_it_began_anew() -> None:
    """A log that somebody begins anew while it is read is read again, so that no old piece is taken for a new one."""
    old, new = b"o" * 500, b"n" * 700

    class Renewed(io.BytesIO):
        def readall(self) -> bytes:
            found = super().read()
            if found == old:
                self.seek(0)
                self.write(new)
            return found

    assert new == snapshot(Renewed(old))  # type: ignore[arg-type]
