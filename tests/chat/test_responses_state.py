"""For a model server without state Chatkeep keeps responses, and sends it what a request leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from chatkeep.core.history.state.conversation_ids import conversation_id
from chatkeep.core.model import Selection
from tests.chat.conftest import MODEL_KEY, Chatting, served
from tests.chat.upstream import Upstream

Json = Any
PATH = "/v1/responses"
MODEL = "small-model"


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chatting]:
    """One server before a model server without state; each test uses words of its own."""
    with (
        Upstream(key=MODEL_KEY) as upstream,
        served(tmp_path_factory.mktemp("kept"), upstream, lacks_state=True) as one,
    ):
        yield one


@pytest.fixture
def asked(keeping: Chatting) -> Iterator[openai.OpenAI]:
    """OpenAI's client with the admin's token."""
    keeping.upstream.forget()
    with openai.OpenAI(base_url=f"{keeping.url}/v1", api_key=keeping.secret, max_retries=0) as asked:
        yield asked


def streamed(asked: openai.OpenAI, **request: Json) -> Json:
    """Return the response at the end of a stream."""
    with asked.responses.stream(model=MODEL, **request) as stream:
        return stream.get_final_response()


def sent(keeping: Chatting) -> Json:
    """Return the last request that the model server got."""
    return keeping.upstream.seen[-1].body


@pytest.mark.parametrize("is_streamed", [False, True])
def test_go_on_behind_a_response(keeping: Chatting, asked: openai.OpenAI, *, is_streamed: bool) -> None:
    """The model server gets the items before the request, and no word of a state; instructions count once."""

    def ask(**request: Json) -> Json:
        return streamed(asked, **request) if is_streamed else asked.responses.create(model=MODEL, **request)

    first = ask(input=f"weather {is_streamed}", instructions="Be brief.")
    call = first.output[-1]
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    second = ask(input=[output], previous_response_id=first.id)
    body = sent(keeping)
    assert "previous_response_id" not in body
    assert ["user", *(item.type for item in first.output), "function_call_output"] == [
        item.get("type", item.get("role")) for item in body["input"]
    ]
    assert (call.id, call.arguments) == (body["input"][-2]["id"], body["input"][-2]["arguments"])
    third = ask(input="and then?", previous_response_id=second.id, instructions="Be long.")
    body = sent(keeping)
    assert "Be brief." not in str(body["input"])
    assert "Be long." == body["instructions"]
    assert 6 == len(body["input"])
    assert third.id == asked.responses.retrieve(third.id).id


def test_send_files_again(keeping: Chatting, asked: openai.OpenAI) -> None:
    """A file in an earlier request goes to the model server as it came, with each request behind it."""
    content: Json = [{"type": "input_file", "file_id": "file_7"}, {"type": "input_text", "text": "Sum it up"}]
    first = asked.responses.create(model=MODEL, input=[{"role": "user", "content": content}])
    asked.responses.create(model=MODEL, input="shorter", previous_response_id=first.id)
    assert content == sent(keeping)["input"][0]["content"]


def test_pass_a_number_beyond_our_range(keeping: Chatting) -> None:
    """A setting that we cannot keep reaches the model server, and the response is kept without it."""
    body = f'{{"model":"{MODEL}","input":"a number","top_p":1e999,"temperature":0.5}}'
    with keeping.client() as client:
        made = client.post(PATH, content=body, headers={"Content-Type": "application/json"})
        assert 200 == made.status_code
        kept = client.get(f"{PATH}/{made.json()['id']}").json()
    assert (0.5, 1.0) == (kept["temperature"], kept["top_p"])


def test_keep_responses_behind_a_deleted_item(keeping: Chatting, asked: openai.OpenAI) -> None:
    """A deleted item of an earlier answer costs no later response: its message was only stored again."""
    first = asked.responses.create(model=MODEL, input="weather in Oslo")
    second = asked.responses.create(model=MODEL, input="and in Rome?", previous_response_id=first.id)
    (key,) = [one.header.key for one in keeping.sessions.list(limit=1).sessions]
    asked.conversations.items.delete(first.output[-1].id or "", conversation_id=conversation_id(key))
    again = asked.responses.retrieve(second.id)
    assert (second.id, second.output_text) == (again.id, again.output_text)
    asked.responses.create(model=MODEL, input="and in Bern?", previous_response_id=second.id)
    kinds = [item.get("type", item.get("role")) for item in sent(keeping)["input"]]
    assert ["user", *(item.type for item in first.output[:-1]), "user", "message", "user"] == kinds


def test_keep_responses_over_a_restart(tmp_path: Path) -> None:
    """What was answered is found, whole and listed, by a server that has just begun; a branch is a fork."""
    with Upstream(key=MODEL_KEY) as upstream:
        with served(tmp_path, upstream, lacks_state=True) as chatting, chatting.client() as client:
            first = client.post(PATH, json={"model": MODEL, "input": "one", "temperature": 0.5}).json()
            for number in range(3):
                client.post(PATH, json={"model": MODEL, "input": f"other {number}"})
        with served(tmp_path, upstream, lacks_state=True) as chatting, chatting.client() as client:
            found = client.get(f"{PATH}/{first['id']}").json()
            items = client.get(f"{PATH}/{first['id']}/input_items").json()["data"]
            second = client.post(PATH, json={"model": MODEL, "input": "two", "previous_response_id": first["id"]})
            branch = client.post(PATH, json={"model": MODEL, "input": "or", "previous_response_id": first["id"]})
            body = upstream.seen[-1].body
            again = client.get(f"{PATH}/{second.json()['id']}").json()
    assert {**found, "output": None} == {**first, **{name: found[name] for name in found if name not in first}} | {
        "output": None
    }
    assert [item["content"][0]["text"] for item in found["output"]] == ["You said: one"]
    assert ["one"] == [item["content"][0]["text"] for item in items]
    assert first["id"] == again["previous_response_id"]
    assert 3 == len(body["input"])
    assert second.headers["x-session-key"] != branch.headers["x-session-key"]


def test_answer_in_a_conversation(keeping: Chatting, asked: openai.OpenAI) -> None:
    """The items of a conversation go to the model server, and the answer is an item of it, whoever keeps responses."""
    begun: Json = [{"type": "message", "role": "developer", "content": "Rhyme."}]
    made = asked.conversations.create(items=begun, metadata={"topic": "rhyme"})
    for number in range(2):
        response = asked.responses.create(model=MODEL, input=f"say {number}", conversation=made.id)
        assert made.id == getattr(asked.responses.retrieve(response.id).conversation, "id", None)
    body = sent(keeping)
    assert "conversation" not in body
    assert ["developer", "user", "assistant", "user"] == [item["role"] for item in body["input"]]
    listed = asked.conversations.items.list(made.id, order="asc")
    words = [item.to_dict()["content"][0]["text"] for item in listed]  # type: ignore[index]
    assert ["Rhyme.", "say 0", "You said: say 0", "say 1", "You said: say 1"] == words
    item = asked.conversations.items.list(made.id, limit=1).data[0]
    assert item == asked.conversations.items.retrieve(str(item.id), conversation_id=made.id)
    asked.responses.delete(response.id)
    assert 5 == len(asked.conversations.items.list(made.id).data)


def test_delete_a_response(keeping: Chatting, asked: openai.OpenAI) -> None:
    """A deleted response is found no more, and its answer stands in no session."""
    response = asked.responses.create(model=MODEL, input="a brontosaurus")
    (key,) = [one.header.key for one in keeping.sessions.list(limit=1).sessions]
    asked.responses.delete(response.id)
    assert ["a brontosaurus"] == [text for _, text in keeping.said(key)]
    with pytest.raises(openai.NotFoundError):
        asked.responses.retrieve(response.id)
    with pytest.raises(openai.BadRequestError, match="not found"):
        asked.responses.create(model=MODEL, input="x", previous_response_id=response.id)


def test_delete_a_response_after_its_session(keeping: Chatting, asked: openai.OpenAI) -> None:
    """The settings of its request can be erased though its session is gone; a second deletion finds nothing."""
    response = asked.responses.create(model=MODEL, input="an iguanodon", instructions="Speak of ferns.")
    (key,) = [one.header.key for one in keeping.sessions.list(limit=1).sessions]
    keeping.sessions.delete(key)
    asked.responses.delete(response.id)
    registers = [one.header.key for one in keeping.sessions.list(Selection(archived=True), limit=500).sessions]
    keeping.sessions.compact(registers)
    assert "ferns" not in str([keeping.sessions.read(one, log=True) for one in registers])
    with pytest.raises(openai.NotFoundError):
        asked.responses.delete(response.id)


def test_honour_that_a_response_is_not_to_be_stored(keeping: Chatting, asked: openai.OpenAI) -> None:
    """A response with `store: false` is recorded as ever, and kept by no id."""
    response = asked.responses.create(model=MODEL, input="a stegosaurus", store=False)
    with keeping.client() as client:
        (hit,) = client.get("/api/sessions/search", params={"q": "said stegosaurus"}).json()["sessions"]
    assert ("You said: a stegosaurus", "assistant") == (hit["match"], hit["match_role"])
    with pytest.raises(openai.NotFoundError):
        asked.responses.retrieve(response.id)
    with pytest.raises(openai.BadRequestError):
        asked.responses.create(model=MODEL, input="x", previous_response_id=response.id)


@pytest.mark.parametrize(
    "request_,status,field",
    [
        ({"previous_response_id": "resp_none"}, 400, "previous_response_id"),
        ({"conversation": "other"}, 400, "conversation"),
        ({"conversation": {"id": "conv_none"}}, 404, None),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, 400, "previous_response_id"),
        ({"background": True}, 400, "background"),
    ],
)
def test_refuse_what_cannot_be_resolved(request_: Json, status: int, field: str, keeping: Chatting) -> None:
    """A request behind something that is not there reaches no model, and is stored nowhere."""
    keeping.upstream.forget()
    count = keeping.sessions.status().message_count
    with keeping.client() as client:
        answer = client.post(PATH, json={"model": MODEL, "input": "x", **request_})
    error = answer.json()["error"]
    assert (status, field, "invalid_request_error") == (answer.status_code, error["param"], error["type"])
    assert ([], count) == (keeping.upstream.seen, keeping.sessions.status().message_count)


@pytest.mark.parametrize(
    "given,status", [('{"role": "user"}', 400), ("3", 400), ("null", 200), ('"half \\ud83d"', 200)]
)
def test_go_on_with_an_odd_input(given: str, status: int, keeping: Chatting, asked: openai.OpenAI) -> None:
    """Behind earlier items, an input that is neither a text nor a list is refused, not left out."""
    first = asked.responses.create(model=MODEL, input=f"odd {given}")
    body = f'{{"model": "{MODEL}", "previous_response_id": "{first.id}", "input": {given}}}'
    with keeping.client() as client:
        answer = client.post(PATH, content=body, headers={"Content-Type": "application/json"})
    assert status == answer.status_code
    if status == 400:
        assert "input" == answer.json()["error"]["param"]
    elif given != "null":
        assert "half" in str(sent(keeping)["input"][-1]["content"])


def test_cancel_what_has_ended(asked: openai.OpenAI) -> None:
    """A response that has ended stays as it is, and one that is not kept is not there."""
    response = asked.responses.create(model=MODEL, input="a triceratops")
    assert ("completed", response.output_text) == (
        (cancelled := asked.responses.cancel(response.id)).status,
        cancelled.output_text,
    )
    with pytest.raises(openai.NotFoundError):
        asked.responses.cancel("resp_none")


def test_keep_to_prefixes(keeping: Chatting, asked: openai.OpenAI) -> None:
    """A confined token goes on behind its own responses, and sees no others."""
    outside = asked.responses.create(model=MODEL, input="outside").id
    secret, _ = keeping.tokens.create("team", scopes=("read", "write"), prefix="team:")
    with keeping.client(secret) as client:
        first = client.post(PATH, json={"model": MODEL, "input": "inside"}).json()["id"]
        assert 200 == client.get(f"{PATH}/{first}").status_code
        assert 404 == client.get(f"{PATH}/{outside}").status_code
        assert 403 == client.delete(f"{PATH}/{first}").status_code
        second = client.post(PATH, json={"model": MODEL, "input": "more", "previous_response_id": first})
        assert second.headers["x-session-key"].startswith("team:")
        refused = client.post(PATH, json={"model": MODEL, "input": "x", "previous_response_id": outside})
        assert 400 == refused.status_code


def test_resolve_own_conversations_before_a_server_with_state(chatting: Chatting, client: httpx.Client) -> None:
    """Our conversation goes to the model server as items; one of the server's own passes as it came."""
    made = client.post("/v1/conversations", json={"items": [{"role": "user", "content": "before"}]}).json()["id"]
    client.post(PATH, json={"model": MODEL, "input": "behind", "conversation": {"id": made}})
    body = chatting.upstream.seen[-1].body
    assert ["before", "behind"] == [item["content"] for item in body["input"]]
    assert "conversation" not in body
    items = client.get(f"/v1/conversations/{made}/items?order=asc").json()["data"]
    assert ["before", "behind", "You said: behind"] == [item["content"][0]["text"] for item in items]
    client.post(PATH, json={"model": MODEL, "input": "theirs", "conversation": "conv_theirs"})
    assert "conv_theirs" == chatting.upstream.seen[-1].body["conversation"]
