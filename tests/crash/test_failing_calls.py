"""Any system call of any operation may fail: the error is told, or the success is true, and no session breaks.

For each operation the first call fails, then the second one ... until the operation completes unharmed;
with each error, once and for ever (as long as the operation lasts).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from chatkeep.core.model import Selection
from chatkeep.disk.files import to_disk
from chatkeep.errors import ChatkeepError, SessionNotFoundError, StorageError
from chatkeep.store.files.care.checkup import examined
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree import held, tree
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.tree import Tree, file_name
from chatkeep.testing import search_for, talk
from tests.crash.failing import FAULTS, Fault, failing
from tests.crash.history import draft_of
from tests.crash.scorecard import Score
from tests.crash.workload import Step, Told, Verb, do

STEP = int(os.environ.get("CHATKEEP_CRASH_STEP", "3"))  # every how many calls of an opening fails

_OPERATIONS: dict[str, tuple[list[tuple[Verb, Sequence[int]]], tuple[Verb, Sequence[int]]]] = {
    "append": ([("append", [100])], ("append", [200])),
    "append of a batch that needs room": ([("append", [3000])], ("append", [1500, 1500, 1500])),
    "create": ([], ("append", [200, 200])),
    "title": ([("append", [100, 5000])], ("title", [])),
    "delete": ([("append", [100]), ("tear", []), ("append", [100])], ("delete", [])),
    "merge": ([("append", [100])], ("merge", [200, 200])),
    "heal": ([("append", [100]), ("tear", [])], ("append", [200])),
}


@dataclass
class Ordeal:
    """An operation on a session of its own, with a fault in it, and what is wrong afterwards."""

    workspace: Path
    store: FilesStore
    key: str
    before: Told | None = None
    after: Told | None = None

    def run(self, name: str, fault: Fault) -> list[str]:
        """Do an operation with the fault, then again without it, then go on; return what is wrong."""
        *earlier, step = self._steps(name)
        for one in earlier:
            do(self.workspace, self.store, one)
            self.before = one.after(self.before) if one.verb != "tear" else self.before
        self.after = step.after(self.before)
        inode = self._inode()
        told = self._try(step, fault)
        found = [told] if told.startswith("raw") else []
        now = self.told()
        if now != self.after if told == "" else now not in self._may_be(step, fault):
            found.append(f"{told or 'success'}, and there is {now}")
        if told == "" and self._inode() in fault.unflushed:
            found.append("success, and the file is not flushed")
        with suppress(SessionNotFoundError):
            do(self.workspace, self.store, step)
        if self.told() != self.after:
            found.append(f"after the second try there is {self.told()}")
        if inode in fault.unflushed and self._inode() == inode:
            found.append("a file whose flush failed was trusted")
        if step.verb == "delete" and any((self.workspace / "quarantine").glob(f"*{self.key.replace(':', '-')}*")):
            found.append("what was cut off it is still there")
        return [f"{name}, {fault}: {one}" for one in found + self._go_on()]

    def told(self) -> Told | None:
        """Return what the store says of the session."""
        return _told(self.store, self.key)

    def _try(self, step: Step, fault: Fault) -> str:
        """Return what was raised, nothing if nothing was."""
        try:
            with failing(fault):
                do(self.workspace, self.store, step)
        except ChatkeepError as error:
            return f"told {error!r}"
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            return f"raw {error!r}"
        return ""

    def _may_be(self, step: Step, fault: Fault) -> tuple[Told | None, ...]:
        """Return what may be there after an error.

        What was appended is taken back, as far as the disk lets it. A title or a deletion whose folder
        was not flushed stands: it is the same when it is tried again.
        """
        if fault.is_lasting or fault.kind == "full" or step.verb in {"title", "delete"}:
            return (self.before, self.after)
        return (self.before,)

    def _go_on(self) -> list[str]:
        step = Step("append", self.key, ((f"{self.key}.next", 50),))
        do(self.workspace, self.store, step)
        self.after = step.after(self.after)
        return [] if self.told() == self.after else [f"after a next message there is {self.told()}"]

    def _steps(self, name: str) -> Iterator[Step]:
        earlier, operation = _OPERATIONS[name]
        for number, (verb, sizes) in enumerate([*earlier, operation]):
            messages = tuple((f"{self.key}.{number}.{part}", size) for part, size in enumerate(sizes))
            yield Step(verb, self.key, messages, title="New")

    def _inode(self) -> int:
        path = self.workspace / "sessions" / file_name(self.key)
        return path.stat().st_ino if path.exists() else 0


@pytest.mark.campaign("failing calls")
@pytest.mark.parametrize("name", _OPERATIONS)
def test_calls_that_fail(scratch: Path, score: Score, name: str) -> None:
    """An operation with a fault in it is told or done; tried again it is done once; what follows works."""
    ordeals, problems = _ordeals(scratch / "workspace", name)

    score.count(len(ordeals), problems)
    assert len(ordeals) > 100


@pytest.mark.parametrize(
    "plant,fault",
    [
        ("told", "raw OSError"),
        ("restore", "and there is"),
        ("suspicion", "a file whose flush failed was trusted"),
        ("flush", "the file is not flushed"),
        ("taking back", "and there is"),
    ],
)
def test_calls_that_fail_find_what_is_planted(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, plant: str, fault: str
) -> None:
    """A store that lets errors through, keeps what it refused, or trusts and answers what was not flushed, is found."""
    if plant == "told":
        for room in (tree, held):
            monkeypatch.setattr(room, "told", lambda *_: nullcontext())
    elif plant == "restore":
        monkeypatch.setattr(held, "_restore", lambda *_: None)
    elif plant == "suspicion":
        monkeypatch.setattr(LockedFile, "_flush", lambda self: to_disk(self.fd))
    elif plant == "flush":
        monkeypatch.setattr(LockedFile, "_flush", _flush_and_forget)
    else:
        monkeypatch.setattr(Tree, "_claim", _claim_for_good)
    _, problems = _ordeals(scratch / "workspace", "create" if plant == "taking back" else "append", kinds=("EIO",))

    assert any(fault in problem for problem in problems)


@pytest.mark.campaign("failing calls")
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("lasting", ["once", "for ever"])
def test_open_with_calls_that_fail(scratch: Path, score: Score, kind: str, lasting: str) -> None:
    """A workspace that cannot be opened says so, and opens when the fault is gone, torn sessions put right."""
    made = scratch / "made"
    with closing(FilesStore.open(made)) as store:
        expected = {}
        for number in range(3):
            step = Step("append", f"open:{number}", ((f"{number}", 300),))
            do(made, store, step)
            expected[step.key] = step.after(None)
        do(made, store, Step("tear", "open:1"))
    for path in made.glob("index*"):
        path.unlink()
    for place in count(1, STEP):
        workspace = scratch / f"{place}"
        shutil.copytree(made, workspace)
        fault = Fault(kind, place, lasting != "once")
        with suppress(ChatkeepError), failing(fault):
            FilesStore.open(workspace).close()
        for path in workspace.rglob("*.json"):
            os.utime(path, (1_700_000_000, 1_700_000_000))  # the fault is gone a while later
        score.count(1, _faults_after_opening(workspace, expected))
        if not fault.hit:
            break
        shutil.rmtree(workspace)


def _faults_after_opening(workspace: Path, expected: dict[str, Told | None]) -> list[str]:
    with closing(FilesStore.open(workspace)) as store:
        actual = {key: _told(store, key) for key in store.keys(Selection()).keys}
        found = [f"{key}: {actual.get(key)}" for key in expected | actual if expected.get(key) != actual.get(key)]
        found += [f"{finding.file}: {finding.reason}" for finding in examined(workspace)]
        found += [f"{key}: {problem}" for key, problem in store.status().problems.items()]
        if store.append("open:1", [draft_of("next", 50)]).message_count != 2:
            found.append("the next message is not one more")
    return found


def _flush_and_forget(file: LockedFile) -> None:
    with suppress(OSError):
        to_disk(file.fd)


def _claim_for_good(self: Tree, unborn: str, name: str) -> None:
    os.link(unborn, name, src_dir_fd=self._folders.tmp, dst_dir_fd=self._folders.sessions, follow_symlinks=False)
    os.fsync(self._folders.sessions)


def _ordeals(workspace: Path, name: str, kinds: Sequence[str] = FAULTS) -> tuple[list[Ordeal], list[str]]:
    """Let each call of an operation fail in each way; return the ordeals and all that is wrong."""
    ordeals: list[Ordeal] = []
    problems: list[str] = []
    with closing(FilesStore.open(workspace)) as store:
        for kind in kinds:
            for is_lasting in (False, True):
                for place in count(1):
                    ordeal = Ordeal(workspace, store, f"fault:{len(ordeals):05}")
                    ordeals.append(ordeal)
                    fault = Fault(kind, place, is_lasting)
                    problems += ordeal.run(name, fault)
                    if not fault.hit:
                        break
    return ordeals, problems + _afterwards(workspace, ordeals)


def _afterwards(workspace: Path, ordeals: Sequence[Ordeal]) -> list[str]:
    """Return what another store has against what the ordeals left."""
    with closing(FilesStore.open(workspace)) as store:
        found = [f"{finding.file}: {finding.reason}" for finding in examined(workspace)]
        found += [
            f"{ordeal.key} is {told} after a restart"
            for ordeal in ordeals
            if (told := _told(store, ordeal.key)) != ordeal.after
        ]
    for path in (workspace / "sessions").iterdir():
        json.loads(path.read_bytes())
    return found


def _told(store: FilesStore, key: str) -> Told | None:
    try:
        session = store.read(key)
    except SessionNotFoundError:
        return None
    return Told(session.header.title, tuple((one.id, one.content) for one in session.messages))


@pytest.mark.parametrize("kind", ["EIO", "ENOSPC", "EDQUOT", "EROFS"])
@pytest.mark.parametrize("index", ["kept", "lost"])
def test_read_where_every_write_fails(scratch: Path, monkeypatch: pytest.MonkeyPatch, kind: str, index: str) -> None:
    """Whatever a disk says to each call that writes, a workspace is opened, listed, read and searched."""
    workspace = scratch / "workspace"
    with closing(FilesStore.open(workspace)) as store:
        for number in range(3):
            store.append(f"api:{number}", talk(3))
    if index == "lost":
        for path in workspace.glob("index*"):
            path.unlink()
    opened = os.open

    def open_to_read(path: str, flags: int, *arguments: int, **options: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refuse()
        return opened(path, flags, *arguments, **options)

    def refuse(*_: object, **__: object) -> int:
        raise OSError(getattr(errno, kind), os.strerror(getattr(errno, kind)))

    for call in ("write", "pwrite", "fdatasync", "ftruncate", "link", "mkdir", "rename", "replace", "unlink"):
        monkeypatch.setattr(os, call, refuse)
    monkeypatch.setattr(os, "open", open_to_read)
    with closing(FilesStore.open(workspace)) as store:
        assert [f"api:{number}" for number in range(3)] == list(store.keys(Selection()).keys)
        assert [3, 3, 3] == [len(store.window(key, limit=10).messages) for key in store.keys(Selection()).keys]
        assert 3 == len(store.search(search_for("line")).hits)
        with pytest.raises(StorageError):
            store.append("api:0", talk(1))
