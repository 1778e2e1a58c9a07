"""A campaign: programs append to files, truncate, rotate, rewrite and delete them, while a sync follows and is killed.

`python -m tests.syncing.campaign --files 1000 --seconds 600` prints the figures as JSON. The ledger has every line that
was ever complete, and when it was destroyed. A line that stood whole for `SEEN_S` has to be stored once, any other at
most once. Before each step the writer checks the bytes and the time of its file: nobody else may have touched it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from msgspec import Struct, field

SEEN_S: Final = 2.0  # seconds in which a line is to come in
_PATIENCE_S: Final = 300.0
_TORN_S: Final = 0.05  # seconds between the halves of a torn line
_STEPS: Final = (*["append"] * 10, *["torn"] * 3, "truncate", "cut", "rotate", "copy", "rewrite", "replace", "delete")


class Line(Struct):
    """A complete line: its text, and when it was complete and destroyed."""

    text: str
    complete_at: float
    gone_at: float | None = None

    @property
    def must_be_here(self) -> bool:
        """Whether it stood long enough to be seen."""
        return self.gone_at is None or self.gone_at - self.complete_at >= SEEN_S


class Ledger:
    """All lines that were ever complete."""

    def __init__(self) -> None:
        """Begin empty."""
        self.lines: list[Line] = []
        self.steps: Counter[str] = Counter()

    def new(self) -> Line:
        """Return the next line."""
        line = Line(f"said number {len(self.lines)} of all", time.monotonic())
        self.lines.append(line)
        return line


class Written(Struct):
    """A file of a program: the lines in it, and its state as its program left it."""

    path: Path
    encode: Callable[[Line], bytes]
    lines: list[Line] = field(default_factory=list)
    head: bytes = b""
    digest: bytes = b""
    modified_ns: int = 0
    aside: dict[str, list[Line]] = field(default_factory=dict)

    def check(self) -> None:
        """Check that nobody else touched it."""
        if self.digest:
            assert self.modified_ns == self.path.stat().st_mtime_ns, self.path
            assert self.digest == hashlib.sha256(self.path.read_bytes()).digest(), self.path

    def note(self) -> None:
        """Note the state in which its program leaves it."""
        self.digest = hashlib.sha256(self.path.read_bytes()).digest() if self.path.exists() else b""
        self.modified_ns = self.path.stat().st_mtime_ns if self.digest else 0

    def put_aside(self, ending: str) -> None:
        """Note that the lines are in a file of another name now, in place of those there before."""
        self.lose(self.aside.get(ending, []))
        self.aside[ending], self.lines = self.lines, []

    def lose(self, lines: list[Line]) -> None:
        """Note that lines are destroyed."""
        for line in lines:
            line.gone_at = time.monotonic()


class Writer:
    """The programs: each step changes one file."""

    def __init__(self, home: Path, count: int, ledger: Ledger, seed: int) -> None:
        """Make the folders of Claude Code and Codex, and no file yet."""
        self._ledger = ledger
        self._random = random.Random(seed)  # noqa: S311 - chooses steps, guards nothing
        self.files = [_claude(home, number) if number % 2 else _codex(home, number) for number in range(count)]

    def step(self) -> None:
        """Change one file."""
        file = self._random.choice(self.files)
        file.check()
        kind = self._random.choice(_STEPS) if file.lines else "append"
        self._ledger.steps[kind] += 1
        getattr(self, f"_{kind}")(file)
        file.note()

    def begin(self, file: Written) -> None:
        """Let the program of a file say something."""
        self._append(file)
        file.note()

    def _append(self, file: Written) -> None:
        with file.path.open("ab") as out:
            if not out.tell():
                out.write(file.head)
            for _ in range(self._random.randint(1, 3)):
                self._add(file, out)

    def _add(self, file: Written, out: IO[bytes]) -> None:
        line = self._ledger.new()
        out.write(file.encode(line))
        out.flush()
        line.complete_at = time.monotonic()
        file.lines.append(line)

    def _torn(self, file: Written) -> None:
        line = self._ledger.new()
        encoded = file.encode(line)
        cut = self._random.randrange(1, len(encoded) - 1)
        with file.path.open("ab", buffering=0) as out:
            out.write(encoded[:cut])
            time.sleep(_TORN_S)
            out.write(encoded[cut:])
        line.complete_at = time.monotonic()
        file.lines.append(line)

    def _truncate(self, file: Written) -> None:
        with file.path.open("wb") as out:
            file.lose(file.lines)
            file.lines = []
            out.write(file.head)
            self._add(file, out)

    def _cut(self, file: Written) -> None:
        """Cut the last line off."""
        last = file.lines.pop()
        os.truncate(file.path, file.path.stat().st_size - len(file.encode(last)))
        file.lose([last])

    def _rotate(self, file: Written) -> None:
        """Rename the file, and begin anew under its name; the second rotation replaces the first."""
        file.path.rename(f"{file.path}.1")
        file.put_aside(".1")
        self._append(file)

    def _copy(self, file: Written) -> None:
        """Copy the file and truncate it."""
        Path(f"{file.path}.2").write_bytes(file.path.read_bytes())
        file.put_aside(".2")
        with file.path.open("wb") as out:
            out.write(file.head)
            self._add(file, out)

    def _rewrite(self, file: Written) -> None:
        """Write the file anew in place, without its first lines."""
        kept = file.lines[len(file.lines) // 2 :]
        file.lose(file.lines[: len(file.lines) // 2])
        file.lines = kept
        with file.path.open("wb") as out:
            out.write(file.head + b"".join(map(file.encode, kept)))
            self._add(file, out)

    def _replace(self, file: Written) -> None:
        """Replace the file by one with other lines."""
        file.lose(file.lines)
        file.lines = []
        fresh = file.path.with_name(f"{file.path.name}.tmp")
        with fresh.open("wb") as out:
            out.write(file.head)
            for _ in range(2):
                self._add(file, out)
        fresh.replace(file.path)

    def _delete(self, file: Written) -> None:
        file.path.unlink()
        file.lose(file.lines)
        file.lines = []


def _claude(home: Path, number: int) -> Written:
    name = f"00000000-0000-4000-8000-{number:012d}"

    def encode(line: Line) -> bytes:
        message = {"role": "user", "content": line.text}
        uuid = hashlib.sha256(line.text.encode()).hexdigest()
        fields = {"type": "user", "uuid": uuid, "sessionId": name, "timestamp": "2026-01-01T00:00:00Z"}
        return json.dumps({**fields, "message": message}).encode() + b"\n"

    folder = home / ".claude" / "projects" / f"-project-{number % 20}"
    folder.mkdir(parents=True, exist_ok=True)
    return Written(folder / f"{name}.jsonl", encode)


def _codex(home: Path, number: int) -> Written:
    name = f"5973b6c0-94b8-487b-a530-{number:012d}"

    def encode(line: Line) -> bytes:
        content = [{"type": "input_text", "text": line.text}]
        payload = {"type": "message", "role": "user", "content": content}
        return (
            json.dumps({"timestamp": "2026-01-01T00:00:00Z", "type": "response_item", "payload": payload}).encode()
            + b"\n"
        )

    folder = home / ".codex" / "sessions" / "2026" / "01" / f"{number % 20 + 1:02d}"
    folder.mkdir(parents=True, exist_ok=True)
    head = {"timestamp": "2026-01-01T00:00:00Z", "type": "session_meta", "payload": {"id": name}}
    path = folder / f"rollout-2026-01-01T00-00-00-{name}.jsonl"
    return Written(path, encode, head=json.dumps(head).encode() + b"\n")


class Sync:
    """A sync in a process, to be killed and started again."""

    def __init__(self, home: Path, workspace: Path) -> None:
        """Start it."""
        folders = [str(home / ".claude"), str(home / ".codex")]
        self._command = [sys.executable, "-m", "chatkeep", "sync", *folders, "-w", str(workspace), "--json"]
        self._workspace = workspace
        self.cpu_s = 0.0
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, process_group=0
        )
        assert self._process.stderr is not None
        while "Following" not in (said := self._process.stderr.readline()):
            assert said, self._process.wait()

    def kill(self) -> None:
        """Kill it at this moment, and start another."""
        self._end(signal.SIGKILL)
        self._start()

    def _end(self, number: int) -> None:
        self._process.send_signal(number)
        _, _, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = 0
        assert self._process.stderr is not None
        self._process.stderr.close()
        self.cpu_s += usage.ru_utime + usage.ru_stime

    def texts(self) -> Counter[str]:
        """End the sync, read once more what is there, and return the stored texts with their counts."""
        self._end(signal.SIGKILL)
        subprocess.run([*self._command, "--once"], check=True, capture_output=True)
        shown = subprocess.run(
            [sys.executable, "-m", "chatkeep", "export", "--format", "jsonl", "-w", str(self._workspace)],
            check=True,
            capture_output=True,
        )
        sessions = map(json.loads, shown.stdout.splitlines())
        return Counter(message["content"] for session in sessions for message in session["messages"])


def campaign(place: Path, *, files: int, seconds: float, rate: float, kills: int, seed: int = 1) -> dict[str, Any]:
    """Run a campaign and return its figures.

    Raises:
        AssertionError: when a line is lost or doubled, or a file was touched.
    """
    ledger = Ledger()
    home, workspace = place / "home", place / "workspace"
    writer = Writer(home, files, ledger, seed)
    (home / ".claude").mkdir(exist_ok=True)
    for file in writer.files:  # every program has said something before
        writer.begin(file)
    sync = Sync(home, workspace)
    began = time.monotonic()
    kill_at = [began + seconds * (number + 1) / (kills + 1) for number in range(kills)]
    steps = 0
    while time.monotonic() < began + seconds:
        writer.step()
        steps += 1
        if kill_at and time.monotonic() > kill_at[0]:
            kill_at.pop(0)
            sync.kill()
        time.sleep(max(0.0, began + steps / rate - time.monotonic()))
    time.sleep(SEEN_S)
    stored = sync.texts()
    for file in writer.files:
        file.check()
    return _figures(ledger, stored, sync.cpu_s)


def _figures(ledger: Ledger, stored: Counter[str], cpu_s: float) -> dict[str, Any]:
    known = {line.text for line in ledger.lines}
    short = [line for line in ledger.lines if not line.must_be_here]
    return {
        "lines": len(ledger.lines),
        "lost": [line.text for line in ledger.lines if line.must_be_here and not stored[line.text]],
        "doubled": [text for text, count in stored.items() if count > 1],
        "unknown": [text for text in stored if text not in known],
        "gone_within_2_s": len(short),
        "of_these_here": sum(stored[line.text] > 0 for line in short),
        "cpu_s": round(cpu_s, 1),
        "steps": dict(ledger.steps),
    }


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("place", type=Path)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", type=float, default=20, help="steps in a second")
    parser.add_argument("--kills", type=int, default=5)
    given = parser.parse_args()
    figures = campaign(given.place, files=given.files, seconds=given.seconds, rate=given.rate, kills=given.kills)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    sys.exit(bool(figures["lost"] or figures["doubled"] or figures["unknown"]))


if __name__ == "__main__":
    _main()
