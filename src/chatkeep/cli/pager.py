"""Long output on a terminal: through the user's pager; never where a program reads."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Final

_USUAL: Final = "less"
_LESS_OPTIONS: Final = "FRX"  # exit if all fits, show colours, leave the text on the screen


@contextmanager
def paged(*, wanted: bool = True) -> Iterator[None]:
    """Show the output of this block in the pager if it is longer than the terminal; `PAGER` replaces `less`.

    It goes to stdout as usual when stdin or stdout is no terminal, and when `PAGER` is empty or `cat`.
    """
    command = _pager() if wanted and sys.stdin.isatty() and sys.stdout.isatty() else []
    if not command:
        yield
        return
    page = _Page()
    with redirect_stdout(page):
        yield
    text = page.getvalue()
    if text.count("\n") < shutil.get_terminal_size().lines - 1 or not _shown(command, text):
        sys.stdout.write(text)


def _pager() -> list[str]:
    """Return the command of the pager; empty if there is none."""
    if os.environ.get("TERM", "dumb") == "dumb":
        return []
    try:
        command = shlex.split(os.environ.get("PAGER", _USUAL))
    except ValueError:
        return []
    return command if command and command != ["cat"] and shutil.which(command[0]) else []


def _shown(command: list[str], text: str) -> bool:
    """Tell whether the pager showed a text. While it runs, Ctrl-C goes to the pager."""
    environ = {"LESS": _LESS_OPTIONS, **os.environ}
    try:
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, env=environ)  # noqa: S603 - the user's own pager
    except OSError:
        return False
    encoded = text.encode(errors="backslashreplace")
    while True:
        try:
            pager.communicate(encoded)
        except KeyboardInterrupt:
            continue
        except BrokenPipeError:
            pager.wait()
        return True


class _Page(io.StringIO):
    """A buffer with the abilities of the terminal, so that output keeps its colours."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True
