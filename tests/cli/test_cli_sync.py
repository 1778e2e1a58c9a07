"""The command `sync`: what it finds, asks, remembers and takes in."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from chatkeep.syncing.running import only_sync
from tests.cli.test_cli_refusing_disk import hear_interrupts
from tests.cli.test_cli_serve import serving
from tests.syncing.following import Home, append, key_of, line, until

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return the only home on this machine, with a transcript in it."""
    for variable in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "HERMES_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = Home(tmp_path / "home")
    append(found.transcript(1), line("needle"))
    os.utime(found.transcript(1), (1, 1))  # a file that changed just now may be read twice
    return found


def test_sync_asks_once(run: Run, home: Home) -> None:
    """Nothing is taken in without consent; once given it is remembered, and forgotten when asked to."""
    assert "--yes" in run("sync", "--once", code=2).err
    assert [("claude-code", "found", 1)] == _listed(run)
    assert "1 new" in run("sync", "--once", "--dry-run").out
    assert "No session" in run("list").out
    asked = run("sync", "--once", "--yes")
    assert str(home.folder) in asked.err
    assert "1 new and 0 extended sessions with 1 message came in from 1 changed file.\n" == asked.out
    assert [("claude-code", "followed", 1)] == _listed(run)
    append(home.transcript(1), line("more"))
    os.utime(home.transcript(1), (2, 2))
    assert {"messages_added": 1, "files": 1}.items() <= run("sync", "--once", "--json").json.items()
    assert "Nothing new: no file has changed.\n" == run("sync", "--once").out
    assert "Nothing new in 1 changed file.\n" == run("sync", "--once", "--afresh").out
    run("sync", "--forget")
    assert [("claude-code", "found", 1)] == _listed(run)


def test_sync_a_named_folder(run: Run, home: Home, tmp_path: Path) -> None:
    """A folder elsewhere is taken in without a question; one of no known format is refused."""
    elsewhere = Home(tmp_path / "elsewhere")
    append(elsewhere.transcript(2), line("other", session=2))
    run("sync", str(elsewhere.folder), "--once")
    assert [key_of(2)] == [one["key"] for one in run("list", "--json").json["sessions"]]
    assert "is not a folder" in run("sync", str(home.transcript(1)), "--once", code=2).err


def test_sync_says_where_it_found_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without histories is no success."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "Name a folder" in run("sync", "--once", "--yes", code=3).err


def test_sync_masks_secrets(run: Run, home: Home) -> None:
    """With `--redact` no secret is stored."""
    secret = "sk-proj-" + "a1B2c3D4" * 6
    append(home.transcript(1), line(f"my key is {secret}"))
    assert "Masked" in run("sync", "--once", "--yes", "--redact").err
    assert secret not in run("export").out


@pytest.mark.usefixtures("home")
def test_sync_one_at_a_time(run: Run, workspace: Path) -> None:
    """A second sync of a workspace is refused; nothing is done twice."""
    with only_sync(workspace):
        assert "Another sync" in run("sync", "--once", "--yes", code=4).err
    run("sync", "--once", "--yes")


def test_sync_goes_on_after_kills(home: Home, workspace: Path) -> None:
    """A sync killed while it takes in lost nothing and doubles nothing; Ctrl-C ends one well."""
    command = [sys.executable, "-m", "chatkeep", "sync", str(home.folder), "--json", "-w", str(workspace)]
    texts = ["needle"]
    for turn in range(2):
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_interrupts,  # noqa: PLW1509 - sets a handler, no more
        )
        assert process.stdout is not None
        assert process.stderr is not None
        assert "Following" in process.stderr.readline()
        for number in range(20):
            texts.append(f"line {turn} {number}")
            append(home.transcript(1), line(texts[-1]))
        while "taken" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGKILL if turn == 0 else signal.SIGINT)
        process.communicate()
        if turn == 1:
            assert 0 == process.returncode
    subprocess.run([*command, "--once"], check=True, capture_output=True)
    shown = subprocess.run(
        [sys.executable, "-m", "chatkeep", "export", key_of(1), "--format", "json", "-w", str(workspace)],
        check=True,
        capture_output=True,
    )
    (session,) = _sessions(shown.stdout)
    assert texts == [message["content"] for message in session["messages"]]


def test_serve_follows_other_programs(home: Home, workspace: Path) -> None:
    """With `--sync`, a server has what other programs wrote before and meanwhile, and ends with its process."""
    with serving(workspace, "--sync", "--rate-limit-ip", "0", "--rate-limit-token", "0") as (address, printed):
        token = re.search(r"ck_[A-Za-z0-9_-]{32,}", printed)
        assert token is not None
        headers = {"Authorization": f"Bearer {token[0]}"}

        def has(word: str) -> bool:
            answer = httpx.get(f"{address}/api/sessions/search", params={"q": word}, headers=headers, timeout=20)
            return bool(answer.json()["sessions"])

        until(lambda: has("needle"))
        append(home.transcript(1), line("haystack"))
        until(lambda: has("haystack"))
    with only_sync(workspace):
        pass


def _sessions(exported: bytes) -> list[dict[str, list[dict[str, str]]]]:
    found = json.loads(exported)
    return found if isinstance(found, list) else [found]


def _listed(run: Run) -> list[tuple[str, str, int]]:
    homes = run("sync", "--list", "--json").json["homes"]
    return [(one["format"], one["state"], one["files"]) for one in homes]
