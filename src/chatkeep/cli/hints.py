"""Commands in printed sentences, ready to run: the program as it was called, with its workspace.

Sentences name commands in backquotes, such as `chatkeep doctor`. Such a command fails where `chatkeep` is not on the
path, and misses the workspace given on the command line. So printing rewrites it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Final

NAME: Final = "chatkeep"
_COMMAND: Final = re.compile(rf"`{NAME} ([^`\n]*)`")
_WORKSPACE_OPTIONS: Final = ("--workspace", "-w")
_called: ContextVar[tuple[str, str]] = ContextVar("_called", default=(NAME, ""))


def note_call(program: str, args: Sequence[str]) -> None:
    """Remember the program and workspace of this call, for all later output."""
    _called.set((_program(program), _workspace(args)))


def program() -> str:
    """Return the program name for the user to type."""
    return _called.get()[0]


def command(*words: str) -> str:
    """Return a command line for the user to run, on the same workspace."""
    name, workspace = _called.get()
    line = " ".join((name, *map(shlex.quote, words)))
    return f"{line} -w {shlex.quote(workspace)}" if workspace else line


def as_run(sentence: str) -> str:
    """Return a sentence with each command in backquotes ready to run."""
    if f"`{NAME} " not in sentence:
        return sentence
    name, workspace = _called.get()
    behind = f" -w {shlex.quote(workspace)}" if workspace else ""
    return _COMMAND.sub(lambda found: f"`{name} {found[1]}{behind}`", sentence)


def _program(called: str) -> str:
    """Return the words to call the program again: its name if on the path, else its file."""
    path = Path(called)
    if path.name == "__main__.py" and path.parent.name == NAME:
        return f"{_shown(Path(sys.executable))} -m {NAME}"
    if path.name != NAME:
        return NAME
    on_path = shutil.which(NAME)
    is_on_path = on_path is not None and path.exists() and Path(on_path).samefile(path)
    return NAME if is_on_path or not path.exists() else _shown(path)


def _shown(path: Path) -> str:
    """Return a path for typing here: relative if below the current folder."""
    full, here = os.path.abspath(path), os.path.join(os.getcwd(), "")  # noqa: PTH100, PTH109, PTH118 - keeps symlinks
    return shlex.quote(full.removeprefix(here))


def _workspace(args: Sequence[str]) -> str:
    """Return the workspace given on a command line."""
    given = ""
    for place, arg in enumerate(args):
        if arg == "--":
            break
        if arg in _WORKSPACE_OPTIONS and place + 1 < len(args):
            given = args[place + 1]
        elif arg.startswith("--workspace="):
            given = arg.partition("=")[2]
    return given
