"""Replacing a file: the old one or the new one, whole, and nothing beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chatkeep.disk.replacing import fresh_file, replace_file
from chatkeep.errors import ConflictError


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_replace_file_on_a_refusing_disk_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Whichever step fails, the old content stays, and no unfinished file."""
    path = tmp_path / "kept"
    replace_file(path, b"old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new")
    assert {"kept": b"old"} == _files(tmp_path)


def test_replace_file_after_a_crash_removes_what_it_left(tmp_path: Path) -> None:
    """An unfinished file of a killed process does not stop the next change."""
    path = tmp_path / "kept"
    (tmp_path / ".kept.new").write_bytes(b"half")
    replace_file(path, b"whole")
    assert {"kept": b"whole"} == _files(tmp_path)
    assert 0o600 == path.stat().st_mode & 0o777


@pytest.mark.parametrize("has_links", [True, False])
def test_fresh_file_leaves_a_name_taken_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_links: bool
) -> None:
    """A file that somebody makes while ours is written stays, also where there are no hard links."""
    if not has_links:

        def refuse(*_: object, **__: object) -> None:
            raise OSError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "backup"
    with pytest.raises(ConflictError, match="--force"), fresh_file(path, replace=False):
        path.write_bytes(b"theirs")
    assert {"backup": b"theirs"} == _files(tmp_path)
    with fresh_file(path) as file:
        file.write(b"ours")
    assert {"backup": b"ours"} == _files(tmp_path)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
