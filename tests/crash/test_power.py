"""Whatever a power cut leaves of what was not flushed: what was answered is there, and nothing that nobody sent.

The system calls of the real program are traced, the states that a disk may be in after each of them are
built, and a store recovers from each. `CHATKEEP_CRASH_STATES` says how many; more states are of more programs.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest

from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.tree import Tree
from tests.crash.disk import Inode, positions
from tests.crash.power import Crash, State, crashes, faults, repair_crashes, some_states
from tests.crash.scorecard import Score
from tests.crash.trace import why_not
from tests.crash.workload import Step, Verb

STATES = int(os.environ.get("CHATKEEP_CRASH_STATES", "1500"))
_ROUND = 20_000
_SESSIONS = 12
_STEPS = 10
_REPAIRS = 300
_TOGETHER = 1000
_FEW_TOGETHER = 50
_SIZES = (1, 40, 200, 420, 700, 3_000, 9_000)
_VERBS: tuple[Verb, ...] = ("append",) * 6 + ("merge", "title", "title", "tear", "delete")

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "strace works")


@pytest.mark.campaign("power cuts, traced")
def test_power_cut_at_any_moment(scratch: Path, score: Score) -> None:
    """Nothing that was answered is lost, nothing is doubled, altered or invented, in any state; repairs included."""
    for number in range(-(-STATES // _ROUND)):
        dice = _dice(number)
        moments = _moments(_new(scratch / "once") / "workspace", dice)
        repairs = repair_crashes(_new(scratch / "twice") / "workspace", _torn(moments, dice))
        wanted = min(_ROUND, STATES - number * _ROUND)
        for some in (some_states(repairs, wanted // 5, dice), some_states(moments, wanted - wanted // 5, dice)):
            for states in _chunks(some):
                score.count(len(states), faults(states, scratch / "recovered"))
                shutil.rmtree(scratch / "recovered")
        shutil.rmtree(scratch / "once")
        shutil.rmtree(scratch / "twice")
    assert score.tried > STATES * 0.8


@pytest.mark.campaign("power cuts after failed flushes, traced")
def test_power_cut_after_flushes_that_failed(scratch: Path, score: Score) -> None:
    """What was answered after a flush had failed, and the same was sent again, is there once all the same."""
    moments = _moments(_new(scratch / "once") / "workspace", _dice(1), "flushes_fail")
    for states in _chunks(some_states(moments, STATES // 10, _dice(1))):
        score.count(len(states), faults(states, scratch / "recovered"))
        shutil.rmtree(scratch / "recovered")


@pytest.mark.parametrize(
    "plant",
    [
        "no_flush_of_files",
        "no_flush_of_folders",
        "rename_before_flush",
        "reserve_with_blanks",
        "flushes_fail_and_are_trusted",
    ],
)
def test_power_cut_finds_what_is_planted(scratch: Path, plant: str) -> None:
    """A store that answers too early, or reserves with blanks, is found out."""
    steps = [Step("append", "w000000000", ((f"{number}", 700),)) for number in range(12)]
    moments = list(crashes(_new(scratch / "planted") / "workspace", steps, plant))
    assert any(_faults_one_by_one(some_states(moments, 1_000, _dice(1)), scratch))


def test_power_cut_finds_half_an_append(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that keeps the first messages of a torn append is found out."""
    steps = [Step("append", "w000000000", (("1", 700), ("2", 700), ("3", 700)))] * 2
    moments = list(crashes(_new(scratch / "planted") / "workspace", steps))
    states = some_states(moments, 500, _dice(1))
    monkeypatch.setattr(session_file, "_CONTINUED", b"never")

    assert any(_faults_one_by_one(states, scratch))


@pytest.mark.parametrize("plant", ["keeps nothing", "flushes nothing"])
def test_power_cut_finds_bytes_that_are_not_kept(scratch: Path, monkeypatch: pytest.MonkeyPatch, plant: str) -> None:
    """A repair that does not keep what it cuts, or not durably, is found out."""
    torn = _torn(_moments(_new(scratch / "torn") / "workspace", _dice(1)), _dice(1))
    if plant == "keeps nothing":
        monkeypatch.setattr(Tree, "quarantine", lambda *_: None)
        states = iter(torn)
    else:
        moments = repair_crashes(_new(scratch / "planted") / "workspace", torn[:_FEW_TOGETHER], "cut_without_flush")
        states = some_states(moments, 1_000, _dice(1))

    assert any("not kept" in fault for fault in _faults_one_by_one(states, scratch))


def test_disk_states_of_a_write() -> None:
    """Two pieces and a size that are not flushed make eight states, the size without the pieces being zeros."""
    inode = Inode(b"a" * 512, bytearray(b"a" * 512))
    inode.write(510, b"b" * 514)
    content = inode.dials()
    found = {content.at(turned) for turned in positions(content.dials, _dice(1))}

    assert {
        b"a" * 512,
        b"a" * 510 + b"bb",
        b"a" * 512 + bytes(512),
        b"a" * 510 + b"bb" + bytes(512),
        b"a" * 512 + b"b" * 512,
        b"a" * 510 + b"b" * 514,
    } == found
    inode.flush()
    assert (1,) == inode.dials().dials


def test_disk_states_after_a_failed_flush() -> None:
    """A piece whose flush failed stays uncertain, whatever is flushed later, until it is written again."""
    inode = Inode(b"a" * 512, bytearray(b"a" * 512))
    inode.write(0, b"b" * 512)
    inode.fail()
    inode.flush()
    content = inode.dials()
    assert {b"a" * 512, b"b" * 512} == {content.at(turned) for turned in positions(content.dials, _dice(1))}
    inode.write(0, b"c")
    inode.flush()
    assert b"c" + b"b" * 511 == inode.durable
    assert (1,) == inode.dials().dials


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - repeatable


def _moments(workspace: Path, dice: random.Random, plant: str = "none") -> list[Crash]:
    """Return the moments of a random program."""
    steps = [step for number in range(_SESSIONS) for step in _steps(f"w{number:09}", dice)]
    return list(crashes(workspace, steps, plant))


def _steps(key: str, dice: random.Random) -> Iterator[Step]:
    """Yield what is done to a session; it is there whenever something needs it."""
    last: Verb = "delete"
    for number in range(_STEPS):
        verb = dice.choice(_VERBS if last != "delete" else ("append", "merge"))
        verb = "append" if verb == last == "tear" else verb  # what is torn is not torn again
        size = dice.choice((1, 1, 1, 2, 3, 5)) if verb in {"append", "merge"} else 0
        messages = tuple((f"{key}.{number}.{part}", dice.choice(_SIZES)) for part in range(size))
        yield Step(verb, key, messages, title=f"Title {number}")
        last = verb


def _torn(moments: Sequence[Crash], dice: random.Random) -> list[State]:
    """Return states in which a repair has work to do."""
    states = some_states(moments, _REPAIRS * 5, dice)
    torn = (state for state in states if state.content and not state.content.rstrip(b"\n").endswith(b"}"))
    return list(islice(torn, _REPAIRS))


def _chunks(states: Iterator[State], together: int = _TOGETHER) -> Iterator[list[State]]:
    """Yield states, as many together as one workspace recovers."""
    while chunk := list(islice(states, together)):
        yield chunk


def _faults_one_by_one(states: Iterator[State], scratch: Path) -> Iterator[str]:
    """Yield what is wrong after few states at a time, so that a test ends with the first fault."""
    for some in _chunks(states, _FEW_TOGETHER):
        yield from faults(some, scratch / "recovered")
        shutil.rmtree(scratch / "recovered")
