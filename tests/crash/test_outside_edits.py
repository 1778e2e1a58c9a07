"""Session files are edited, replaced, copied and moved by others while a server runs.

It sees that within two seconds, answers meanwhile with what was there before or with what is there now
(of a copy under way, with as much as has come), and overwrites nothing. `CHATKEEP_CRASH_EDITS` says how many edits.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from chatkeep.access.tokens import TokenFile
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name
from tests.crash import hands
from tests.crash.hands import Said, Truth, changed, document_of, lines_of, new_word, pretty
from tests.crash.scorecard import Score
from tests.crash.serving import served

EDITS = int(os.environ.get("CHATKEEP_CRASH_EDITS", "36"))
_HANDS = 6
_PATIENCE_S = 10.0
_OK, _GONE, _CREATED = 200, 404, 201
_REFUSED = frozenset((409, 503))
_REMOVED_SHARE = 0.12
_APPEND_SHARE = 0.3
_QUIET_SHARE = 0.4  # of edits during which nobody asks: a question may lead the server to look
_FOLDER_EVERY = 3

Way = Callable[[Path, bytes], None]


@dataclass
class Seen:
    """How long it took until edits were seen, what was done, and what was wrong."""

    times_s: list[float] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Hand:
    """Somebody who edits one session's file and asks the server about it."""

    def __init__(self, number: int, workspace: Path, http: httpx.Client, seen: Seen) -> None:
        """Begin with no file."""
        self.key = f"hand:{number}"
        self.path = workspace / "sessions" / file_name(self.key)
        self.truth: Truth = None
        self._http, self._seen = http, seen
        self._dice = random.Random(number)  # noqa: S311 - repeatable
        self._gone: list[str] = []

    def edit(self, ways: tuple[Way, ...] = hands.WAYS) -> None:
        """Edit the file in one of the ways, ask meanwhile, and wait until it is seen."""
        old, dice = self.truth, self._dice
        if old is not None and dice.random() < _REMOVED_SHARE:
            self._carry_out("remove", None, self.path.unlink, ())
            return
        new = changed(old or (), dice)
        layout = dice.choice((lines_of, lines_of, pretty))
        data, way = layout(document_of(self.key, new, new_word())), dice.choice(ways)
        appended = () if old is None or dice.random() > _APPEND_SHARE else ((new_word(), new_word()),)
        self._carry_out(f"{way.__name__} {layout.__name__}", new, lambda: way(self.path, data), appended)

    def _carry_out(self, name: str, new: Truth, act: Callable[[], None], appended: Said) -> None:
        old = self.truth
        self._gone = [word for _, text in old or () for word in (text.split()[0],) if (word not in str(new))]
        answers: list[tuple[int, Truth]] = []
        errors: list[str] = []
        hand = threading.Thread(target=act)
        writer = threading.Thread(target=lambda: errors.append(self._append(appended)))
        hand.start()
        if appended:
            writer.start()
        if self._dice.random() < _QUIET_SHARE:
            hand.join()
        while hand.is_alive():
            answers.append(self._asked())
            self._fault(name, self._search_faults(old, new, appended, is_slow="rename" not in name))
        ended = time.monotonic()
        hand.join()
        if appended:
            writer.join()
        finals: list[Truth] = [new] if new is None else [new, (*new, *appended)]
        if new is None and appended:
            finals.append(appended)
        self._see(name, finals, ended, errors)
        allowed = [old, *finals, *([] if old is None else [(*old, *appended)])]
        for status, said in answers:
            if status == _OK and said not in allowed and not self._is_beginning(said, new):
                self._fault(name, [f"answered {_short(said)}: not {_short(old)}, nor {_short(new)}"])
            if status not in {_OK, _GONE, *_REFUSED}:
                self._fault(name, [f"answered {status}"])

    def _see(self, name: str, finals: list[Truth], ended: float, errors: list[str]) -> None:
        """Wait until what is there now is answered in every way, and stays so."""
        problem: list[str] = []
        while time.monotonic() < ended + _PATIENCE_S:
            for said in finals:  # search and list are asked first: asking for messages looks at the file
                problem = self._differences(said) or self._other_than(said)
                if not problem:
                    self._seen.times_s.append(time.monotonic() - ended)
                    self._seen.done[name] += 1
                    self.truth = said
                    self._fault(name, self.file_faults())
                    return
            time.sleep(0.01)
        self._fault(name, [f"not seen: {fault}, {errors}" for fault in problem])
        self.truth = self._in_file()

    def _other_than(self, said: Truth) -> list[str]:
        status, answer = self._asked()
        is_right = answer == said and status == (_GONE if said is None else _OK)
        return [] if is_right else [f"{status} {_short(answer)}, not {_short(said)}"]

    def file_faults(self) -> list[str]:
        """Return what the file has not of what somebody has put there."""
        return [] if self._in_file() == self.truth else [f"the file has {_short(self._in_file())}"]

    def _in_file(self) -> Truth:
        try:
            messages = json.loads(self.path.read_bytes())["messages"]
        except FileNotFoundError:
            return None
        return tuple((said["id"], said["content"]) for said in messages)

    def _asked(self) -> tuple[int, Truth]:
        answer = self._http.get("/api/v1/messages", params={"session": self.key, "limit": 500})
        if answer.status_code != _OK:
            return answer.status_code, None
        return _OK, tuple((said["id"], said["content"]) for said in answer.json()["messages"])

    def _append(self, appended: Said) -> str:
        (name, text) = appended[0]
        time.sleep(self._dice.random() * 0.02)
        message = {"role": "user", "content": text, "id": name}
        answer = self._http.post("/api/v1/messages", params={"session": self.key}, json=message)
        if answer.status_code not in {_CREATED, *_REFUSED}:
            self._fault("append", [f"answered {answer.status_code}"])
        return f"append {answer.status_code}"

    def _differences(self, said: Truth) -> list[str]:
        """Return where list and search say something else than the messages do."""
        found = self._http.get(f"/api/v1/sessions/{self.key}")
        count = found.json()["message_count"] if found.status_code == _OK else None
        problems = [] if count == (None if said is None else len(said)) else [f"counted {count} of {_short(said)}"]
        for _, text in said or ():
            word = text.split()[0]
            problems += [] if self.key in self._keys(word) else [f"{word} is not found"]
        return problems or [f"{word} is found" for word in self._gone if self._keys(word)]

    def _search_faults(self, old: Truth, new: Truth, appended: Said, *, is_slow: bool) -> list[str]:
        """Return what is wrong with what is found of a word that somebody says or said."""
        texts = [text for said in (old, new, appended) for _, text in said or ()]
        word = self._dice.choice(texts).split()[0] if texts else "nobody"
        answer = self._http.get("/api/sessions/search", params={"q": word})
        if answer.status_code != _OK:
            return [f"search answered {answer.status_code}"]
        hits = answer.json()["sessions"]
        in_both = all(any(word in text.split() for _, text in said or ()) for said in (old, new))
        faults = [f"{word} is found in {hit['match'][:80]!r}" for hit in hits if word not in hit["match"]]
        return [*faults, f"{word} is not found"] if in_both and not is_slow and not hits else faults

    def _keys(self, word: str) -> list[str]:
        found = self._http.get("/api/sessions/search", params={"q": word}).json()["sessions"]
        return [hit["id"] for hit in found]

    def _is_beginning(self, said: Truth, new: Truth) -> bool:
        return said is not None and new is not None and new[: len(said)] == said

    def _fault(self, name: str, faults: list[str]) -> None:
        self._seen.faults += [f"{self.key} {name}: {fault}" for fault in faults]


def _short(said: Truth) -> str:
    return "nothing" if said is None else "[" + " ".join(f"{name}:{text[:12]}:{len(text)}" for name, text in said) + "]"


@contextmanager
def _campaign(workspace: Path, plant: str = "") -> Iterator[tuple[list[Hand], Seen]]:
    """Give hands on a workspace that is served."""
    FilesStore.open(workspace).close()
    token, _ = TokenFile(workspace / "tokens.json").create(name="test", scopes=("admin",))
    seen = Seen()
    with (
        served(workspace, plant) as address,
        httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=30) as http,
    ):
        yield [Hand(number, workspace, http, seen) for number in range(_HANDS)], seen


def _edit_all(workers: list[Hand], ways: tuple[Way, ...] = hands.WAYS) -> None:
    with ThreadPoolExecutor(len(workers)) as pool:
        for outcome in [pool.submit(hand.edit, ways) for hand in workers]:
            outcome.result()


def _move_folder(workers: list[Hand], workspace: Path, dice: random.Random) -> None:
    """Swap the folder, or move it away for a while, and see that all sessions are there, gone, and there again."""
    sessions = workspace / "sessions"
    if dice.random() < 0.5:
        hands.swap_folder(sessions)
    else:
        way_back = hands.move_folder_away(sessions)
        truths = [hand.truth for hand in workers]
        _see_all(workers, "folder moved away", [None] * len(workers))
        way_back()
        for hand, truth in zip(workers, truths, strict=True):
            hand.truth = truth
    _see_all(workers, "folder put in place", [hand.truth for hand in workers])


def _see_all(workers: list[Hand], name: str, truths: list[Truth]) -> None:
    ended = time.monotonic()
    for hand, truth in zip(workers, truths, strict=True):
        hand._gone = []
        hand._see(name, [truth], ended, [])


@pytest.mark.campaign("outside edits")
def test_edits_from_outside(scratch: Path, score: Score) -> None:
    """Every edit is seen, nothing is misread meanwhile, nothing is overwritten; after a restart all is the same."""
    workspace = scratch / "workspace"
    dice = random.Random(EDITS)  # noqa: S311 - repeatable
    with _campaign(workspace) as (workers, seen):
        while sum(seen.done.values()) < EDITS and not seen.faults:
            _edit_all(workers)
            if dice.randrange(_FOLDER_EVERY) == 0:
                _move_folder(workers, workspace, dice)
        score.took("seen after", [took_s * 1000 for took_s in seen.times_s])
        score.count(sum(seen.done.values()), seen.faults)
    store = FilesStore.open(workspace)
    assert [] == [fault for hand in workers for fault in hand.file_faults()]
    assert {hand.key for hand in workers if hand.truth is not None} == {
        header.key for header in (store.read(hand.key).header for hand in workers if hand.truth is not None)
    }
    store.close()
    assert sorted(seen.times_s)[len(seen.times_s) // 2] < _PATIENCE_S


@pytest.mark.parametrize(
    "plant,ways",
    [
        (
            ".tree.outside import Watch; Watch._look_at = lambda *_: None",
            (hands.with_its_old_times, hands.from_elsewhere),
        ),
        (".upkeep import intake; intake.may_be_arriving = lambda *_: False", (hands.slowly_over_the_old,)),
    ],
    ids=["blind", "hasty"],
)
def test_edits_find_what_is_planted(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, plant: str, ways: tuple[Way, ...]
) -> None:
    """A server is found out that does not look by itself, or that repairs what is on its way."""
    monkeypatch.setattr("tests.crash.test_outside_edits._PATIENCE_S", 2.5)
    with _campaign(scratch / "workspace", f"from chatkeep.store.files{plant}") as (workers, seen):
        for _ in range(40):
            _edit_all(workers, ways)
            if seen.faults:
                break
        assert [] != seen.faults
