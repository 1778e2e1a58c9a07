"""The cost of requests in machine instructions, from the bytes of a request to those of its answer.

They do not depend on the machine or its load. Each bound has a fifth of room above the present count, as versions of
Python differ. If a change needs more, first look for the call that it added to every request.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
BOUNDS: Final = {
    "health": 790_000,
    "list": 940_000,
    "history": 950_000,
    "detail": 960_000,
    "search": 1_600_000,
    "append": 1_650_000,
}
"""Instructions of a request: of a read that an earlier one made ready, and of an append of one message."""


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind counts, and is not here; .ci/run installs it")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="counted on one kind of processor")
def test_requests_take_few_instructions(tmp_path: Path) -> None:
    """A request passes few layers, and a repeated read makes nothing anew."""
    log = tmp_path / "log"
    below = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null"]
    command = [*below, f"--log-file={log}", sys.executable, "-m", "tests.http.count_requests", str(tmp_path), str(log)]
    env = {**os.environ, "PYTHONHASHSEED": "0"}
    told = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout
    counts = json.loads(told)
    assert set(BOUNDS) == set(counts)
    assert {} == {name: count for name, count in counts.items() if count > BOUNDS[name]}
    assert min(counts.values()) > min(BOUNDS.values()) / 10  # below a tenth, nothing would be counted
