"""Every `console` and `python` block of the README and of docs/ is run, and its output compared with what is shown.

How a block is read:

- `$ command` is run by bash; lines that begin with `> ` go on with it. All commands of a document run
  in their order in one shell, in a folder of its own that is empty, with a HOME that is empty.
- The lines below are what it prints, on stdout and stderr. `...` in a line stands for anything within
  the line; alone on a line it stands for any lines, or none. Blank lines at the end do not count.
- A command ends with 0, or its document is wrong. One that is to fail is shown with `|| echo $?`.
- A command that ends in `&` goes on in the background until the document ends; the next one waits
  until it has printed the lines below it.
- Port 8000 stands for a free port, in commands and in what they print.
- A `python` block runs as it stands, in its place among the commands and with the environment that they exported. All
  blocks of a document share their names, as in a notebook. Lines that begin with `#> ` are what the block prints; a
  document without such lines shows fragments, for which there is no model here, and they are not run.

Blocks of other kinds (`sh`, `json`, ...) are not run.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import Struct

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRINTED = "#> "
_INTERPRETER = """
import contextlib, io, json, sys, traceback
names = {"__name__": "__main__"}
for line in sys.stdin:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(json.loads(line), "block", "exec"), names)
        except BaseException:
            traceback.print_exc(file=printed)
    print(json.dumps(printed.getvalue()), flush=True)
"""
_ENDED = "--ended--"
_WAIT_S = 30.0


class Step(Struct, frozen=True):
    """A command or a block of Python, and the lines that it is to print."""

    line: int
    command: str
    expected: tuple[str, ...]
    is_python: bool = False


class Shell:
    """One bash, in which the commands of a document run."""

    def __init__(self, folder: Path) -> None:
        """Start it in an empty folder."""
        self._folder = folder
        self._port = _free_port()
        (folder / "here").mkdir()
        (folder / "home").mkdir()
        self._python: subprocess.Popen[str] | None = None
        environ = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "CHATKEEP_PORT": self._port,
        }
        self._bash = subprocess.Popen(
            ["/bin/bash", "--noprofile", "--norc"],
            cwd=folder / "here",
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def close(self) -> None:
        """End what runs in the background, the interpreter, and the shell."""
        if self._python is not None:
            self._python.communicate(timeout=_WAIT_S)
        self._bash.communicate("kill $(jobs -p) 2>/dev/null; wait\n", timeout=_WAIT_S)

    def check(self, step: Step) -> None:
        """Run a command and compare what it prints."""
        command = self._with_port(step.command)
        expected = [self._with_port(line) for line in step.expected]
        if step.is_python:
            printed = _trimmed(self._run_python(command, step))
            if not _pattern(expected).fullmatch(printed):
                assert "\n".join(expected) == printed, f"line {step.line}"
        elif command.endswith("&"):
            log = self._folder / f"{step.line}.log"
            self._output(f"{command[:-1]} >{log} 2>&1 </dev/null &", step)
            _wait_for(log, expected)
        else:
            printed = self._output(f"{{ {command}\n}} </dev/null", step)
            if not _pattern(expected).fullmatch(printed):
                assert "\n".join(expected) == printed, f"line {step.line}: {step.command}"

    def _output(self, command: str, step: Step) -> str:
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f'{command}\nprintf "\\n{_ENDED} %d\\n" $?\n')
        self._bash.stdin.flush()
        lines: list[str] = []
        for line in self._bash.stdout:
            if line.startswith(_ENDED):
                printed = _trimmed("".join(lines))
                assert f"{_ENDED} 0\n" == line, f"line {step.line}: {step.command}\n{printed}"
                return printed
            lines.append(line)
        raise AssertionError(f"line {step.line}: the shell ended: {step.command}")

    def _run_python(self, code: str, step: Step) -> str:
        """Run a block and return what it prints; what it raises is printed, too."""
        if self._python is None:
            exported = self._output("export -p", step)
            self._python = subprocess.Popen(
                ["/bin/bash", "-c", f'{exported}\nexec python3 -c "$0"', _INTERPRETER],
                cwd=self._folder / "here",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        self._python.stdin.write(json.dumps(code) + "\n")
        self._python.stdin.flush()
        return str(json.loads(self._python.stdout.readline()))

    def _with_port(self, text: str) -> str:
        return re.sub(r"(?<=:)8000\b", self._port, text)


def steps_of(document: Path) -> Iterator[Step]:
    """Yield the commands of all console blocks of a document, and its blocks of Python."""
    text = document.read_text("utf-8")
    for block in _BLOCK.finditer(text):
        first = text.count("\n", 0, block.start()) + 2
        if block[1] == "console":
            yield from _steps(block[2].splitlines(), first)
            continue
        if f"\n{_PRINTED}" not in text:
            continue
        printed = [line.removeprefix(_PRINTED) for line in block[2].splitlines() if line.startswith(_PRINTED)]
        yield Step(first, block[2], tuple(printed), is_python=True)


def _steps(lines: list[str], first: int) -> Iterator[Step]:
    starts = [place for place, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"line {first}: a block begins with a command"
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        below = start + 1
        while below < end and lines[below].startswith("> "):
            below += 1
        command = "\n".join(line[2:] for line in lines[start:below])
        yield Step(first + start, command, tuple(lines[below:end]))


def _pattern(expected: list[str]) -> re.Pattern[str]:
    """Return what matches the lines that are printed; each of them ends with a line feed."""
    lines = _trimmed("\n".join(expected)).splitlines()
    parts = (
        r"(?:.*\n)*" if line == "..." else re.escape(line).replace(re.escape("..."), ".*") + r"\n" for line in lines
    )
    return re.compile("".join(parts))


def _trimmed(text: str) -> str:
    """Return the text without white space at the ends of lines and blank lines at its end, a line feed after each."""
    lines = "\n".join(map(str.rstrip, text.splitlines())).rstrip("\n")
    return f"{lines}\n" if lines else ""


def _wait_for(log: Path, expected: list[str]) -> None:
    pattern, deadline = _pattern(expected), time.monotonic() + _WAIT_S
    while not (log.exists() and pattern.match(_trimmed(log.read_text("utf-8")))):
        if time.monotonic() > deadline:
            assert "\n".join(expected) == log.read_text("utf-8")
        time.sleep(0.02)


def _free_port() -> str:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


_RUNNING = [document for document in DOCUMENTS if _BLOCK.search(document.read_text("utf-8"))]


@pytest.mark.parametrize("document", _RUNNING, ids=lambda document: str(document.relative_to(ROOT)))
def test_run_every_command(tmp_path: Path, document: Path) -> None:
    """What a document says that its commands print is what they print."""
    with closing(Shell(tmp_path)) as shell:
        for step in steps_of(document):
            shell.check(step)


def test_run_the_readme() -> None:
    """The README has commands to run."""
    assert ROOT / "README.md" in _RUNNING


@pytest.mark.parametrize(
    "expected,printed,is_same",
    [
        (["a"], "a\n", True),
        (["a"], "ab\n", False),
        (["a...c"], "abc\n", True),
        (["a...c"], "ab\nc\n", False),
        (["a", "...", "c"], "a\nc\n", True),
        (["a", "...", "c"], "a\nb\nb\nc\n", True),
        (["a", "...", "c"], "a\nb\n", False),
        ([], "", True),
        ([], "a\n", False),
    ],
)
def test_pattern_of_output(expected: list[str], printed: str, is_same: bool) -> None:  # noqa: FBT001 - a parameter
    """Three dots stand for anything in a line, and alone for any lines; nothing else does."""
    assert is_same == bool(_pattern(expected).fullmatch(printed))
