"""The homes of programs: where each keeps its history on a machine, by the system and the environment."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from chatkeep.errors import InvalidError, StorageError
from chatkeep.importers.homes import Machine, System
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from chatkeep.syncing.chosen import Choice, ChoiceFile, SyncedHome, home_at, homes_on
from chatkeep.syncing.taking import Taker
from tests.importers.formats.agents.test_samples import OWN

PLACES = {
    "claude-code": ".claude",
    "codex": ".codex",
    "openclaw": ".openclaw",
    "gemini-cli": ".gemini",
    "opencode": ".local/share/opencode",
    "hermes": ".hermes",
    "nanobot": ".nanobot",
    "pocketpaw": ".pocketpaw",
    "grip": ".grip/workspace",
}
SAMPLES = {
    "claude-code": ("claude-code", "."),
    "codex": ("codex", "."),
    "openclaw": ("openclaw", "."),
    "gemini-cli": ("gemini-cli", "."),
    "nanobot": ("nanobot", "."),
    "pocketpaw": ("pocketpaw", "."),
    "grip": ("grip", "."),
}


def furnished(home: Path, places: dict[str, str] = PLACES) -> None:
    """Put a sample of each program where it keeps its history."""
    for name, place in places.items():
        folder = home / place
        if name in SAMPLES:
            shutil.copytree(OWN / name, folder)
            continue
        folder.mkdir(parents=True)
        database = sqlite3.connect(folder / ("state.db" if name == "hermes" else "opencode.db"))
        database.executescript((OWN / f"{name}.sql").read_text("utf-8"))
        database.commit()
        database.close()


@pytest.mark.parametrize("system", ["linux", "macos", "windows"])
def test_find_the_homes_of_all_programs(tmp_path: Path, system: System) -> None:
    """Each is found in its usual place, with files in it, and every file gives sessions."""
    furnished(tmp_path)
    homes = homes_on(Machine(home=tmp_path, system=system))
    assert {SyncedHome(name, tmp_path / place) for name, place in PLACES.items()} == {*homes}
    taker = Taker(Sessions(MemoryStore()))
    for home in homes:
        reports = [taken.report for one in home.files() if (taken := taker.take(one, home.format)) is not None]
        assert sum(report.messages_added for report in reports), home


def test_find_homes_named_in_the_environment(tmp_path: Path) -> None:
    """A variable of a program names its folder, and the usual one is not looked at."""
    named = {
        "claude-code": "a",
        "codex": "b",
        "openclaw": "c",
        "gemini-cli": "d/.gemini",
        "opencode": "e/opencode",
        "hermes": "f",
    }
    variables = {"CLAUDE_CONFIG_DIR": "a", "CODEX_HOME": "b", "OPENCLAW_STATE_DIR": "c", "GEMINI_CLI_HOME": "d"}
    variables |= {"XDG_DATA_HOME": "e", "HERMES_HOME": "f"}
    furnished(tmp_path, named)
    furnished(tmp_path / "usual", {name: PLACES[name] for name in named})
    environ = {name: str(tmp_path / folder) for name, folder in variables.items()}
    homes = homes_on(Machine(home=tmp_path / "usual", environ=environ))
    assert {SyncedHome(name, tmp_path / place) for name, place in named.items()} == {*homes}


def test_find_homes_of_windows(tmp_path: Path) -> None:
    """Programs that keep their data among the local data of Windows are found there."""
    local = {"opencode": "AppData/Local/opencode", "hermes": "AppData/Local/hermes"}
    furnished(tmp_path, local)
    homes = homes_on(Machine(home=tmp_path, system="windows"))
    assert {SyncedHome(name, tmp_path / place) for name, place in local.items()} == {*homes}
    assert () == homes_on(Machine(home=tmp_path))


def test_find_no_home_without_history(tmp_path: Path) -> None:
    """A program that was installed and never used has none."""
    for place in PLACES.values():
        (tmp_path / place).mkdir(parents=True)
    assert () == homes_on(Machine(home=tmp_path))


def test_take_a_folder_by_its_content(tmp_path: Path) -> None:
    """A named folder is known by what is in it; one of an unknown or unfollowed format is refused."""
    furnished(tmp_path, {"codex": "kept"})
    assert SyncedHome("codex", tmp_path / "kept") == home_at(tmp_path / "kept")
    (tmp_path / "empty").mkdir()
    shutil.copytree(OWN / "telegram", tmp_path / "telegram")
    for folder, reason in (
        ("empty", "no session files"),
        ("none", "is not a folder"),
        ("telegram", "cannot be followed"),
    ):
        with pytest.raises(InvalidError, match=reason):
            home_at(tmp_path / folder)


def test_remember_a_choice(tmp_path: Path) -> None:
    """What was followed or declined is known again; an unreadable choice is no empty one."""
    kept = ChoiceFile(tmp_path)
    assert Choice() == kept.read()
    one, two, three = (SyncedHome("codex", Path(f"/{name}")) for name in "abc")
    kept.write(Choice(followed=(one,), declined=(two,)))
    assert [three] == list(kept.read().undecided([one, two, three]))
    (tmp_path / "sync" / "choice.json").write_text("{")
    with pytest.raises(StorageError, match="--forget"):
        kept.read()
