"""Clients of Anthropic's Messages behave through the proxy as with the server itself, and all they say is stored."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatkeep.core.model import Message, Selection
from tests.chat import conversations, spoken
from tests.chat.completions import Answer
from tests.chat.conftest import MODEL_KEY, Chatting, served
from tests.chat.upstream import WAIT_S, Upstream

Json = Any
TURNS = int(os.environ.get("CHATKEEP_CLIENT_TURNS", "20"))
PATH = "/v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}


def asked(*contents: Json, **options: Json) -> Json:
    """Return a request: what the user, the model, the user ... say."""
    roles = ("user", "assistant")
    said = [{"role": roles[place % 2], "content": content} for place, content in enumerate(contents)]
    return {"model": "small-model", "max_tokens": 100, "messages": said, **options}


def keyed(key: str) -> dict[str, str]:
    """Return the headers of a request, which name a session."""
    return {"X-Session-Key": key, **VERSION}


def sent_back(message: Message) -> Json:
    """Return a message as Anthropic's client sends it."""
    content = message.content
    if message.role == "assistant" and isinstance(content, str):
        content = [{"type": "text", "text": content}]
    return {"role": "user" if message.role == "tool" else message.role, "content": content}


def test_client_works_unchanged(tmp_path: Path) -> None:
    """Twenty turns with thinking, tools and pictures: the same bytes come back, and one session has all of it."""
    with Upstream(key=MODEL_KEY) as upstream:
        direct = conversations.with_anthropic(upstream.url, MODEL_KEY, TURNS)
        seen = [one.body for one in upstream.seen]
    with Upstream(key=MODEL_KEY) as upstream, served(tmp_path, upstream) as chatting:
        passed = conversations.with_anthropic(f"{chatting.url}/v1", chatting.secret, TURNS)
        assert seen == [one.body for one in upstream.seen]
        assert all(MODEL_KEY == one.headers["x-api-key"] for one in upstream.seen)
        assert chatting.secret not in str([one.headers for one in upstream.seen])
        (session,) = chatting.sessions.read_all(Selection(archived=None))
    assert direct == passed
    system, *said = session.messages
    assert "system" == system.role
    assert passed["messages"] == [sent_back(message) for message in said]
    answers = [message.metadata or {} for message in said if message.role == "assistant"]
    assert all(one["usage"]["cache_read_input_tokens"] == 3 and "partial" not in one for one in answers)
    assert all(one["tokens"] == {"input": 8, "output": 12, "cached": 3} for one in answers)


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
def test_take_the_token_where_clients_put_it(chatting: Chatting, header: str) -> None:
    """It comes as the key or as a bearer's, even beside another credential; a wrong one is refused."""
    token = chatting.secret if header == "x-api-key" else f"Bearer {chatting.secret}"
    other = {"authorization": "Bearer sk-ant-oat-other"} if header == "x-api-key" else {"x-api-key": "sk-ant-other"}
    with httpx.Client(base_url=chatting.url) as client:
        for headers in ({header: token}, {header: token, **other}):
            assert 200 == client.post(PATH, json=asked("x"), headers=VERSION | headers).status_code
        for headers in ({}, other, {header: token + "x"}):
            assert 401 == client.post(PATH, json=asked("x"), headers=VERSION | headers).status_code
        assert 401 == client.get("/api/v1/status", headers={"x-api-key": chatting.secret}).status_code


def test_pass_what_anthropic_knows(chatting: Chatting, client: httpx.Client) -> None:
    """Versions, betas, the query and unknown headers and fields pass; accounts and addresses do not."""
    sent = {"anthropic-beta": "a-2026,b-2026", "x-stainless-lang": "python", "x-app": "cli"}
    kept = {"Cookie": "a=b", "X-Forwarded-For": "1.2.3.4", "Connection": "close, x-hop", "X-Hop": "1"}
    answer = client.post(
        f"{PATH}?beta=true&x=%2F", json=asked("x", of_tomorrow={"y": 1}), headers=VERSION | sent | kept
    )
    seen = chatting.upstream.seen[-1]
    assert (VERSION | sent).items() <= seen.headers.items()
    assert not {"cookie", "x-forwarded-for", "x-hop"} & seen.headers.keys()
    assert ({"y": 1}, "beta=true&x=%2F") == (seen.body["of_tomorrow"], seen.query)
    assert {"request-id": "req_tests", "anthropic-ratelimit-requests-remaining": "42"}.items() <= answer.headers.items()


def test_pass_refusals_on_as_they_are(chatting: Chatting, client: httpx.Client) -> None:
    """An overloaded server's status, headers and body come back; the question is stored once."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    for status in (529, 429, 400):
        chatting.upstream.script(Answer(status=status, error=error, headers={"Retry-After": "3", "request-id": "r"}))
        answer = client.post(PATH, json=asked("once"), headers=keyed("refused"))
        assert (status, error, "3", "r") == (
            answer.status_code,
            answer.json(),
            answer.headers["retry-after"],
            answer.headers["request-id"],
        )
    client.post(PATH, json=asked("once"), headers=keyed("refused"))
    assert [("user", "once"), ("assistant", "You said: once")] == chatting.said("refused")


EVENTS = len(spoken.reply("POST", PATH, asked("weather", stream=True)).pieces)


@pytest.mark.parametrize("fault", ["cut_after", "reset_after", "error_after", "malformed_after"])
@pytest.mark.parametrize("count", [0, 1, 3, 6, 9, 14, 18, EVENTS - 2, EVENTS - 1])
def test_model_gone_at_an_event(chatting: Chatting, client: httpx.Client, fault: str, count: int) -> None:
    """The client gets what it would have got without us; what came is kept and marked; asked again, it goes on."""
    faults: Json = {fault: count}
    key = f"{fault}.{count}"
    chatting.upstream.script(Answer(**faults))
    came = b""
    try:
        with client.stream("POST", PATH, json=asked("weather", stream=True), headers=keyed(key)) as response:
            for piece in response.iter_raw():
                came += piece
    except (httpx.RemoteProtocolError, httpx.ReadError):
        assert fault in ("cut_after", "reset_after")
    sent = b"".join(spoken.reply("POST", PATH, asked("weather", stream=True)).pieces[:count])
    if fault != "reset_after":
        assert came.startswith(sent)
    assert ("user", "weather") == chatting.said(key)[0]
    for message in chatting.messages(key)[1:]:
        assert True is (message.metadata or {})["partial"]
    again = client.post(PATH, json=asked("weather"), headers=keyed(key)).json()["content"]
    assert ("assistant", again) == chatting.said(key)[-1]
    more = client.post(PATH, json=asked("weather", again, "more"), headers=keyed(key))
    assert ("assistant", "You said: more") == chatting.said(more.headers["x-session-key"])[-1]


@pytest.mark.parametrize("count", [0, 2, 6, 12, 18, EVENTS - 1])
def test_client_gone_at_an_event(chatting: Chatting, client: httpx.Client, count: int) -> None:
    """The model is let go, and what the client got is kept and marked."""
    key = f"gone.{count}"
    chatting.upstream.script(Answer(hold_after=count))
    with client.stream("POST", PATH, json=asked("weather", stream=True), headers=keyed(key)) as response:
        lines = response.iter_lines()
        for _ in range(3 * count):
            next(lines)
    assert chatting.upstream.wait_for(1).gone.wait(WAIT_S)
    stored = chatting.wait_for(key, 2 if count > 3 else 1)
    for message in stored[1:]:
        assert {"partial": True, "reason": "client_gone"}.items() <= (message.metadata or {}).items()


@pytest.mark.parametrize("stream", [True, False])
def test_store_the_answer_before_its_end_is_passed_on(
    chatting: Chatting, client: httpx.Client, *, stream: bool
) -> None:
    """Who has seen the last event finds the answer in its session."""
    for number in range(10):
        key = f"end.{stream}.{number}"
        with client.stream("POST", PATH, json=asked("x", stream=stream), headers=keyed(key)) as told:
            next(line for line in told.iter_lines() if not stream or line == "event: message_stop")
            assert 2 == len(chatting.messages(key))


def test_pass_and_store_a_long_event(chatting: Chatting, client: httpx.Client) -> None:
    """A block of 5 MB passes byte for byte, and is stored."""
    text = "tiger " * 800_000
    chatting.upstream.script(Answer(text))
    with client.stream("POST", PATH, json=asked("long", stream=True), headers=keyed("long")) as told:
        came = b"".join(told.iter_raw())
    sent = b"".join(spoken.reply("POST", PATH, asked("long", stream=True), text).pieces)
    assert came == sent
    assert text == chatting.wait_for("long", 2)[1].content


def test_leave_side_calls_out(chatting: Chatting, client: httpx.Client) -> None:
    """An agent's own calls pass, and are in no session; its conversation is."""
    metadata = {"user_id": "user_1_account__session_2"}
    system = [{"type": "text", "text": "You are Claude Code."}, {"type": "text", "text": "Generate a short title."}]
    before = len(list(keys_of(chatting)))
    for request in (asked("quota", max_tokens=1), asked("Fix it", system=system), asked("Hi", "{")):
        answer = client.post(PATH, json=request | {"metadata": metadata}, headers=VERSION)
        assert (200, "side_call") == (answer.status_code, answer.headers["x-not-recorded"])
    assert before == len(list(keys_of(chatting)))
    answer = client.post(PATH, json=asked("Fix it", metadata=metadata, tools=[{"name": "Bash"}]), headers=VERSION)
    assert 2 == len(chatting.messages(answer.headers["x-session-key"]))


def test_recognise_a_conversation_that_clients_change(chatting: Chatting, client: httpx.Client) -> None:
    """Marks for the cache move, texts become blocks, thoughts are dropped: it stays one session; an edit forks."""
    call = client.post(PATH, json=asked("weather")).json()["content"]
    mark = {"cache_control": {"type": "ephemeral"}}
    result = {"type": "tool_result", "tool_use_id": call[-1]["id"], "content": [{"type": "text", "text": "rain"}]}
    first = [{"type": "text", "text": "weather", **mark}]
    answer = client.post(PATH, json=asked(first, call[2:], [result | mark]))
    key, said = answer.headers["x-session-key"], answer.json()["content"]
    plain = {**result, "content": "rain"}
    more = client.post(PATH, json=asked("weather", call, [plain], said, "and?"))
    assert key == more.headers["x-session-key"]
    assert 6 == len(chatting.messages(key))
    edited = client.post(PATH, json=asked("weather", call, [{**result, "content": "snow"}])).headers["x-session-key"]
    assert {"forked_from": {"session": key, "seq": 2}} == chatting.sessions.get(edited).header.metadata


def keys_of(chatting: Chatting) -> Iterator[str]:
    """Yield the keys of all sessions."""
    return iter(chatting.sessions.keys().keys)


def test_store_a_conversation_of_many_values(chatting: Chatting, client: httpx.Client) -> None:
    """A message with more values than one may have is cut and marked, and costs its neighbours nothing."""
    many = [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "odd", "x": [1] * 110_000}]}]
    body = json.dumps(asked("first", "second", many, system="Be brief."))
    headers = {"Content-Type": "application/json", **keyed("many")}
    client.post(PATH, content=body, headers=headers).raise_for_status()
    stored = chatting.messages("many")
    assert ["system", "user", "assistant", "user", "assistant"] == [message.role for message in stored]
    assert ["shortened"] == (stored[3].metadata or {})["altered"]
