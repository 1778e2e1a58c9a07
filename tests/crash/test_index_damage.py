"""The index is disposable: whatever becomes of it, no answer is wrong, and nobody has to mend it.

A store over files does what a store in memory does, while another process damages the index; the answers
have to be the same. An error that says "try again" is no wrong answer, if it does not last.
`CHATKEEP_CRASH_DAMAGES` says how many damages.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from chatkeep.core.model import Draft, Revision, Selection
from chatkeep.errors import BusyError, SessionNotFoundError, StorageError
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.tree import file_name
from chatkeep.store.files.upkeep.upkeep import Upkeep
from chatkeep.store.memory import MemoryStore
from chatkeep.store.protocol import Store
from chatkeep.testing import at, search_for
from tests.crash.scorecard import Score
from tests.crash.spoiling import LOUD, SILENT, Spoiler, make_spares, spoiler

T = TypeVar("T")

DAMAGES = int(os.environ.get("CHATKEEP_CRASH_DAMAGES", "36"))
_SESSIONS = 12
_WORDS = ("apple", "pear", "plum", "cherry", "quince")
_LENGTHS = (1, 50, 2000)
_STEPS = 8
_APPENDS_EACH = 400
_PATIENCE_S = 20.0
_ALL = Selection(archived=None)


class Pair:
    """A store over files beside the model of it."""

    def __init__(self, workspace: Path, dice: random.Random) -> None:
        """Open the store; the model begins as empty as the workspace."""
        self.workspace, self.dice = workspace, dice
        self.model = MemoryStore()
        self.store = FilesStore.open(workspace)
        self.errors: Counter[str] = Counter()
        self.count = 0

    def reopen(self, *, watch: bool) -> None:
        """Open the store anew."""
        self.store.close()
        self.store = FilesStore.open(self.workspace, watch=watch)

    def step(self) -> list[str]:
        """Do something to both, or ask both something; return what differs."""
        if (fate := self.dice.random()) < 0.5:
            self.append()
            return []
        if fate < 0.6:
            return self.rename()
        ask = self.dice.choice(_QUESTIONS)
        return self._difference(ask, self._some_key(), self.dice.choice(_WORDS))

    def append(self) -> None:
        """Append to both; what was answered with an error is sent again, as a client does."""
        self.count += 1
        text = f"{self.dice.choice(_WORDS)} {self.count} " + "x" * self.dice.choice(_LENGTHS)
        said = Draft(role="user", content=text, id=f"m{self.count}", sent_at=at(self.count))
        key = self._some_key()
        answer = self._at_last(lambda: self.store.append(key, [said]))
        assert answer.message_count == self.model.append(key, [said]).message_count

    def begin_anew(self) -> None:
        """Delete all sessions, so that a search never finds more than it may answer with."""
        for key in self.model.keys(_ALL).keys:
            self.model.delete(key)
            with suppress(
                SessionNotFoundError
            ):  # a deletion is made again after an error, though it may have been done
                self._at_last(lambda one=key: self.store.delete(one))  # type: ignore[misc]

    def rename(self) -> list[str]:
        """Rename a session in both."""
        revision = Revision(title=f"Title {self.dice.randrange(1000)}")
        return self._difference(lambda store, key, _: _renamed(store, key, revision), self._some_key(), "")

    def differences(self) -> list[str]:
        """Ask both everything."""
        keys, words = [f"s:{number}" for number in range(_SESSIONS)], iter(_WORDS * _SESSIONS)
        return [fault for ask in _QUESTIONS for key in keys for fault in self._difference(ask, key, next(words))]

    def _some_key(self) -> str:
        return f"s:{self.dice.randrange(_SESSIONS)}"

    def _difference(self, ask: Callable[[Store, str, str], object], key: str, word: str) -> list[str]:
        expected, actual = ask(self.model, key, word), self._at_last(lambda: ask(self.store, key, word))
        told = f"{ask.__name__} {key} {word}: {expected} but {actual}".replace("x" * _LENGTHS[1], "")
        return [] if expected == actual else [told[:2000]]

    def _at_last(self, call: Callable[[], T]) -> T:
        """Return what a call answers when it is made again after errors that pass."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return call()
            except (BusyError, StorageError) as error:
                self.errors[type(error).__name__] += 1
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


def _renamed(store: Store, key: str, revision: Revision) -> object:
    try:
        return store.revise(key, revision).title
    except SessionNotFoundError:
        return "none"


def _listed(store: Store, key: str, word: str) -> object:
    page = store.list(_ALL, limit=8)
    return page.total, [(each.header.key, each.message_count, each.title, each.preview) for each in page.sessions]


def _window(store: Store, key: str, word: str) -> object:
    try:
        return [(said.seq, said.id, said.content) for said in store.window(key, limit=5).messages]
    except SessionNotFoundError:
        return "none"


def _found(store: Store, key: str, word: str) -> object:
    hits = store.search(search_for(word, unit="message", limit=200)).hits
    return sorted((hit.key, hit.seq, hit.message_id) for hit in hits)


def _counted(store: Store, key: str, word: str) -> object:
    status = store.status()
    return status.session_count, status.message_count, status.channels, status.problems


_QUESTIONS = (_listed, _window, _found, _counted)


@contextmanager
def _ordeal(scratch: Path, seed: int) -> Iterator[tuple[Pair, Spoiler]]:
    """Give a pair with some sessions, and the program that damages its index."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    theirs = Pair(scratch / "theirs", dice)
    pair = Pair(scratch / "workspace", dice)
    for each in (theirs, pair):
        for _ in range(40):
            each.append()
    make_spares(scratch / "spare", pair.workspace, theirs.workspace)
    theirs.store.close()
    with spoiler(pair.workspace, scratch / "spare") as program:
        yield pair, program
    pair.store.close()


def _damage(pair: Pair, program: Spoiler, kind: str) -> tuple[str, list[str]]:
    """Damage the index while it is used; return whether it was, and the wrong answers meanwhile and after."""
    program.begin(kind, pair.dice.getrandbits(32))
    wrong = [fault for _ in range(_STEPS) for fault in pair.step()]
    done = program.end()
    return done, wrong + pair.differences()


def _file_faults(pair: Pair) -> list[str]:
    """Return what the files have not, or have otherwise, of what was answered."""
    found = []
    for session in map(pair.model.read, pair.model.keys(_ALL).keys):
        scan = session_file.scan((pair.workspace / "sessions" / file_name(session.header.key)).read_bytes())
        actual = [(said.seq, said.id, said.content) for said in scan.messages]
        expected = [(said.seq, said.id, said.content) for said in session.messages]
        if scan.state != "whole" or expected != actual:
            found.append(f"{session.header.key}: {scan.state} {scan.reason}, {len(expected)} but {len(actual)}")
    return found


@pytest.mark.campaign("index damage")
def test_answers_while_the_index_is_damaged(scratch: Path, score: Score) -> None:
    """No answer is wrong, whatever was removed, cut, replaced or kept by somebody; nothing has to be mended by hand."""
    done: Counter[str] = Counter()
    with _ordeal(scratch, 1) as (pair, program):
        while done.total() < DAMAGES:
            kind = pair.dice.choice([*LOUD])
            if done.total() % 10 == 0 or not Index.path_in(pair.workspace).exists():
                pair.reopen(watch=pair.dice.random() < 0.5)
                make_spares(scratch / "spare", pair.workspace, scratch / "theirs")
            answer, wrong = _damage(pair, program, kind)
            done[kind] += answer == "done"
            score.count(answer == "done", (f"{kind}: {fault}" for fault in wrong))
            if pair.count % _APPENDS_EACH < _STEPS:
                pair.begin_anew()
        pair.reopen(watch=False)
        score.count(0, _file_faults(pair))
    score.note(appends=pair.count, asked_again=pair.errors.total())


@pytest.mark.campaign("index damage that SQLite cannot see: the files")
def test_files_while_the_index_lies(scratch: Path, score: Score) -> None:
    """What SQLite cannot notice makes answers wrong, but no file, and a new index is right."""
    done: Counter[str] = Counter()
    with _ordeal(scratch, 2) as (pair, program):
        while done.total() < DAMAGES // 3:
            kind = pair.dice.choice([*SILENT])
            answer, wrong = _damage(pair, program, kind)
            done[kind] += answer == "done"
            score.note(wrong_answers_until_rebuilt=bool(wrong))
            files = _file_faults(pair)
            pair.store.reindex()
            score.count(answer == "done", files + pair.differences())
            if pair.count % _APPENDS_EACH < _STEPS:
                pair.begin_anew()


@pytest.mark.parametrize(
    "kind,plant,bug",
    [
        ("lock", "answer", lambda self, question, _=None: self.ask(question)),
        ("replace_by_older", "_catch_up", lambda *_: None),
        ("replace_by_foreign", "_catch_up", lambda *_: None),
    ],
)
def test_answers_finds_what_is_planted(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, kind: str, plant: str, bug: Callable[..., object]
) -> None:
    """A store that answers from an index that is behind its files is found out."""
    with _ordeal(scratch, 3) as (pair, program):
        for _ in range(6):  # something has to be in the files that is not in the older index
            pair.append()
        monkeypatch.setattr(Upkeep, plant, bug)
        assert any(_damage(pair, program, kind)[1] for _ in range(10))
