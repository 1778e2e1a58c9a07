"""Chats of Gemini CLI and sessions of nanobot."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from chatkeep import importers
from chatkeep.core.model import MODEL_TITLE, Session
from tests.importers.formats.agents.reading import sessions_by_key
from tests.importers.formats.agents.test_samples import OWN


def test_import_a_chat_of_gemini_cli() -> None:
    """Calls, their results, thoughts and tokens take standard form; notes are the system's."""
    session = sessions_by_key(OWN / "gemini-cli", "gemini-cli")["gemini-cli:gem-1"]
    asked, answer, result, note, _ = session.messages
    assert ["text", "image_url"] == [part["type"] for part in asked.content or []]  # type: ignore[index]
    assert ("Reading.", "Plan\nRead the file.") == (answer.content, answer.reasoning)
    assert ("alpha", "read-1", "read_file") == (result.content, result.tool_call_id, result.name)
    assert 15 == (answer.metadata or {})["usage"]["total"]
    assert ("system", "Request cancelled.") == (note.role, note.content)
    assert "Reads a file" == session.header.metadata[MODEL_TITLE]


def test_import_a_log_of_gemini_cli() -> None:
    """The last version of a message counts; what was taken back is a fork; a snapshot adds what is new."""
    sessions = sessions_by_key(OWN / "gemini-cli", "gemini-cli")
    assert ["First question", "From a snapshot"] == [one.content for one in sessions["gemini-cli:gem-2"].messages]
    forks = [key for key in sessions if key.startswith("gemini-cli:gem-2/")]
    said = {one.content for key in forks for one in sessions[key].messages}
    assert {"First question", "First answer", "Taken back", "Said instead"} == said
    assert "gemini-cli:gem-2" == sessions["gemini-cli:gem-3"].header.metadata["parent"]


def test_import_nanobot() -> None:
    """Times are in the zone of the machine, hidden messages are the system's, a provider's state stays out."""
    folder = OWN / "nanobot"
    records = importers.read_sessions(folder, "nanobot", zone=ZoneInfo("Europe/Oslo"))
    sessions = {one.header.key: one for one in records if isinstance(one, Session)}
    talk = sessions["nanobot:telegram:123"]
    assert datetime(2026, 8, 1, 8, 0, 1, 250000, tzinfo=UTC) == talk.messages[0].sent_at
    assert ["user", "assistant", "tool", "assistant", "system", "user"] == [one.role for one in talk.messages]
    assert "Look at the list." == talk.messages[1].reasoning
    assert "Groceries" == talk.header.metadata[MODEL_TITLE]
    assert "secret" not in repr(talk)
    assert ["No header", "The name has the key."] == [
        one.content for one in sessions["nanobot:discord:9/general"].messages
    ]
