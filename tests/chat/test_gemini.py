"""Clients of Gemini behave through the proxy as with the server itself, and all they say is stored."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatkeep.core.model import Selection
from tests.chat import conversations, generated, spoken
from tests.chat.completions import Answer
from tests.chat.conftest import MODEL_KEY, Chatting, served
from tests.chat.upstream import Upstream

Json = Any
TURNS = int(os.environ.get("CHATKEEP_CLIENT_TURNS", "20"))
MODEL = "/v1beta/models/gemini-2.5-flash"
WHOLE, STREAM = f"{MODEL}:generateContent", f"{MODEL}:streamGenerateContent"
THOUGHT = {"text": "Hm, weather.", "thought": True}
CALL = {"functionCall": {"name": "weather", "args": {"place": ["weather", 1.5]}}, "thoughtSignature": "c2lnbmVk"}
SAID = [THOUGHT, {"text": "You said: weather"}, CALL]


def asked(*texts: str) -> Json:
    """Return a request in which user and model speak in turn."""
    roles = ("user", "model")
    return {"contents": [{"role": roles[n % 2], "parts": [{"text": text}]} for n, text in enumerate(texts)]}


def keyed(key: str) -> dict[str, str]:
    """Return the header that names a session."""
    return {"X-Session-Key": key}


def test_client_works_unchanged(tmp_path: Path) -> None:
    """Twenty turns with thinking, tools and pictures: the same comes back, and one session has all of it."""
    with Upstream(key=MODEL_KEY) as upstream:
        direct = conversations.with_gemini(upstream.url, MODEL_KEY, TURNS)
        seen = [(one.path.partition("/models")[2], one.query, one.body) for one in upstream.seen]
    with Upstream(key=MODEL_KEY) as upstream, served(tmp_path, upstream) as chatting:
        passed = conversations.with_gemini(f"{chatting.url}/v1", chatting.secret, TURNS)
        assert seen == [(one.path.partition("/models")[2], one.query, one.body) for one in upstream.seen]
        assert not any(chatting.secret in f"{one.headers}{one.query}" for one in upstream.seen)
        (session,) = chatting.sessions.read_all(Selection(archived=None))
    assert direct == passed
    system, *said = session.messages
    assert ("system", "Be brief.") == (system.role, system.content)
    roles = [one["role"] for one in passed["messages"]]
    starts = [place for place, role in enumerate(roles) if place == 0 or role == "user" or roles[place - 1] == "user"]
    assert len(starts) == len(said)
    assert {"user", "assistant", "tool"} == {one.role for one in said}
    answers = [message.metadata or {} for message in said if message.role == "assistant"]
    assert all(one["tokens"] == {"input": 5, "output": 13, "cached": 2, "reasoning": 4} for one in answers)
    assert all(("small-model", "STOP") == (one["model"], one["finish_reason"]) for one in answers)
    assert not any("partial" in one for one in answers)


@pytest.mark.parametrize("path", [WHOLE, STREAM, f"{STREAM}?alt=sse", WHOLE.replace("v1beta", "v1")])
def test_store_every_form_of_an_answer_alike(chatting: Chatting, client: httpx.Client, path: str) -> None:
    """At once, as a list that grows or as events: the bytes pass as they came, and the same is stored."""
    _, _, query = path.partition("?")
    expected = spoken.reply("POST", path.partition("?")[0], asked("weather"), None, query)
    answer = client.post(path, json=asked("weather"), headers=keyed(f"form:{path}"))
    assert (200, b"".join(expected.pieces)) == (answer.status_code, answer.content)
    assert [("user", "weather"), ("assistant", SAID)] == chatting.said(f"form:{path}")
    assert "gemini-2.5-flash" == (chatting.messages(f"form:{path}")[1].metadata or {})["model"]


def test_take_the_token_where_clients_put_it(chatting: Chatting) -> None:
    """It comes as a bearer's, in a header or in the query; it reaches nobody, and a wrong one is refused."""
    token = chatting.secret
    with httpx.Client(base_url=chatting.url) as client:
        for headers, query in (
            ({"authorization": f"Bearer {token}"}, ""),
            ({"x-goog-api-key": token}, ""),
            ({}, f"key={token}"),
            ({}, f"alt=json&k%65y={token}&x=1"),
            ({"x-goog-api-key": token}, "key=other"),
        ):
            answer = client.post(f"{WHOLE}?{query}", json=asked("x"), headers=headers)
            seen = chatting.upstream.seen[-1]
            assert (200, MODEL_KEY) == (answer.status_code, seen.headers["x-goog-api-key"])
            assert "key" not in seen.query and token not in json.dumps(seen.headers)  # noqa: PT018 - one promise
        assert "alt=json&x=1" == chatting.upstream.seen[-2].query
        for headers, query in (({}, ""), ({}, f"key={token}x"), ({}, f"key={token}&key={token}"), ({}, f"KEY={token}")):
            assert 401 == client.post(f"{WHOLE}?{query}", json=asked("x"), headers=headers).status_code
        for path in ("/v1/chat/completions", "/api/v1/status", "/api/sessions"):
            assert 401 == client.get(f"{path}?key={token}").status_code


@pytest.mark.parametrize("path", ["/v1%62eta/files/x", "/%76%31beta%2ffiles/x"])
def test_take_the_token_out_of_a_path_with_escapes(chatting: Chatting, path: str) -> None:
    """The same path, written otherwise, lets the same token in; it goes no further either."""
    with httpx.Client(base_url=chatting.url) as client:
        assert 200 == client.get(f"{path}?key={chatting.secret}&x=1").status_code
    assert ("/v1/files/x", "x=1") == (chatting.upstream.seen[-1].path, chatting.upstream.seen[-1].query)


def test_pass_what_is_not_recorded(chatting: Chatting, client: httpx.Client) -> None:
    """Token counts and other routes pass, and leave nothing behind."""
    before = chatting.sessions.status("gemini:").session_count
    assert {"totalTokens"} == client.post(f"{MODEL}:countTokens", json=asked("one two")).json().keys()
    assert 200 == client.get("/v1beta/files/x").status_code
    assert 200 == client.delete("/v1beta/cachedContents/x").status_code
    for path in (f"/v1beta/../api{WHOLE}", "/v1beta/models/../../x:generateContent", "/v1beta/%2e%2e/x"):
        assert client.post(path, json=asked("x")).status_code in (400, 404)
    assert before == chatting.sessions.status("gemini:").session_count


def test_recognise_a_conversation(chatting: Chatting, client: httpx.Client) -> None:
    """Sent back whole or in pieces, with new thoughts or none, a history goes on; another question forks."""
    first = client.post(WHOLE, json=asked("weather"))
    key = first.headers["x-session-key"]
    pieces = [
        {"role": "model", "parts": [part]} for part in (THOUGHT, {"text": "You said: "}, {"text": "weather"}, CALL)
    ]
    result = {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"output": "rain"}}}]}
    contents = [*asked("weather")["contents"], *pieces, result]
    second = client.post(f"{STREAM}?alt=sse", json={"contents": contents})
    assert key == second.headers["x-session-key"]
    assert ["user", "assistant", "tool", "assistant"] == [role for role, _ in chatting.said(key)]
    other = client.post(
        WHOLE, json={"contents": [*asked("weather")["contents"], *pieces, *asked("or else")["contents"]]}
    )
    fork = chatting.sessions.read(other.headers["x-session-key"])
    assert {"session": key, "seq": 2} == fork.header.metadata["forked_from"]


def test_pass_refusals_on_as_they_are(chatting: Chatting, client: httpx.Client) -> None:
    """A full server's status, headers and body come back; the question is stored once."""
    error = {"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED"}}
    chatting.upstream.script(Answer(status=429, error=error, headers={"Retry-After": "3"}))
    answer = client.post(WHOLE, json=asked("once"), headers=keyed("refused:gemini"))
    assert (429, error, "3") == (answer.status_code, answer.json(), answer.headers["retry-after"])
    client.post(WHOLE, json=asked("once"), headers=keyed("refused:gemini"))
    assert [("user", "once"), ("assistant", "You said: once")] == chatting.said("refused:gemini")


def test_store_what_follows_a_finish_reason(chatting: Chatting, client: httpx.Client) -> None:
    """Some servers put a finish reason into every chunk: the answer is whole when the stream ends."""
    words = "finish at once, and go on"
    question = asked(words)
    chatting.upstream.script(Answer(pause_s=0.01))
    answer = client.post(f"{STREAM}?alt=sse", json=question, headers=keyed("finish:gemini"))
    assert b"".join(spoken.reply("POST", STREAM, question, None, "alt=sse").pieces) == answer.content
    assert [("user", words), ("assistant", f"You said: {words}")] == chatting.said("finish:gemini")


EVENTS = len(list(generated.chunks_of("m", SAID)))


@pytest.mark.parametrize("fault", ["cut_after", "error_after", "malformed_after"])
@pytest.mark.parametrize("count", [0, 1, 3, EVENTS - 1])
def test_model_gone_at_an_event(chatting: Chatting, client: httpx.Client, fault: str, count: int) -> None:
    """The client gets what it would have got without us; what came is kept and marked; asked again, it goes on."""
    faults: Json = {fault: count}
    key = f"gemini.{fault}.{count}"
    chatting.upstream.script(Answer(**faults))
    came = b""
    try:
        with client.stream("POST", f"{STREAM}?alt=sse", json=asked("weather"), headers=keyed(key)) as response:
            for piece in response.iter_raw():
                came += piece
    except (httpx.RemoteProtocolError, httpx.ReadError):
        assert fault == "cut_after"
    sent = b"".join(spoken.reply("POST", STREAM, asked("weather"), None, "alt=sse").pieces[:count])
    assert came.startswith(sent)
    assert ("user", "weather") == chatting.said(key)[0]
    for message in chatting.messages(key)[1:]:
        assert (message.metadata or {})["partial"] is True
    client.post(WHOLE, json=asked("weather"), headers=keyed(key))
    assert SAID == chatting.messages(key)[-1].content
