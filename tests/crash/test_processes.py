"""Eight processes work on the same sessions, through every door, and what all of them saw fits together.

`CHATKEEP_CRASH_OPERATIONS` says how much they do.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from chatkeep.access.tokens import TokenFile
from chatkeep.client import Client
from chatkeep.core.model import Selection
from chatkeep.errors import BusyError
from chatkeep.store.files.store import FilesStore
from tests.crash import doors
from tests.crash.checker import faults
from tests.crash.history import Operation, Witness, operations_in
from tests.crash.scorecard import Score

OPERATIONS: Final = int(os.environ.get("CHATKEEP_CRASH_OPERATIONS", "1500"))
_SESSIONS: Final = 8
_SIZES: Final = (1, 40, 40, 40, 200, 3_000)
_WEIGHTS: Final = {
    "append": 40, "batch": 12, "read": 12, "look": 10, "window": 10, "rename": 8, "merge": 5, "delete": 3,
}  # fmt: skip
_BY_COMMAND: Final = {"append": 5, "read": 3, "merge": 1, "rename": 2, "delete": 1}
_BY_IMPORT: Final = {"merge": 1}
_SHARES: Final = {
    "client a": 0.2,
    "client b": 0.2,
    "program a": 0.28,
    "program b": 0.28,
    "commands": 0.02,
    "imports": 0.02,
}


def _work(witness: Witness, weights: dict[str, int], share: float, store: FilesStore | Client | None = None) -> None:
    """Do a share of all operations, chosen by lot."""
    dice = random.Random(share + len(weights))  # noqa: S311 - repeatable
    for _ in range(round(OPERATIONS * share)):
        key = f"many:{dice.randrange(_SESSIONS)}"
        (verb,) = dice.choices(list(weights), list(weights.values()))
        ids = witness.new_ids(*dice.choices(_SIZES, k=1 if verb == "append" else dice.randint(2, 5)))
        with suppress(BusyError):  # too many at once: nobody was told anything
            _do(verb, witness, key, ids, store)


def _do(verb: str, witness: Witness, key: str, ids: tuple[str, ...], store: FilesStore | Client | None) -> None:
    if verb in {"append", "batch"}:
        witness.append(key, ids)
    elif verb == "merge":
        witness.merge(key, ids)
    elif verb in {"look", "window"} and store is not None:
        witness.look(key, store.get) if verb == "look" else witness.window(key, store.window)
    else:
        {"read": witness.read, "rename": witness.rename, "delete": witness.delete}[verb](key)


def _by_client(port: int, token: str, name: str, note: Callable[[bytes], object]) -> None:
    with doors.client(port, token) as client:
        _work(Witness(name, client, note), _WEIGHTS, _SHARES[name], client)


def _by_program(workspace: Path, name: str, note: Callable[[bytes], object]) -> None:
    with doors.program(workspace) as store:
        _work(Witness(name, store, note), _WEIGHTS, _SHARES[name], store)


def _by_commands(workspace: Path, weights: dict[str, int], name: str, note: Callable[[bytes], object]) -> None:
    door = doors.CommandLine(workspace, workspace.with_name(f"{name} file"))
    _work(Witness(name, door, note), weights, _SHARES[name])


def _history(workspace: Path) -> list[Operation]:
    """Let all processes work, and return what they noted, with a last look at every session."""
    FilesStore.open(workspace).close()
    token, _ = TokenFile(workspace / "tokens.json").create(name="test", scopes=("admin",))
    ports = [doors.free_port() for _ in range(2)]
    servers = [doors.forked(partial(doors.serve, workspace, port), workspace / "problems") for port in ports]
    work: dict[str, Callable[[str, Callable[[bytes], object]], None]] = {
        "client a": partial(_by_client, ports[0], token),
        "client b": partial(_by_client, ports[1], token),
        "program a": partial(_by_program, workspace),
        "program b": partial(_by_program, workspace),
        "commands": partial(_by_commands, workspace, _BY_COMMAND),
        "imports": partial(_by_commands, workspace, _BY_IMPORT),
    }
    notes = {name: workspace.with_name(name) for name in work}
    try:
        pids = [
            doors.forked(partial(_noting, partial(one, name), notes[name]), workspace.with_name(f"{name} problem"))
            for name, one in work.items()
        ]
        ends = {name: os.waitpid(pid, 0)[1] for name, pid in zip(work, pids, strict=True)}
        problems = [path.read_text() for path in workspace.parent.glob("* problem")]
        assert (dict.fromkeys(work, 0), []) == (ends, problems)
    finally:
        for server in servers:
            os.kill(server, signal.SIGTERM)
            os.waitpid(server, 0)
    lines = [line for path in notes.values() for line in path.read_bytes().splitlines(keepends=True)]
    with closing(FilesStore.open(workspace)) as store:
        last = Witness("last", store, lines.append)
        for number in range(_SESSIONS):
            last.look(f"many:{number}", store.get)
            last.read(f"many:{number}")
        assert sum(store.get(key).message_count for key in store.keys(Selection(archived=None)).keys) == (
            store.status().message_count
        )
        assert {} == store.status().problems
    return operations_in(lines)


def _noting(work: Callable[[Callable[[bytes], object]], None], path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        work(file.write)


@pytest.mark.campaign("eight processes")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # nothing else runs when a child is made
def test_work_of_eight_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score: Score) -> None:
    """Nothing is lost, doubled, invented, torn, out of order, stale, or back from the dead."""
    monkeypatch.setattr(
        "chatkeep.store.files.index.databases._BUSY_S", 60.0
    )  # test_lock_holder has an index that is kept
    history = _history(tmp_path / "workspace")
    done = Counter(one.verb for one in history if one.is_done)
    score.note(**{f"{verb}s": count for verb, count in done.items()})
    score.count(len(history), faults(history))
    assert len(history) >= OPERATIONS * 0.99
    assert {"append", "read", "rename", "delete"} == set(done)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_work_finds_what_is_planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that writes without holding the file, or looking whether somebody else did, is found out."""
    monkeypatch.setattr("chatkeep.store.files.tree.tree.flock", lambda *_: None)
    monkeypatch.setattr("chatkeep.store.files.tree.held.LockedFile.is_as_seen", lambda *_: True)
    monkeypatch.setattr(f"{__name__}.OPERATIONS", 1000)
    try:
        found = faults(_history(tmp_path / "workspace"))
    except AssertionError:
        return  # a session was found damaged
    assert found
