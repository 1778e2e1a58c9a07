"""The scorecard itself: no campaign is left out of it, and no fault of one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chatkeep.core.model import Header, Message, Session
from chatkeep.testing import at
from tests.crash.history import History, content_of
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
    "ids,kind",
    [
        (("1.0",), "lost"),
        (("1.0", "1.0", "2.0"), "doubled"),
        (("1.0", "2.0", "3.0"), "phantom"),
        (("2.0", "1.0"), "wrong"),
    ],
)
def test_kind_of_what_a_history_finds(ids: tuple[str, ...], kind: str) -> None:
    """Each fault that a history finds stands in its column."""
    history = History()
    history.take(
        "w", [f"{word} a {one}{size}" for one in ("1.0", "2.0") for word, size in (("try", " 9"), ("ack", ""))]
    )
    messages = tuple(
        Message(seq=seq, role="user", content=content_of(one, 9), sent_at=at(0), id=one)
        for seq, one in enumerate(ids, 1)
    )
    session = Session(header=Header(key="a", channel="api", title=None, created_at=at(0)), messages=messages)

    assert {kind} == set(map(kind_of, history.faults(session)))


def test_table_of_nothing() -> None:
    """A campaign that tried nothing has its line."""
    _, line = table([Score("kills")])
    assert ["kills", *"000000"] == line.split()
