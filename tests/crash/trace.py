"""The system calls that a program really makes, in order, as strace tells them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    "openat,close,dup2,dup3,write,pwrite64,ftruncate,fsync,fdatasync,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat"
)
_LINE = re.compile(r"[\d.]+ (\w+)\((.*)\)\s+= (-?\d+)(?:<([^>]*)>)?")
_DESCRIPTOR = re.compile(r"(-?\d+|AT_FDCWD)(?:<([^>]*)>)?(?:\(deleted\))?")


@dataclass(frozen=True)
class Descriptor:
    """A descriptor that was given to a call, and what it was open on."""

    number: int
    path: str


@dataclass(frozen=True)
class Call:
    """A call that succeeded. Text between quotes is bytes, numbers and flags are as strace writes them."""

    name: str
    arguments: tuple[Descriptor | bytes | str, ...]
    result: int

    def text(self, place: int) -> str:
        """Return an argument that is a name or a path."""
        found = self.arguments[place]
        return os.fsdecode(found) if isinstance(found, bytes) else str(found)

    def data(self) -> bytes:
        """Return what a write wrote."""
        found = self.arguments[1]
        return found[: self.result] if isinstance(found, bytes) else b""

    def descriptor(self, place: int) -> Descriptor:
        """Return an argument that is a descriptor, or the present folder where there is none."""
        found = self.arguments[place]
        return found if isinstance(found, Descriptor) else Descriptor(-100, "")


def why_not() -> str:
    """Return why no program can be traced here, nothing if one can."""
    strace = shutil.which("strace")
    if strace is None:
        return "strace is not installed"
    tried = subprocess.run([strace, "-qq", "-e", "trace=none", sys.executable, "-V"], check=False, capture_output=True)
    return "" if tried.returncode == 0 else "strace is not allowed to trace here"


def traced(command: Sequence[str], scratch: Path) -> list[Call]:
    """Run a program to its end and return the calls of its first thread; notes of that are made in a scratch folder."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        notes = Path(folder) / "calls"
        strace = [
            "strace",
            "-ff",
            "-qq",
            "-ttt",
            "-y",
            "-xx",
            "-s",
            str(1 << 24),
            "-e",
            f"trace={CALLS}",
            "-o",
            str(notes),
        ]
        done = subprocess.run([*strace, *command], check=False, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise RuntimeError(f"the traced program failed: {done.stderr[-2000:]}")
        threads = [path.read_text("ascii").splitlines() for path in notes.parent.iterdir()]
        return list(_calls(min(filter(None, threads))))  # each line begins with its time


def _calls(lines: Sequence[str]) -> Iterator[Call]:
    for line in lines:
        found = _LINE.match(line)
        if found is not None and int(found[3]) >= 0:
            yield Call(found[1], tuple(map(_argument, found[2].split(", "))), int(found[3]))


def _argument(written: str) -> Descriptor | bytes | str:
    if written.startswith('"'):
        return bytes.fromhex(written.strip('"').replace("\\x", ""))
    found = _DESCRIPTOR.fullmatch(written)
    if found is None or found[2] is None:
        return written
    return Descriptor(-100 if found[1] == "AT_FDCWD" else int(found[1]), _decoded(found[2]))


def _decoded(path: str) -> str:
    return os.fsdecode(bytes.fromhex(path.replace("\\x", ""))) if path.startswith("\\x") else path
