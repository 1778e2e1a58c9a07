"""Sessions merged many together: the failure of one is its own, and one of the index fails none."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from chatkeep.core.model import Merged, Selection
from chatkeep.disk.locks import file_locked
from chatkeep.disk.sqlite import transaction
from chatkeep.errors import BusyError
from chatkeep.store.files.index import databases
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree import tombstones
from chatkeep.testing import session, talk


def test_merge_all_where_a_deletion_cannot_be_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the session that was deleted is refused while another process has the list of deletions."""
    monkeypatch.setattr(tombstones, "_LOCK_WAIT_S", 0.01)
    with closing(FilesStore.open(tmp_path)) as store:
        store.append("cli:gone", talk(1))
        store.delete("cli:gone")
        sessions = [session(key, talk(2)) for key in ("cli:before", "cli:gone", "cli:behind")]
        with file_locked(tmp_path / "tombstones.lock", time.monotonic() + 5):
            told = store.merge_all(sessions)
        assert [Merged, BusyError, Merged] == [type(one) for one in told]
        again = store.merge_all(sessions)
        assert [False, True, False] == [isinstance(one, Merged) and one.created for one in again]


def test_merge_all_where_the_index_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New sessions are stored although another process keeps the index, and the index has them later."""
    monkeypatch.setattr(databases, "_BUSY_S", 0.01)
    keys = tuple(f"cli:{number}" for number in range(3))
    with closing(FilesStore.open(tmp_path)) as store:
        (index,) = tmp_path.glob("index*.sqlite3")
        with closing(apsw.Connection(str(index))) as other, transaction(other):
            told = store.merge_all([session(key, talk(2)) for key in keys])
        assert [True] * 3 == [isinstance(one, Merged) and one.created for one in told]
        assert keys == store.keys(Selection()).keys
