"""Telling webhooks: every change at least once, in order, over failures, restarts and kills."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from chatkeep.core.life.dropping import Chosen
from chatkeep.core.life.hooks import HookRequest, Webhook
from chatkeep.core.model import Draft
from chatkeep.errors import InvalidError, StorageError
from chatkeep.http.metrics import Metrics
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from chatkeep.webhooks.letters import HOOKS_FOLDER, Letters
from chatkeep.webhooks.posting import Posted
from chatkeep.webhooks.telling import Teller, telling
from tests.webhooks.receiving import SECRET

TAKEN, FAILED = Posted(200), Posted(500, "status 500")


def _hook(**given: object) -> Webhook:
    settings = {"name": "a", "url": "http://a.example", "secret_variable": "S", "secret": SECRET, "retry_s": 0.001}
    return Webhook(**{**settings, **given})  # type: ignore[arg-type]


class _Run:
    """Tells one webhook until so many requests were tried; `answers` are used up one by one, then all are taken."""

    def __init__(self, tmp_path: Path, sessions: Sessions, hook: Webhook) -> None:
        self.letters = Letters(tmp_path, hook.name)
        self.tried: list[HookRequest] = []
        self.counted: list[str] = []
        self._hook = hook
        self._sessions = sessions

    def until(self, tries: int, answers: list[Posted] | None = None, at: Callable[[], None] = lambda: None) -> None:
        stop = threading.Event()
        left = list(answers or ())

        def send(_hook: Webhook, request: HookRequest, _at_s: int) -> Posted:
            self.tried.append(request)
            at()
            if len(self.tried) >= tries:
                stop.set()
            return left.pop(0) if left else TAKEN

        teller = Teller(self._hook, self.letters, self._sessions, lambda _, how: self.counted.append(how), send)
        if tries <= len(self.tried):
            stop.set()
        with self.letters.owned(1):
            if stop.is_set():
                self.letters.keep_position(self._sessions.changes(None, limit=1).position)
            teller.tell(stop)

    def bodies(self) -> list[str]:
        return [one.body for one in self.tried]


def _said(text: str = "secret words") -> list[Draft]:
    return [Draft(role="user", content=text)]


def test_tell_of_every_kind(tmp_path: Path) -> None:
    """A new webhook begins now; then it learns of each kind of change, by key, seqs and counts, not by words."""
    sessions = Sessions(MemoryStore())
    sessions.append("before", _said())
    run = _Run(tmp_path, sessions, _hook())
    run.until(0)
    sessions.append("a", _said())
    sessions.append("a", _said())
    sessions.drop("a", Chosen(last=1))
    sessions.rename("a", "secret title")
    sessions.delete("a")
    run.until(5)
    kinds = ["session.created", "session.appended", "session.dropped", "session.revised", "session.deleted"]
    assert kinds == [one.event for one in run.tried]
    assert 5 == len({one.id for one in run.tried})
    assert not [body for body in run.bodies() if "secret" in body or '"key":"a"' not in body]
    assert '"drops":[[2,2]]' in run.bodies()[2]
    assert ["sent"] * 5 == run.counted


def test_filter(tmp_path: Path) -> None:
    """A webhook learns only of its kinds of change, under its prefix."""
    sessions = Sessions(MemoryStore())
    run = _Run(tmp_path, sessions, _hook(events=("created",), prefix="web:"))
    run.until(0)
    for key in ("web:1", "cli:1", "web:2"):
        sessions.append(key, _said())
        sessions.append(key, _said())
    run.until(2)
    assert ["web:1", "web:2"] == [body.split('"key":"')[1].split('"')[0] for body in run.bodies()]


def test_repeat_after_failures(tmp_path: Path) -> None:
    """A failed request is sent again under its id before any later change, and none is skipped."""
    sessions = Sessions(MemoryStore())
    run = _Run(tmp_path, sessions, _hook())
    run.until(0)
    for _ in range(3):
        sessions.append("a", _said())
    run.until(5, [FAILED, FAILED])
    first, second, third = list(dict.fromkeys(one.id for one in run.tried))
    assert [first, first, first, second, third] == [one.id for one in run.tried]
    assert ["failed", "failed", "sent", "sent", "sent"] == run.counted


def test_bury_and_go_on(tmp_path: Path) -> None:
    """After its tries a request is a dead letter, kept whole with the reason; the next changes are told."""
    sessions = Sessions(MemoryStore())
    run = _Run(tmp_path, sessions, _hook(attempts=2))
    run.until(0)
    sessions.append("a", _said())
    sessions.append("b", _said())
    run.until(3, [FAILED, FAILED])
    ((name, letter),) = run.letters.dead()
    assert (run.tried[0], 2, "status 500") == (letter.request, letter.attempts, letter.reason)
    assert ["failed", "failed", "dead", "sent"] == run.counted
    run.letters.forget(name)
    assert [] == [*run.letters.dead()]


def test_go_on_after_any_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw ends no webhook: what it broke off is told a little later."""
    monkeypatch.setattr("chatkeep.webhooks.telling._REST_S", 0.01)
    stop, told = threading.Event(), list[int]()

    def send(*_: object) -> Posted:
        told.append(1)
        if len(told) == 1:
            raise MemoryError
        stop.set()
        return TAKEN

    sessions = Sessions(MemoryStore())
    letters = Letters(tmp_path, _hook().name)
    with letters.owned(1):
        letters.keep_position(sessions.changes(None, limit=1).position)
    sessions.append("api:1", _said())
    Teller(_hook(), letters, sessions, lambda *_: None, send).run(stop)
    assert [1, 1] == told


def test_go_on_after_a_stop(tmp_path: Path) -> None:
    """A stop in the middle of failures loses nothing: the next run begins with the change that was not taken."""
    sessions = Sessions(MemoryStore())
    run = _Run(tmp_path, sessions, _hook())
    run.until(0)
    for key in ("a", "b", "c"):
        sessions.append(key, _said())
    run.until(2, [TAKEN, FAILED])
    run.until(4)
    assert ["a", "b", "b", "c"] == [body.split('"key":"')[1][0] for body in run.bodies()]


def begin_once(sessions: Sessions) -> None:
    """Begin a session unless it is there."""
    if not sessions.keys().keys:
        sessions.append("a", _said())


def test_say_that_changes_are_unknown(tmp_path: Path) -> None:
    """Where the feed no longer knows the place, a reset says so, and later changes are told."""
    sessions = Sessions(MemoryStore())
    run = _Run(tmp_path, sessions, _hook())
    with run.letters.owned(1):
        run.letters.keep_position("unknown")
    run.until(2, at=lambda: begin_once(sessions))
    assert ["session.reset", "session.created"] == [one.event for one in run.tried]


def test_refuse_a_broken_place(tmp_path: Path) -> None:
    """A place that cannot be read is neither guessed nor overwritten."""
    letters = Letters(tmp_path, "a")
    path = tmp_path / HOOKS_FOLDER / "a" / "place.json"
    with letters.owned(1):
        path.write_bytes(b"{")
        with pytest.raises(StorageError, match="remove it"):
            letters.position()
    assert b"{" == path.read_bytes()


def test_be_told_by_one_server(tmp_path: Path) -> None:
    """While one process tells a webhook, another sees that, and waits."""
    letters = Letters(tmp_path, "a")
    assert not letters.is_owned()
    with letters.owned(1):
        assert Letters(tmp_path, "a").is_owned()
    assert not letters.is_owned()


def test_refuse_to_serve_without_a_secret(tmp_path: Path) -> None:
    """A webhook whose variable is not set is named before anything is told."""
    hooks = [_hook(secret=b"")]
    with (
        pytest.raises(InvalidError, match="S: is not set"),
        telling(hooks, tmp_path, Sessions(MemoryStore()), Metrics(Sessions(MemoryStore()))),
    ):
        pass
