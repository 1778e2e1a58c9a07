"""Clients of OpenAI's Responses behave through the proxy as with the server itself, and all they say is stored."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatkeep.core.history.protocols.items import response_items
from chatkeep.core.model import Selection
from tests.chat import conversations, spoken
from tests.chat.completions import Answer
from tests.chat.conftest import MODEL_KEY, Chatting, served
from tests.chat.upstream import WAIT_S, Upstream

Json = Any
TURNS = int(os.environ.get("CHATKEEP_CLIENT_TURNS", "20"))
PATH = "/v1/responses"


def user(text: str) -> Json:
    """Return what a user says."""
    return {"role": "user", "content": text}


def asked(*items: Json, **options: Json) -> Json:
    """Return a request with these items."""
    return {"model": "small-model", "input": list(items), **options}


def keyed(key: str) -> dict[str, str]:
    """Return the header that names a session."""
    return {"X-Session-Key": key}


@pytest.mark.parametrize("follows", [False, True])
def test_client_works_unchanged(tmp_path: Path, *, follows: bool) -> None:
    """Twenty turns with reasoning, tools and pictures: the same bytes come back, and one session has every item."""
    with Upstream(key=MODEL_KEY) as upstream:
        direct = conversations.with_responses(upstream.url, MODEL_KEY, TURNS, follows=follows)
        seen = [one.body for one in upstream.seen]
    with Upstream(key=MODEL_KEY) as upstream, served(tmp_path, upstream) as chatting:
        passed = conversations.with_responses(f"{chatting.url}/v1", chatting.secret, TURNS, follows=follows)
        assert seen == [one.body for one in upstream.seen]
        (session,) = chatting.sessions.read_all(Selection(archived=None))
    assert direct == passed
    system, *said = session.messages
    assert ("system", "Be brief.") == (system.role, system.content)
    assert passed["messages"] == [item for message in said for item in response_items(message)]
    answers = [message.metadata or {} for message in said if message.role == "assistant"]
    assert all(one["usage"]["output_tokens_details"]["reasoning_tokens"] == 4 for one in answers)
    assert all(one["tokens"]["reasoning"] == 4 for one in answers)
    assert not any("partial" in one for one in answers)


def test_go_on_behind_an_answer_after_a_restart(tmp_path: Path) -> None:
    """The session of an answer is found by a server that has just begun; another question behind it is a fork."""
    with Upstream(key=MODEL_KEY) as upstream:
        with served(tmp_path, upstream) as chatting, chatting.client() as client:
            first = client.post(PATH, json=asked(user("one"))).json()["id"]
            client.post(PATH, json=asked(user("another")))
        with served(tmp_path, upstream) as chatting, chatting.client() as client:
            second = client.post(PATH, json={"model": "small-model", "input": "two", "previous_response_id": first})
            key = second.headers["x-session-key"]
            branch = client.post(PATH, json=asked(user("or two"), previous_response_id=first))
            third = client.post(PATH, json=asked(user("three"), previous_response_id=second.json()["id"]))
            fork = chatting.sessions.read(branch.headers["x-session-key"])
            said = chatting.said(key)
    assert key == third.headers["x-session-key"]
    assert ["one", "You said: one", "two", "You said: two", "three", "You said: three"] == [text for _, text in said]
    assert {"forked_from": {"session": key, "seq": 2}} == fork.header.metadata
    assert ["one", "You said: one", "or two", "You said: or two"] == [message.content for message in fork.messages]


def test_append_to_a_conversation(chatting: Chatting, client: httpx.Client) -> None:
    """The requests of a conversation are one session, in the order they came; asked again, nothing is doubled."""
    for thread in ("conv_1", {"id": "conv_1"}):
        key = client.post(PATH, json=asked(user(f"to {thread}"), conversation=thread)).headers["x-session-key"]
    chatting.upstream.script(Answer(status=500, error={"error": {"message": "x"}}), Answer(cut_after=9))
    request = asked(user("weather"), conversation="conv_1")
    assert 500 == client.post(PATH, json=request).status_code
    with pytest.raises(httpx.RemoteProtocolError):
        client.post(PATH, json=request | {"stream": True})
    answer = client.post(PATH, json=request)
    assert key == answer.headers["x-session-key"]
    roles = [message.role for message in chatting.messages(key) if "partial" not in (message.metadata or {})]
    assert ["user", "assistant"] * 3 == roles
    other = client.post(PATH, json=asked(user("hello"), conversation="conv_2")).headers["x-session-key"]
    assert key != other


def test_replace_instructions_behind_an_answer(chatting: Chatting, client: httpx.Client) -> None:
    """Instructions hold for one request: new ones are stored as the replacement, the same ones not again."""
    first = client.post(PATH, json=asked(user("a"), instructions="Be brief."), headers=keyed("instructed")).json()["id"]
    second = client.post(PATH, json=asked(user("b"), instructions="Be brief.", previous_response_id=first)).json()["id"]
    client.post(PATH, json=asked(user("c"), instructions="Be long.", previous_response_id=second))
    prompts = [message for message in chatting.messages("instructed") if message.role == "system"]
    assert ["Be brief.", "Be long."] == [message.content for message in prompts]
    assert True is (prompts[1].metadata or {})["replaces_prompt"]


def test_resolve_items_named_by_their_ids(chatting: Chatting, client: httpx.Client) -> None:
    """A client may name stored items in place of their words; its session goes on, also in a fork."""
    first = client.post(PATH, json=asked(user("think one"))).json()["output"]
    named = [{"type": "item_reference", "id": item["id"]} for item in first]
    second = client.post(PATH, json=asked(user("think one"), *named, user("two")))
    key, output = second.headers["x-session-key"], second.json()["output"]
    client.post(PATH, json=asked(user("think one"), *named, user("or two")))
    named += [user("two"), *({"type": "item_reference", "id": item["id"]} for item in output)]
    third = client.post(PATH, json=asked(user("think one"), *named, user("three")))
    assert key == third.headers["x-session-key"]
    assert 6 == len(chatting.messages(key))
    assert "item_reference" not in str(chatting.messages(key))


def test_recognise_items_that_clients_change(chatting: Chatting, client: httpx.Client) -> None:
    """Reasoning and searches are dropped, ids left out: it stays one session."""
    first = client.post(PATH, json=asked(user("search it"))).json()["output"]
    second = client.post(PATH, json=asked(user("search it"), *first, user("weather")))
    _, call = second.json()["output"]
    bare = {name: call[name] for name in ("type", "call_id", "name", "arguments")}
    told = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}
    words = {"role": "assistant", "content": first[-1]["content"][0]["text"]}
    third = client.post(PATH, json=asked(user("search it"), words, user("weather"), bare, told))
    assert second.headers["x-session-key"] == third.headers["x-session-key"]
    assert 6 == len(chatting.messages(third.headers["x-session-key"]))


@pytest.mark.parametrize("body", [{"model": "small-model", "prompt": {"id": "p"}}, {"input": []}])
def test_say_what_is_not_recorded(client: httpx.Client, body: Json) -> None:
    """A request without items passes, and a header says that it is not recorded."""
    assert "unreadable" == client.post(PATH, json=body).headers["x-not-recorded"]


EVENTS = len(spoken.reply("POST", PATH, asked(user("think about it"), stream=True)).pieces)


@pytest.mark.parametrize("fault", ["cut_after", "reset_after", "error_after", "malformed_after"])
@pytest.mark.parametrize("count", [0, 1, 3, 5, 9, 14, EVENTS - 2, EVENTS - 1])
def test_model_gone_at_an_event(chatting: Chatting, client: httpx.Client, fault: str, count: int) -> None:
    """The client gets what it would have got without us; what came is kept and marked; asked again, it goes on."""
    faults: Json = {fault: count}
    key, request = f"r.{fault}.{count}", asked(user("think about it"))
    chatting.upstream.script(Answer(**faults))
    came = b""
    try:
        with client.stream("POST", PATH, json=request | {"stream": True}, headers=keyed(key)) as response:
            for piece in response.iter_raw():
                came += piece
    except (httpx.RemoteProtocolError, httpx.ReadError):
        assert fault in ("cut_after", "reset_after")
    if fault != "reset_after":
        assert came.startswith(b"".join(spoken.reply("POST", PATH, request | {"stream": True}).pieces[:count]))
    assert ("user", "think about it") == chatting.said(key)[0]
    for message in chatting.messages(key)[1:]:
        assert True is (message.metadata or {})["partial"]
    again = client.post(PATH, json=request, headers=keyed(key)).json()["output"]
    more = client.post(PATH, json=asked(user("think about it"), *again, user("more")), headers=keyed(key))
    assert ("assistant", "You said: more") == chatting.said(more.headers["x-session-key"])[-1]


@pytest.mark.parametrize("count", [0, 2, 5, 12, EVENTS - 1])
def test_client_gone_at_an_event(chatting: Chatting, client: httpx.Client, count: int) -> None:
    """The model is let go, and what the client got is kept and marked."""
    key = f"r.gone.{count}"
    chatting.upstream.script(Answer(hold_after=count))
    request = asked(user("think about it"), stream=True)
    with client.stream("POST", PATH, json=request, headers=keyed(key)) as response:
        lines = response.iter_lines()
        for _ in range(3 * count):
            next(lines)
    assert chatting.upstream.wait_for(1).gone.wait(WAIT_S)
    stored = chatting.wait_for(key, 2 if count > 4 else 1)
    for message in stored[1:]:
        assert {"partial": True, "reason": "client_gone"}.items() <= (message.metadata or {}).items()


def test_store_the_answer_before_its_end_is_passed_on(chatting: Chatting, client: httpx.Client) -> None:
    """Who has seen the last event finds the answer in its session, however long that event is."""
    for number, words in enumerate(("x", "word " * 10, "word " * 20_000)):
        key = f"r.end.{number}"
        chatting.upstream.script(Answer(words))
        request = asked(user("x"), stream=True)
        with client.stream("POST", PATH, json=request, headers=keyed(key)) as told:
            next(line for line in told.iter_lines() if line.startswith('data: {"type":"response.completed"'))
            assert 2 == len(chatting.messages(key))
        assert words == chatting.said(key)[1][1]


def test_store_a_long_call_through_another_process(chatting: Chatting, client: httpx.Client) -> None:
    """A request too long to be read at once is stored as a short one is, and its answer behind it."""
    long = "giraffe " * 200_000
    first = client.post(PATH, json=asked(user(long))).json()["id"]
    second = client.post(PATH, json=asked(user(long + "?"), previous_response_id=first))
    stored = chatting.wait_for(second.headers["x-session-key"], 4)  # a busy machine may take longer than clients wait
    assert [long, f"You said: {long}", f"{long}?", f"You said: {long}?"] == [message.content for message in stored]
