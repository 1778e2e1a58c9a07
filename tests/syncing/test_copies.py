"""Copies of changed files: what a program destroys before its file is read comes in all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatkeep.syncing import copies
from chatkeep.syncing.copies import Copies


def test_keep_what_is_no_longer_there(tmp_path: Path) -> None:
    """A copy that the file still begins with is not needed; others are, oldest first, also of a deleted file."""
    file = tmp_path / "a.jsonl"
    kept = Copies()
    for content in (b"one\n", b"one\ntwo\n", b"three\n", b"four\n"):
        file.write_bytes(content)
        kept.make(file, len(content))
    file.write_bytes(b"four\nfive\n")
    assert [b"one\ntwo\n", b"three\n"] == list(kept.take(file))
    assert [] == list(kept.take(file))
    kept.make(file, 10)
    file.unlink()
    assert [b"four\nfive\n"] == list(kept.take(file))


def test_keep_copies_that_could_not_be_read_in(tmp_path: Path) -> None:
    """A refusing disk loses none of them."""
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"one")
    kept = Copies()
    kept.make(file, 3)
    file.write_bytes(b"two")
    kept.make(file, 3)
    file.unlink()
    taken = kept.take(file)
    kept.put_back(file, taken[1:])
    assert [b"two"] == list(kept.take(file))


def test_copy_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files, databases, and more than the memory for copies are left on the disk."""
    monkeypatch.setattr(copies, "_ALL_BYTES_MAX", 10)
    kept = Copies()
    for name in ("a.jsonl", "b.jsonl", "state.db"):
        file = tmp_path / name
        file.write_bytes(b"12345678")
        kept.make(file, 8)
        file.unlink()
    kept.make(tmp_path / "missing", 8)
    assert [1, 0, 0] == [len(kept.take(tmp_path / name)) for name in ("a.jsonl", "b.jsonl", "state.db")]
