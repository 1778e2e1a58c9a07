"""Sessions in databases: those of Hermes, OpenCode and llm, and the JSON files that some versions write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chatkeep import importers
from chatkeep.core.model import MODEL_TITLE, Session
from tests.importers.formats.agents.reading import sessions_by_key
from tests.importers.formats.agents.test_samples import OWN, database_of

HERMES = "hermes:20260801_10"


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the database of a sample."""
    return database_of(OWN / f"{request.param}.sql", tmp_path)


@pytest.mark.parametrize("database", ["hermes"], indirect=True)
def test_import_hermes(database: Path) -> None:
    """History put aside by a compaction stays in place, messages taken back become a fork, structures are unpacked."""
    sessions = sessions_by_key(database, "hermes")
    main = sessions[f"{HERMES}0000_aa"]
    assert ["1", "2", "3", "5", "7"] == [one.id for one in main.messages]
    assert "Look it up." == main.messages[1].reasoning
    assert "trains" == (main.messages[1].tool_calls or [])[0]["function"]["name"]
    assert "And this ticket?" == (main.messages[3].content or [])[0]["text"]  # type: ignore[index]
    assert "Trip to Bergen" == main.header.metadata[MODEL_TITLE]
    assert ["A question taken back"] == [one.content for one in sessions[f"{HERMES}0000_aa/taken-back"].messages]
    assert f"{HERMES}0000_aa" == sessions[f"{HERMES}0100_bb"].header.metadata["parent"]
    assert {"session": f"{HERMES}0000_aa"} == sessions[f"{HERMES}0200_cc"].header.metadata["forked_from"]
    assert sessions[f"{HERMES}0100_bb"].header.archived


def test_import_an_export_of_hermes(tmp_path: Path) -> None:
    """An export has one session on a line; a broken line costs no other one."""
    session = {"id": "s1", "source": "cli", "started_at": 1785578400.0, "title": "One", "messages": []}
    said = [{"id": 1, "session_id": "s1", "role": "user", "content": "Hello", "timestamp": 1785578401.0, "active": 1}]
    lines = [
        json.dumps({**session, "messages": said}),
        '{"id": "s2", "mess',
        json.dumps({**session, "id": "s3", "messages": said}),
    ]
    path = tmp_path / "export.jsonl"
    path.write_text("\n".join(lines))
    assert "hermes" == importers.sniff(path)
    records = list(importers.read_sessions(path, "hermes"))
    assert ["hermes:s1", "hermes:s3"] == [one.header.key for one in records if isinstance(one, Session)]
    assert ["export.jsonl, line 2"] == [one.place for one in records if not isinstance(one, Session)]


def test_import_a_log_of_hermes(tmp_path: Path) -> None:
    """Older versions wrote a log for each session, with a header that is no message; its name is the id."""
    lines = [
        {"role": "session_meta", "model": "hermes-3", "platform": "telegram", "timestamp": "2025-09-01T10:00:00"},
        {"role": "user", "content": "Hello", "timestamp": "2025-09-01T10:00:01"},
        {"role": "assistant", "content": "Hi.", "timestamp": "2025-09-01T10:00:02"},
    ]
    path = tmp_path / "20250901_100000_dd.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert "hermes" == importers.sniff(path)
    session = sessions_by_key(path, "hermes")["hermes:20250901_100000_dd"]
    assert [("user", "Hello"), ("assistant", "Hi.")] == [(one.role, one.content) for one in session.messages]
    assert "telegram" == session.header.metadata["source"]["platform"]


@pytest.mark.parametrize("database", ["opencode"], indirect=True)
def test_import_opencode(database: Path) -> None:
    """An answer is told in the order of its parts: words and calls, results, words again."""
    sessions = sessions_by_key(database, "opencode")
    main, child = sessions["opencode:ses_1"], sessions["opencode:ses_2"]
    assert ["user", "assistant", "tool", "tool", "assistant"] == [one.role for one in main.messages]
    assert ["One moment.", "a.py\nb.py", "File not found"] == [one.content for one in main.messages[1:4]]
    assert ("Use the tool.", "call_2", True) == (
        main.messages[1].reasoning,
        main.messages[3].tool_call_id,
        (main.messages[3].metadata or {})["is_error"],
    )
    assert ("Listing files", None) == (main.header.metadata[MODEL_TITLE], child.header.metadata.get(MODEL_TITLE))
    assert ("opencode:ses_1", True) == (child.header.metadata["parent"], child.header.archived)


def test_import_files_of_opencode() -> None:
    """Older versions keep a file for each session, message and part; an export has all in one."""
    session = sessions_by_key(OWN / "opencode", "opencode")["opencode:ses_9"]
    assert ["In files of JSON", "One for each part."] == [one.content for one in session.messages]
    assert "opencode" == importers.sniff(OWN / "opencode" / "export.json")
    exported = sessions_by_key(OWN / "opencode" / "export.json", "opencode")["opencode:ses_8"]
    assert ["Exported"] == [one.content for one in exported.messages]


@pytest.mark.parametrize("database", ["llm"], indirect=True)
def test_import_llm(database: Path) -> None:
    """Conversations and threads come in from one file, fragments and attachments in their places."""
    sessions = sessions_by_key(database, "llm")
    talk = sessions["llm:01conv"].messages
    assert ["system", "user", "assistant", "tool", "assistant"] == [one.role for one in talk]
    assert ("call_1", "Ask the tool.") == (talk[3].tool_call_id, talk[2].reasoning)
    assert {"input_tokens": 11, "output_tokens": 4, "details": {"cached": 1}} == (talk[2].metadata or {})["usage"]
    content = sessions["llm:01r3"].messages[1].content
    assert isinstance(content, list)
    words, picture, sound = content
    assert "A long document.\nSum it up" == words["text"]
    assert "data:image/png;base64,iVBORw==" in picture["image_url"]["url"]
    assert "https://example.org/a.wav" == sound["url"]
    thread, fork = sessions["llm:01thr"], sessions["llm:01frk"]
    assert [("t1", "2"), ("t2", "1")] == [(one.tool_call_id, one.content) for one in thread.messages[3:5]]
    assert {"session": "llm:01thr"} == fork.header.metadata["forked_from"]
    assert ["Never mind", "As you wish."] == [one.content for one in fork.messages[3:]]
