"""Whatever the standard streams are, a command ends with a sentence at most."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run

COMMAND = (sys.executable, "-m", "chatkeep")
SAID = "東京 😀 é"
SHELL = 'ck() { "$PYTHON" -m chatkeep "$@"; }; '


@pytest.fixture
def full(run: Run, workspace: Path) -> Path:
    """Return a workspace with more sessions than a pipe holds, and one in no narrow encoding."""
    run("demo")
    run("append", "cjk", SAID, "--role", "user")
    return workspace


def in_shell(script: str, workspace: Path, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Return what a script of the shell, in which `ck` is the command, printed."""
    environ = {**os.environ, "CHATKEEP_WORKSPACE": str(workspace), "PYTHON": sys.executable, **environ}
    return subprocess.run(
        ["/bin/bash", "-c", SHELL + script], env=environ, capture_output=True, check=False, timeout=60
    )


@pytest.mark.parametrize("args", ["export", "export --format jsonl", "list", "list --json", "show cjk", "--help"])
def test_end_quietly_when_nobody_reads_on(full: Path, args: str) -> None:
    """A reader that has seen enough, as `head` does, is no failure."""
    ended = in_shell(f"ck {args} | true; echo ${{PIPESTATUS[0]}}", full)
    assert (b"0\n", b"") == (ended.stdout, ended.stderr)


@pytest.mark.parametrize("args", ["list", "list --json", "export", "--version"])
def test_print_to_a_closed_stdout(full: Path, args: str) -> None:
    """A closed stdout is a place where nothing is kept."""
    ended = in_shell(f"ck {args} >&-", full)
    assert (0, b"") == (ended.returncode, ended.stderr)


@pytest.mark.parametrize("args", ["list", "list --json", "export"])
def test_print_to_a_full_disk(full: Path, args: str) -> None:
    """What could not be written is a failure with a sentence."""
    ended = in_shell(f"ck {args} > /dev/full", full)
    assert 1 == ended.returncode
    assert b"No space left" in ended.stderr
    assert b"Traceback" not in ended.stderr + ended.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_print_in_a_narrow_encoding(full: Path, encoding: str) -> None:
    """What an encoding lacks is written out, and JSON stays valid."""
    printed = in_shell("ck show cjk && ck list && ck search 東京", full, PYTHONIOENCODING=encoding)
    assert (0, b"") == (printed.returncode, printed.stderr)
    shown = in_shell("ck show cjk --json", full, PYTHONIOENCODING=encoding)
    assert SAID == json.loads(shown.stdout.decode(encoding))["messages"][0]["content"]
    assert SAID == json.loads(shown.stdout)["messages"][0]["content"]


@pytest.mark.parametrize(
    "args",
    [
        *(("list", "--prefix", "\udcff"), ("list", "--channel", "\udcff"), ("search", "\udcff"), ("show", "\udcff")),
        *(("delete", "--prefix", "\udcff", "--yes"), ("list", "--workspace", "\udcff"), ("import", "\udcff")),
        ("append", "a", "\udcff", "--role", "user"),
    ],
)
def test_refuse_arguments_that_are_no_text(run: Run, args: tuple[str, ...]) -> None:
    """Bytes that are not UTF-8 are refused wherever they stand."""
    assert "is not UTF-8 text" in run(*args, code=2).err


def test_refuse_variables_that_are_no_text(full: Path) -> None:
    """The same holds for the environment."""
    for script in (
        "CHATKEEP_WORKSPACE=$'/tmp/\\xff' ck list",
        "CHATKEEP_HOST=$'\\xff' ck list",
        "CHATKEEP_ALLOW_HOSTS=$'\\xff' ck list",
    ):
        refused = in_shell(script, full)
        assert 2 == refused.returncode
        assert 1 == len(refused.stderr.splitlines())


def test_fail_unexpectedly(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody expected is a sentence; where it comes from is shown to who asks."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("by\x1bzero")

    monkeypatch.setattr("chatkeep.config.settings_from", fail)
    told = run("list", code=1).err
    assert 1 == len(told.splitlines())
    assert "ZeroDivisionError" in told
    assert "\x1b" not in told
    assert "ZeroDivisionError" in json.loads(run("list", "--json", code=1).err)["error"]["detail"]
    shown = subprocess.run(
        [*COMMAND, "show", "missing"],
        env={**os.environ, "CHATKEEP_WORKSPACE": os.environ["CHATKEEP_WORKSPACE"], "CHATKEEP_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert "Traceback" in shown.stderr


@pytest.mark.parametrize(
    "args,code,error",
    [
        (("show", "x"), 3, {"code": "session_not_found", "detail": "Session not found", "key": "x"}),
        (("list", "--limit", "0"), 2, {"code": "invalid", "field": "limit"}),
        (("list", "--what"), 2, {"code": "usage"}),
        (("import", "/nowhere/x.json"), 2, {"code": "invalid", "detail": "path: /nowhere/x.json does not exist"}),
        (("demo", "--workspace", "/proc/nowhere"), 1, {"code": "storage_failed"}),
        (("stats", "--workspace", "/proc/nowhere"), 3, {"code": "not_found"}),
    ],
)
@pytest.mark.usefixtures("empty")
def test_fail_for_programs(run: Run, args: tuple[str, ...], code: int, error: dict[str, str]) -> None:
    """With `--json` a failure is JSON on stderr: its code, a sentence, and what it is about."""
    failed = run(*args, "--json", code=code)
    told = json.loads(failed.err)["error"]
    assert "" == failed.out
    assert error.items() <= told.items()
    assert told["detail"]


@pytest.mark.parametrize("fmt", ["json", "jsonl"])
@pytest.mark.parametrize("place", ["-", "/dev/stdin", "<(cat)"])
def test_import_from_a_pipe(full: Path, fmt: str, place: str) -> None:
    """What one workspace exports another takes in, in one go; the format is told by the beginning."""
    other = full.parent / "other"
    taken = in_shell(f"ck export --format {fmt} | ck import {place} -w {other} && ck export | cmp - <(ck export)", full)
    assert (0, b"") == (taken.returncode, taken.stderr)
    assert b"Imported 12 new" in taken.stdout


def test_import_compressed_stdin(run: Run, full: Path) -> None:
    """Stdin may be compressed; empty, cut or strange input is named."""
    packed = gzip.compress(run("export", "--format", "jsonl").out.encode())
    assert full.exists()
    assert "Imported 12 new" in run("import", "-", "-w", str(full / "other"), stdin=packed).out
    assert "Nothing new" in run("import", "-", "--as", "jsonl", stdin=packed).out
    assert "stdin is empty" in run("import", "-", code=2).err
    assert "damaged" in run("import", "-", stdin=packed[:-9], code=1).err
    assert "the format of stdin is not known" in run("import", "-", stdin=b"hello", code=2).err
