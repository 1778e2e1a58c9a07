"""Names of sessions from the index alone, for a person at a prompt."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatkeep.store.files.index.known_names import IndexNames
from chatkeep.store.files.store import FilesStore
from chatkeep.testing import talk


@pytest.mark.parametrize(
    "prefix,limit,found",
    [
        ("api:", 100, ["api:1", "api:2"]),
        ("api:", 1, ["api:1"]),
        ("", 100, ["api:1", "api:2", "cli:%_", "été"]),
        ("cli:%", 100, ["cli:%_"]),
        ("ét", 100, ["été"]),
        ("b", 100, []),
    ],
)
def test_recall_keys_by_their_beginning(tmp_path: Path, prefix: str, limit: int, found: list[str]) -> None:
    """They come by code point, and no character of a beginning has a meaning."""
    _fill(tmp_path, "api:1", "été", "cli:%_", "api:2")
    assert found == IndexNames(tmp_path).keys(prefix, limit)


def test_recall_channels_with_sessions(tmp_path: Path) -> None:
    """A channel goes with its last session."""
    _fill(tmp_path, "api:1", "cli:1", "slack:1")
    store = FilesStore.open(tmp_path)
    store.delete("cli:1")
    store.close()
    assert ["api", "slack"] == IndexNames(tmp_path).channels()


def test_recall_beside_an_open_store(tmp_path: Path) -> None:
    """What another process wrote last counts, before it closes the store."""
    store = FilesStore.open(tmp_path)
    store.append("cli:1", talk(1))
    assert ["cli:1"] == IndexNames(tmp_path).keys("cli", 10)
    store.close()


def test_recall_nothing_where_it_is_in_doubt(tmp_path: Path) -> None:
    """Without an index, with two, a broken or a linked one there is no name, no error, and nothing is made."""
    workspace = tmp_path / "here"
    assert [] == IndexNames(workspace).keys("", 10)
    assert not workspace.exists()
    _fill(workspace, "cli:1")
    (index,) = workspace.glob("index-*.sqlite3")
    second = workspace / "index-0123456789.sqlite3"
    second.write_bytes(index.read_bytes())
    assert [] == IndexNames(workspace).keys("", 10)
    index.unlink()
    second.write_bytes(b"no database" * 1000)
    assert [] == IndexNames(workspace).keys("", 10)
    second.unlink()
    second.symlink_to(tmp_path / "elsewhere")
    assert [] == IndexNames(workspace).channels()
    assert not (tmp_path / "elsewhere").exists()


def _fill(workspace: Path, *keys: str) -> None:
    store = FilesStore.open(workspace)
    for key in keys:
        store.append(key, talk(1))
    store.close()
