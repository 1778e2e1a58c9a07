"""Databases of other programs are read as they are, log included, and nothing of them or beside them changes."""

from __future__ import annotations

import gzip
import io
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chatkeep import importers
from chatkeep.core.model import Session
from chatkeep.errors import BrokenInputError
from chatkeep.importers import Flaw, Piped, Reading
from chatkeep.importers.logs.sqlite_files import database_in
from tests.importers.formats.agents.test_samples import OWN

SCRIPT = (OWN / "hermes.sql").read_text()
INSERT = (
    "INSERT INTO messages (session_id, role, content, timestamp) VALUES ('20260801_100100_bb', 'user', ?, 1785578470.0)"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a state database."""
    place = tmp_path / "hermes"
    place.mkdir()
    with closing(sqlite3.connect(place / "state.db")) as database:
        database.executescript(SCRIPT)
    return place


def state_of(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return the bytes, times and places of the files in a folder."""
    found = {file.name: (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_ino) for file in folder.iterdir()}
    return found | {".": (b"", folder.stat().st_mtime_ns, folder.stat().st_ino)}


def words(source: Path | Piped) -> list[object]:
    """Return the contents of all messages in a source without flaws."""
    records = list(importers.read_sessions(source, "hermes"))
    assert [] == [record for record in records if isinstance(record, Flaw)]
    return [message.content for record in records if isinstance(record, Session) for message in record.messages]


@pytest.fixture
def writer(folder: Path) -> Iterator[sqlite3.Connection]:
    """Return an open connection of the program to its database, with a write-ahead log."""
    with closing(sqlite3.connect(folder / "state.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA wal_autocheckpoint = 0")
        yield database


def test_read_a_database_with_its_log(folder: Path, writer: sqlite3.Connection) -> None:
    """Rows that are only in the write-ahead log are read; no byte, time or name in the folder changes."""
    writer.execute(INSERT, ("only in the log",))
    before = state_of(folder)
    assert {"state.db", "state.db-wal", "state.db-shm", "."} == before.keys()
    assert "hermes" == importers.sniff(folder)
    assert "only in the log" in words(folder)
    assert before == state_of(folder)


def test_read_a_database_that_nobody_has_open(folder: Path) -> None:
    """Reading in place leaves nothing behind, in the mode of a write-ahead log either."""
    with closing(sqlite3.connect(folder / "state.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
    before = state_of(folder)
    assert "Check the price" in words(folder / "state.db")
    assert before == state_of(folder)


def test_read_a_database_behind_a_crash(folder: Path, tmp_path: Path) -> None:
    """What a transaction had written before a crash is rolled back in a copy, not in the original."""
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    with closing(sqlite3.connect(folder / "state.db", isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = 2")
        database.execute("BEGIN")
        database.executemany(INSERT, [("never committed " * 200,)] * 200)
        for file in folder.iterdir():
            shutil.copyfile(file, crashed / file.name)
        database.execute("ROLLBACK")
    assert (crashed / "state.db-journal").stat().st_size
    before = state_of(crashed)
    assert [] == [text for text in words(crashed / "state.db") if "never committed" in str(text)]
    assert before == state_of(crashed)


def test_read_a_packed_database_and_a_pipe(folder: Path, tmp_path: Path) -> None:
    """A database may be compressed, or come through a pipe."""
    expected = words(folder / "state.db")
    packed = tmp_path / "state.db.gz"
    packed.write_bytes(gzip.compress((folder / "state.db").read_bytes()))
    assert "hermes" == importers.sniff(packed)
    assert expected == words(packed)
    assert expected == words(Piped("stdin", io.BytesIO((folder / "state.db").read_bytes())))


def test_mend_text_that_is_no_utf8(folder: Path) -> None:
    """A broken character in one value costs no row."""
    with closing(sqlite3.connect(folder / "state.db", isolation_level=None)) as database:
        database.execute(INSERT.replace("?", "CAST(x'61ff62' AS TEXT)"))
    assert "a�b" in words(folder / "state.db")


def test_refuse_what_is_no_whole_database(folder: Path, tmp_path: Path) -> None:
    """A cut database becomes a flaw with a reason; what stands before the damage comes in."""
    path = tmp_path / "cut.db"
    path.write_bytes((folder / "state.db").read_bytes()[:5000])
    found = list(importers.read_sessions(path, "hermes"))
    assert isinstance(found[-1], Flaw)
    assert "database" in found[-1].reason
    path.write_bytes(b"SQLite format 3\0" + b"x" * 200)
    with pytest.raises(BrokenInputError, match="database"), database_in(path, Reading()):
        pass


def test_run_no_code_of_a_database(folder: Path) -> None:
    """A view in place of a table is not read: it may compute for ever."""
    with closing(sqlite3.connect(folder / "state.db", isolation_level=None)) as database:
        database.execute("ALTER TABLE messages RENAME TO kept")
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id FROM n"
        database.execute(f"CREATE VIEW messages AS {endless}")
    assert [] == words(folder / "state.db")


def test_find_rows_without_an_index(folder: Path) -> None:
    """Rows are found by any column; the source need have no index, and gets none."""
    with database_in(folder / "state.db", Reading()) as database:
        found = list(database.rows("messages", by="session_id", value="20260801_100100_bb", order=("id",)))
        assert ["Check the price", "499 kroner."] == [row["content"] for row in found]
        assert [] == list(database.rows("messages", by="nothing", value=1))
        assert [] == list(database.rows("nothing"))
