"""Every sample of a tool's own files becomes all the messages that are in it, and none of them twice.

`CHATKEEP_SAMPLES` names a folder with more samples, a folder for each format. They are read besides our own.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatkeep import importers
from chatkeep.core.model import Message, Session, text_of
from chatkeep.importers import Flaw
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from tests.importers.formats.agents.counting import COUNTERS

OWN = Path(__file__).parents[2] / "samples"
GIVEN = os.environ.get("CHATKEEP_SAMPLES")
FOLDERS = {"openclaw-pi": "openclaw", "llm-logsdb": "llm"}
"""Other names of folders with samples."""

_SUFFIXES = (".json", ".jsonl", ".jsonl.gz", ".db")
_BESIDE = ("sessions.json", "session_index.jsonl", ".meta.json", ".contract.json", "export.json")
"""Files that are no sessions, and those with a test of their own."""


def samples_in(place: Path, databases: Path) -> Iterator[tuple[str, Path]]:
    """Yield each sample with its format; a script of SQL becomes a database first."""
    for folder in sorted(place.iterdir()):
        fmt = FOLDERS.get(folder.name, folder.name)
        if folder.is_file() and folder.suffix == ".sql":
            yield folder.stem, database_of(folder, databases)
        if not folder.is_dir() or fmt not in COUNTERS:
            continue
        for file in sorted(folder.rglob("*")):
            if file.suffix == ".sql":
                yield fmt, database_of(file, databases)
            is_log = file.name.endswith(_SUFFIXES) or ".jsonl." in file.name
            if is_log and not file.name.endswith(_BESIDE) and "storage" not in file.parts:
                yield fmt, file


def database_of(script: Path, folder: Path) -> Path:
    """Return a database made by a script."""
    path = folder / f"{script.parent.name}-{script.stem}.db"
    with sqlite3.connect(path) as database:
        database.executescript(script.read_text())
    database.close()
    return path


def imported(path: Path, fmt: str) -> dict[tuple[str, str], Message]:
    """Return the messages of a source: those of forks once, by where they were said."""
    found: dict[tuple[str, str], Message] = {}
    for one in importers.read_sessions(path, fmt):
        if isinstance(one, Session):
            is_fork = "forked_from" in one.header.metadata
            base = one.header.key.rpartition("/")[0] if is_fork and "/" in one.header.key else one.header.key
            found |= {(base, message.id): message for message in one.messages}
    return found


@pytest.mark.parametrize("place", [OWN, *([Path(GIVEN)] if GIVEN else [])], ids=["own", *(["given"] if GIVEN else [])])
def test_import_every_sample(place: Path, tmp_path: Path) -> None:
    """As many messages come in as an independent count finds, every text among them, and none a second time."""
    for fmt, sample in samples_in(place, tmp_path):
        assert (fmt, sample) == (importers.sniff(sample), sample)
        messages = imported(sample, fmt)
        count, texts = COUNTERS[fmt](sample)
        assert (count, sample) == (len(messages), sample)
        said = "\n".join(text_of(message.content) for message in messages.values())
        assert [] == [text for text in texts if text not in said], sample
        sessions = Sessions(MemoryStore())
        first = importers.take_in(sessions, importers.read_sessions(sample, fmt))
        again = importers.take_in(sessions, importers.read_sessions(sample, fmt))
        assert (0, 0, first.messages_added) == (again.sessions_created, again.messages_added, again.messages_skipped)
        assert [] == [flaw for flaw in first.errors if "is not JSON" not in flaw.reason]


@pytest.mark.parametrize("fmt", ["claude-code", "codex", "openclaw", "gemini-cli", "nanobot", "opencode"])
def test_import_the_folder_of_a_tool(fmt: str) -> None:
    """A tool's own folder is recognised, and all of its sessions come in without a flaw."""
    assert fmt == importers.sniff(OWN / fmt)
    records = list(importers.read_sessions(OWN / fmt, fmt))
    assert [] == [record for record in records if isinstance(record, Flaw)]
    keys = [record.header.key for record in records if isinstance(record, Session)]
    assert len(keys) == len(set(keys)) > 0
