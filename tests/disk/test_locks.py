"""Locks: one holder at a time, and no wait without an end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chatkeep.disk.locks import file_locked
from chatkeep.errors import BusyError, StorageError


def test_file_locked_by_somebody_is_busy_and_free_afterwards(tmp_path: Path) -> None:
    """A second holder gets an error with the name of the guarded thing, and the lock once it is free."""
    path = tmp_path / "lock"
    with (
        file_locked(path),
        pytest.raises(BusyError, match="The ledger is busy"),
        file_locked(path, time.monotonic(), guarded="ledger"),
    ):
        pass
    with file_locked(path, time.monotonic()):
        assert 0o600 == path.stat().st_mode & 0o777


def test_file_locked_through_a_link_is_refused(tmp_path: Path) -> None:
    """Nobody can point the lock at a file of somebody else."""
    (tmp_path / "other").write_bytes(b"")
    (tmp_path / "lock").symlink_to(tmp_path / "other")
    with pytest.raises(StorageError), file_locked(tmp_path / "lock"):
        pass
