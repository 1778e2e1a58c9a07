"""Logs of OpenClaw and pi become sessions, their branches forks, and logs put aside archived sessions."""

from __future__ import annotations

from chatkeep import importers
from chatkeep.core.model import MODEL_TITLE
from tests.importers.formats.agents.reading import sessions_by_key
from tests.importers.formats.agents.test_samples import OWN

FOLDER = OWN / "openclaw"
NAME = "openclaw:main:a1b2c3d4-0000-4000-8000-00000000000"


def test_make_a_fork_of_a_branch_that_was_left() -> None:
    """The latest branch is the session; the other one begins alike and says where it leaves."""
    sessions = sessions_by_key(FOLDER, "openclaw")
    main, fork = sessions[f"{NAME}1"], sessions[f"{NAME}1/e0000005"]
    assert {"session": f"{NAME}1", "seq": 3} == fork.header.metadata["forked_from"]
    assert [one.id for one in main.messages[:3]] == [one.id for one in fork.messages[:3]]
    assert ["At six instead", "Set for six."] == [one.content for one in main.messages[3:5]]
    assert ["At noon", "Set for noon."] == [one.content for one in fork.messages[3:]]
    assert "Plants" == main.header.title


def test_bring_messages_into_standard_form() -> None:
    """Calls, results, thinking, usage, summaries and commands stand where Chatkeep has them."""
    answer, result, *_, summary, note, ran = sessions_by_key(FOLDER, "openclaw")[f"{NAME}1"].messages[1:]
    assert ("When?", "A reminder.") == (answer.content, answer.reasoning)
    assert [
        {"id": "tc1", "type": "function", "function": {"name": "clock", "arguments": '{"zone":"UTC"}'}}
    ] == answer.tool_calls
    assert {"input": 5, "output": 10, "totalTokens": 15} == (answer.metadata or {})["usage"]
    assert ("tool", "09:00", "tc1", "clock") == (result.role, result.content, result.tool_call_id, result.name)
    assert ["system"] * 3 == [one.role for one in (summary, note, ran)]
    assert ["The user wants a reminder at six.", "It rains today.", "Ran `date`\nMon"] == [
        one.content for one in (summary, note, ran)
    ]


def test_archive_sessions_that_were_put_aside() -> None:
    """Logs of reset and deleted sessions come in as archived; copies before a compaction do not."""
    sessions = sessions_by_key(FOLDER, "openclaw")
    archived = sorted(
        key.rpartition(":")[2][-1] for key, one in sessions.items() if one.header.archived and "/" not in key
    )
    assert ["2", "4"] == archived
    assert "openclaw:main:checkpoint" not in sessions


def test_use_the_index_of_chats() -> None:
    """The index gives the chat of a session, its label, and the session that began it."""
    session = sessions_by_key(FOLDER, "openclaw")[f"{NAME}3/topic-7"]
    assert f"{NAME}1" == session.header.metadata["parent"]
    assert "Helper" == session.header.metadata[MODEL_TITLE]
    assert "agent:main:subagent:x" == session.header.metadata["source"]["chat"]["key"]


def test_read_the_first_version() -> None:
    """Entries without ids follow one another."""
    assert "openclaw" == importers.sniff(FOLDER / "pi")
    session = sessions_by_key(FOLDER / "pi", "openclaw")["pi:pi-first-version"]
    assert ["No ids in here", "They are made."] == [one.content for one in session.messages]
