"""Whole sessions with long texts are begun and imported by the process beside the server, as by the server itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from chatkeep.errors import InvalidError, SessionExistsError
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from chatkeep.testing import draft
from chatkeep.workers.appending import Works, answer_of, handed_over, outcome
from chatkeep.workers.taking_in import SessionCreation, SessionImport, report_of_answer, session_begun, taken_in

AT = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
WORKS: Works = {SessionCreation: session_begun, SessionImport: taken_in}


def creation(prefix: str = "") -> SessionCreation:
    """Return the task to begin a session."""
    return SessionCreation(prefix=prefix, may_drop=False, at=AT, made_key="api:made")


def body(key: str | None = None, *texts: str) -> bytes:
    """Return the body of a creation."""
    messages = [{"role": "user", "content": text} for text in texts]
    return json.dumps({"messages": messages, "title": "Long", **({} if key is None else {"key": key})}).encode()


@pytest.mark.parametrize("key", [None, "cli:a"])
def test_begin_a_session_beside(key: str | None) -> None:
    """Whoever begins a session, it is the same, and has the made key where the body names none."""
    here, there = MemoryStore(), MemoryStore()
    what, said = creation(), body(key, "a", "b")
    answer = session_begun(Sessions(here), what, said)
    assert answer == answer_of(outcome(there, WORKS, b"".join(handed_over(what, said))))
    assert here.read(key or "api:made") == there.read(key or "api:made")


@pytest.mark.parametrize("key", [None, "cli:a"])
def test_begin_a_session_again(key: str | None) -> None:
    """Who does the work again, as it may not be done, finds the session begun, and tells the same."""
    store = MemoryStore()
    what, said = creation(), body(key, "a", "b")
    assert session_begun(Sessions(store), what, said) == session_begun(Sessions(store), what, said)
    assert ["a", "b"] == [message.content for message in store.read(key or "api:made").messages]


def test_begin_a_session_again_with_ids_of_its_own() -> None:
    """Also where the body names all ids; a later request with the same body is refused all the same."""
    store = MemoryStore()
    sent = [
        {"role": "user", "content": "a", "id": "m1", "timestamp": "2024-01-14T09:00:00Z"},
        {"role": "user", "content": "b", "id": "m2"},
    ]
    what, said = creation(), json.dumps({"key": "cli:a", "messages": sent}).encode()
    first = session_begun(Sessions(store), what, said)
    store.append("cli:a", [draft("said meanwhile", 3, id="m3")])
    again = session_begun(Sessions(store), what, said)
    assert json.loads(first.data)["messages"] == json.loads(again.data)["messages"]
    later = SessionCreation(prefix="", may_drop=False, at=AT + timedelta(seconds=1), made_key="api:made")
    with pytest.raises(SessionExistsError):
        session_begun(Sessions(store), later, said)


def test_begin_no_session_over_another() -> None:
    """A session that another began is refused alike, here and beside."""
    store = MemoryStore()
    store.append("cli:a", [draft("other", 1, id="other")])
    for what in (creation(), creation("cli:")):
        with pytest.raises(SessionExistsError):
            answer_of(outcome(store, WORKS, b"".join(handed_over(what, body("cli:a", "a")))))
    assert ["other"] == [message.content for message in store.read("cli:a").messages]


@pytest.mark.parametrize(
    "data,is_taken",
    [
        (b'{"key": "cli:a", "messages": [{"role": "user", "content": "a"}, {"role": "user", "content": 5}]}', True),
        (b'{"key": "api:b", "messages": [{"role": "user", "content": "a"}]}', False),
        (b"[1, 2", False),
    ],
)
def test_import_beside(data: bytes, *, is_taken: bool) -> None:
    """Whoever imports, the report is the same, what was bad is named, and nothing outside the prefix is touched."""
    here, there = MemoryStore(), MemoryStore()
    what = SessionImport(prefix="cli:", may_drop=False, format="json", restore_deleted=True)
    report = report_of_answer(taken_in(Sessions(here), what, data))
    assert report == report_of_answer(answer_of(outcome(there, WORKS, b"".join(handed_over(what, data)))))
    assert report.errors
    assert is_taken == (report.sessions_created == 1)
    assert here.status().message_count == there.status().message_count == is_taken


def test_import_beside_again() -> None:
    """An import done twice stores once."""
    store = MemoryStore()
    what = SessionImport(prefix="", may_drop=False, format="json", restore_deleted=True)
    data = b'{"key": "cli:a", "messages": [{"role": "user", "content": "a"}]}'
    counts = [report_of_answer(taken_in(Sessions(store), what, data)).messages_added for _ in range(2)]
    assert [1, 0] == counts


def test_begin_no_broken_session_beside() -> None:
    """A broken body is refused with the same words."""
    with pytest.raises(InvalidError) as here:
        session_begun(Sessions(MemoryStore()), creation(), b'{"messages": [{"role": "nobody", "content": "a"}]}')
    told = outcome(MemoryStore(), WORKS, b"".join(handed_over(creation(), b'{"messages": [{"role": "nobody"}]}')))
    with pytest.raises(InvalidError) as there:
        answer_of(told)
    assert vars(here.value) == vars(there.value)
