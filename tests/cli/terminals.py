"""A command on a terminal of its own, as a person has it: what is typed goes in, what is shown comes out."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from typing import Self

_WAIT_S = 30.0
_SIZE = struct.pack("HHHH", 40, 100, 0, 0)
# The terminal is to be that of the session, or Ctrl-C reaches nobody
_START = (
    "import fcntl, signal, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "signal.signal(signal.SIGHUP, signal.SIG_DFL); "  # which those started by nohup ignore
    "signal.signal(signal.SIGINT, signal.default_int_handler); "  # and jobs in the background of a script this
    "from chatkeep.cli import main; main()"
)
_DRAWN = re.compile(r"\x1b\[(?!\?2004h)[0-9;?]*[A-Za-z]")
_CUT = re.compile(r"\x1b(\[[0-9;?]*)?\Z")
ENTER, ALT_ENTER, UP, CTRL_C, CTRL_D = "\r", "\x1b\r", "\x1b[A", "\x03", "\x04"
PROMPT = "\x1b[?2004h"
"""What a terminal is told when a line is about to be edited: that it mark what is pasted."""


class Terminal:
    """A pseudo-terminal with a command on it."""

    def __init__(self, *args: str, environ: Mapping[str, str]) -> None:
        """Start the command."""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, _SIZE)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, *args],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", **environ},
            start_new_session=True,
        )
        os.close(theirs)
        self.raw = b""
        """All that came, to the last byte."""
        self._seen = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        """Type."""
        os.write(self._ours, text.encode())

    def wait_for(self, text: str) -> str:
        """Return what is shown from the last text that was waited for up to this one."""
        deadline = time.monotonic() + _WAIT_S
        while text not in (shown := self.shown[self._seen :]):
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{text!r} is not shown, but:\n{shown}")
        end = shown.index(text) + len(text)
        self._seen += end
        return shown[:end]

    def ask(self) -> str:
        """Wait for the prompt."""
        return self.wait_for(PROMPT)

    def say(self, line: str) -> None:
        """Wait for the prompt and type a line."""
        self.ask()
        self.type(line + ENTER)

    def end(self) -> int:
        """Wait until the command ends, and return its exit code."""
        deadline = time.monotonic() + _WAIT_S
        while self._read(deadline - time.monotonic()):
            pass
        return self.process.wait(_WAIT_S)

    @property
    def shown(self) -> str:
        """What was shown, without what only draws it."""
        return _DRAWN.sub("", _CUT.sub("", self.raw.decode(errors="ignore"))).replace("\r", "")

    def _read(self, wait_s: float) -> bool:
        """Take what comes next; return whether there is more to come."""
        if not select.select([self._ours], [], [], max(wait_s, 0))[0]:
            raise AssertionError(f"Nothing more is shown:\n{self.shown}")
        try:
            came = os.read(self._ours, 65536)
        except OSError:  # so Linux tells that nobody has the terminal open any more
            return False
        self.raw += came
        return bool(came)
