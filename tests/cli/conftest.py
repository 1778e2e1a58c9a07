"""What the tests of the command line share: commands run in this process, on a workspace of their own."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Protocol

import pytest
from msgspec import Struct

from chatkeep.cli import main
from chatkeep.core.model import Json
from chatkeep.store.files.store import FilesStore


class Outcome(Struct, frozen=True):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Json:
        """What was printed, as JSON."""
        return json.loads(self.out)


class Run(Protocol):
    """Runs a command and checks its exit code."""

    def __call__(self, *args: str, stdin: bytes = b"", code: int = 0) -> Outcome:
        """Return what the command printed."""
        ...


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return the place of a workspace that does not exist yet."""
    return tmp_path / "workspace"


@pytest.fixture
def empty(workspace: Path) -> Path:
    """Return a workspace without sessions."""
    FilesStore.open(workspace).close()
    return workspace


@pytest.fixture
def run(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command."""
    monkeypatch.setenv("CHATKEEP_WORKSPACE", str(workspace))

    def run_command(*args: str, stdin: bytes = b"", code: int = 0) -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as exited:
            main(args)
        printed = capsys.readouterr()
        outcome = Outcome(int(exited.value.code or 0), printed.out, printed.err)
        assert code == outcome.code, outcome
        assert "Traceback" not in outcome.err
        return outcome

    return run_command
