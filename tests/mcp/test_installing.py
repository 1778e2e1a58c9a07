"""`chatkeep mcp install`: it asks, inserts one entry, and leaves the rest of the settings as they are."""

from __future__ import annotations

import io
import json
import sys
import tomllib
from pathlib import Path

import pytest

from chatkeep.cli import main

OLD = '{\n  "theme": "dark", "n": 1.0e0,\n  "mcpServers": {"other": {"command": "x"}}\n}\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a workspace, and settings of two programs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CHATKEEP_WORKSPACE", str(tmp_path / "chats"))
    monkeypatch.delenv("CODEX_HOME", raising=False)
    (tmp_path / ".claude.json").write_text(OLD)
    (tmp_path / ".claude.json").chmod(0o640)
    assert 0 == called("append", "cli:a", "Hello", "--role", "user")
    return tmp_path


def called(*args: str) -> int:
    """Return the exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main(args)
    return int(ended.value.code or 0)


def _typing(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)


def test_install_after_asking(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a yes there is one more entry, in a file with the same rights; with a no, or nobody to ask, nothing."""
    path = home / ".claude.json"
    _typing(monkeypatch, "n\n")
    assert 1 == called("mcp", "install", "claude-code")
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert 2 == called("mcp", "install", "claude-code")
    assert OLD == path.read_text()
    _typing(monkeypatch, "y\n")
    assert 0 == called("mcp", "install", "claude-code", "--prefix", "cli:", "--read-only")
    assert path.read_text().endswith('"other": {"command": "x"}}\n}\n')
    own = json.loads(path.read_text())["mcpServers"]["chatkeep"]
    place = str(home / "chats")
    assert sys.executable == own["command"]
    assert ["-m", "chatkeep", "mcp", "--workspace", place, "--prefix", "cli:", "--read-only"] == own["args"]
    assert 0o640 == path.stat().st_mode & 0o777
    assert 4 == called("mcp", "install", "claude-code", "--yes")


def test_install_behind_a_link(home: Path) -> None:
    """A link stays a link; the file behind it gets the entry; a second time changes nothing."""
    (home / "dotfiles").mkdir()
    (home / ".codex").mkdir()
    (home / "dotfiles" / "config.toml").write_text("# mine\n")
    (home / ".codex" / "config.toml").symlink_to(home / "dotfiles" / "config.toml")
    for _ in range(2):
        assert 0 == called("mcp", "install", "codex", "--yes", "--url", "https://a.example/mcp")
    assert (home / ".codex" / "config.toml").is_symlink()
    text = (home / "dotfiles" / "config.toml").read_text()
    assert text.startswith("# mine\n")
    assert "CHATKEEP_TOKEN" == tomllib.loads(text)["mcp_servers"]["chatkeep"]["bearer_token_env_var"]


@pytest.mark.parametrize(
    "args,code",
    [
        (("cursor", "--yes"), 3),
        (("emacs", "--yes"), 2),
        (("claude-code", "--yes", "--url", "https://a.example/mcp?key=ck_secret"), 2),
        (("claude-code", "--yes", "--url", "https://me:ck_secret@a.example/mcp"), 2),
        (("claude-code", "--yes", "--url", "a.example/mcp"), 2),
        (("claude-code", "--yes", "--url", "https://a.example/mcp", "--read-only"), 2),
        (("claude-code", "--yes", "--url", "https://a.example/mcp", "--prefix", "a:"), 2),
        (("claude-code", "--yes", "--workspace", "/nowhere/at/all"), 3),
    ],
)
def test_refuse_to_install(home: Path, args: tuple[str, ...], code: int) -> None:
    """A program that is not here, an unknown one, a token in an address and a missing workspace change nothing.

    Nor does a bound that no setting can keep: with an address, only the token confines the agent.
    """
    assert code == called("mcp", "install", *args)
    assert OLD == (home / ".claude.json").read_text()


def test_install_while_the_settings_change(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that the program wrote meanwhile stay as it wrote them."""
    path = home / ".claude.json"
    _typing(monkeypatch, "")
    monkeypatch.setattr(sys.stdin, "readline", lambda *_: "y\n" if path.write_text("{}") else "")
    assert 4 == called("mcp", "install", "claude-code")
    assert "{}" == path.read_text()
