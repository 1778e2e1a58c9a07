"""Claude Code's transcripts become sessions: answers in one piece, sub-agents and copies linked to their origin."""

from __future__ import annotations

import json
from pathlib import Path

from chatkeep import importers
from chatkeep.core.model import MODEL_TITLE, Json, Session, text_of
from chatkeep.importers import Flaw
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from tests.importers.formats.agents.reading import sessions_by_key
from tests.importers.formats.agents.test_samples import OWN

FOLDER = OWN / "claude-code"
MAIN = "claude-code:-home-dev-app:11111111-aaaa-4aaa-8aaa-000000000001"
FORK = "claude-code:-home-dev-app:11111111-aaaa-4aaa-8aaa-000000000002"


def line(number: int, kind: str, content: Json, **more: Json) -> dict[str, Json]:
    """Return a line of a transcript."""
    message = {"role": kind, "content": content, **more.pop("message", {})}
    return {
        "type": kind,
        "uuid": f"u{number}",
        "sessionId": "s",
        "timestamp": f"2026-01-01T00:00:{number:02d}Z",
        "message": message,
        **more,
    }


def read(path: Path, *lines: dict[str, Json] | str) -> list[Session | Flaw]:
    """Return the records of a transcript with these lines."""
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines))
    return list(importers.read_sessions(path, "claude-code"))


def test_join_the_lines_of_an_answer() -> None:
    """The lines of one message id are one message, though results of tools stand between them; usage counts once."""
    session = sessions_by_key(FOLDER, "claude-code")[MAIN]
    answer, first, second = session.messages[1:4]
    assert ("assistant", "u06", "I'll look at the parser first.") == (answer.role, answer.id, answer.content)
    assert ["Read", "Bash"] == [call["function"]["name"] for call in answer.tool_calls or []]
    assert '{"file_path":"/home/dev/app/parser.py"}' == (answer.tool_calls or [])[0]["function"]["arguments"]
    metadata = answer.metadata or {}
    assert "The parser drops the last line." == answer.reasoning
    assert {"input_tokens": 12, "output_tokens": 30} == metadata["usage"]
    assert ("claude-sonnet-4-5", "tool_use") == (metadata["model"], metadata["finish_reason"])
    assert ["u02", "u03", "u04", "u06"] == metadata["source"]["uuids"]
    assert [("toolu_1", "Read"), ("toolu_2", "Bash")] == [(one.tool_call_id, one.name) for one in (first, second)]
    assert {"type": "text", "file": {"numLines": 1}} == (first.metadata or {})["source"]["toolUseResult"]
    assert True is (second.metadata or {})["is_error"]


def test_go_on_with_an_answer_met_before_its_end(tmp_path: Path) -> None:
    """An import in the midst of an answer stores its lines so far, a later one the others; nothing stands twice."""
    lines = (
        (FOLDER / "projects" / "-home-dev-app" / f"{MAIN.rpartition(':')[2]}.jsonl")
        .read_bytes()
        .splitlines(keepends=True)
    )
    path = tmp_path / f"{MAIN.rpartition(':')[2]}.jsonl"
    for count in range(1, len(lines)):
        sessions = Sessions(MemoryStore())
        for part in (lines[:count], lines, lines):
            path.write_bytes(b"".join(part))
            records = importers.read_sessions(path, "claude-code", stored_ids=importers.ids_in(sessions))
            report = importers.take_in(sessions, records)
            assert () == report.errors
        assert 0 == report.messages_added
        texts = [text_of(message.content) for message in sessions.read(MAIN).messages]
        assert sorted(filter(None, texts)) == sorted(
            filter(None, (text_of(one.content) for one in sessions_by_key(FOLDER, "claude-code")[MAIN].messages))
        )


def test_tell_words_of_the_program_from_those_of_the_user() -> None:
    """Commands, summaries and notes of the program are the system's; queued prompts are the user's."""
    session = sessions_by_key(FOLDER, "claude-code")[MAIN]
    assert "Parser repair" == session.header.title
    roles = [(message.role, message.id) for message in session.messages[5:9]]
    assert [("system", "u09"), ("system", "u10"), ("system", "u11"), ("user", "u12")] == roles
    assert {"file-history-snapshot": 1, "progress": 1} == session.header.metadata["source"]["left_out"]


def test_link_sub_agents_to_their_parent() -> None:
    """A sub-agent is a session of its own, whether it has a file or lines in its parent's."""
    sessions = sessions_by_key(FOLDER, "claude-code")
    for key in (f"{MAIN}/u21", f"{MAIN}/a1b2c3"):
        assert MAIN == sessions[key].header.metadata["parent"]
        assert ["Find all callers", "There are two callers."] == [one.content for one in sessions[key].messages]
    assert "Look for callers" == sessions[f"{MAIN}/a1b2c3"].header.metadata[MODEL_TITLE]


def test_link_a_fork_to_its_origin() -> None:
    """A session with a copied beginning keeps it, and names the session and the place where it leaves."""
    session = sessions_by_key(FOLDER, "claude-code")[FORK]
    assert {"session": MAIN, "seq": 2} == session.header.metadata["forked_from"]
    assert ["u01", "u03", "u31", "u32"] == [message.id for message in session.messages]
    assert "Another way to repair it" == session.header.metadata[MODEL_TITLE]


def test_skip_lines_that_come_again(tmp_path: Path) -> None:
    """A line with a known uuid is a copy."""
    first, second = line(1, "user", "One"), line(2, "assistant", [{"type": "text", "text": "Two"}])
    (session,) = read(tmp_path / "a.jsonl", first, second, first, second)
    assert isinstance(session, Session)
    assert ["One", "Two"] == [message.content for message in session.messages]


def test_keep_the_lines_beside_a_torn_one(tmp_path: Path) -> None:
    """A line cut by a crash is told with its number; the ones beside it come in."""
    torn = json.dumps(line(2, "user", "lost"))[:30]
    flaw, session = read(tmp_path / "a.jsonl", line(1, "user", "One"), torn, line(3, "user", "Three"))
    assert isinstance(flaw, Flaw)
    assert "a.jsonl, line 2" == flaw.place
    assert isinstance(session, Session)
    assert ["One", "Three"] == [message.content for message in session.messages]


def test_name_a_session_by_its_project(tmp_path: Path) -> None:
    """The key has the project, from the folder or from the working directory alike, and a digest without any id."""
    one = line(1, "user", "One", cwd="/home/dev/my_app")
    folder = tmp_path / ".claude" / "projects" / "-home-dev-my-app"
    folder.mkdir(parents=True)
    keys = [read(path, one)[0] for path in (folder / "s.jsonl", tmp_path / "copy.jsonl")]
    assert ["claude-code:-home-dev-my-app:s"] * 2 == [key.header.key for key in keys if isinstance(key, Session)]
    del one["sessionId"]
    named = [read(tmp_path / name, one)[0] for name in ("x.jsonl", "y.jsonl")]
    assert 1 == len({session.header.key for session in named if isinstance(session, Session)})


def test_read_a_log_in_a_document(tmp_path: Path) -> None:
    """The document of the web version has the same entries in a list."""
    path = tmp_path / "session.json"
    path.write_text(json.dumps({"loglines": [line(1, "user", "One"), line(2, "assistant", "Two")]}, indent=1))
    assert "claude-code" == importers.sniff(path)
    (session,) = importers.read_sessions(path, "claude-code")
    assert isinstance(session, Session)
    assert [("user", "One"), ("assistant", "Two")] == [(one.role, one.content) for one in session.messages]
