"""Commands in what is printed, as the user can run them: the program as it was called, with its workspace.

Sentences name commands in backquotes as `chatkeep doctor`, wherever they come from. On a machine where
`chatkeep` is not on the path, or when the command was given another workspace, that would not do.
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
    """Note how this process was called, for all that it prints."""
    _called.set((_program(program), _workspace(args)))


def program() -> str:
    """Return the program as the user can run it."""
    return _called.get()[0]


def command(*words: str) -> str:
    """Return a command line that the user can run, on the same workspace."""
    name, workspace = _called.get()
    line = " ".join((name, *map(shlex.quote, words)))
    return f"{line} -w {shlex.quote(workspace)}" if workspace else line


def as_run(sentence: str) -> str:
    """Return a sentence whose commands in backquotes can be run as they stand."""
    if f"`{NAME} " not in sentence:
        return sentence
    name, workspace = _called.get()
    behind = f" -w {shlex.quote(workspace)}" if workspace else ""
    return _COMMAND.sub(lambda found: f"`{name} {found[1]}{behind}`", sentence)


def _program(called: str) -> str:
    """Return how a program that was called so is called: by its name if that is on the path, else by its file."""
    path = Path(called)
    if path.name == "__main__.py" and path.parent.name == NAME:
        return f"{_shown(Path(sys.executable))} -m {NAME}"
    if path.name != NAME:
        return NAME
    on_path = shutil.which(NAME)
    is_on_path = on_path is not None and path.exists() and Path(on_path).samefile(path)
    return NAME if is_on_path or not path.exists() else _shown(path)


def _shown(path: Path) -> str:
    """Return a path as it is typed from here, relative where that is below."""
    full, here = os.path.abspath(path), os.path.join(os.getcwd(), "")  # noqa: PTH100, PTH109, PTH118 - no link is followed
    return shlex.quote(full.removeprefix(here))


def _workspace(args: Sequence[str]) -> str:
    """Return the workspace that a command line gives."""
    given = ""
    for place, arg in enumerate(args):
        if arg == "--":
            break
        if arg in _WORKSPACE_OPTIONS and place + 1 < len(args):
            given = args[place + 1]
        elif arg.startswith("--workspace="):
            given = arg.partition("=")[2]
    return given
