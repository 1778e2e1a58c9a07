"""A folder is one tool's home, or a mixture: then each file goes to its own importer."""

from __future__ import annotations

import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest

from chatkeep import importers
from chatkeep.errors import InvalidError
from tests.importers.formats.agents.test_samples import OWN, database_of

HOMES = {"claude-code": ".claude", "codex": ".codex", "openclaw": ".openclaw", "gemini-cli": ".gemini"}


def planned(folder: Path) -> list[tuple[str, str]]:
    """Return the formats and names of the sources in a folder."""
    plan = importers.plan_of(folder, importers.Catalogue())
    return [(one.importer.name, one.source.name) for one in plan.sources]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder."""
    place = tmp_path / "place"
    place.mkdir()
    return place


def test_plan_the_homes_of_tools(folder: Path) -> None:
    """Every home in a home directory is found, also in hidden folders; other hidden folders stay closed."""
    for name, home in HOMES.items():
        shutil.copytree(OWN / name, folder / home)
    (folder / ".hermes").mkdir()
    database_of(OWN / "hermes.sql", folder).rename(folder / ".hermes" / "state.db")
    (folder / ".cache").mkdir()
    shutil.copy(OWN / "opencode" / "export.json", folder / ".cache")
    expected = [*HOMES.items(), ("hermes", ".hermes")]
    assert sorted(expected) == sorted(planned(folder))
    assert [("codex", ".codex")] == planned(folder / ".codex")


def test_plan_a_mixture_of_files(folder: Path) -> None:
    """Files of several formats go to their importers one by one; those of none are named."""
    shutil.copy(OWN / "opencode" / "export.json", folder / "a.json")
    shutil.copytree(OWN / "nanobot" / "workspace", folder / "b")
    (folder / "c.json").write_text('{"properties": {"messages": [], "format": "x"}}')
    with ZipFile(folder / "e.zip", "w") as archive:
        archive.write(OWN / "claude-ai" / "claude_thinking_example.json", "conversations.json")
    (folder / "f.zip").write_bytes(b"PK\x03\x04 no archive")
    (folder / "d.txt").write_text("no sessions")
    plan = importers.plan_of(folder, importers.Catalogue())
    assert ["opencode", "nanobot", "nanobot", "claude-ai"] == [one.importer.name for one in plan.sources]
    assert [folder / "c.json", folder / "f.zip"] == list(plan.unknown)
    assert 3 == len({id(one.importer) for one in plan.sources})


def test_plan_a_folder_of_one_format_as_a_whole(folder: Path) -> None:
    """If one importer reads all files of a folder, it gets the folder: it may know more from the names in it."""
    shutil.copytree(OWN / "pocketpaw" / "memory" / "sessions", folder / "sessions")
    assert [("pocketpaw", "place")] == planned(folder)
    (folder / "sessions" / "_index.json").unlink()
    assert [("pocketpaw", "place")] == planned(folder)


def test_plan_no_folder_twice(folder: Path) -> None:
    """Links to folders are not followed, so a circle ends."""
    shutil.copy(OWN / "opencode" / "export.json", folder / "a.json")
    (folder / "loop").symlink_to(folder)
    deep = folder.joinpath(*["x"] * 300)
    deep.mkdir(parents=True)
    shutil.copy(OWN / "codex" / "sessions" / "rollout-2025-04-20-first.json", deep / "b.json")
    assert [("opencode", "a.json"), ("codex", "b.json")] == planned(folder)


def test_refuse_a_folder_without_sessions(folder: Path) -> None:
    """A folder with nothing to read is refused in a sentence."""
    (folder / "d.txt").write_text("no sessions")
    with pytest.raises(InvalidError, match="holds no session files"):
        planned(folder)
