"""Sessions merged many together: the failure of one is its own."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from chatkeep.core.model import Merged
from chatkeep.disk.locks import file_locked
from chatkeep.errors import BusyError
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
