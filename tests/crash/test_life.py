"""Drops, forks, compactions, trash and retention survive kills and power cuts: nothing is lost, half, or back again.

`CHATKEEP_CRASH_LIFE_KILLS` says how many processes are killed, `CHATKEEP_CRASH_LIFE_STATES` from how many states of a
disk a store recovers.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from chatkeep.core.model import Selection
from chatkeep.store.files.care.checkup import examined
from chatkeep.store.files.store import FilesStore
from chatkeep.testing import search_for
from tests.crash import doors
from tests.crash.life_states import differences, faults, moments, some_left, words_told
from tests.crash.lives import Model, Picture, act_at, do_at_last, live, pictures, word_of, words_left
from tests.crash.scorecard import Score
from tests.crash.trace import why_not

KILLS: Final = int(os.environ.get("CHATKEEP_CRASH_LIFE_KILLS", "12"))
STATES: Final = int(os.environ.get("CHATKEEP_CRASH_LIFE_STATES", "40"))
_AN_EPOCH: Final = 150  # acts of a program before it begins with other sessions
_SEARCHED: Final = 12  # of the last acts, the messages that are searched for
_LIFE_S: Final = 0.12
_PROGRAM: Final = 30  # acts of a traced program
_OF_A_PROGRAM: Final = 300  # states
_AT_ONCE: Final = 2
_PLANTED_NOTES: Final = 150  # by then, a planted fault has done its harm

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # nothing else runs when a child is made


class Killed:
    """A process that lives sessions of its own in a shared workspace, and is killed again and again."""

    def __init__(self, workspace: Path, name: str) -> None:
        """Take a name that no other has."""
        self.workspace = workspace
        self.answered = 0
        self._name = name
        self._notes = workspace.with_name(f"notes {name}")
        self._problem = workspace.with_name(f"problem {name}")
        self._epoch = 0
        self._pid = 0
        self._begin()

    @property
    def prefix(self) -> str:
        """What its keys begin with now."""
        return f"{self._name}{self._epoch}:"

    @property
    def noted(self) -> int:
        """How many tries and answers it has noted since it was started."""
        return self._notes.read_bytes().count(b"\n") if self._notes.exists() else 0

    @property
    def erasable(self) -> set[str]:
        """The words that a compaction has to erase, once they are dropped."""
        return self._model.erasable

    def _begin(self) -> None:
        self._epoch += 1
        self._model = Model()
        self._next = 0

    def start(self) -> None:
        """Go on with the program."""
        self._pid = doors.forked(partial(self._live, self.prefix, self._next), self._problem)

    def _live(self, prefix: str, first: int) -> None:
        with self._notes.open("wb", buffering=0) as notes:
            live(self.workspace, prefix, count(first), notes.write)

    def end(self) -> bool:
        """Kill it, and tell whether it was at work."""
        pid, self._pid = self._pid, 0
        return bool(pid) and doors.is_killed(pid)

    def faults(self) -> list[str]:
        """Kill it, and return what is wrong with its sessions then."""
        if not self.end():
            return [self._problem.read_text()]
        trying = self._replay()
        with closing(FilesStore.open(self.workspace, lock_timeout_s=60)) as store:
            seen, before = pictures(store, self.workspace, self.prefix), self._model.pictures(self.prefix)
            if trying:
                self._model.do(act_at(self.prefix, self._next))
            after = self._model.pictures(self.prefix)
            found = differences(seen, (before, after) if trying else (after,))
            found += self._search_faults(store, seen)
            if trying:
                do_at_last(store, act_at(self.prefix, self._next))  # again, to go on from there
                self._next += 1
            if self._next > _AN_EPOCH or after != pictures(store, self.workspace, self.prefix):
                self._begin_anew(store)
        return found

    def _begin_anew(self, store: FilesStore) -> None:
        """Leave nothing behind, and go on with other keys."""
        for key in store.keys(Selection(prefixes=(self.prefix,), archived=None)).keys:
            store.delete(key)
        store.purge(self.prefix)
        self._begin()

    def _replay(self) -> bool:
        """Do in the model what was answered; tell whether another act had begun."""
        lines = self._notes.read_bytes().split(b"\n")[:-1] if self._notes.exists() else []
        self._notes.unlink(missing_ok=True)
        noted = [(kind, int(number)) for kind, number in (line.split() for line in lines)]
        for kind, number in noted:
            act = act_at(self.prefix, number)
            if kind == b"ack":
                self._model.do(act)
                self._next = number + 1
                self.answered += 1
        return bool(noted) and noted[-1][0] == b"try"

    def _search_faults(self, store: FilesStore, seen: Mapping[str, Picture]) -> list[str]:
        """Return what searches find of what is gone, or do not find of what stands."""
        found = []
        for number in range(max(0, self._next - _SEARCHED), self._next):
            for one in act_at(self.prefix, number).ids:
                expected = {key for key, picture in seen.items() if one in picture.standing}
                hits = {hit.key for hit in store.search(search_for(word_of(one))).hits}
                found += [] if hits == expected else [f"a search for {one} finds {hits}, not {expected}"]
        return found


def _last_faults(workspace: Path, those: Sequence[Killed]) -> list[str]:
    """Compact every session, and return what is wrong with the files, and which erased words they still tell."""
    with closing(FilesStore.open(workspace, lock_timeout_s=60)) as store:
        store.compact(store.keys(Selection(archived=None)).keys)
        kept = [words_left(pictures(store, workspace, one.prefix).values()) for one in those]
        found = [one.reason for one in examined(workspace) if not one.file.startswith("tmp/")]
    return found + words_told(workspace, frozenset().union(*(one.erasable for one in those)).difference(*kept))


@pytest.mark.campaign("kill -9 in the life of sessions")
def test_life_killed_at_any_moment(scratch: Path, score: Score) -> None:
    """What was answered is so, what was not is done whole or not at all, and nothing comes back."""
    workspace, dice = scratch / "workspace", random.Random(20261130)  # noqa: S311 - repeatable
    FilesStore.open(workspace).close()
    those = [Killed(workspace, f"life{number}-") for number in range(_AT_ONCE)]
    try:
        for number in range(KILLS):
            one = those[number % _AT_ONCE]
            if number >= _AT_ONCE:
                time.sleep(dice.uniform(0, _LIFE_S))
                score.count(1, one.faults())
            one.start()
        for one in those:
            score.count(1, one.faults())
    finally:
        for one in those:
            one.end()
    score.count(0, _last_faults(workspace, those))
    score.note(answered=sum(one.answered for one in those))


@pytest.mark.campaign("power cuts in the life of sessions, traced")
@pytest.mark.skipif(bool(why_not()), reason=why_not() or "strace works")
def test_life_power_cut_at_any_moment(scratch: Path, score: Score) -> None:
    """In any state that a power cut leaves, what was answered is so, and the rest is done whole or not at all."""
    for number in range(-(-STATES // _OF_A_PROGRAM)):
        wanted = min(_OF_A_PROGRAM, STATES - number * _OF_A_PROGRAM)
        for tried, found in _states(scratch, f"w{number}:", wanted, _PROGRAM if STATES > _OF_A_PROGRAM else 12):
            score.count(tried, found)
    assert score.tried > STATES * 0.8


def _states(scratch: Path, prefix: str, wanted: int, acts: int, plant: str = "none") -> Iterator[tuple[int, list[str]]]:
    dice = random.Random(prefix)  # noqa: S311 - repeatable
    (scratch / "once").mkdir()
    those = list(moments(scratch / "once" / "workspace", prefix, acts, plant))
    shutil.rmtree(scratch / "once")
    for number, left in enumerate(some_left(those, wanted, dice)):
        yield (
            1,
            faults(left, scratch / "recovered", prefix=prefix, with_index=number % 2 == 0, compacts=number % 3 == 0),
        )


@pytest.mark.skipif(bool(why_not()), reason=why_not() or "strace works")
def test_life_power_cut_finds_what_is_planted(scratch: Path) -> None:
    """A store that answers before a name is on the disk is found out."""
    found = [fault for _, some in _states(scratch, "w0:", 60, 12, "no_flush_of_folders") for fault in some]
    assert any("expected one of" in fault for fault in found)


def test_life_killed_finds_losses(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that answers a deletion before it is done is found out."""
    late, delete = list[Callable[[], object]](), FilesStore.delete

    def answered_before(store: FilesStore, key: str, **how: bool) -> None:
        late.append(partial(delete, store, key, **how))
        if len(late) > 1:
            late.pop(0)()

    monkeypatch.setattr(FilesStore, "delete", answered_before)
    FilesStore.open(scratch / "workspace").close()
    killed = Killed(scratch / "workspace", "life-")
    killed.start()
    try:
        while killed.noted < _PLANTED_NOTES:
            time.sleep(0.01)
        found = killed.faults()
    finally:
        killed.end()
    assert any("expected one of" in fault for fault in found)


def test_words_told(scratch: Path) -> None:
    """A word that is in a byte of the workspace is found."""
    (scratch / "index").write_bytes(b"\0" + word_of("a.1").encode() + b"\0")
    assert ["index still tells what was dropped and erased"] == words_told(scratch, frozenset({word_of("a.1")}))
    assert [] == words_told(scratch, frozenset({word_of("b.1")}))
