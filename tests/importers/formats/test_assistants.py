"""Open WebUI, LibreChat, Chatbot UI, and plain messages in OpenAI's and ShareGPT's forms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatkeep import importers
from chatkeep.core.model import Json, Session
from tests.importers.taken import SAMPLES, Taken, damaged, outcome, texts_of

WEB_UI = sorted((SAMPLES / "open-webui").glob("*.json"))
LIBRE = sorted((SAMPLES / "librechat").glob("*.json"))
CHATBOT = SAMPLES / "chatbot-ui" / "chatbotui-export.json"


def _said(value: Json) -> Iterator[dict[str, Json]]:
    """Yield the messages anywhere in a document: each object with a parent."""
    if isinstance(value, dict) and {"parentId", "parentMessageId"} & value.keys():
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _said(inner)


@pytest.mark.parametrize("path", WEB_UI, ids=lambda path: path.stem)
def test_import_every_message_of_an_open_webui_sample(path: Path) -> None:
    """As many messages come in as the file has, with the words of each, and an answer's steps apart."""
    counted = {one["id"]: one for one in _said(json.loads(path.read_text("utf-8")))}
    found = Taken(path, "open-webui")
    assert counted.keys() <= found.messages.keys()
    spoken = {key: one["content"].rpartition("</details>")[2] for key, one in counted.items()}
    words = [message.text for message in found.messages.values() if message.role in {"user", "assistant"}]
    assert sorted(spoken.values()) == sorted(filter(None, words))
    assert [] == found.flaws


def test_import_the_steps_of_open_webui() -> None:
    """Thinking, a call and its result stand apart from the words."""
    found = Taken(SAMPLES / "open-webui" / "openwebui-export.json", "open-webui")
    _, answer = found.session("open-webui:reasoning-chat").messages
    assert ("255", "15 * 17 = 15 * 10 + 15 * 7 = 150 + 105 = 255") == (answer.content, answer.reasoning)
    assert ("deepseek-r1", datetime(2023, 11, 14, 22, 13, 30, tzinfo=UTC)) == (
        (answer.metadata or {})["model"],
        answer.sent_at,
    )
    _, call, result, words = found.session("open-webui:tool-chat").messages
    assert "get_weather" == (call.tool_calls or [{}])[0]["function"]["name"]
    assert ("call_1", "Paris: 18C, rain") == (result.tool_call_id, result.content)
    assert ["ta2", "ta2.1", "ta2.2"] == [call.id, result.id, words.id]


def test_import_older_answers_of_open_webui(tmp_path: Path) -> None:
    """An answer without steps has them in its text; usage, tags, marks and branches are kept."""
    details = (
        '<details type="reasoning" done="true" duration="3">\n<summary>Thought</summary>'
        "\n&gt; Hm &amp; so\n</details>\n"
        '<details type="tool_calls" done="true" id="c1" name="f" arguments="{&quot;a&quot;: 1}" result="2">\n'
        "<summary>Tool</summary>\n</details>\nDone."
    )
    messages = {
        "q": {"id": "q", "parentId": None, "role": "user", "content": "Go", "timestamp": 1700000000},
        "a": {"id": "a", "parentId": "q", "role": "assistant", "content": details, "usage": {"total_tokens": 3}},
        "b": {"id": "b", "parentId": "q", "role": "assistant", "content": "<details>kept</details>", "model": "m"},
    }
    chat = {"title": "T", "models": ["m"], "history": {"messages": messages, "currentId": "a"}, "tags": ["bread"]}
    path = tmp_path / "chats.json"
    path.write_text(json.dumps([{"id": "c", "chat": chat, "archived": True, "created_at": 1700000000}]))
    found = Taken(path, "open-webui")
    _, call, result, words = found.session("open-webui:c").messages
    assert ("Hm & so", "Done.", "2") == (call.reasoning, words.text, result.content)
    assert '{"a": 1}' == (call.tool_calls or [{}])[0]["function"]["arguments"]
    assert {"total_tokens": 3} == (call.metadata or {})["usage"]
    assert ["<details>kept</details>"] == [one.text for one in found.session("open-webui:c/b").messages[1:]]
    header = found.session("open-webui:c").header
    assert (("bread",), True, "T") == (header.tags, header.archived, header.title)


@pytest.mark.parametrize("path", LIBRE, ids=lambda path: path.stem)
def test_import_every_message_of_a_librechat_sample(path: Path) -> None:
    """As many messages come in as the file has, with every text; those of the tree with their branches."""
    counted = {one["messageId"]: one["text"] for one in _said(json.loads(path.read_text("utf-8")))}
    found = Taken(path, "librechat")
    assert counted == {key: message.text for key, message in found.messages.items()}
    assert ("tree" in path.stem) == any("forked_from" in one.header.metadata for one in found.by_key.values())
    assert [] == found.flaws


def test_import_the_steps_of_librechat(tmp_path: Path) -> None:
    """Thinking, calls and results in the content take their places; an unknown part stays as it is."""
    content = [
        {"type": "think", "think": "Hm."},
        {"type": "tool_call", "tool_call": {"id": "t1", "name": "f", "args": '{"a":1}', "output": "2"}},
        {"type": "text", "text": {"value": "Two."}},
        {"type": "image_file", "image_file": {"file_id": "x"}},
    ]
    asked = {
        "messageId": "q",
        "parentMessageId": None,
        "isCreatedByUser": True,
        "text": "Go",
        "createdAt": "2024-05-01T00:00:00Z",
    }
    answer = {
        "messageId": "a",
        "parentMessageId": "q",
        "sender": "GPT-4",
        "content": content,
        "text": "",
        "model": "gpt-4",
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"conversationId": "c", "title": "T", "endpoint": "x", "messages": [asked, answer]}))
    found = Taken(path, "librechat")
    _, call, result, words = found.session("librechat:c").messages
    assert ("Hm.", "t1") == (call.reasoning, (call.tool_calls or [{}])[0]["id"])
    assert ("2", "t1", "Two.") == (result.content, result.tool_call_id, words.text)
    assert {"type": "image_file", "image_file": {"file_id": "x"}} == list(words.content or ())[1]
    assert ("gpt-4", {"sender": "GPT-4"}) == ((call.metadata or {})["model"], (call.metadata or {})["source"])


def test_import_a_chatbot_ui_sample() -> None:
    """As many messages come in as the file has, with every text, and the model of each chat."""
    counted = [one for chat in json.loads(CHATBOT.read_text("utf-8-sig"))["history"] for one in chat["messages"]]
    found = Taken(CHATBOT, "chatbot-ui")
    said = [message for key in found.order for message in found.session(key).messages]
    assert [(one["role"], one["content"]) for one in counted] == [(one.role, one.content) for one in said]
    assert {"gpt-4-1106-preview", "gpt-3.5-turbo"} == {
        (one.metadata or {})["model"] for one in said if one.role == "assistant"
    }


TALK = [{"role": "user", "content": "Bread?"}, {"role": "assistant", "content": "Rye."}]


@pytest.mark.parametrize("kind", ["document", "list", "lines", "loose lines", "records", "batch"])
def test_import_openai_messages(tmp_path: Path, kind: str) -> None:
    """Messages are read from a document, a list, lines of either, and lines for a batch; nothing is merged."""
    record = {"messages": TALK, "model": "gpt-4o"}
    documents: dict[str, tuple[str, int]] = {
        "document": (json.dumps(record), 1),
        "list": (json.dumps(TALK), 1),
        "lines": ("\n".join(json.dumps(one) for one in (record, record, {"messages": TALK[:1]})), 3),
        "loose lines": ("\n".join(map(json.dumps, TALK)), 1),
        "records": (json.dumps([record, {"messages": TALK[:1]}]), 2),
        "batch": (json.dumps({"custom_id": "r1", "method": "POST", "body": record}) + "\n", 1),
    }
    text, count = documents[kind]
    path = tmp_path / f"talk.json{'l' if 'lines' in kind else ''}"
    path.write_text(text)
    found = Taken(path, "openai")
    assert count == len(found.by_key)
    assert [("user", "Bread?"), ("assistant", "Rye.")] in map(texts_of, found.by_key.values())
    assert all(key.startswith("openai:") for key in found.order)
    assert [] == found.flaws


def test_import_a_growing_file_of_messages(tmp_path: Path) -> None:
    """A file with more messages than before goes on with its session; another file of that name is another session."""
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(TALK))
    store = Taken(path, "openai").sessions
    path.write_text(json.dumps([*TALK, {"role": "user", "content": "Why?"}]))
    assert ["Bread?", "Rye.", "Why?"] == [
        one.text for one in next(iter(Taken(path, "openai", store).by_key.values())).messages
    ]
    path.write_text(json.dumps([{"role": "user", "content": "Other"}]))
    assert 2 == len(Taken(path, "openai", store).by_key)


def test_import_items_and_calls(tmp_path: Path) -> None:
    """Items of a response, calls of both generations and thinking take our form; other fields stay."""
    items = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "Look"}, {"type": "input_image", "image_url": "x"}],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "e",
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}', "status": "completed"},
        {"type": "function_call_output", "call_id": "c1", "output": "2"},
        {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Two."}]},
        {"role": "assistant", "content": None, "function_call": {"name": "g", "arguments": "{}"}},
        {"role": "function", "name": "g", "content": "ok"},
        {"role": "assistant", "content": "Done.", "reasoning_content": "So.", "annotations": [1]},
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"id": "conv_1", "input": items}))
    found = Taken(path, "openai")
    first, look, thought, call, result, answer, old, old_result, last = found.session("openai:conv_1").messages
    assert ("developer", "Be brief.", "Look") == (first.role, first.content, look.text)
    assert ("Hm.", {"encrypted_content": "e"}) == (thought.reasoning, (thought.metadata or {})["source"])
    assert ("c1", "2", "msg_1") == (result.tool_call_id, result.content, answer.id)
    assert "f" == (call.tool_calls or [{}])[0]["function"]["name"]
    assert ("g", "tool", "ok") == ((old.tool_calls or [{}])[0]["function"]["name"], old_result.role, old_result.content)
    assert ("So.", {"annotations": [1]}) == (last.reasoning, last.extra)


def test_import_sharegpt_lines(tmp_path: Path) -> None:
    """Each conversation is one session, also with a repeated id or none; speakers of other names are kept."""
    talk = [
        {"from": "human", "value": "Bread?"},
        {"from": "gpt", "value": "Rye.", "weight": 1},
        {"from": "owl", "value": "Hoo"},
    ]
    ones = [
        {"id": "a", "conversations": talk},
        {"id": "a", "conversations": talk[:1]},
        {"conversations": talk, "system": "Be brief."},
        {"conversations": talk, "system": "Be brief."},
    ]
    path = tmp_path / "talk.jsonl"
    path.write_text("\n".join(map(json.dumps, ones)))
    found = Taken(path, "sharegpt")
    assert 4 == len(found.by_key)
    assert [("user", "Bread?"), ("assistant", "Rye."), ("user", "Hoo")] == texts_of(found.session("sharegpt:a"))
    assert [("user", "Bread?")] == texts_of(found.session("sharegpt:a#2"))
    assert ("system", "Be brief.") == texts_of(found.session(found.order[2]))[0]
    _, answer, owl = found.session("sharegpt:a").messages
    assert ({"source": {"weight": 1}}, {"source": {"from": "owl"}}) == (answer.metadata, owl.metadata)


def test_leave_the_files_of_others_to_them(tmp_path: Path) -> None:
    """Messages with a key, times or a session are not taken for plain ones."""
    said = {"role": "user", "content": "hi"}
    for text, fmt in (
        (json.dumps({"key": "a:1", "messages": [said], "format": 1}), "json"),
        (json.dumps({"key": "a:1", "messages": [said]}) + "\n", "jsonl"),
        (json.dumps([{**said, "timestamp": "2024-01-01T00:00:00"}]), "pocketpaw"),
    ):
        (tmp_path / "a.json").write_text(text)
        assert fmt == importers.sniff(tmp_path / "a.json")


RECORDS: dict[str, Json] = {
    "open-webui": {
        "id": "#",
        "chat": {"history": {"messages": {"m": {"id": "m", "role": "user", "content": 'a "[{,'}}}},
    },
    "librechat": {"conversationId": "#", "endpoint": "x", "messages": [{"messageId": "m", "text": 'a "[{,'}]},
    "chatbot-ui": {"id": "#", "name": "T", "folderId": None, "messages": [{"role": "user", "content": 'a "[{,'}]},
    "openai": {"id": "#", "messages": [{"role": "user", "content": 'a "[{,'}]},
    "sharegpt": {"id": "#", "conversations": [{"from": "human", "value": 'a "[{,'}]},
}


@pytest.mark.parametrize("fmt", RECORDS)
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_keep_whole_records_of_a_damaged_file(tmp_path: Path, fmt: str, data: st.DataObject) -> None:
    """However one record is damaged, the others come in whole, and no other error comes."""
    texts = [json.dumps(RECORDS[fmt]).replace('"#"', f'"c{number}"').encode() for number in range(4)]
    broken = data.draw(st.integers(0, 3))
    texts[broken] = data.draw(damaged(texts[broken]))
    records = outcome(tmp_path / "a.json", b"[" + b",".join(texts) + b"]", fmt)
    whole = {one.header.key for one in records if isinstance(one, Session)}
    assert {f"{fmt}:c{number}" for number in range(4) if number != broken} <= whole


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read_damaged_samples(tmp_path: Path, data: st.DataObject) -> None:
    """Any damage gives sessions and flaws, never another error."""
    path = data.draw(st.sampled_from([*WEB_UI, *LIBRE, CHATBOT]))
    outcome(tmp_path / "a.json", data.draw(damaged(path.read_bytes())), path.parent.name)
