"""Claude.ai's export becomes sessions, with thinking, calls, attachments and branches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatkeep.core.model import Json, Session
from tests.importers.taken import SAMPLES, Taken, damaged, outcome

FILES = sorted((SAMPLES / "claude-ai").glob("*.json"))
AT = "2025-01-01T00:00:01Z"


def said(number: int, sender: str, *blocks: Json, **more: Json) -> dict[str, Json]:
    """Return a message as Claude.ai writes it; a text stands for a block of text."""
    content = [
        {"type": "text", "text": block, "citations": []} if isinstance(block, str) else block for block in blocks
    ]
    return {"uuid": f"u{number}", "sender": sender, "text": "", "content": content, "created_at": AT, **more}


def conversation(*messages: Json, **more: Json) -> dict[str, Json]:
    """Return a conversation of these messages."""
    return {"uuid": "c1", "name": "T", "created_at": AT, "updated_at": AT, "chat_messages": list(messages), **more}


def taken(tmp_path: Path, *conversations: Json) -> Taken:
    """Return the sessions of an export with these conversations."""
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(conversations))
    return Taken(path, "claude-ai")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_import_every_message_of_a_sample(path: Path) -> None:
    """As many messages come in as the file has, with every text."""
    (one,) = json.loads(path.read_text())
    found = Taken(path, "claude-ai")
    blocks = [block for message in one["chat_messages"] for block in message.get("content", [message])]
    assert len(one["chat_messages"]) == len(found.messages)
    assert [block["text"] for block in blocks if block.get("text")] == [
        message.text for message in found.messages.values()
    ]
    assert [block["thinking"] for block in blocks if block.get("thinking")] == [
        message.reasoning for message in found.messages.values() if message.reasoning
    ]
    assert [] == found.flaws


def test_import_calls_between_words(tmp_path: Path) -> None:
    """An answer of several steps becomes calls and results in their order; its first part has the id of the answer."""
    call = {"type": "tool_use", "id": None, "name": "search", "input": {"q": "rye"}, "message": "Searching"}
    result = {
        "type": "tool_result",
        "name": "search",
        "is_error": False,
        "content": [{"type": "text", "text": "Flour"}],
    }
    deep = {
        "type": "tool_result",
        "tool_use_id": "t2",
        "name": "f",
        "is_error": True,
        "content": [{"type": "image", "x": 1}],
    }
    answer = said(
        2,
        "assistant",
        {"type": "thinking", "thinking": "Hm."},
        "Wait.",
        call,
        result,
        "Rye.",
        {**call, "id": "t2"},
        deep,
    )
    found = taken(tmp_path, conversation(said(1, "human", "Bread?"), answer))
    _, first, tool, second, failed = found.session("claude-ai:c1").messages
    assert ("u2", "Wait.", "Hm.") == (first.id, first.text, first.reasoning)
    (made,) = first.tool_calls or [{}]
    assert ("search", '{"q":"rye"}') == (made["function"]["name"], made["function"]["arguments"])
    assert ("tool", "Flour", made["id"], "search") == (tool.role, tool.content, tool.tool_call_id, tool.name)
    assert ("u2.2", "Rye.", "t2") == (second.id, second.text, (second.tool_calls or [{}])[0]["id"])
    assert ("t2", [{"type": "image", "x": 1}]) == (failed.tool_call_id, failed.content)
    assert {"source": {"is_error": True}} == failed.metadata
    assert {"message": "Searching"} == (first.metadata or {})["source"]["blocks"][0]


def test_import_attachments_and_branches(tmp_path: Path) -> None:
    """The text of an attached file is part of its message; a changed question begins a fork."""
    attached = {"file_name": "a.txt", "file_size": 3, "extracted_content": "rye flour"}
    root = "00000000-0000-4000-8000-000000000000"
    found = taken(
        tmp_path,
        conversation(
            said(1, "human", "Read.", attachments=[attached], files=[{"file_name": "b.png"}], parent_message_uuid=root),
            said(2, "assistant", "Old.", parent_message_uuid="u1"),
            said(3, "assistant", "New.", parent_message_uuid="u1"),
            summary="About bread",
            account={"uuid": "a1"},
        ),
    )
    session, fork = found.session("claude-ai:c1"), found.session("claude-ai:c1/u2")
    assert ["Read.\nrye flour", "New."] == [message.text for message in session.messages]
    assert {"type": "attachment", "text": "rye flour", "file_name": "a.txt", "file_size": 3} == (
        list(session.messages[0].content or ())[1]
    )
    assert {"files": [{"file_name": "b.png"}]} == (session.messages[0].metadata or {})["source"]
    assert (["Read.\nrye flour", "Old."], 1) == (
        [message.text for message in fork.messages],
        fork.header.metadata["forked_from"]["seq"],
    )
    assert "About bread" == session.header.metadata["source"]["summary"]


def test_import_lines_and_plain_texts(tmp_path: Path) -> None:
    """An export of lines is read as well; the field `text` counts where there is no content, and a sender may lack."""
    ones = [
        conversation({"uuid": f"m{number}", "text": "plain", "created_at": AT}, uuid=f"c{number}")
        for number in range(3)
    ]
    path = tmp_path / "conversations.json"
    path.write_text("\n".join(map(json.dumps, ones)))
    found = Taken(path, "claude-ai")
    assert [f"claude-ai:c{number}" for number in range(3)] == found.order
    assert [("m0", "user", "plain"), ("m1", "user", "plain"), ("m2", "user", "plain")] == [
        (message.id, message.role, message.content) for message in found.messages.values()
    ]


def test_import_unknown_blocks_and_characters(tmp_path: Path) -> None:
    """An unknown block stays as it is; half an emoji is replaced, told, and costs nothing else."""
    odd = {"type": "chart", "text": "A chart", "points": [1]}
    found = taken(tmp_path, conversation(said(1, "robot", odd, {"flag": 1}, "half \ud83d"), said(2, "human", "whole")))
    first, second = found.session("claude-ai:c1").messages
    assert [
        odd,
        {"type": "unknown", "flag": 1},
        {"type": "text", "text": "half \N{REPLACEMENT CHARACTER}"},
    ] == first.content
    assert ("user", "robot", "whole") == (first.role, (first.metadata or {})["source"]["sender"], second.content)
    assert {"conversations.json, conversation 1, message u1"} == {flaw.place for flaw in found.flaws}


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_keep_whole_conversations_of_a_damaged_file(tmp_path: Path, data: st.DataObject) -> None:
    """However one conversation is damaged, the others come in whole, and no other error comes."""
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1, {"b": 2}]}}
    ones = [
        conversation(said(1, "human", 'a {[,"]} b'), said(2, "assistant", call), uuid=f"c{number}")
        for number in range(4)
    ]
    texts = [json.dumps(one, indent=data.draw(st.sampled_from([None, 1]))).encode() for one in ones]
    broken = data.draw(st.integers(0, 3))
    texts[broken] = data.draw(damaged(texts[broken]))
    records = outcome(tmp_path / "conversations.json", b"[" + b",".join(texts) + b"]", "claude-ai")
    whole = {one.header.key: len(one.messages) for one in records if isinstance(one, Session)}
    assert {f"claude-ai:c{number}": 2 for number in range(4) if number != broken}.items() <= whole.items()
