"""What a cut append costs the next one: it finds its session torn, and puts it right first.

`CHATKEEP_CRASH_REPAIRS` says how many sessions, `CHATKEEP_CRASH_LONG_BYTES` how long the longest one is.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from chatkeep.store.files.store import FilesStore
from tests.crash.history import draft_of
from tests.crash.scorecard import Score
from tests.crash.workload import Step, do

REPAIRS: Final = int(os.environ.get("CHATKEEP_CRASH_REPAIRS", "40"))
LONG_BYTES: Final = int(os.environ.get("CHATKEEP_CRASH_LONG_BYTES", "5_000_000"))
_LENGTHS: Final = (1, 10, 100, 1000)
_SIZE: Final = 300


@pytest.mark.campaign("repairs")
def test_repair_of_many(tmp_path: Path, score: Score) -> None:
    """All that was stored is there, with the message that met the damage, and what was cut off is kept."""
    dice = random.Random(1)  # noqa: S311 - repeatable
    with closing(FilesStore.open(tmp_path)) as store:
        for number in range(REPAIRS):
            _repair(tmp_path, store, f"many:{number}", dice.choice(_LENGTHS), score)


@pytest.mark.campaign("repair of a long session")
def test_repair_of_a_long_one(tmp_path: Path, score: Score) -> None:
    """So it is when a session is long."""
    with closing(FilesStore.open(tmp_path)) as store:
        _repair(tmp_path, store, "long", LONG_BYTES // 1000, score, size=1000)
    score.note(bytes=LONG_BYTES)


def _repair(workspace: Path, store: FilesStore, key: str, length: int, score: Score, *, size: int = _SIZE) -> None:
    """Fill a session, tear it, and append to it."""
    ids = [f"{number}" for number in range(length)]
    for first in range(0, length, 1000):
        store.append(key, [draft_of(one, size) for one in ids[first : first + 1000]])
    do(workspace, store, Step("tear", key))
    began_s = time.perf_counter()
    store.append(key, [draft_of("next", size)])
    score.took("repair", [(time.perf_counter() - began_s) * 1000])
    found = [message.id for message in store.read(key).messages]
    faults = [] if [*ids, "next"] == found else [f"{key}: lost or altered, {len(found)} messages"]
    kept = len(list((workspace / "quarantine").iterdir()))
    score.count(1, [*faults, *([] if kept == score.tried + 1 else ["bytes were cut and not kept"])])
