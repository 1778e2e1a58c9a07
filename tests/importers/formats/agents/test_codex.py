"""Codex's rollouts of all versions become sessions, with calls, thinking and counts of tokens."""

from __future__ import annotations

import json
from pathlib import Path

from chatkeep.core.model import MODEL_TITLE
from tests.importers.formats.agents.reading import sessions_by_key
from tests.importers.formats.agents.test_samples import OWN

FOLDER = OWN / "codex"
MAIN = "codex:0196e4c1-0000-7000-8000-00000000000a"


def test_take_items_and_not_their_events() -> None:
    """Each item is one message, in order; events that repeat them are left out."""
    session = sessions_by_key(FOLDER, "codex")[MAIN]
    roles = ["developer", "system", "user", "assistant", "assistant", "tool", "tool", "assistant", "assistant"]
    assert [*roles, "system", "user"] == [message.role for message in session.messages]
    assert [
        {"type": "text", "text": "List the files"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ] == session.messages[2].content
    assert "Files of the app" == session.header.metadata[MODEL_TITLE]
    assert "/home/dev/app" == session.header.metadata["source"]["cwd"]


def test_bring_calls_into_standard_form() -> None:
    """Calls of every kind have a name, arguments and an id that their results name."""
    messages = sessions_by_key(FOLDER, "codex")[MAIN].messages
    calls = [call for message in messages for call in message.tool_calls or []]
    assert [
        ("exec_command", '{"cmd":"rg --files"}'),
        ("apply_patch", '{"input":"*** Begin Patch\\n*** End Patch"}'),
        ("web_search", '{"type":"search","query":"ripgrep"}'),
    ] == [(call["function"]["name"], call["function"]["arguments"]) for call in calls]
    results = [(one.tool_call_id, one.name) for one in messages if one.role == "tool"]
    assert [("call_1", "exec_command"), ("call_2", "apply_patch")] == results


def test_keep_thinking_and_tokens_with_the_answer() -> None:
    """Thinking goes to the next message of the assistant, a count of tokens to the one before."""
    messages = sessions_by_key(FOLDER, "codex")[MAIN].messages
    assert "**Listing** with rg" == messages[3].reasoning
    assert [{"encrypted_content": "gAAA"}] == (messages[3].metadata or {})["source"]["reasoning"]
    answer = messages[8].metadata or {}
    assert ("gpt-5.3-codex", 120) == (answer["model"], answer["usage"]["total_tokens"])


def test_link_a_spawned_session_to_its_parent() -> None:
    """A sub-agent's rollout names the session that began it."""
    sessions = sessions_by_key(FOLDER, "codex")
    assert MAIN == sessions["codex:0196e4c1-0000-7000-8000-00000000000b"].header.metadata["parent"]


def test_read_older_layouts() -> None:
    """Bare items, a document of items, and a log with events alone give the same kind of session."""
    sessions = sessions_by_key(FOLDER, "codex")
    said = {key: [(one.role, one.content) for one in session.messages] for key, session in sessions.items()}
    assert [
        ("user", "Say hello"),
        ("assistant", None),
        ("tool", '{"output":"hello\\n"}'),
        ("assistant", "Hello there."),
    ] == said["codex:5973b6c0-94b8-487b-a530-2aeb6098ae0e"]
    assert [("user", "Write a haiku"), ("assistant", "Leaves fall on the keys")] == said["codex:0e2f1a3b-first"]
    assert [("user", "Only events here"), ("assistant", "Then events are taken.")] == said["codex:events-only"]


def test_take_a_compaction_without_the_history_it_put_in_place(tmp_path: Path) -> None:
    """The summary is a message; what the model had instead of the history repeats it, and is left out."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    payload = {"message": "They said hi.", "replacement_history": [item], "window": 3}
    lines = [{"type": "response_item", "payload": item}, {"type": "compacted", "payload": payload}]
    path = tmp_path / "rollout-1.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (session,) = sessions_by_key(path, "codex").values()
    assert ["Hi", "They said hi."] == [message.content for message in session.messages]
    assert {"source": {"window": 3}} == session.messages[1].metadata
