"""No text takes a time with the square of its length, through whichever door it comes.

Each kind of text goes through each door at some length and at twice that. The machine's instructions are counted
(see `counting`), which are the same on every run and every machine: twice the text may take little more than
twice of them. Where a text of any kind takes next to nothing, nothing is to be seen.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

from tests.linear.count_doors import CONTROL, cases
from tests.linear.kinds import KINDS

ROOT: Final = Path(__file__).parents[2]
TWICE: Final = 2.6  # what is put in order takes a little more than twice, what has to do with the square four times
NEXT_TO_NOTHING: Final = 1000  # instructions for a character


def test_count_kinds() -> None:
    """There are many kinds of text, and each is about as long as is asked for, so that twice is twice."""
    assert len(KINDS) > 100
    for name, kind in KINDS.items():
        assert 1.7 < len(kind(1000)) / len(kind(500)) < 2.4, name


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind counts, and is not here; .ci/run installs it")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="how valgrind is asked is written down for one processor")
@pytest.mark.parametrize("half", [0, 1])  # of the doors: each core takes one
def test_read_in_linear_time(tmp_path: Path, half: int) -> None:
    """Twice as long a text of any kind takes no more than about twice the instructions, at every door."""
    log = tmp_path / "log"
    below = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null"]
    command = [*below, f"--log-file={log}", sys.executable, "-m", "tests.linear.count_doors", str(log), str(half)]
    env = {**os.environ, "PYTHONHASHSEED": "0"}
    counted = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout
    grown: defaultdict[str, dict[str, float]] = defaultdict(dict)
    lines = counted.splitlines()
    for door, kind, size, base, of_one, of_two in map(json.loads, lines):
        longer = len(KINDS[kind](2 * size)) / len(KINDS[kind](size)) / 2  # than twice
        growth = (of_two - base) / max(of_one - base, 1) / longer
        seen = max(
            NEXT_TO_NOTHING * 2 * size, base / 2
        )  # what takes much for any text takes not quite as much each time
        if growth > TWICE and of_two - base > seen:
            grown[door][kind] = round(growth, 2)
    assert len(lines) == len(list(cases(half)))
    assert {CONTROL} == set(grown), dict(grown)
