"""One writer appends over HTTP while another takes the last messages back: nothing is lost, taken twice or altered.

`CHATKEEP_CRASH_POPS` says how many operations the two do.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import pytest

from chatkeep.access.tokens import TokenFile
from chatkeep.core.model import Message
from chatkeep.core.standing import SeqRange
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from tests.crash import doors
from tests.crash.popping import Work, appended, faults, popped
from tests.crash.scorecard import Score

OPERATIONS: Final = int(os.environ.get("CHATKEEP_CRASH_POPS", "300"))
_KEY: Final = "two:1"
_EMPTY_NOTED: Final = 2  # of the pops that found nothing, one after the other
_PAUSE_S: Final = 0.002
_SIZES: Final = (1, 40, 40, 200, 3_000)

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # nothing else runs when a child is made


def _append(port: int, token: str) -> Iterator[Work]:
    dice = random.Random(1)  # noqa: S311 - repeatable
    with doors.client(port, token) as client:
        for number in range(OPERATIONS // 2):
            yield appended(f"a{number}", dice.choices(_SIZES, k=dice.choice((1, 1, 2))), client.append, _KEY)


def _pop(workspace: Path) -> Iterator[Work]:
    """Pop as often as the other appends; where nothing is left, wait for more and tell of the first times."""
    with doors.program(workspace) as store:
        for number in range(OPERATIONS - OPERATIONS // 2):
            tries = 0
            while (work := popped(f"p{number}", 1, store.drop, _KEY)).is_empty:
                if tries < _EMPTY_NOTED:
                    yield msgspec.structs.replace(work, name=f"p{number} {tries}")
                tries += 1
                time.sleep(_PAUSE_S)
            yield work


def _noted(works: Callable[[], Iterator[Work]], path: Path) -> None:
    path.write_bytes(msgspec.json.encode(list(works())))


def _worked(workspace: Path) -> tuple[list[Work], tuple[Message, ...]]:
    """Let both work, and return what they were told, and the log."""
    FilesStore.open(workspace).close()
    token, _ = TokenFile(workspace / "tokens.json").create(name="test", scopes=("admin",))
    port, problem = doors.free_port(), workspace.with_name("problem")
    server = doors.forked(partial(doors.serve, workspace, port), problem)
    works = {"appends": partial(_append, port, token), "pops": partial(_pop, workspace)}
    notes = {name: workspace.with_name(name) for name in works}
    try:
        pids = [doors.forked(partial(_noted, one, notes[name]), problem) for name, one in works.items()]
        ends = [os.waitpid(pid, 0)[1] for pid in pids]
        assert [0, 0] == ends, problem.read_text() if problem.exists() else ends
    finally:
        os.kill(server, signal.SIGTERM)
        os.waitpid(server, 0)
    with closing(FilesStore.open(workspace)) as store:
        log = store.read(_KEY, log=True).messages
        window = store.window(_KEY, limit=max(1, len(log))).messages
        assert [one.id for one in store.read(_KEY).messages] == [one.id for one in window]
    return [one for path in notes.values() for one in msgspec.json.decode(path.read_bytes(), type=list[Work])], log


@pytest.mark.campaign("an appender and a popper")
def test_pops_beside_appends(scratch: Path, score: Score) -> None:
    """The log has everything that was answered, in an order that fits all answers, and each pop took the end."""
    works, log = _worked(scratch / "workspace")
    score.note(lines=len(log), taken=sum(len(work.ids) for work in works if work.is_pop))
    score.count(len(works), faults(works, log))
    assert OPERATIONS == sum(not work.is_empty for work in works)


def _little() -> tuple[list[Work], list[Message]]:
    """Return an append of two, one of one, and a pop; then a pop of the rest, and one of nothing."""
    store = MemoryStore()
    works = [appended(f"a{number}", [40] * (2 - number), store.append, _KEY) for number in range(2)]
    works += [popped(f"p{number}", count, store.drop, _KEY) for number, count in enumerate((1, 2, 1))]
    return works, list(store.read(_KEY, log=True).messages)


def test_faults_of_what_could_be() -> None:
    """What a store did and answered has no fault."""
    works, log = _little()
    assert [("a0.0.40", "a0.1.40"), ("a1.0.40",), ("a1.0.40",), ("a0.0.40", "a0.1.40"), ()] == [
        one.ids for one in works
    ]
    assert works[-1].is_empty
    assert [] == faults(works, log)


def _other(place: int, **fields: object) -> Callable[[list[Work], list[Message]], None]:
    def change(works: list[Work], _: list[Message]) -> None:
        works[place] = msgspec.structs.replace(works[place], **fields)

    return change


def _nothing_early(works: list[Work], _: list[Message]) -> None:
    moment = works[0].ended + 1
    works[4] = msgspec.structs.replace(works[4], began=moment, ended=moment)


def _line(place: int, **fields: object) -> Callable[[list[Work], list[Message]], None]:
    def change(_: list[Work], log: list[Message]) -> None:
        log[place] = msgspec.structs.replace(log[place], **fields)

    return change


@pytest.mark.parametrize(
    "change,expected",
    [
        (lambda _, log: log.pop(), "lost p1"),
        (lambda _, log: log.append(log[0]), "there twice"),
        (lambda works, _: works.pop(0), "nobody sent a0.0.40"),
        (_line(0, content="other"), "altered"),
        (_other(0, seqs=(2, 3)), "was told"),
        (_other(2, ids=("a0.1.40",)), "lost the end"),
        (_line(3, drops=(SeqRange(1, 1),)), "lost the end"),
        (_nothing_early, "found nothing"),
        (_other(0, began=1 << 60, ended=1 << 61), "before what was answered"),
    ],
)  # fmt: skip
def test_faults_planted(change: Callable[[list[Work], list[Message]], object], expected: str) -> None:
    """Every kind of violation is found, and named."""
    works, log = _little()
    change(works, log)
    found = faults(works, log)
    assert any(expected in fault for fault in found), found


def test_pops_of_one_message_twice() -> None:
    """A message that two pops were told they took is found."""
    works, log = _little()
    works[3] = msgspec.structs.replace(works[3], ids=("a0.1.40", "a1.0.40"))
    assert any("lost the end" in fault for fault in faults(works, log))
