"""Copies of changed files: what a program destroys before its file is read comes in all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatkeep.syncing import copies
from chatkeep.syncing.copies import Copies


def contents(kept: Copies, file: Path) -> list[bytes]:
    """Take the copies of a file and return their contents."""
    taken = [(copy, copy.content()) for copy in kept.take(file)]
    for copy, _ in taken:
        copy.drop()
    return [content for _, content in taken]


def test_keep_what_is_no_longer_there(tmp_path: Path) -> None:
    """A copy that the file still begins with is not needed; others are, oldest first, also of a deleted file."""
    file = tmp_path / "a.jsonl"
    kept = Copies(tmp_path / "copies")
    for content in (b"one\n", b"one\ntwo\n", b"three\n", b"four\n"):
        file.write_bytes(content)
        kept.make(file, "codex", len(content))
    file.write_bytes(b"four\nfive\n")
    assert [b"one\ntwo\n", b"three\n"] == contents(kept, file)
    assert [] == contents(kept, file)
    kept.make(file, "codex", 10)
    file.unlink()
    assert [b"four\nfive\n"] == contents(kept, file)


def test_keep_copies_that_could_not_be_read_in(tmp_path: Path) -> None:
    """A refusing disk loses none of them."""
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"one")
    kept = Copies(tmp_path / "copies")
    kept.make(file, "codex", 3)
    file.write_bytes(b"two")
    kept.make(file, "codex", 3)
    file.unlink()
    taken = kept.take(file)
    kept.put_back(file, taken[1:])
    assert [b"two"] == contents(kept, file)


def test_keep_copies_of_a_killed_sync(tmp_path: Path) -> None:
    """The next one has them, and reads their files; one that was not finished is dropped."""
    file = tmp_path / "a.jsonl"
    first = Copies(tmp_path / "copies")
    for content in (b"one", b"two"):
        file.write_bytes(content)
        first.make(file, "codex", 3)
    file.unlink()
    (tmp_path / "copies" / "3").write_bytes(b'{"file":"/x","for')
    second = Copies(tmp_path / "copies")
    assert [(file, "codex")] * 2 == [(left.file, left.format) for left in second.left]
    assert [b"one", b"two"] == contents(second, file)
    assert [] == list((tmp_path / "copies").iterdir())


def test_copy_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files, databases, and more than the memory for copies are left on the disk."""
    monkeypatch.setattr(copies, "_ALL_BYTES_MAX", 10)
    kept = Copies(tmp_path / "copies")
    for name in ("a.jsonl", "b.jsonl", "state.db"):
        file = tmp_path / name
        file.write_bytes(b"12345678")
        kept.make(file, "codex", 8)
        file.unlink()
    kept.make(tmp_path / "missing", "codex", 8)
    assert [1, 0, 0] == [len(kept.take(tmp_path / name)) for name in ("a.jsonl", "b.jsonl", "state.db")]
