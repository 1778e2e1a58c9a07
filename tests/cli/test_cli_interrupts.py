"""Ctrl-C ends a command with what it has done and how to go on; who ignores it is not interrupted, but can be ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chatkeep.cli.interrupts import StoppedError, stoppable
from chatkeep.cli.screen import WorkBar
from chatkeep.store.files.store import FilesStore

if TYPE_CHECKING:
    from tests.cli.conftest import Run

LINE = '{{"key":"cli:{0}","messages":[{{"role":"user","content":"Hello {0}"}}]}}\n'


def interrupt_after(count: int) -> Callable[..., object]:
    """Return a function to call in place of another, at whose call of this number Ctrl-C comes."""
    calls = 0

    def interrupting(*_: object, **__: object) -> object:
        nonlocal calls
        calls += 1
        if calls == count:
            raise KeyboardInterrupt
        return None

    return interrupting


def test_stop_an_import(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was imported so far is said and stays; the same command goes on."""
    file = tmp_path / "many.jsonl"
    file.write_text("".join(LINE.format(number) for number in range(9)))
    monkeypatch.setattr("chatkeep.cli.screen.WorkBar.done_to_here", interrupt_after(4))
    stopped = run("import", str(file), code=130)
    told = "Stopped: at least 4 sessions imported so far; the same command goes on, and takes nothing in twice.\n"
    assert told == stopped.err
    stored = run("list", "--json").json["total"]  # some are stored together, before the first of them is told
    assert stored >= 4
    monkeypatch.undo()
    monkeypatch.setenv("CHATKEEP_WORKSPACE", str(tmp_path / "workspace"))
    assert 9 - stored == run("import", str(file), "--json").json["sessions_created"]


@pytest.mark.parametrize(
    "args,interrupted,told",
    [
        (("export", "--output", "{0}/out.json"), "chatkeep.cli.exporting.exported", "{0}/out.json was not written."),
        (("backup", "{0}/out.zip"), "chatkeep.store.files.care.backups.write_backup", "{0}/out.zip was not written."),
        (("delete", "a", "--yes"), "chatkeep.sessions.sessions.Sessions.delete", "0 of 1 session are deleted."),
        (("reindex",), "chatkeep.store.files.store.FilesStore.reindex", "the index is as it was."),
        (("doctor", "--fix"), "chatkeep.wiring.fixed_workspace", "what was put right stays so"),
    ],
)
def test_stop_a_command(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], interrupted: str, told: str
) -> None:
    """Every command that may take long says what is done when it is stopped, to programs as JSON."""
    run("append", "a", "Hello", "--role", "user")
    FilesStore.open(tmp_path / "workspace").close()
    monkeypatch.setattr(interrupted, interrupt_after(1))
    typed = [arg.format(tmp_path) for arg in args]
    assert f"Stopped: {told.format(tmp_path)}" in run(*typed, code=130).err
    assert not list(tmp_path.glob("*out*"))


def test_stop_any_command(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that has nothing to tell says that it was stopped."""
    run("append", "a", "Hello", "--role", "user")
    monkeypatch.setattr("chatkeep.sessions.sessions.Sessions.list", interrupt_after(1))
    assert "Stopped.\n" == run("list", code=130).err
    monkeypatch.setattr("chatkeep.sessions.sessions.Sessions.list", interrupt_after(1))
    assert {"error": {"code": "stopped", "detail": "Stopped."}} == json.loads(run("list", "--json", code=130).err)


def test_stoppable_lets_through_what_else_fails() -> None:
    """Ctrl-C alone becomes a sentence."""
    with pytest.raises(ValueError, match="other"), stoppable(lambda: "nothing"):
        raise ValueError("other")
    with pytest.raises(StoppedError, match=r"^Stopped: half\.$"), stoppable(lambda: "half."):
        raise KeyboardInterrupt


def test_serve_where_interrupts_are_ignored(tmp_path: Path) -> None:
    """A server that a script started in the background ends when it is told to."""
    script = f'trap "" INT HUP; exec {sys.executable} -m chatkeep serve'
    environ = {**os.environ, "CHATKEEP_WORKSPACE": str(tmp_path), "CHATKEEP_PORT": "0"}
    process = subprocess.Popen(
        ["/bin/sh", "-c", script], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    assert any("Started server process" in line for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in rest


def test_progress_lasts_as_long_as_the_work(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar of an import is not full before the last session is in, however early all was read."""
    seen: list[tuple[float | None, float]] = []

    class Watched(WorkBar):
        def done_to_here(self, told: str) -> None:
            self._bar.disable = False
            super().done_to_here(told)
            task = self._bar.tasks[0]
            seen.append((task.total, task.completed))
            self._bar.disable = True

    monkeypatch.setattr("chatkeep.cli.screen.WorkBar", Watched)
    file = tmp_path / "many.jsonl"
    file.write_text("".join(LINE.format(number) for number in range(9)))
    run("import", str(file))
    assert 9 == len(seen)
    assert all(total is None or completed < total for total, completed in seen)
