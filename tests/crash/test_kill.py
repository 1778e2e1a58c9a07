"""An acknowledged message survives `kill -9`, whenever it comes."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from chatkeep.core.model import Selection
from chatkeep.store.files.store import FilesStore
from tests.crash.history import History, draft_of

KILLS = 2000
WRITERS = 4
SESSIONS = 6
_ALL = Selection(archived=None)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # a child does nothing but write, and dies
def test_append_killed_at_any_moment(tmp_path: Path) -> None:
    """After 2,000 kills of concurrent writers nothing is lost, doubled, altered or unreadable."""
    workspace, history, dice = tmp_path / "workspace", History(), random.Random(20261121)  # noqa: S311 - repeatable
    FilesStore.open(workspace).close()
    kills = 0
    for cycle in count():
        kills += _cycle(workspace, tmp_path, history, cycle, dice)
        if cycle % 25 == 0 or kills >= KILLS:
            _check(workspace, history)
        if kills >= KILLS:
            break
    acknowledged = sum(map(len, history.acknowledged.values()))
    print(f"{kills} kills, {acknowledged} acknowledged")  # noqa: T201 - the figure belongs to the record
    assert acknowledged > KILLS // 4  # enough of them were really writing


def _cycle(workspace: Path, notes: Path, history: History, cycle: int, dice: random.Random) -> int:
    """Let writers write for a moment, kill them, and take their notes in; return how many were killed."""
    writers = {}
    for number in range(WRITERS):
        name = f"w{cycle}-{number}"
        writers[name] = _forked(partial(_write, workspace, notes / name, name, dice.random()))
    time.sleep(dice.uniform(0.01, 0.09))
    killed = 0
    for name, pid in writers.items():
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        killed += os.WIFSIGNALED(status)
        if (notes / name).exists():
            *whole, _ = (notes / name).read_text(encoding="ascii").split("\n")
            history.take(name, whole)
            (notes / name).unlink()
    return killed


def _forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)
    return pid


def _write(workspace: Path, notes: Path, name: str, seed: float) -> None:
    """Append to sessions that the other writers append to, noting every try and every answer."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    store = FilesStore.open(workspace)
    fd = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in count():
        key = f"kill:{dice.randrange(SESSIONS)}"
        batch = [(f"{name}.{number}.{part}", _size(dice)) for part in range(dice.choice((1, 1, 1, 3)))]
        os.write(fd, "".join(f"try {key} {one} {size}\n" for one, size in batch).encode())
        store.append(key, [draft_of(one, size) for one, size in batch])
        os.write(fd, "".join(f"ack {key} {one}\n" for one, _ in batch).encode())


def _size(dice: random.Random) -> int:
    """Return a size: most are small, some span pages, a few are near the limit."""
    return dice.choice((1, 10, 200, 200, 200, 3_000, 20_000, dice.randrange(1, 300_000)))


def _check(workspace: Path, history: History) -> None:
    """Open the workspace once, then look at every file and every session."""
    store = FilesStore.open(workspace)
    for file in (workspace / "sessions").iterdir():
        json.loads(file.read_bytes())
    assert [] == [finding.reason for finding in store.check()]
    assert {} == store.status().problems
    assert history.keys() <= set(store.keys(_ALL).keys)
    faults = [fault for key in sorted(history.keys()) for fault in history.faults(store.read(key))]
    store.close()
    assert [] == faults
