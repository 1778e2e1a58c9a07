"""An import takes what it can, whole sessions at a time, and tells exactly what came of it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from chatkeep.core.model import Draft, Header, Message, Session
from chatkeep.errors import SessionNotFoundError
from chatkeep.importers import Flaw, Report, take_in, would_take_in
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore

AT = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)


def session(key: str, *contents: str, first_id: int = 1) -> Session:
    """Return a session whose messages have the ids 1, 2, 3 ..."""
    messages = tuple(
        Message(seq=seq, role="user", content=content, sent_at=AT, id=str(first_id + seq - 1))
        for seq, content in enumerate(contents, start=1)
    )
    return Session(header=Header(key=key, channel="api", title=None, created_at=AT), messages=messages)


@pytest.fixture
def sessions() -> Sessions:
    """Return sessions with one that has one message."""
    fresh = Sessions(MemoryStore())
    fresh.append("old", [Draft(role="user", content="one", id="1", sent_at=AT)])
    return fresh


def test_take_in_reports_what_came_of_it(sessions: Sessions) -> None:
    """New and extended sessions, added and skipped messages are counted; flaws are passed on."""
    flaw = Flaw("line 3", "It is not JSON.")
    seen: list[Session | Flaw] = []
    records: list[Session | Flaw] = [
        session("new", "a", "b"),
        session("old", "one", "two"),
        flaw,
        session("old", "one"),
    ]
    report = take_in(sessions, records, on_session=seen.append)
    expected = Report(sessions_created=1, sessions_extended=1, messages_added=3, messages_skipped=2, errors=(flaw,))
    assert expected == report
    assert records == seen


def test_take_in_whole_sessions_only(sessions: Sessions) -> None:
    """A session with one message that cannot be stored is not stored at all, and the rest goes on."""
    report = take_in(sessions, [session("bad", "a", "\0"), session(" key ", "a"), session("good", "a")])
    assert ["bad", " key "] == [flaw.place for flaw in report.errors]
    assert "NUL" in report.errors[0].reason
    assert 1 == report.sessions_created
    with pytest.raises(SessionNotFoundError):
        sessions.get("bad")


def test_take_in_other_content_under_a_known_id(sessions: Sessions) -> None:
    """What is stored is never changed: a message whose id is taken is left out and named."""
    report = take_in(sessions, [session("old", "another", "two")])
    assert (1, 0) == (report.messages_added, report.messages_skipped)
    assert [("old", ("1",))] == [(flaw.place, flaw.conflicts) for flaw in report.errors]
    assert ["one", "two"] == [message.content for message in sessions.read("old").messages]


def test_take_in_lists_a_bounded_number_of_errors(sessions: Sessions) -> None:
    """A file full of errors fills neither the memory nor the screen."""
    report = take_in(sessions, (Flaw(f"line {number}", "bad") for number in range(5000)))
    assert 1001 == len(report.errors)
    assert "4000 more" in report.errors[-1].reason


def test_would_take_in_tells_the_same_and_stores_nothing(sessions: Sessions) -> None:
    """A dry run foretells the report exactly, repeated and conflicting records included."""
    records: list[Session | Flaw] = [
        session("new", "a", "b"),
        session("new", "a", "b", "c"),
        session("old", "another", "two"),
        session("bad", "\0"),
        Flaw("line 9", "bad"),
    ]
    foretold = would_take_in(sessions, records)
    assert ("old",) == sessions.keys().keys
    assert foretold == take_in(sessions, records)


def test_take_in_leaves_out_what_was_deleted(sessions: Sessions) -> None:
    """A session deleted here is left out with all its parts, counted once and named; a dry run foretells it."""
    sessions.delete("old")
    later = session("old", "two")
    part = msgspec.structs.replace(later, messages=(msgspec.structs.replace(later.messages[0], seq=2, id="2"),))
    records = [session("old", "one"), part, session("old", "one"), session("new", "a")]
    foretold = would_take_in(sessions, records)
    assert Report(sessions_created=1, messages_added=1, sessions_left_out=1, left_out=("old",)) == foretold
    assert foretold == take_in(sessions, records)
    assert ("new",) == sessions.keys().keys
    assert (None, "session_deleted") == (foretold.failure, take_in(sessions, records[:1]).failure)


def test_take_in_restores_what_was_deleted(sessions: Sessions) -> None:
    """When asked to, an import brings a deleted session back, and from then on imports extend it again."""
    sessions.delete("old")
    restored = would_take_in(sessions, [session("old", "one")], restore_deleted=True)
    assert Report(sessions_created=1, messages_added=1) == restored
    assert restored == take_in(sessions, [session("old", "one")], restore_deleted=True)
    assert 1 == take_in(sessions, [session("old", "one", "two")]).messages_added
