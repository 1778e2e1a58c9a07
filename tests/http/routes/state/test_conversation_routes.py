"""OpenAI's Conversations over the sessions, asked by OpenAI's own client and by any other."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from chatkeep.core.history.state.conversation_ids import conversation_id, key_of_conversation
from chatkeep.core.model import Draft, Revision
from tests.chat.test_clients import NODE

if TYPE_CHECKING:
    from tests.http.conftest import Server

Json = Any
SCRIPT = Path(__file__).parents[3] / "chat" / "js" / "conversations.mjs"
HELLO: Json = {"type": "message", "role": "user", "content": "Hello!"}
CALL: Json = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT: Json = {"type": "function_call_output", "call_id": "c1", "output": "done"}
THOUGHT: Json = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}
IMAGE: Json = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}


@pytest.fixture
def asked(server: Server) -> Iterator[openai.OpenAI]:
    """OpenAI's client with the admin's token."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.secret, max_retries=0) as asked:
        yield asked


def session_of(given: str) -> str:
    """Return the key of the session that a conversation is."""
    key = key_of_conversation(given)
    assert key is not None
    return key


def test_keep_a_conversation_from_beginning_to_end(asked: openai.OpenAI, server: Server) -> None:
    """It is begun, read, changed and deleted in OpenAI's shapes, and is a session all the while."""
    made = asked.conversations.create(metadata={"topic": "demo"}, items=[HELLO])
    assert ("conversation", {"topic": "demo"}) == (made.object, made.metadata)
    assert made == asked.conversations.retrieve(made.id)
    key = session_of(made.id)
    assert ["Hello!"] == [message.content for message in server.sessions.read(key).messages]
    server.sessions.revise(key, Revision(metadata={"own": {"n": 1}}))
    changed = asked.conversations.update(made.id, metadata={"a": "b"})
    assert (made.id, {"a": "b"}, made.created_at) == (changed.id, changed.metadata, changed.created_at)
    assert {"a": "b", "own": {"n": 1}} == server.sessions.get(key).header.metadata
    gone = asked.conversations.delete(made.id)
    assert (made.id, True, "conversation.deleted") == (gone.id, gone.deleted, gone.object)
    with pytest.raises(openai.NotFoundError, match="not found"):
        asked.conversations.retrieve(made.id)


def test_add_items_of_every_kind(asked: openai.OpenAI) -> None:
    """Each item comes back with an id, a status and its content in parts; nothing of it is lost."""
    made = asked.conversations.create()
    items: Json = [HELLO, {**HELLO, "content": [{"type": "input_text", "text": "Look"}, IMAGE]}, CALL, OUTPUT, THOUGHT]
    added = asked.conversations.items.create(made.id, items=items, include=["reasoning.encrypted_content"])
    assert ("list", False) == (added.object, added.has_more)
    assert (added.data[0].id, added.data[-1].id) == (added.first_id, added.last_id)
    told = [item.to_dict() for item in added.data]
    assert ["msg", "msg", "fc", "fco", "rs"] == [str(item["id"]).partition("_")[0] for item in told]
    assert [{"type": "input_text", "text": "Hello!"}] == told[0]["content"]
    assert [{"type": "input_text", "text": "Look"}, IMAGE] == told[1]["content"]
    assert [{**CALL, "status": "completed"}, {**OUTPUT, "status": "completed"}, THOUGHT] == [
        {name: value for name, value in item.items() if name != "id" or value == "rs_1"} for item in told[2:]
    ]
    listed = asked.conversations.items.list(made.id, order="asc", include=["reasoning.encrypted_content"])
    assert told == [item.to_dict() for item in listed]
    assert all(
        item == asked.conversations.items.retrieve(str(item["id"]), conversation_id=made.id).to_dict()
        for item in told[:4]
    )


@pytest.mark.parametrize(
    "part",
    [
        IMAGE,
        {"type": "input_image", "file_id": "file_1", "detail": "high"},
        {"type": "input_file", "file_id": "file_2", "filename": "a.pdf"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
    ],
)
def test_add_a_message_that_names_no_type(part: Json, client: httpx.Client) -> None:
    """Pictures, files and sounds come back as they were sent, also in a message of only a role and content."""
    content: Json = [{"type": "input_text", "text": "Look"}, part]
    made = client.post("/v1/conversations", json={"items": [{"role": "user", "content": content}]}).json()
    (item,) = client.get(f"/v1/conversations/{made['id']}/items").json()["data"]
    assert content == item["content"]


def test_leave_out_what_nobody_asked_to_include(asked: openai.OpenAI) -> None:
    """Encrypted reasoning, sources, outputs, results and log probabilities come only where `include` names them."""
    said = {"type": "output_text", "text": "x", "annotations": [], "logprobs": [{"token": "x"}]}
    sources = [{"type": "url", "url": "https://example.com"}]
    items: Json = [
        THOUGHT,
        {
            "type": "web_search_call",
            "status": "completed",
            "action": {"type": "search", "query": "q", "sources": sources},
        },
        {"type": "code_interpreter_call", "code": "1", "container_id": "c", "outputs": [{"type": "logs", "logs": "1"}]},
        {"type": "file_search_call", "queries": ["q"], "status": "completed", "results": [{"text": "t"}]},
        {"type": "message", "role": "assistant", "content": [said]},
    ]
    made = asked.conversations.create(items=items)
    every = str([item.to_dict() for item in asked.conversations.items.list(made.id)])
    assert [] == [word for word in ("sealed", "sources", "'outputs'", "results", "logprobs") if word in every]
    included = asked.conversations.items.list(
        made.id,
        include=[
            "reasoning.encrypted_content",
            "web_search_call.action.sources",
            "code_interpreter_call.outputs",
            "file_search_call.results",
            "message.output_text.logprobs",
        ],
    )
    told = str([item.to_dict() for item in included])
    assert [] == [word for word in ("sealed", "sources", "'outputs'", "results", "logprobs") if word not in told]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_page_through_items(asked: openai.OpenAI, server: Server, order: Any) -> None:  # noqa: ANN401
    """The client's own paging shows each item once, in order, also those that are parts of one message."""
    numbered: Json = [{**HELLO, "content": f"{number}"} for number in range(7)]
    made = asked.conversations.create(items=numbered)
    parts: Json = [{"type": "message", "role": "assistant", "id": f"m{number}"} for number in range(3)]
    server.sessions.append(
        session_of(made.id),
        [
            Draft(
                role="assistant",
                content=[{"type": "output_text", "text": part["id"]} for part in parts],
                metadata={"responses": {"items": [{**part, "content": 1} for part in parts]}},
            )
        ],
    )
    listed = [item.to_dict() for item in asked.conversations.items.list(made.id, limit=2, order=order)]
    words = [item["content"][0]["text"] for item in listed]  # type: ignore[index]
    expected = [*map(str, range(7)), "m0", "m1", "m2"]
    assert (expected if order == "asc" else expected[::-1]) == words


def test_read_a_session_made_elsewhere(asked: openai.OpenAI, client: httpx.Client) -> None:
    """A session of any origin is a conversation: words, reasoning, calls and results as items."""
    key = "conversations:élan vital/1"
    call = {"id": "c9", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    messages: Json = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": "<think>hm</think>calling", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c9", "content": "42"},
    ]
    client.post("/api/v1/messages", params={"session": key}, json=messages)
    given = conversation_id(key)
    listed = [item.to_dict() for item in asked.conversations.items.list(given, order="asc")]
    assert ["message", "message", "reasoning", "message", "function_call", "function_call_output"] == [
        item["type"] for item in listed
    ]
    assert ("f", '{"a":1}', "c9") == (listed[4]["name"], listed[4]["arguments"], listed[4]["call_id"])
    assert ("42", "c9") == (listed[5]["output"], listed[5]["call_id"])
    assert len({str(item["id"]) for item in listed}) == len(listed)
    for item in listed:
        assert item == asked.conversations.items.retrieve(str(item["id"]), conversation_id=given).to_dict()
    asked.conversations.items.create(given, items=[HELLO])
    assert "Hello!" == client.get("/api/v1/messages", params={"session": key}).json()["messages"][-1]["content"]


def test_delete_items(asked: openai.OpenAI, client: httpx.Client) -> None:
    """A deleted item is in no list, search or history; it may be added again under its id."""
    question: Json = {**HELLO, "content": "a quetzalcoatlus"}
    made = asked.conversations.create(items=[question, THOUGHT])
    first = asked.conversations.items.list(made.id, order="asc").data[0]
    assert made == asked.conversations.items.delete(str(first.id), conversation_id=made.id)
    assert ["rs_1"] == [item.id for item in asked.conversations.items.list(made.id)]
    assert [] == client.get("/api/sessions/search", params={"q": "quetzalcoatlus"}).json()["sessions"]
    asked.conversations.items.delete("rs_1", conversation_id=made.id)
    other: Json = {**THOUGHT, "id": "rs_2"}
    asked.conversations.items.create(made.id, items=[THOUGHT, other])
    asked.conversations.items.create(made.id, items=[THOUGHT])
    assert ["rs_1", "rs_2"] == [item.id for item in asked.conversations.items.list(made.id, order="asc")]
    assert "rs_1" == asked.conversations.items.retrieve("rs_1", conversation_id=made.id).id


def test_delete_an_item_out_of_a_message(asked: openai.OpenAI, server: Server) -> None:
    """Of a message with several items only the one goes; those around it keep their order and their ids."""
    made = asked.conversations.create(items=[HELLO])
    parts: Json = [{"type": "message", "role": "assistant", "content": 1} for _ in range(3)]
    text: Json = [{"type": "output_text", "text": f"part {number}"} for number in range(3)]
    answer = Draft(role="assistant", content=text, metadata={"responses": {"items": parts}, "model": "small"})
    server.sessions.append(session_of(made.id), [answer, Draft(role="user", content="and then?")])
    before = [item.to_dict() for item in asked.conversations.items.list(made.id, order="asc")]
    asked.conversations.items.delete(str(before[2]["id"]), conversation_id=made.id)
    left = [item.to_dict() for item in asked.conversations.items.list(made.id, order="asc")]
    assert [before[0], before[1], before[3], before[4]] == left
    for item in left:
        assert item == asked.conversations.items.retrieve(str(item["id"]), conversation_id=made.id).to_dict()


def test_list_conversations(client: httpx.Client) -> None:
    """The list that OpenAI lacks has each conversation once, the latest first, with its session."""
    made = [client.post("/v1/conversations", json={"metadata": {"number": f"{n}"}}).json() for n in range(5)]
    found: list[Json] = []
    after: dict[str, str] = {}
    while len(found) < 5:
        page = client.get("/v1/conversations", params={"limit": 2, **after}).json()
        assert (page["data"][0]["id"], page["data"][-1]["id"]) == (page["first_id"], page["last_id"])
        found += page["data"]
        after = {"after": page["last_id"]}
    assert sorted(one["id"] for one in made) == sorted(one["id"] for one in found[:5])
    assert all(session_of(one["id"]) == one["session"] for one in found)


@pytest.mark.parametrize(
    "body",
    [
        {"items": [HELLO] * 21},
        {"metadata": {f"n{number}": "x" for number in range(17)}},
        {"metadata": {"n" * 65: "x"}},
        {"metadata": {"n": "x" * 513}},
        {"metadata": {"n": 1}},
        {"items": [{"role": "critic", "content": "x"}]},
        {"items": [{"role": "user", "content": [1]}]},
        {"items": [{"role": "user"}]},
        {"items": ["x"]},
        {"items": [{}]},
        {"items": [{"type": "function_call", "call_id": "c", "name": "f"}]},
        {"items": [{"type": "item_reference", "id": "msg_1"}]},
        {"items": [{**HELLO, "id": "x" * 129}]},
        {"items": [{**HELLO, "content": "a\0b"}]},
        {"other": 1},
    ],
)
def test_refuse_what_openai_refuses(body: Json, client: httpx.Client, server: Server) -> None:
    """Limits and kinds are OpenAI's: 400 in its envelope, and nothing is stored."""
    count = server.sessions.status().session_count
    answer = client.post("/v1/conversations", json=body)
    error = answer.json()["error"]
    assert (400, "invalid_request_error") == (answer.status_code, error["type"])
    assert error["param"]
    assert error["message"]
    assert count == server.sessions.status().session_count


def test_take_what_is_at_the_limits(client: httpx.Client) -> None:
    """Twenty items, sixteen entries with names of 64 and values of 512 characters; null for nothing."""
    metadata = {f"{number:064}": "x" * 512 for number in range(16)}
    made = client.post("/v1/conversations", json={"items": [HELLO] * 20, "metadata": metadata}).json()
    assert metadata == made["metadata"]
    assert 20 == len(client.get(f"/v1/conversations/{made['id']}/items", params={"limit": 100}).json()["data"])
    assert {} == client.post(f"/v1/conversations/{made['id']}", json={"metadata": None}).json()["metadata"]
    assert {} == client.post("/v1/conversations", json={"items": None, "metadata": None}).json()["metadata"]


@pytest.mark.parametrize(
    "method,path,status",
    [
        ("GET", "other", 400),
        ("POST", "other", 400),
        ("DELETE", "other", 400),
        ("GET", "other/items", 400),
        ("POST", "other/items", 400),
        ("GET", "other/items/x", 400),
        ("DELETE", "other/items/x", 400),
        ("GET", "conv_missing", 404),
        ("DELETE", "conv_missing", 404),
        ("GET", "conv_missing/items", 404),
        ("POST", "conv_missing/items", 404),
        ("GET", "conv_missing/items/x", 404),
        ("DELETE", "conv_missing/items/x", 404),
        ("GET", "{id}/items/msg_x", 404),
        ("DELETE", "{id}/items/msg_x", 404),
        ("GET", "{id}/items?after=msg_x", 400),
        ("GET", "{id}/items?limit=0", 400),
        ("GET", "{id}/items?limit=101", 400),
        ("GET", "{id}/items?order=up", 400),
        ("GET", "{id}/items?include=everything", 400),
        ("GET", "{id}/items?include[]=everything", 400),
        ("GET", "{id}?expand=1", 400),
        ("GET", "?after=conv_missing", 404),
        ("GET", "?after=x", 400),
    ],
)
def test_tell_what_is_wrong_as_openai_does(method: str, path: str, status: int, client: httpx.Client) -> None:
    """An id of another form is 400, one of nothing is 404, both in OpenAI's envelope."""
    made = client.post("/v1/conversations", json={}).json()["id"]
    body: Json = {"items": [HELLO]} if path.endswith("/items") else {"metadata": {}}
    address = f"/v1/conversations{'' if path.startswith('?') else '/'}{path.format(id=made)}"
    answer = client.request(method, address, json=body if method == "POST" else None)
    assert (status, "invalid_request_error") == (answer.status_code, answer.json()["error"]["type"])


def test_keep_to_scopes_and_prefixes(server: Server, client: httpx.Client) -> None:
    """A token does what its scopes say, and sees no conversation outside its prefix."""
    outside = client.post("/v1/conversations", json={"items": [HELLO]}).json()["id"]
    secret, _ = server.tokens.create("confined", scopes=("read", "write"), prefix="team:")
    with server.client(secret) as confined:
        made = confined.post("/v1/conversations", json={"items": [HELLO]}).json()["id"]
        assert session_of(made).startswith("team:conv:")
        (item,) = confined.get(f"/v1/conversations/{made}/items").json()["data"]
        assert [made] == [one["id"] for one in confined.get("/v1/conversations").json()["data"]]
        assert 404 == confined.get(f"/v1/conversations/{outside}").status_code
        assert 404 == confined.post(f"/v1/conversations/{outside}/items", json={"items": [HELLO]}).status_code
        assert 403 == confined.delete(f"/v1/conversations/{made}/items/{item['id']}").status_code
        assert 403 == confined.delete(f"/v1/conversations/{made}").status_code
    reader, _ = server.tokens.create("reader", scopes=("read",), prefix="team:")
    with server.client(reader) as reading:
        assert 403 == reading.post("/v1/conversations", json={}).status_code
        assert 403 == reading.post(f"/v1/conversations/{made}", json={"metadata": {}}).status_code
        assert 200 == reading.get(f"/v1/conversations/{made}/items/{item['id']}").status_code


@pytest.mark.skipif(NODE is None, reason="needs node, and `npm ci` in tests/chat/js")
def test_serve_the_javascript_client(server: Server) -> None:
    """OpenAI's JavaScript client keeps a conversation unchanged, paging and errors included."""
    ran = subprocess.run(
        [str(NODE), str(SCRIPT), f"{server.url}/v1", server.secret], capture_output=True, text=True, check=True
    )
    told = json.loads(ran.stdout)
    assert {"topic": "js"} == told["made"]["metadata"]
    assert [f"{number}" for number in range(5)] == told["texts"]
    assert ["4", "3"] == told["last"]
    assert (True, [400, 404]) == (told["gone"]["deleted"], told["statuses"])
