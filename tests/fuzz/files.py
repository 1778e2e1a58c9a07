"""Files of other programs that are no text: databases, and archives of many files."""

from __future__ import annotations

import io
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from chatkeep import importers
from chatkeep.core.model import Session
from chatkeep.errors import ChatkeepError
from chatkeep.importers import Flaw

SAMPLES: Final = Path(__file__).parents[1] / "importers" / "samples"
_AT: Final = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
_PAGE_BYTES: Final = 512
"""The least of SQLite, so that a database of many tables has few bytes."""


def read_database(data: bytes) -> None:
    """A database of another program: whole sessions and flaws come of it, whatever its pages are."""
    _import(data, "state.db", ("hermes", "llm", "opencode"))


def read_archive(data: bytes) -> None:
    """A zip archive: refused as a whole, or unpacked into its own folder and read."""
    _import(data, "export.zip")


def _import(data: bytes, name: str, formats: tuple[str, ...] = ()) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        found = []
        with suppress(ChatkeepError):
            found = [importers.sniff(path, catalogue())]
        for fmt in {*formats, *found}:
            with suppress(ChatkeepError):
                for record in importers.read_sessions(path, fmt, zone=UTC, now=lambda: _AT):
                    assert isinstance(record, Session | Flaw)
        assert [path] == list(Path(folder).iterdir())
        assert data == path.read_bytes()


@cache
def catalogue() -> importers.Catalogue:
    """Return the importers, looked up once: an import does it once, too, whatever it reads."""
    known = importers.Catalogue()
    known.all()
    return known


def _database(script: Path) -> bytes:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        database.executescript(script.read_text())
        return database.serialize()


def _archive(files: dict[str, bytes], method: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return packed.getvalue()


def _archives() -> Iterator[bytes]:
    files = {
        "conversations.json": (SAMPLES / "claude-ai" / "claude_thinking_example.json").read_bytes(),
        "a/session.jsonl": b'{"role":"user","content":"a"}\n',
        "picture.png": b"\x89PNG",
    }
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield _archive(files, method)


DATABASES: Final = tuple(_database(script) for script in sorted(SAMPLES.glob("*.sql")))
ARCHIVES: Final = (*_archives(), *(file.read_bytes() for file in sorted(SAMPLES.rglob("*.zip"))))
