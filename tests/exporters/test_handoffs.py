"""A session handed to a tool is one that the tool's own importer reads as the same messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from chatkeep import importers
from chatkeep.core.history.protocols.item_folding import RESPONSES
from chatkeep.core.model import Draft, Header, Json, Message, Session
from chatkeep.exporters.handoffs import HAND_OFFS, Handed
from chatkeep.exporters.handoffs.handing import encoded_lines
from chatkeep.testing import at, draft, session
from tests.core.history.histories import PIXEL, wild

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
FAILED = {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{}"}}
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
TALK = (
    draft("Be kind.", 0, role="system"),
    draft("Look\n\n  there  ", 1),
    draft("One moment", 2, role="assistant", tool_calls=[CALL, FAILED], metadata={"model": "m-1"}),
    draft("seen", 3, role="tool", tool_call_id="c1", name="look"),
    draft("broken", 4, role="tool", tool_call_id="c2", name="look", metadata={"is_error": True}),
    draft("It is there.", 5, role="assistant"),
    draft("Thanks 🎉", 6, id="4f1c1c9e-0f0e-4f43-9c43-0c5a6f3f9f11"),
)


def handed(whole: Session, tool: str, folder: Path) -> Path:
    """Write a session as a tool's file into its folder."""
    to = HAND_OFFS[tool]
    one = Handed.of(whole, "/home/ada/work")
    path = folder / to.place(one)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(encoded_lines(to, whole, one)))
    return path


def read_back(folder: Path, tool: str) -> list[Session]:
    """Return what the importer that recognises the folder reads."""
    (planned,) = importers.plan_of(folder, importers.Catalogue()).sources
    assert tool == planned.importer.name
    records = list(importers.read_sessions(folder, planned.importer))
    assert [] == [one for one in records if not isinstance(one, Session)]
    return [one for one in records if isinstance(one, Session)]


def spoken(messages: tuple[Message, ...]) -> list[tuple[Json, ...]]:
    """Return what messages say: words, calls and results, each for itself, as a tool may part them."""
    told: list[tuple[Json, ...]] = []
    for one in messages:
        if one.text.strip() and one.role != "tool":
            told.append((one.role, one.text))
        calls = [call["function"] for call in one.tool_calls or ()]
        told += [("call", call["name"], json.loads(call["arguments"])) for call in calls]
        told += [("result", one.tool_call_id, one.text)] if one.role == "tool" else []
    return told


@pytest.mark.parametrize("tool", HAND_OFFS)
def test_hand_over_a_session(tmp_path: Path, tool: str) -> None:
    """Words, roles, calls and results come back in order, with their times, model and title."""
    whole = session("telegram:7", TALK, title="A look")
    handed(whole, tool, tmp_path)
    (again,) = read_back(tmp_path, tool)
    assert spoken(whole.messages) == spoken(again.messages)
    assert [at(0), at(1), at(2)] == [one.sent_at for one in again.messages[:3]]
    if tool != "codex":
        assert len(TALK) == len(again.messages)
        assert ("A look", "m-1") == (again.header.title, (again.messages[2].metadata or {}).get("model"))
        marks = [(one.metadata or {}).get("is_error") for one in again.messages]
        assert 1 == marks.count(True)
    if tool == "claude-code":
        assert TALK[-1].id == again.messages[-1].id


@pytest.mark.parametrize("tool", HAND_OFFS)
def test_hand_over_a_picture(tmp_path: Path, tool: str) -> None:
    """A picture inside of a message goes along."""
    handed(session("a", [draft([{"type": "text", "text": "See"}, PICTURE])]), tool, tmp_path)
    (again,) = read_back(tmp_path, tool)
    assert PIXEL in json.dumps(again.messages[0].content)


@pytest.mark.parametrize("tool", HAND_OFFS)
@settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(history=wild())
def test_hand_over_any_history(tmp_path_factory: pytest.TempPathFactory, tool: str, history: list[Message]) -> None:
    """Whatever was stored, the lines are JSON, each names the one before it, and calls stand before results."""
    header = Header(key="k", channel="api", title=None, created_at=at(0))
    whole = Session(header=header, messages=tuple(history))
    one = Handed.of(whole, "/w")
    lines = [json.loads(line) for line in encoded_lines(HAND_OFFS[tool], whole, one)]
    names = [line.get("uuid") or line.get("id") for line in lines if "parentUuid" in line or "parentId" in line]
    parents = [line.get("parentUuid") or line.get("parentId") for line in lines if {"parentUuid", "parentId"} & {*line}]
    assert [None, *names[:-1]] == parents or not names
    assert len(names) == len(set(names))


def test_hand_over_items_as_they_came(tmp_path: Path) -> None:
    """Codex gets the items of Responses exactly, its encrypted thinking too."""
    items: list[dict[str, Json]] = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xyz"},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "seen"},
    ]
    drafts: list[Draft] = RESPONSES.gathered([RESPONSES.draft(item) for item in items])
    kept = [
        draft(
            one.content,
            role=one.role,
            tool_call_id=one.tool_call_id,
            tool_calls=one.tool_calls,
            metadata=one.metadata,
        )
        for one in drafts
    ]
    path = handed(session("k", kept), "codex", tmp_path)
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert items == [line["payload"] for line in lines if line["type"] == "response_item"]


def test_hand_over_the_same_session_again() -> None:
    """A session has one name with a tool as long as it stays as it is, and another one when it has grown."""
    one, grown = session("k", TALK[:2]), session("k", TALK[:3])
    assert Handed.of(one, "/w") == Handed.of(one, "/w")
    assert Handed.of(one, "/w").session_id != Handed.of(grown, "/w").session_id
