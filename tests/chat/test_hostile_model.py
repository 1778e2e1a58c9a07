"""Whatever a model's server says, the client is told something that is true, and never the server's key."""

from __future__ import annotations

import json
import logging
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from chatkeep.http.gate.connection import BoundedProtocol
from chatkeep.http.streams.relay import Relay
from chatkeep.http.streams.upstreams import Upstreams
from chatkeep.model import upstream as model_upstream
from chatkeep.model.chat import Chats
from chatkeep.model.upstream import Upstream as Asked
from tests.chat.conftest import MODEL_KEY, Chatting, settings_of, streamed
from tests.chat.raw import WAIT_S, Raw, raw_model
from tests.chat.test_proxy import PATH, asked, instead, keyed
from tests.http.listening import listening

RESET = struct.pack("ii", 1, 0)
HALF = len(MODEL_KEY) // 2
STARS = "*" * len(MODEL_KEY)
BODY = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
SIZED = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
BROKEN = [
    b"",
    BODY,
    b"HTTP/1.1 200 OK\r\nContent-Le",
    b"HTTP/2.0 200 OK\r\n" + SIZED + b"\r\n" + BODY,
    b"HTTP/1.1 99 Odd\r\n" + SIZED + b"\r\n" + BODY,
    b"HTTP/1.1 101 Switching\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r" + SIZED + b"\r\r" + BODY,
    HEAD + SIZED + CHUNKED + b"\r\n" + CHUNKS,
    HEAD + CHUNKED + SIZED + b"\r\n" + CHUNKS,
    HEAD + CHUNKED + b"Content-Length: 5\r\n\r\n" + CHUNKS,
    HEAD + CHUNKED + CHUNKED + b"\r\n" + CHUNKS,
    HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
    HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + BODY,
    HEAD + b"Transfer-Encoding: identity\r\n" + SIZED + b"\r\n" + BODY,
    HEAD + SIZED + SIZED + b"\r\n" + BODY,
    HEAD + SIZED + b"Content-Length: 3\r\n\r\n" + BODY,
    HEAD + b"Content-Length: 94, 94\r\n\r\n" + BODY,
    HEAD + b"Content-Length: -5\r\n\r\n" + BODY,
    HEAD + b"Content-Length: +94\r\n\r\n" + BODY,
    HEAD + b"Content-Length: 0x10\r\n\r\n" + BODY,
    HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n" + BODY,
    HEAD + b"Content-Length: 9223372036854775807\r\n\r\n" + BODY,
    HEAD + b"Content-Length: 5000\r\n\r\n" + BODY,
    HEAD + CHUNKED + b"\r\nzz\r\nabc\r\n",
    HEAD + CHUNKED + b"\r\n-5\r\nabc\r\n",
    HEAD + CHUNKED + b"\r\nFFFFFFFFFFFFFFFFF\r\nabc\r\n",
    HEAD + CHUNKED + b"\r\n" + CHUNKS[:-5],
    HEAD + b"X-RateLimit-A: a\rInjected: b\r\n" + SIZED + b"\r\n" + BODY,
    HEAD + b"X-RateLimit-A: a\0b\r\n" + SIZED + b"\r\n" + BODY,
    HEAD + b"X-RateLimit-A: a\r\n b\r\n" + SIZED + b"\r\n" + BODY,
    HEAD + b"no header\r\n" + SIZED + b"\r\n" + BODY,
    HEAD + b"".join(b"X-%d: %b\r\n" % (n, b"v" * 50) for n in range(3000)) + b"\r\n" + BODY,
    b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello" + HEAD + SIZED + b"\r\n" + BODY,
    HEAD + b"Content-Encoding: gzip\r\n" + SIZED + b"\r\n" + BODY,
    HEAD + b"Content-Encoding: br\r\n" + SIZED + b"\r\n" + BODY,
    HEAD + b"Content-Encoding: gzip, gzip\r\n" + SIZED + b"\r\n" + BODY,
]


@contextmanager
def asking(chatting: Chatting, raw: Raw, *, life_s: float = 3600) -> Iterator[None]:
    """Let a server ask this one."""
    settings = settings_of(chatting.upstream, url=raw.url, timeout_s=WAIT_S, life_s=life_s)
    model = Asked(settings)
    chatting.models.append(model)
    relay = Relay(settings)
    with instead(chatting, upstreams=Upstreams(relay), chats=Chats(model, history_tokens=8000)):
        yield


@pytest.mark.parametrize("said", BROKEN)
def test_tell_that_an_answer_is_none(
    chatting: Chatting, client: httpx.Client, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that breaks the rules before anything of it was passed on is a 502 in our shape, at every door."""
    with raw_model(said) as raw, asking(chatting, raw):
        answers = [client.post(PATH, json=asked("x")), client.get("/v1/models")]
        chat = client.post("/api/v1/chat", json={"message": "x"})
    for answer in answers:
        assert (502, 502) == (answer.status_code, answer.json()["status"])
    if chat.json().get("response") != "hi":  # all of it had come, though not its end
        assert (502, 502) == (chat.status_code, chat.json()["status"])
    assert [] == [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_pass_on_what_came_before_an_answer_broke(chatting: Chatting, client: httpx.Client) -> None:
    """What a client has got it keeps, and it sees that there is no end."""
    event = b'data: {"choices":[{"delta":{"content":"one"}}]}\n\n'
    head = STREAM.replace(b"\r\n\r\n", b"\r\n" + CHUNKED + b"\r\n")
    got: list[bytes] = []
    with (
        raw_model(head, b"%x\r\n%b\r\nzz\r\n" % (len(event), event)) as raw,
        asking(chatting, raw),
        client.stream("POST", PATH, json=asked("x", stream=True), headers=keyed("broke")) as answer,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        got.extend(answer.iter_raw())
    assert event == b"".join(got)
    assert [("user", "x"), ("assistant", "one")] == chatting.said("broke")


@pytest.mark.parametrize("status", [b"200 OK", b"401 Unauthorized", b"500 Broken"])
def test_mask_the_key_in_an_answer(chatting: Chatting, client: httpx.Client, status: bytes) -> None:
    """A server that echoes its key tells it to nobody: stars stand in its place, in headers, bodies and sessions."""
    said = b'{"choices":[{"message":{"role":"assistant","content":"Bearer %b"}}],"error":{"message":"%b"}}'
    body = said % ((MODEL_KEY.encode(),) * 2)
    if status.startswith(b"200"):
        body = body.replace(b'"error"', b'"model"')
    head = b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Type: application/json\r\nX-RateLimit-Key: a%bb\r\n" % (
        status,
        MODEL_KEY.encode(),
    )
    with raw_model(head + b"Content-Length: %d\r\n\r\n" % len(body) + body) as raw, asking(chatting, raw):
        answers = [client.post(PATH, json=asked("x"), headers=keyed(f"echo:{status!r}")), client.get("/v1/models")]
        for answer in answers:
            assert body.replace(MODEL_KEY.encode(), STARS.encode()) == answer.content
            assert f"a{STARS}b" == answer.headers["x-ratelimit-key"]
        assert MODEL_KEY not in client.post("/api/v1/chat", json={"message": "x"}).text
    stored = chatting.messages(f"echo:{status!r}")
    assert MODEL_KEY not in str(stored)
    assert (STARS in str(stored)) == status.startswith(b"200")


def test_mask_the_key_in_the_pieces_of_a_stream(chatting: Chatting, client: httpx.Client) -> None:
    """The key may come in two pieces, or in two events; a session has it neither way."""
    event = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n'
    cut = event % MODEL_KEY.encode()
    place = cut.index(MODEL_KEY.encode()) + HALF
    two = event % MODEL_KEY[:HALF].encode() + event % MODEL_KEY[HALF:].encode()
    with raw_model(STREAM, cut[:place], cut[place:], two, b"data: [DONE]\n\n") as raw, asking(chatting, raw):
        answer = client.post(PATH, json=asked("x", stream=True), headers=keyed("echo:stream"))
        told = streamed(client, message="x", session_key="echo:told")
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    joined = "".join(json.loads(one)["choices"][0]["delta"]["content"] for one in events)
    assert STARS * 2 == joined
    assert STARS * 2 == chatting.messages("echo:stream")[1].text
    assert MODEL_KEY not in "".join(event[1].get("text", "") for event in told)
    assert STARS * 2 == chatting.messages("echo:told")[1].text


def test_send_html_as_plain_text(chatting: Chatting, client: httpx.Client) -> None:
    """No page of a model's server runs in a browser as if it were ours."""
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 8\r\n\r\n<script>"
    with raw_model(page) as raw, asking(chatting, raw):
        answer = client.get("/v1/models")
    assert ("text/plain; charset=utf-8", "nosniff", b"<script>") == (
        answer.headers["content-type"],
        answer.headers["x-content-type-options"],
        answer.content,
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_follow_a_server_nowhere(chatting: Chatting, client: httpx.Client, status: int) -> None:
    """Nobody else is sent a conversation because the model's server says so."""
    with raw_model(HEAD + SIZED + b"\r\n" + BODY) as other:
        head = b"HTTP/1.1 %d Moved\r\nConnection: close\r\nLocation: %b/chat\r\nContent-Length: 0\r\n\r\n" % (
            status,
            other.url.encode(),
        )
        with raw_model(head) as raw, asking(chatting, raw):
            answers = [client.post(PATH, json=asked("x")), client.get("/v1/models")]
            answers.append(client.post("/api/v1/chat", json={"message": "x"}))
    assert [] == other.seen
    for answer in answers:
        assert 502 == answer.status_code
        assert "sends elsewhere" in answer.text


def test_take_little_of_a_refusal(chatting: Chatting, client: httpx.Client) -> None:
    """An error that has no end is told by its beginning."""
    head = b"HTTP/1.1 400 No\r\nContent-Type: text/plain\r\n\r\n"
    with raw_model(head, *[b"because " * 100_000] * 50, pause_s=0) as raw, asking(chatting, raw):
        answer = client.post("/api/v1/chat", json={"message": "x"})
    assert 502 == answer.status_code
    assert "refuses the request (400)" in answer.json()["detail"]


@pytest.mark.parametrize("gone", ["closed", "half closed", "reset"])
@pytest.mark.parametrize("said", [b"", STREAM, STREAM + b"data: {}\n\n"])
def test_let_the_model_go_with_the_client(chatting: Chatting, said: bytes, gone: str) -> None:
    """Whoever leaves, in whatever way, while the model is silent ends the call; else it would last for minutes."""
    body = json.dumps(asked("x", stream=True)).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {chatting.secret}\r\n"
    with (
        raw_model(said, ends=False) as raw,
        asking(chatting, raw),
        listening(chatting.app, http=BoundedProtocol, lifespan="off") as port,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        raw.wait()
        if said:
            assert client.recv(1)
        if gone == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if gone == "half closed":
            client.shutdown(socket.SHUT_WR)
        else:
            client.close()
        assert raw.gone.wait(WAIT_S)


def test_end_an_answer_that_never_does(chatting: Chatting, client: httpx.Client) -> None:
    """A server that says a word now and then is let go in time, and what came of its answer is kept."""
    event = b'data: {"choices":[{"delta":{"content":"on "}}]}\n\n'
    with (
        raw_model(STREAM, *[event] * 1000, pause_s=0.05, ends=False) as raw,
        asking(chatting, raw, life_s=0.5),
    ):
        told = streamed(client, message="x", session_key="long:told")
        with (
            pytest.raises(httpx.RemoteProtocolError),
            client.stream("POST", PATH, json=asked("x", stream=True), headers=keyed("long:passed")) as answer,
        ):
            for _ in answer.iter_raw():
                pass
    assert "model_answer_timeout" in told[-1][1]["detail"]
    for key in ("long:told", "long:passed"):
        (_, said) = chatting.messages(key)
        assert said.text.startswith("on on ")
        assert "model_cut_off" == (said.metadata or {})["reason"]


def test_hold_no_line_without_end(chatting: Chatting, client: httpx.Client) -> None:
    """Blanks that may stand before the end of a stream are not waited for without end."""
    with (
        raw_model(STREAM, b"data:", *[b" " * 50_000] * 20, pause_s=0, ends=False) as raw,
        asking(chatting, raw),
        client.stream("POST", PATH, json=asked("x", stream=True), headers=keyed("blanks")) as answer,
    ):
        count = 0
        for piece in answer.iter_raw():
            count += len(piece)
            if count > 500_000:
                break
    assert count > 500_000


@pytest.mark.parametrize("field,name", [("content", "token"), ("reasoning", "reasoning")])
def test_send_a_long_piece_of_an_answer_in_several(
    chatting: Chatting, client: httpx.Client, field: str, name: str
) -> None:
    """A text of many pages in one event of the model's reaches the client whole, in events that are soon written."""
    text = "漢字 word\n" * 30_000
    said: list[dict[str, Any]] = [{"delta": {field: text}}, {"delta": {"content": "."}, "finish_reason": "stop"}]
    stream = b"".join(b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, **one}]}).encode() for one in said)
    with raw_model(STREAM + stream + b"data: [DONE]\n\n") as raw, asking(chatting, raw):
        events = streamed(client, message="hi")
    told = [data["text"] for kind, data in events if kind == name]
    assert text == "".join(told).removesuffix("." if name == "token" else "")
    assert max(map(len, told)) <= 1 << 16


def test_read_no_part_of_an_answer_without_bound(
    chatting: Chatting, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event too long to be read in short steps ends the answer with a sentence; what came before it is kept."""
    monkeypatch.setattr(model_upstream, "PART_BYTES_MAX", 100_000)
    said = [{"delta": {"content": "Before "}}, {"delta": {"content": "漢" * 50_000}}]
    events = [b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, **one}]}).encode() for one in said]
    with raw_model(STREAM, *events, b"data: [DONE]\n\n") as raw, asking(chatting, raw):
        told = streamed(client, message="hi", session_key="one:event")
    assert ("error", True) == (told[-1][0], "longer than" in told[-1][1]["detail"])
    (_, kept) = chatting.messages("one:event")
    assert ("Before", "model_cut_off") == (kept.text.strip(), (kept.metadata or {})["reason"])
