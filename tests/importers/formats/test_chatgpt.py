"""ChatGPT's export becomes sessions, with branches, hidden messages, calls and thinking."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatkeep import importers
from chatkeep.core.model import Json, Session
from chatkeep.importers import Flaw
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from tests.importers.taken import SAMPLES, Taken, damaged, outcome

FILES = sorted((SAMPLES / "chatgpt").glob("*.json"))
AT = 1_700_000_000.5


def said(role: str, content: Json, **more: Json) -> dict[str, Json]:
    """Return a message as ChatGPT writes it; a text stands for a content of one part."""
    author = {"role": role, "name": more.pop("name", None), "metadata": {}}
    shaped = {"content_type": "text", "parts": [content]} if isinstance(content, str) else content
    return {"author": author, "content": shaped, "create_time": AT, "recipient": "all", "metadata": {}, **more}


def conversation(
    *messages: dict[str, Json] | None, above: dict[int, int] | None = None, current: int | None = None, **more: Json
) -> dict[str, Json]:
    """Return a conversation of these messages in a row, or with these parents."""
    count = len(messages)
    parents = {number: number - 1 for number in range(1, count)} | (above or {})
    mapping = {
        f"n{number}": {
            "id": f"n{number}",
            "message": None if message is None else {"id": f"n{number}", **message},
            "parent": f"n{parents[number]}" if number in parents else None,
            "children": [f"n{child}" for child, parent in parents.items() if parent == number],
        }
        for number, message in enumerate(messages)
    }
    end = f"n{count - 1 if current is None else current}"
    return {"title": "T", "create_time": AT, "mapping": mapping, "current_node": end, "conversation_id": "c1", **more}


def taken(tmp_path: Path, *conversations: Json, store: Sessions | None = None) -> Taken:
    """Return the sessions of an export with these conversations."""
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(conversations))
    return Taken(path, "chatgpt", store)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_import_every_message_of_a_sample(path: Path) -> None:
    """As many messages come in as the file has, with every text of a person or model."""
    (one,) = json.loads(path.read_text(encoding="utf-8-sig"))
    counted = {name: node["message"] for name, node in one["mapping"].items() if node["message"]}
    found = Taken(path, "chatgpt")
    assert counted.keys() == found.messages.keys()
    for name, message in counted.items():
        for words in message["content"].get("parts", ()):
            assert words == found.messages[name].content
    assert [] == found.flaws


def test_import_branches_as_forks() -> None:
    """The active thread is the session; the others are forks that name it and the last message they share."""
    found = Taken(SAMPLES / "chatgpt" / "chatgpt-tree.json", "chatgpt")
    base = "chatgpt:d5dc5307-6807-41a0-8b04-4acee626eeb7"
    assert [base, f"{base}/aaa24023-b02f-4d49-b568-5856b41750c0"] == found.order[:2]
    assert ["", "hi there", "Hello! How can I assist you today?", "hi again"] == [
        message.text for message in found.session(base).messages[:4]
    ]
    fork = found.session(found.order[1])
    assert {"session": base, "seq": 3} == fork.header.metadata["forked_from"]
    assert found.session(base).messages[:3] == fork.messages[:3]
    assert "so cool bro" == fork.messages[3].text
    assert "forked_from" not in found.session(base).header.metadata


def test_import_another_active_branch_later(tmp_path: Path) -> None:
    """When another branch became the active one, its messages become a fork, and the stored thread goes on alone."""
    store = Sessions(MemoryStore())
    taken(tmp_path, conversation(said("user", "q"), said("assistant", "a")), store=store)
    again = conversation(
        said("user", "q"), said("assistant", "a"), said("assistant", "b"), said("user", "more"), above={2: 0, 3: 2}
    )
    found = taken(tmp_path, again, store=store)
    assert ["q", "a"] == [message.text for message in found.session("chatgpt:c1").messages]
    assert ["q", "b", "more"] == [message.text for message in found.session("chatgpt:c1/n2").messages]


def test_import_the_facts_of_a_conversation(tmp_path: Path) -> None:
    """Times, model, title, marks and ids are those of the source; what has no place of its own stays as it was."""
    message = said(
        "assistant", "Hi", status="finished_successfully", metadata={"model_slug": "gpt-4o", "citations": [{"a": 1}]}
    )
    found = taken(tmp_path, conversation(said("user", "Hello"), message, is_archived=True, is_starred=True, x={"y": 1}))
    session = found.session("chatgpt:c1")
    assert ("T", "chatgpt", True, True) == (
        session.header.title,
        session.header.channel,
        session.header.archived,
        session.header.pinned,
    )
    assert {"format": "chatgpt", "id": "c1", "x": {"y": 1}} == session.header.metadata["source"]
    at = datetime.fromtimestamp(AT, UTC)
    assert (at, "n1", at) == (session.header.created_at, session.messages[1].id, session.messages[1].sent_at)
    assert {
        "model": "gpt-4o",
        "source": {"status": "finished_successfully", "metadata": {"citations": [{"a": 1}]}},
    } == session.messages[1].metadata


def test_import_calls_and_their_results(tmp_path: Path) -> None:
    """A message to a tool is a call; the tool's messages are its results until the user speaks again."""
    code = {"content_type": "code", "language": "python", "text": "print(1)"}
    asked = {"content_type": "code", "language": "json", "text": '{"query":"x"}'}
    result = {"content_type": "execution_output", "text": "1"}
    page = {"content_type": "tether_quote", "url": "https://example.org", "text": "Words", "title": "Page"}
    found = taken(
        tmp_path,
        conversation(
            said("user", "go"),
            said("assistant", code, recipient="python"),
            said("tool", result, name="python"),
            said("assistant", asked, recipient="web.search"),
            said("tool", page, name="web"),
            said("user", "and?"),
            said("tool", result, name="python"),
        ),
    )
    _, call, output, search, quote, _, late = found.session("chatgpt:c1").messages
    assert [{"id": "n1", "type": "function", "function": {"name": "python", "arguments": '{"input":"print(1)"}'}}] == (
        call.tool_calls
    )
    assert ("tool", "1", "n1", "python") == (output.role, output.content, output.tool_call_id, output.name)
    assert '{"query":"x"}' == (search.tool_calls or [])[0]["function"]["arguments"]
    assert ("Page\nhttps://example.org\nWords", "n3") == (quote.content, quote.tool_call_id)
    assert late.tool_call_id is None
    assert {"content_type": "code", "language": "python"} == (call.metadata or {})["source"]["content"]


def test_import_thinking_and_hidden_messages(tmp_path: Path) -> None:
    """Thinking is kept apart from the answer; hidden words of the user are no question of theirs."""
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "Plan", "content": "First this."}]}
    recap = {"content_type": "reasoning_recap", "content": "Thought for 8s"}
    context = {
        "content_type": "user_editable_context",
        "user_profile": "I am a baker.",
        "user_instructions": "Be brief.",
    }
    hidden = said("user", "Hidden", metadata={"is_visually_hidden_from_conversation": True})
    found = taken(
        tmp_path,
        conversation(
            None,
            said("user", context, create_time=None),
            hidden,
            said("user", "Bread?"),
            said("assistant", thoughts),
            said("assistant", recap),
            said("assistant", "Rye."),
            title=None,
        ),
    )
    first, second, question, thought, recapped, answer = found.session("chatgpt:c1").messages
    assert ("system", "I am a baker.\n\nBe brief.") == (first.role, first.content)
    assert ("system", "user") == (second.role, (second.metadata or {})["source"]["role"])
    assert ("Plan\nFirst this.", "") == (thought.reasoning, thought.text)
    assert "Thought for 8s" == recapped.reasoning
    assert ("user", "assistant", "Rye.") == (question.role, answer.role, answer.text)
    assert "Bread?" == found.sessions.get("chatgpt:c1").title
    assert datetime.fromtimestamp(AT, UTC) == first.sent_at


def test_import_parts_and_unknown_kinds(tmp_path: Path) -> None:
    """Pictures and sound stay parts, words in them are found; a kind not known keeps its words and its fields."""
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://x", "width": 1}
    sound = {"content_type": "audio_transcription", "text": "spoken"}
    found = taken(
        tmp_path,
        conversation(
            said("user", {"content_type": "multimodal_text", "parts": [picture, sound, "look", None, 7]}),
            said("assistant", {"content_type": "brand_new", "text": "words", "more": [1]}),
            said("critic", {"content_type": "brand_new", "deep": {"a": 1}}),
            said("user", {"content_type": "text", "parts": None}),
        ),
    )
    parts, odd, nothing, empty = found.session("chatgpt:c1").messages
    assert [{"type": "image_asset_pointer", **picture}, {"type": "audio_transcription", **sound}] == (
        list(parts.content or ())[:2]
    )
    assert "spoken\nlook" == parts.text
    assert ("words", {"content_type": "brand_new", "more": [1]}) == (
        odd.text,
        (odd.metadata or {})["source"]["content"],
    )
    assert ("system", "critic") == (nothing.role, (nothing.metadata or {})["source"]["role"])
    assert "" == empty.content


@pytest.mark.parametrize("kind", ["folder", "zip", "object", "lines"])
def test_import_split_and_wrapped_exports(tmp_path: Path, kind: str) -> None:
    """An export may be split over files, lie in a zip, and hold a list, an object or lines."""
    ones = [conversation(said("user", f"words {number}"), conversation_id=f"c{number}") for number in range(4)]
    path = tmp_path / "export"
    if kind in {"folder", "zip"}:
        path.mkdir()
        (path / "conversations-000.json").write_text(json.dumps(ones[:2]))
        (path / "conversations-001.json").write_text(json.dumps(ones[2:]))
        (path / "user.json").write_text('{"id":"user-1"}')
        (path / "message_feedback.json").write_text('[{"mapping":{"a":{"message":null}}}]')
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "export.zip", "w") as packed:
            for file in sorted(path.iterdir()):
                packed.write(file, file.name)
        path = tmp_path / "export.zip"
    if kind == "object":
        path.write_text(json.dumps({"version": 1, "conversations": ones}))
    if kind == "lines":
        path.write_text("\n".join(map(json.dumps, ones)))
    found = Taken(path, "chatgpt")
    assert [f"chatgpt:c{number}" for number in range(4)] == found.order
    assert [] == found.flaws


def test_import_strange_conversations(tmp_path: Path) -> None:
    """Missing and strange values cost no message; a record that is no conversation is told with its place."""
    strange = conversation(said("user", "half \ud83d emoji"), said("assistant", "x", create_time="1700000001.5"))
    del strange["current_node"], strange["create_time"], strange["title"]
    strange["mapping"]["n0"]["parent"] = 7
    strange["conversation_id"] = "odd\nid" * 40
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([strange, {"no": "mapping"}, conversation(conversation_id="empty")]))
    records = list(importers.read_sessions(path, "chatgpt"))
    first, empty = (one for one in records if isinstance(one, Session))
    assert ["half \N{REPLACEMENT CHARACTER} emoji", "x"] == [message.text for message in first.messages]
    assert datetime.fromtimestamp(1_700_000_001.5, UTC) == first.messages[1].sent_at
    assert "odd\nid" * 40 == first.header.metadata["source"]["id"]
    assert () == empty.messages
    told = [one for one in records if isinstance(one, Flaw)]
    assert {"conversations.json, conversation 1, message n0", "conversations.json, conversation 2"} == {
        flaw.place for flaw in told
    }


@pytest.mark.parametrize("indent", [None, 1])
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_keep_whole_conversations_of_a_damaged_file(tmp_path: Path, indent: int | None, data: st.DataObject) -> None:
    """However one conversation is damaged, the others come in whole."""
    ones = [
        conversation(said("user", 'a {[,"]} b'), said("assistant", "b"), conversation_id=f"c{number}")
        for number in range(5)
    ]
    texts = [json.dumps(one, indent=indent).encode() for one in ones]
    broken = data.draw(st.integers(0, 4))
    texts[broken] = data.draw(damaged(texts[broken]))
    records = outcome(tmp_path / "conversations.json", b"[" + b",".join(texts) + b"]", "chatgpt")
    whole = {one.header.key: len(one.messages) for one in records if isinstance(one, Session)}
    assert {f"chatgpt:c{number}": 2 for number in range(5) if number != broken}.items() <= whole.items()


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read_damaged_samples(tmp_path: Path, data: st.DataObject) -> None:
    """Any damage gives sessions and flaws, never another error."""
    path = data.draw(st.sampled_from(FILES))
    outcome(tmp_path / "a.json", data.draw(damaged(path.read_bytes()[:30_000])), "chatgpt")
