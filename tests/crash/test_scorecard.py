"""The scorecard itself: no campaign is left out of it, and no fault of one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.crash.scorecard import Score, kind_of, table

_CAMPAIGNS = """
import pytest

@pytest.mark.campaign("kills")
@pytest.mark.parametrize("number", [1, 2])
def test_kills(score, number):
    score.note(acknowledged=1000 * number)
    score.took("repair", [number, number])
    score.count(10, [])

@pytest.mark.campaign("cuts")
def test_cuts(score):
    score.count(3, [])
    score.count(4, ["a: lost 1", "a: doubled ids", "a: lost 2"])
    score.count(5, [])

@pytest.mark.campaign("disks")
def test_disks(score):
    pytest.skip("there are no loop devices")

@pytest.mark.campaign("errors")
def test_errors(score):
    raise RuntimeError

def test_nothing():
    pass
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_scorecard_of_campaigns(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, processes: str) -> None:
    """Parts of a campaign share a line, faults are counted and fail, and what did not come to an end says so."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
    pytester.makepyfile(_CAMPAIGNS)
    done = pytester.runpytest_subprocess("-p", "tests.crash.scorecard", "-p", "no:cacheprovider", "-n", processes)

    done.assert_outcomes(passed=3, failed=2, skipped=1)
    done.stdout.fnmatch_lines(
        [
            "* scorecard *",
            "campaign *tried *lost *doubled *phantom *unreadable *wrong  figures",
            "kills *20 *0 *0 *0 *0 *0  acknowledged 3,000, repair p50 2.0 p99 2.0 max 2.0 ms",
            "cuts *7 *2 *1 *0 *0 *0  FAILED",
            "disks *0 *0 *0 *0 *0 *0  SKIPPED: *there are no loop devices",
            "errors *0 *0 *0 *0 *0 *0  FAILED",
        ]
    )


@pytest.mark.parametrize(
    "fault,kind",
    [
        ("a: lost w.1, which w was told is stored", "lost"),
        ("a: of w.1, w.2 a part is there, or they are not together", "lost"),
        ("repair, after fsync: bytes were cut and not kept", "lost"),
        ("a: w.1 is there twice", "doubled"),
        ("a: nobody sent w.1", "phantom"),
        ("a.json does not parse", "unreadable"),
        ("append: SessionDamagedError: a is damaged", "unreadable"),
        ("a: r read another order", "wrong"),
    ],
)
def test_kind_of_a_fault(fault: str, kind: str) -> None:
    """What campaigns say of a fault tells its column."""
    assert kind == kind_of(fault)


def test_table_of_nothing() -> None:
    """A campaign that tried nothing has its line."""
    _, line = table([Score("kills")])
    assert ["kills", *"000000"] == line.split()
