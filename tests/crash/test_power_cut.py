"""Real file systems whose power is cut: what was acknowledged before is there after the journal was replayed.

An image is mounted, writers append, and the file system is shut down under them: whatever it has not written yet
is dropped. Only what was acknowledged before that moment counts, for a flush that races with the shutdown
may still be answered. `CHATKEEP_CRASH_CUTS` says how often; it needs root and loop devices.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from chatkeep.core.model import Selection
from chatkeep.errors import SessionDamagedError
from chatkeep.store.files.care.checkup import examined
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree import held, tree
from chatkeep.store.files.tree.format import scan
from tests.crash.checker import faults
from tests.crash.history import Witness, acknowledged_in, operations_in
from tests.crash.scorecard import Score

CUTS = int(os.environ.get("CHATKEEP_CRASH_CUTS", "18"))
_WRITERS = 3
_SESSIONS = 5
_SHUTDOWN = 0x8004587D
_WITHOUT_LOG = struct.pack("I", 2)
_IMAGE_MIB = {"ext4": 512, "xfs": 512}
_A_WHILE_S = 60
_CUTS_EACH = 25

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@dataclass
class Disk:
    """A file system in an image, and where it is mounted."""

    kind: str
    folder: Path
    cuts: int = 0
    torn: int = 0
    acknowledged: int = 0
    lines: list[bytes] = field(default_factory=list)
    recoveries_ms: list[float] = field(default_factory=list)

    @property
    def place(self) -> Path:
        """Where it is mounted."""
        return self.folder / "disk"

    @property
    def workspace(self) -> Path:
        """The workspace on it."""
        return self.place / "workspace"

    def make(self) -> None:
        """Make the file system and mount it."""
        image = self.folder / "image"
        with image.open("wb") as file:
            file.truncate(_IMAGE_MIB[self.kind] << 20)
        _run(f"mkfs.{self.kind}", "-q", str(image))
        self.place.mkdir()
        self.mount()

    def mount(self) -> None:
        """Mount the file system, which replays its journal."""
        _run("mount", "-o", "loop", "-t", self.kind, str(self.folder / "image"), str(self.place))

    def unmount(self) -> None:
        """Take the file system away."""
        for _ in range(100):  # a process that was killed lets go of its files a moment later
            with suppress(subprocess.CalledProcessError):
                _run("umount", str(self.place))
                return
            time.sleep(0.02)
        _run("umount", "--lazy", str(self.place))

    def cut(self, dice: random.Random) -> None:
        """Let writers write for a while, cut the power, kill them, and let it come back."""
        writers = [_Writer(f"w{self.cuts}-{number}", self.workspace, dice.random()) for number in range(_WRITERS)]
        until = time.monotonic() + dice.uniform(0.05, 0.25)
        while time.monotonic() < until:
            self._drain(writers)
            time.sleep(0.002)
        self._drain(writers)
        with closing(_Folder(self.place)) as folder:
            fcntl.ioctl(folder.fd, _SHUTDOWN, _WITHOUT_LOG)
        for writer in writers:
            self.lines += [line for line in writer.ended() if b'"ended"' not in line]
        self.unmount()
        self.mount()
        self.cuts += 1

    def faults(self) -> list[str]:
        """Recover, and return what is wrong with what is there then."""
        for path in (*(self.workspace / "tmp").iterdir(), *(self.workspace / "sessions").iterdir()):
            os.utime(path, (time.time() - _A_WHILE_S,) * 2)  # a machine needs a while to come back
        for path in (self.workspace / "sessions").iterdir():
            self.torn += scan(path.read_bytes()).state == "torn"
        began_s = time.perf_counter()
        store = FilesStore.open(self.workspace)
        self.recoveries_ms.append((time.perf_counter() - began_s) * 1000)
        with closing(store):
            found = [f"{one.file}: {one.reason}" for one in examined(self.workspace)]
            found += [
                f"{path.name} does not parse" for path in (self.workspace / "sessions").iterdir() if _is_broken(path)
            ]
            last = Witness(f"last-{self.cuts}", store, self.lines.append)
            for number in range(_SESSIONS):
                try:
                    last.read(_key(number))
                except SessionDamagedError as error:
                    found.append(f"{_key(number)} is gone: {error}")
            return found + faults(operations_in(self.lines))

    def begin_anew(self) -> None:
        """Remove all sessions, so that the image does not fill up; what was acknowledged is counted and forgotten."""
        self.acknowledged += len(acknowledged_in(operations_in(self.lines)))
        self.lines.clear()
        with closing(FilesStore.open(self.workspace)) as store:
            for key in store.keys(Selection(archived=None)).keys:
                store.delete(key)

    def _drain(self, writers: list[_Writer]) -> None:
        for writer in writers:
            self.lines += writer.notes()


class _Folder:
    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        os.close(self.fd)


class _Writer:
    """A process that appends for ever and notes every try and every answer in a pipe."""

    def __init__(self, name: str, workspace: Path, seed: float) -> None:
        self.name = name
        self._left = b""
        self._pipe, notes = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _write(workspace, name, seed, notes)
            finally:
                os._exit(1)
        os.close(notes)
        os.set_blocking(self._pipe, False)

    def notes(self) -> list[bytes]:
        """Return the whole lines that came since the last look."""
        with suppress(BlockingIOError):
            while data := os.read(self._pipe, 1 << 16):
                self._left += data
        *lines, self._left = self._left.splitlines(keepends=True) or [b""]
        if self._left.endswith(b"\n"):
            lines, self._left = [*lines, self._left], b""
        return lines

    def ended(self) -> list[bytes]:
        """Kill the process and return what else it noted."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        lines = self.notes()
        os.close(self._pipe)
        return lines


def _write(workspace: Path, name: str, seed: float, notes: int) -> None:
    """Append to sessions that the other writers append to, now and then giving one a title."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    store = FilesStore.open(workspace)
    witness = Witness(name, store, partial(os.write, notes))
    while True:
        key = _key(dice.randrange(_SESSIONS))
        sizes = [dice.choice((1, 200, 200, 3_000, 20_000)) for _ in range(dice.choice((1, 1, 1, 3)))]
        witness.append(key, witness.new_ids(*sizes))
        if dice.random() < 0.05:
            witness.rename(key)


def _key(number: int) -> str:
    return f"cut:{number}"


def _is_broken(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return True
    return False


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def disk(request: pytest.FixtureRequest, scratch: Path) -> Iterator[Disk]:
    """Give a mounted file system of a kind, or say why there can be none."""
    kind: str = request.param
    if os.geteuid() != 0:
        pytest.skip("a file system can be mounted, and shut down, by root only")
    if shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"mkfs.{kind} is not installed")
    if not Path("/dev/loop-control").exists():
        pytest.skip("there are no loop devices")
    disk = Disk(kind, scratch)
    try:
        disk.make()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"{kind} cannot be mounted here: {error.stderr.decode().strip()}")
    yield disk
    disk.unmount()


@pytest.mark.parametrize(
    "disk,cuts",
    [
        pytest.param("ext4", CUTS, marks=pytest.mark.campaign("power cuts of ext4")),
        pytest.param("xfs", CUTS // 3, marks=pytest.mark.campaign("power cuts of XFS")),
    ],
    indirect=["disk"],
)
def test_power_cut_of_a_file_system(disk: Disk, cuts: int, score: Score) -> None:
    """After each cut every acknowledged message is there once, unaltered and in order, and every file parses."""
    FilesStore.open(disk.workspace).close()
    dice = random.Random(cuts)  # noqa: S311 - repeatable
    while disk.cuts < cuts:
        disk.cut(dice)
        score.count(1, disk.faults())
        if disk.cuts % _CUTS_EACH == 0 or disk.cuts == cuts:
            disk.begin_anew()
    score.note(acknowledged=disk.acknowledged, torn=disk.torn)
    score.took("recovery", disk.recoveries_ms)
    assert disk.acknowledged > cuts


@pytest.mark.parametrize("disk", ["ext4", "xfs"], indirect=True)
def test_power_cut_finds_what_is_planted(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that answers before its flush is found out."""
    for room in (tree, held):
        monkeypatch.setattr(room, "to_disk", lambda _: None)
    FilesStore.open(disk.workspace).close()
    dice = random.Random(1)  # noqa: S311 - repeatable
    found: list[str] = []
    for _ in range(5):
        disk.cut(dice)
        if not disk.workspace.joinpath("sessions").is_dir():
            found.append("the sessions are gone")
            break
        found += disk.faults()

    assert any("lost" in fault or "gone" in fault for fault in found), found
