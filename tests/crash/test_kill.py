"""An acknowledged message survives `kill -9`, whenever it comes, through whichever door it came.

`CHATKEEP_CRASH_KILLS` says how many processes are killed.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from itertools import count, product
from pathlib import Path
from typing import Final

import pytest

from chatkeep.access.tokens import TokenFile
from chatkeep.core.model import Draft, Selection
from chatkeep.errors import BusyError
from chatkeep.store.files.care.checkup import examined
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import Tree
from chatkeep.testing import draft
from tests.crash import doors
from tests.crash.checker import faults
from tests.crash.history import Door, Witness, acknowledged_in, content_of, operations_in
from tests.crash.scorecard import Score
from tests.crash.workload import tear

KILLS: Final = int(os.environ.get("CHATKEEP_CRASH_KILLS", "36"))
_SESSIONS: Final = 6
_A_ROUND: Final = 50
_LIVES_S: Final = {"program": 0.1, "commands": 0.2, "imports": 0.2, "server": 0.9}
_EACH: Final = 2
_CONTENT: Final = re.compile(rb'"content":"([0-9a-f]{1,64})')
_ALL: Final = Selection(archived=None)

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # nothing else runs when a child is made


class Campaign:
    """Writers of all kinds on one workspace, of which one after the other is killed and begins anew."""

    def __init__(self, folder: Path) -> None:
        """Make a workspace in the folder, beside which the writers' notes are."""
        self.workspace = folder / "workspace"
        self._folder = folder
        self._dice = random.Random(20261121)  # noqa: S311 - repeatable
        self._writers: dict[str, tuple[list[int], float]] = {}
        self._ports = {f"server-{number}": doors.free_port() for number in range(_EACH)}
        self._lines: list[bytes] = []
        self._round = 0
        self.kills: Counter[str] = Counter()
        self.acknowledged = 0
        self.cuts = 0
        FilesStore.open(self.workspace).close()
        self._token, _ = TokenFile(self.workspace / "tokens.json").create(name="test", scopes=("admin",))

    def faults(self, kills: int) -> list[str]:
        """Kill so many writers, then all that are left at once; recover, and return what is wrong then."""
        goal = self.kills.total() + kills
        while self.kills.total() < goal:
            for kind, number in product(_LIVES_S, range(_EACH)):
                if f"{kind}-{number}" not in self._writers:
                    self._start(kind, f"{kind}-{number}")
            due, place = min((due, place) for place, (_, due) in self._writers.items())
            time.sleep(max(0.0, due - time.monotonic()))
            self._kill(place)
        for place in list(self._writers):
            self._kill(place)
        return self._problems() + self._recovery_faults() + self._history_faults()

    def _start(self, kind: str, place: str) -> None:
        """Start a writer; a server is one with its client."""
        notes, problem, file = (self._folder / f"{place}{suffix}" for suffix in (".notes", ".problem", ".file"))
        pids = []
        if kind == "server":
            pids.append(doors.forked(partial(doors.serve, self.workspace, self._ports[place]), problem))
            door: Callable[[], AbstractContextManager[Door]] = partial(doors.client, self._ports[place], self._token)
        elif kind == "program":
            door = partial(doors.program, self.workspace)
        else:
            door = partial(_commands, self.workspace, file)
        name = f"{place}-{self.kills.total()}"
        write = partial(_write, kind, name, notes, self._round, self._dice.random(), door)
        pids.append(doors.forked(write, problem))
        self._writers[place] = pids, time.monotonic() + self._dice.uniform(0, _LIVES_S[kind])

    def _kill(self, place: str) -> None:
        """Kill a writer and take its notes in; of a server and its client the server is killed first."""
        pids, _ = self._writers.pop(place)
        killed = [doors.is_killed(pid) for pid in pids]
        self.kills[place.partition("-")[0]] += killed[0]
        notes = self._folder / f"{place}.notes"
        if notes.exists():
            self._lines += notes.read_bytes().splitlines(keepends=True)
            notes.unlink()

    def _problems(self) -> list[str]:
        """Return what went wrong with writers, but for clients whose server was killed."""
        found = []
        for path in self._folder.glob("*.problem"):
            text = path.read_text()
            found += [] if "UnreachableError" in text else [text]
            path.unlink()
        return found

    def _recovery_faults(self) -> list[str]:
        """Open the workspace, and once more; return what is wrong with the files."""
        torn = _files(self.workspace / "sessions")
        FilesStore.open(self.workspace).close()
        mended, kept = _files(self.workspace / "sessions"), _files(self.workspace / "quarantine")
        FilesStore.open(self.workspace).close()
        found = [f"{name} does not parse" for name, content in mended.items() if not _parses(content)]
        if (mended, kept) != (_files(self.workspace / "sessions"), _files(self.workspace / "quarantine")):
            found.append("a second recovery has changed something")
        self.cuts += len(kept)
        sent = {content_of(one, 64).encode() for sent in operations_in(self._lines) for one in sent.ids}
        for content in kept.values():
            said = _CONTENT.search(content)
            found += (
                [] if said is None or any(one.startswith(said[1]) for one in sent) else ["nobody sent what was cut off"]
            )
        for name, content in torn.items():
            if cut := _cut_off(content, mended[name]):
                found += [] if cut in kept.values() else [f"{name}: what was cut off is not in quarantine"]
        return found

    def _history_faults(self) -> list[str]:
        """Look at every session, and return what does not fit to what was answered; begin with new sessions."""
        with closing(FilesStore.open(self.workspace)) as store:
            found = [
                one.reason for one in examined(self.workspace) if not one.file.startswith("tmp/")
            ]  # swept when they are old
            found += store.status().problems.values()
            last = Witness(f"last-{self._round}", store, self._lines.append)
            for number in range(_SESSIONS):
                last.look(_key(self._round, number), store.get)
                last.read(_key(self._round, number))
            history = operations_in(self._lines)
            for key in store.keys(_ALL).keys:
                store.delete(key)
        self.acknowledged += len(acknowledged_in(history))
        self._lines.clear()
        self._round += 1
        return found + faults(history)


@contextmanager
def _commands(workspace: Path, file: Path) -> Iterator[Door]:
    yield doors.CommandLine(workspace, file)


def _write(
    kind: str, name: str, notes: Path, number: int, seed: float, door: Callable[[], AbstractContextManager[Door]]
) -> None:
    """Append to sessions that the other writers append to, noting every try and every answer."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    with notes.open("wb", buffering=0) as file:
        for attempt in count():
            with suppress(BusyError), door() as opened:  # too many at once: nobody was told anything
                witness = Witness(f"{name}-{attempt}", opened, file.write)
                while True:
                    _write_one(kind, witness, _key(number, dice.randrange(_SESSIONS)), dice)


def _write_one(kind: str, witness: Witness, key: str, dice: random.Random) -> None:
    ids = witness.new_ids(*(_size(dice) for _ in range(1 if kind == "commands" else dice.choice((1, 1, 1, 3)))))
    (witness.merge if kind == "imports" else witness.append)(key, ids)


def _key(round_: int, number: int) -> str:
    return f"kill:{round_}:{number}"


def _size(dice: random.Random) -> int:
    """Return a size from a byte to a megabyte, of every magnitude as many, and of the largest some more."""
    return int(10 ** dice.uniform(0, 6)) if dice.random() < 0.9 else 1_000_000


def _files(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _parses(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _cut_off(torn: bytes, mended: bytes) -> bytes:
    """Return what a repair has cut off a file."""
    kept = mended.rindex(b'],"message_count":')
    assert torn[:kept] == mended[:kept]
    return b"" if torn == mended else torn[kept:].rstrip(b"\n")


@pytest.mark.campaign("kill -9")
def test_append_killed_at_any_moment(scratch: Path, score: Score) -> None:
    """Nothing is lost, doubled, altered, invented or unreadable; what repairs cut off is kept."""
    campaign = Campaign(scratch)
    while (before := campaign.kills.total()) < KILLS:
        found = campaign.faults(min(_A_ROUND, KILLS - before))
        score.count(campaign.kills.total() - before, found)
    score.note(acknowledged=campaign.acknowledged, torn=campaign.cuts, **campaign.kills)
    assert {"program", "commands", "imports", "server"} == set(campaign.kills)
    assert campaign.acknowledged > KILLS // 4  # enough of them were really writing


def test_append_killed_finds_losses(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that answers before it writes is found out."""
    append, late = FilesStore.append, list[Callable[[], object]]()

    def answered_before(store: FilesStore, key: str, drafts: Sequence[Draft], **how: object) -> None:
        late.append(partial(append, store, key, drafts, **how))  # type: ignore[arg-type]
        if len(late) > 2:
            late.pop(0)()

    monkeypatch.setattr(FilesStore, "append", answered_before)
    campaign = Campaign(scratch)
    assert any("lost" in fault for _ in range(_A_ROUND // 5) for fault in campaign.faults(5))


def test_recovery_finds_lost_cuts(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repair that does not keep what it cuts off is found out, and so is a file that stays torn."""
    campaign = Campaign(scratch)
    with closing(FilesStore.open(campaign.workspace)) as store:
        store.append("a", [draft("stays")])
    (path,) = (campaign.workspace / "sessions").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(Tree, "quarantine", lambda *_: None)
        tear(path)
        assert [f"{path.name}: what was cut off is not in quarantine"] == campaign._recovery_faults()
    with monkeypatch.context() as patch:
        patch.setattr("chatkeep.store.files.upkeep.intake.Intake._put_right", lambda *_: None)
        tear(path)
        monkeypatch.setattr(f"{__name__}._cut_off", lambda *_: b"")
        assert [f"{path.name} does not parse"] == campaign._recovery_faults()
