"""PocketPaw's and grip's files become sessions that keep all that was in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from chatkeep import importers
from chatkeep.core.model import Session
from chatkeep.errors import InvalidError
from chatkeep.importers import Flaw
from chatkeep.importers.formats.pocketpaw import key_of
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore

SAMPLES = Path(__file__).parent / "samples"


def sessions_in(path: Path, fmt: str, zone: str = "UTC") -> list[Session]:
    """Return the sessions of a path that has no flaws."""
    found = list(importers.read_sessions(path, fmt, zone=ZoneInfo(zone)))
    assert not [record for record in found if isinstance(record, Flaw)]
    return [record for record in found if isinstance(record, Session)]


@pytest.mark.parametrize("place", ["pocketpaw", "pocketpaw/memory", "pocketpaw/memory/sessions"])
def test_import_pocketpaw_folder(place: str) -> None:
    """From whichever of its folders, sessions get back their keys, and naive times the zone that was named."""
    assert "pocketpaw" == importers.sniff(SAMPLES / place)
    first, second = sessions_in(SAMPLES / place, "pocketpaw", "Asia/Tokyo")
    assert ("discord:1_2", "discord") == (first.header.key, first.header.channel)
    assert ("websocket:8f2c1a2b", "web") == (second.header.key, second.header.channel)
    assert datetime(2026, 11, 20, 16, 54, 1, 806484, tzinfo=UTC) == first.header.created_at
    assert "a1a33bbe-13e1-4e6f-93fb-d79dc08eb2b3" == first.messages[0].id
    assert "予約を明日の午後3時に変更してください" == first.messages[2].content
    assert first.header.title is None


def test_import_pocketpaw_details(tmp_path: Path) -> None:
    """A user's title is kept, and so is metadata as large as a picture; helper files are not sessions."""
    said = {
        "id": "1",
        "role": "user",
        "content": "hi",
        "timestamp": "2024-01-01T00:00:00",
        "metadata": {"x": "y" * 70000},
    }
    (tmp_path / "telegram_5.json").write_text(json.dumps([said]))
    (tmp_path / "telegram_5_compaction.json").write_text("{}")
    (tmp_path / "_aliases.json").write_text("{}")
    (tmp_path / "broken.json").write_text("[{")
    (tmp_path / "_index.json").write_text(
        json.dumps({"telegram_5": {"title": "hi", "user_title": "Mine", "channel": "telegram", "created": "bad"}})
    )
    flaw, session = importers.read_sessions(tmp_path, "pocketpaw", zone=UTC)
    assert isinstance(flaw, Flaw)
    assert "broken.json, broken, message 1" == flaw.place
    assert isinstance(session, Session)
    assert {"x": "y" * 70000} == session.messages[0].metadata


def test_import_pocketpaw_titles(tmp_path: Path) -> None:
    """A title that a user gave is kept; one that was made from the first message is made anew."""
    said = [{"id": "1", "role": "user", "content": "How do I\nbake?", "timestamp": "2024-01-01T00:00:00"}]
    notes = {
        "a": {"title": "How do I bake?"},
        "b": {"title": "Bread", "user_title": None},
        "c": {"title": "x", "user_title": "Mine"},
    }
    for name in notes:
        (tmp_path / f"{name}.json").write_text(json.dumps(said))
    (tmp_path / "_index.json").write_text(json.dumps(notes))
    assert [None, "Bread", "Mine"] == [one.header.title for one in sessions_in(tmp_path, "pocketpaw")]


def test_import_pocketpaw_as_documented(tmp_path: Path) -> None:
    """The object layout of PocketPaw's documentation is read as well."""
    document = {
        "session_id": "session_abc123",
        "messages": [{"role": "user", "content": "hi", "timestamp": "2024-01-15T10:30:00Z"}],
        "facts": [],
        "metadata": {"channel": "telegram", "agent_backend": "x"},
    }
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "session_abc123.json").write_text(json.dumps(document))
    assert "pocketpaw" == importers.sniff(tmp_path / "memory")
    (session,) = sessions_in(tmp_path, "pocketpaw")
    assert ("session_abc123", "telegram") == (session.header.key, session.header.channel)
    assert datetime(2024, 1, 15, 10, 30, tzinfo=UTC) == session.messages[0].sent_at


def test_import_pocketpaw_files_beside_sessions(tmp_path: Path) -> None:
    """Aliases give the exact key and other names, a compaction its summary; a broken file costs nothing."""
    said = [{"id": "1", "role": "user", "content": "hi", "timestamp": "2024-01-01T00:00:00"}]
    for name in ("my_team_a_b", "discord_7", "plain"):
        (tmp_path / f"{name}.json").write_text(json.dumps(said))
    (tmp_path / "_index.json").write_text("{}")
    (tmp_path / "_aliases.json").write_text('{"discord:7": "my_team:a/b", "telegram:8": "my_team:a/b"}')
    (tmp_path / "my_team_a_b_compaction.json").write_text('{"watermark": 9, "summary": "They said hi."}')
    (tmp_path / "discord_7_compaction.json").write_text("{")
    found = {one.header.key: one.header.metadata for one in sessions_in(tmp_path, "pocketpaw")}
    expected = {"summary": "They said hi.", "aliases": ["discord:7", "telegram:8"]}
    assert {"my_team:a/b": expected, "discord:7": {}, "plain": {}} == found


@pytest.mark.parametrize(
    "name,channel,key",
    [
        ("telegram_123", None, "telegram:123"),
        ("telegram_123", "telegram", "telegram:123"),
        ("google_chat_1", None, "google_chat:1"),
        ("mine_1", "mine", "mine:1"),
        ("mine_1", None, "mine_1"),
        ("telegram_", None, "telegram_"),
        ("plain", "telegram", "plain"),
    ],
)
def test_guess_key_from_name(name: str, channel: str | None, key: str) -> None:
    """The first underscore becomes a colon again where a channel stands before it, and nowhere else."""
    assert key == key_of(name, channel)


@pytest.mark.parametrize("place", ["grip", "grip/sessions"])
def test_import_grip_workspace(place: str) -> None:
    """Keys come from inside the files, calls take OpenAI's form, the summary becomes metadata."""
    assert "grip" == importers.sniff(SAMPLES / place)
    found = sessions_in(SAMPLES / place, "grip")
    assert ["api:a3f9c2e8b1d4", "telegram:123456789", "user:alice:project-planning"] == [
        one.header.key for one in found
    ]
    session = found[1]
    assert {"summary": "Earlier: user planned a trip."} == session.header.metadata
    assert [
        {"id": "call_1", "type": "function", "function": {"name": "web_search", "arguments": '{"q":"Oslo weather"}'}}
    ] == session.messages[1].tool_calls
    assert None is session.messages[1].content
    assert ("call_1", "web_search") == (session.messages[2].tool_call_id, session.messages[2].name)
    assert datetime(2026, 11, 21, 1, 54, 1, 627322, tzinfo=UTC) == session.messages[-1].sent_at


@pytest.mark.parametrize("fmt", ["pocketpaw", "grip"])
def test_import_twice(fmt: str) -> None:
    """Importing a second time adds nothing."""
    sessions = Sessions(MemoryStore())
    first = importers.take_in(sessions, importers.read_sessions(SAMPLES / fmt, fmt))
    second = importers.take_in(sessions, importers.read_sessions(SAMPLES / fmt, fmt))
    assert () == first.errors
    assert (0, 0, 0, first.messages_added) == (
        second.sessions_created,
        second.sessions_extended,
        second.messages_added,
        second.messages_skipped,
    )


def test_sniff_what_is_no_session(tmp_path: Path) -> None:
    """A file or folder that holds no sessions is refused with a sentence that says so."""
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    for path, reason in (
        (tmp_path / "picture.png", "--as"),
        (tmp_path, "holds no session files"),
        (tmp_path / "nothing", "does not exist"),
    ):
        with pytest.raises(InvalidError, match=reason):
            importers.sniff(path)
