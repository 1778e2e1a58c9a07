"""Commands find the sessions where the setting `store` puts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is named as the store."""
    monkeypatch.setenv("CHATKEEP_STORE", f"files:{tmp_path}/else%20where")
    return tmp_path / "else where"


def test_keep_sessions_elsewhere(run: Run, workspace: Path, elsewhere: Path, tmp_path: Path) -> None:
    """Sessions, index, checks and backups are those of the store, and tokens those of the workspace."""
    run("append", "a", "Hello", "--role", "user")
    run("token", "create")
    assert {"tokens.json"} == {path.name for path in workspace.iterdir() if path.suffix == ".json"}
    assert 1 == len(list((elsewhere / "sessions").iterdir()))
    assert 1 == run("list", "--json").json["total"]
    assert 1 == run("reindex", "--json").json["session_count"]
    assert str(elsewhere) == run("stats", "--json").json["workspace"]
    assert [] == run("doctor", "--json").json["findings"]
    assert 1 == run("backup", str(tmp_path / "b.zip"), "--json").json["session_count"]
    run("delete", "a", "--yes")
    assert 1 == run("restore", str(tmp_path / "b.zip"), "--json").json["session_count"]
    assert "Hello" in run("show", "a").out
    assert not (workspace / "sessions").exists()


def test_check_tokens_of_another_folder(run: Run, workspace: Path, elsewhere: Path) -> None:
    """Damaged tokens are found beside a store elsewhere, and left to their owner."""
    run("append", "a", "Hello", "--role", "user")
    workspace.mkdir()
    (workspace / "tokens.json").write_text("{")
    (found,) = run("doctor", "--fix", "--json", code=7).json["findings"]
    assert ("tokens.json", "leave") == (found["file"], found["remedy"])
    assert "{" == (workspace / "tokens.json").read_text()
    assert (elsewhere / "sessions").is_dir()


def test_refuse_a_store_that_is_not_there(run: Run, empty: Path, elsewhere: Path) -> None:
    """A mistyped store is not taken for an empty one, even beside a workspace with tokens."""
    run("token", "create")
    for command in (("list",), ("doctor",), ("reindex",), ("backup", str(empty / "x.zip"))):
        assert f"There is no store in {elsewhere}" in run(*command, code=3).err
    assert not elsewhere.exists()


def test_refuse_a_store_that_ends_with_the_command(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command neither stores what would be lost, nor takes a new store for an empty one, nor looks after files."""
    monkeypatch.setenv("CHATKEEP_STORE", "memory:")
    for line in ("append a Hello --role user", "list", "stats", "demo", "reindex"):
        assert "memory: ends with the process" in run(*line.split(), code=2).err
    for command in (["doctor"], ["backup", str(tmp_path / "x.zip")]):
        assert "memory: cannot be checked" in run(*command, code=2).err
    assert not (tmp_path / "x.zip").exists()


def test_refuse_an_unknown_store(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable and the kinds of stores, and no password."""
    monkeypatch.setenv("CHATKEEP_STORE", "mysql://me:secret@db/chat")
    told = run("list", code=2).err
    assert (
        "CHATKEEP_STORE: there is no store of the kind mysql: (there are files:FOLDER and memory: and postgresql://HOST/DATABASE)"
        in told
    )
    assert "secret" not in told
