"""The recording proxy passes on what is said as it comes, and stores it whatever becomes of the call."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from chatkeep.core.bounds import LARGE_BODY_BYTES_MAX, MESSAGE_BYTES_MAX
from chatkeep.core.model import Selection
from chatkeep.errors import BusyError, StorageFullError
from chatkeep.http.services import services_of
from chatkeep.http.streams import passage
from chatkeep.http.streams.relay import Relay
from chatkeep.http.streams.upstreams import Upstreams
from chatkeep.model import endings
from chatkeep.model.asked import asked_in
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from tests.chat import completions
from tests.chat.completions import Answer
from tests.chat.conftest import MODEL_KEY, Chatting, settings_of
from tests.chat.upstream import WAIT_S

Json = dict[str, Any]
TEXT = "one two three four five"
TOKENS = ("one ", "two ", "three ", "four ", "five")
PATH = "/v1/chat/completions"


def asked(*contents: str, **options: Any) -> Json:  # noqa: ANN401 - what a request may say
    """Return a request: what the user, the model, the user ... say."""
    roles = ("user", "assistant")
    said = [{"role": roles[place % 2], "content": content} for place, content in enumerate(contents)]
    return {"model": "small-model", "messages": said, **options}


def keyed(key: str) -> dict[str, str]:
    """Return the header that names a session."""
    return {"X-Session-Key": key}


def tokens_of(response: httpx.Response) -> Iterator[str]:
    """Yield the pieces of text of a stream as they come."""
    for line in response.iter_lines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:]).get("choices", ()):
                if choice["delta"].get("content"):
                    yield choice["delta"]["content"]


def metrics_of(client: httpx.Client) -> dict[str, float]:
    """Return what could not be recorded, by stage and code."""
    found = re.findall(
        r'^chatkeep_recording_failures_total\{code="(.+)",stage="(.+)"\} (.+)$',
        client.get("/metrics").text,
        re.MULTILINE,
    )
    return {f"{stage} {code}": float(count) for code, stage, count in found}


def test_pass_each_token_before_the_next_is_there(chatting: Chatting, client: httpx.Client) -> None:
    """Nothing is held back: what the model has said is with the client while the model is silent."""
    for count in range(1, len(TOKENS)):
        chatting.upstream.script(Answer(TEXT, hold_after=count))
        with client.stream("POST", PATH, json=asked("tokens", stream=True), headers=keyed(f"flow:{count}")) as response:
            tokens = tokens_of(response)
            assert list(TOKENS[:count]) == [next(tokens) for _ in range(count)]
            chatting.upstream.release()
            assert list(TOKENS[count:]) == list(tokens)
        assert [("user", "tokens"), ("assistant", TEXT)] == chatting.said(f"flow:{count}")


def test_store_the_request_before_the_model_is_asked(chatting: Chatting, client: httpx.Client) -> None:
    """When the model's server has a request, its messages are stored."""
    chatting.upstream.script(Answer(TEXT, hold_after=0))
    with client.stream("POST", PATH, json=asked("first", stream=True), headers=keyed("durable")) as response:
        chatting.upstream.wait_for(1)
        assert [("user", "first")] == chatting.said("durable")
        chatting.upstream.release()
        response.read()


@pytest.mark.parametrize("stream", [True, False])
def test_store_the_answer_before_its_end_is_passed_on(chatting: Chatting, client: httpx.Client, stream: bool) -> None:  # noqa: FBT001 - a parameter
    """Who has seen the end of an answer finds it in its session, with what the server told of it."""
    for number in range(20):
        with client.stream(
            "POST", PATH, json=asked("x", stream=stream), headers=keyed(f"end:{stream}{number}")
        ) as told:
            next(line for line in told.iter_lines() if not stream or line == "data: [DONE]")
            stored = chatting.messages(f"end:{stream}{number}")
        assert 2 == len(stored)
    metadata = stored[1].metadata or {}
    assert {"model", "finish_reason", "latency_ms", "response_id"} <= metadata.keys()
    assert ("usage" in metadata) != stream


@pytest.mark.parametrize("count", range(len(TOKENS) + 1))
def test_client_gone_at_every_token(chatting: Chatting, client: httpx.Client, count: int) -> None:
    """What the client got is kept and marked; the model is let go; the same conversation goes on."""
    key = f"gone:{count}"
    chatting.upstream.script(Answer(TEXT, hold_after=count))
    with client.stream("POST", PATH, json=asked("hello", stream=True), headers=keyed(key)) as response:
        tokens = tokens_of(response)
        got = [next(tokens) for _ in range(count)]
    assert chatting.upstream.wait_for(1).gone.wait(WAIT_S)
    stored = chatting.wait_for(key, 2 if count else 1)
    assert "".join(got) == "".join(message.text for message in stored[1:])
    for message in stored[1:]:
        assert {"partial": True, "reason": "client_gone"}.items() <= (message.metadata or {}).items()
    check_goes_on(chatting, client, key)


@pytest.mark.parametrize("fault", ["cut_after", "reset_after", "error_after", "malformed_after"])
@pytest.mark.parametrize("count", range(len(TOKENS) + 1))
def test_model_gone_at_every_token(chatting: Chatting, client: httpx.Client, fault: str, count: int) -> None:
    """The client sees what it would have seen without us; what came is kept and marked."""
    key = f"{fault}:{count}"
    faults: Json = {fault: count}
    chatting.upstream.script(Answer(TEXT, **faults))
    got: list[str] = []
    try:
        with client.stream("POST", PATH, json=asked("hello", stream=True), headers=keyed(key)) as response:
            got.extend(token for token in tokens_of(response))
    except (httpx.RemoteProtocolError, httpx.ReadError):
        assert fault in ("cut_after", "reset_after")
    except json.JSONDecodeError:
        assert fault == "malformed_after"
    except KeyError:
        assert fault == "error_after"
    stored = chatting.wait_for(key, 2 if count or fault == "malformed_after" else 1)
    if fault == "cut_after":
        assert list(TOKENS[:count]) == got
        assert "".join(got) == "".join(message.text for message in stored[1:])
    for message in stored[1:]:
        assert True is (message.metadata or {})["partial"]
        assert TEXT.startswith(message.text)
    check_goes_on(chatting, client, key)


def check_goes_on(chatting: Chatting, client: httpx.Client, key: str) -> None:
    """Check that a conversation goes on after a broken answer, asked again."""
    before = chatting.said(key)
    again = client.post(PATH, json=asked("hello"), headers=keyed(key)).json()["choices"][0]["message"]["content"]
    assert [*before, ("assistant", again)] == chatting.said(key)
    client.post(PATH, json=asked("hello", again, "more"), headers=keyed(key)).raise_for_status()
    assert [*before, ("assistant", again), ("user", "more"), ("assistant", "You said: more")] == chatting.said(key)
    assert (key,) == forks_of(chatting, key)
    assert list(range(1, len(before) + 4)) == [message.seq for message in chatting.messages(key)]


def test_recognise_a_conversation_without_a_key(chatting: Chatting, client: httpx.Client) -> None:
    """A client that names no session is told which one it has, turn after turn."""
    contents = ["Where am I?"]
    keys = set()
    for turn in range(5):
        answer = client.post(PATH, json=asked(*contents))
        keys.add(answer.headers["x-session-key"])
        contents += [answer.json()["choices"][0]["message"]["content"], f"question {turn}"]
    (key,) = keys
    assert re.fullmatch(r"openai:[0-9a-f]{12}", key)
    assert contents[:-1] == [message.text for message in chatting.messages(key)]


def test_keep_what_a_client_regenerates_and_edits(chatting: Chatting, client: httpx.Client) -> None:
    """Another answer to the same question, and another question, become sessions that say where they come from."""
    for text in ("red", "red", "green"):
        chatting.upstream.script(Answer(text))
        key = client.post(PATH, json=asked("A colour?")).headers["x-session-key"]
    edited = client.post(PATH, json=asked("A colour?", "green", "Another?")).headers["x-session-key"]
    other = client.post(PATH, json=asked("A colour?", "red", "And?")).headers["x-session-key"]
    assert [
        ("user", "A colour?"),
        ("assistant", "red"),
        ("user", "And?"),
        ("assistant", "You said: And?"),
    ] == chatting.said(key)
    assert other == key
    assert ("assistant", "green") == chatting.said(edited)[1]
    assert {"forked_from": {"session": key, "seq": 1}} == chatting.sessions.get(edited).header.metadata
    assert 2 == len(forks_of(chatting, key))


def test_keep_conversations_apart(chatting: Chatting, client: httpx.Client) -> None:
    """Who asks, for whom, under which instructions: each tells conversations apart that open with the same words."""
    secret, _ = chatting.tokens.create("other", scopes=("write",))
    system = {"role": "system", "content": "Be brief."}
    plain = asked("hello there")
    requests: list[tuple[Json, str | None]] = [
        (plain, None),
        (plain | {"user": "alice"}, None),
        (plain | {"user": "bob"}, None),
        (plain | {"messages": [system, *plain["messages"]]}, None),
        (plain, secret),
    ]
    keys = []
    for request, token in requests:
        with chatting.client(token) as other:
            keys.append(other.post(PATH, json=request).headers["x-session-key"])
    assert len(requests) == len(set(keys))


def test_name_the_session(chatting: Chatting, client: httpx.Client) -> None:
    """A header names the session, else the metadata of the request does."""
    client.post(PATH, json=asked("one", metadata={"session_key": "named/by body ü"}))
    request = asked("two", metadata={"session_key": "other"})
    client.post(PATH, json=request, headers=[(b"X-Session-Key", "ü header".encode())])
    assert ("user", "one") == chatting.said("named/by body ü")[0]
    assert ("user", "two") == chatting.said("ü header")[0]
    assert {"metadata": {"session_key": "other"}}.items() <= chatting.upstream.seen[-1].body.items()


def test_go_on_where_the_client_sends_its_last_messages(chatting: Chatting, client: httpx.Client) -> None:
    """A sliding window of a named session makes no forks, and leaves out nothing."""
    said: list[Json] = []
    for turn in range(4):
        said.append({"role": "user", "content": f"question {turn}"})
        chatting.upstream.script(Answer(f"answer {turn}"))
        messages = [{"role": "system", "content": "Be brief."}, *said[-3:]]
        answer = client.post(PATH, json={"model": "small-model", "messages": messages}, headers=keyed("window:1"))
        assert "window:1" == answer.headers["x-session-key"]
        said.append({"role": "assistant", "content": f"answer {turn}"})
    assert [("system", "Be brief."), *((one["role"], one["content"]) for one in said)] == chatting.said("window:1")


@pytest.mark.parametrize(
    "header,body,field",
    [
        ("a\u200bb".encode(), {}, "X-Session-Key"),
        (b"\xff", {}, "X-Session-Key"),
        (b"", {}, "X-Session-Key"),
        (None, {"metadata": {"session_key": "x" * 129}}, "metadata.session_key"),
        (None, {"metadata": {"session_key": 7}}, "metadata.session_key"),
    ],
)
def test_refuse_a_key_that_cannot_be_one(
    chatting: Chatting, client: httpx.Client, header: bytes | None, body: Json, field: str
) -> None:
    """A bad key is told in a way that clients of OpenAI show, before anybody is asked."""
    headers = [] if header is None else [(b"X-Session-Key", header)]
    answer = client.post(PATH, json=asked("x", **body), headers=headers)
    assert 422 == answer.status_code
    told = answer.json()
    assert field == told["errors"][0]["field"] == told["error"]["param"]
    assert told["detail"] == told["error"]["message"]
    assert [] == chatting.upstream.seen


def test_confine_a_token(chatting: Chatting) -> None:
    """A token writes under its prefix alone: keys that are made lie there, others are refused."""
    secret, _ = chatting.tokens.create("confined", scopes=("write",), prefix="team:")
    with chatting.client(secret) as client:
        assert client.post(PATH, json=asked("x")).headers["x-session-key"].startswith("team:")
        assert 403 == client.post(PATH, json=asked("x"), headers=keyed("other")).status_code
        assert "team:" in client.post(PATH, json=asked("x"), headers=keyed("other")).json()["error"]["message"]


def test_ask_for_scopes(chatting: Chatting) -> None:
    """Completions need write, the list of models read."""
    for scope, statuses in (("read", (403, 200)), ("write", (200, 403))):
        secret, _ = chatting.tokens.create(scope, scopes=(scope,))
        with chatting.client(secret) as client:
            assert statuses == (client.post(PATH, json=asked("x")).status_code, client.get("/v1/models").status_code)


def test_pass_on_only_what_may_pass(chatting: Chatting, client: httpx.Client) -> None:
    """The model's server gets its own key and never our token, nor cookies and addresses; the body is as it was."""
    body = b'{ "model":"small-model",\n"messages":[{"role":"user","content":"\\u00e9"}], "x":1.0 }'
    sent = {
        "Content-Type": "application/json",
        "Cookie": "a=b",
        "X-Forwarded-For": "1.2.3.4",
        "OpenAI-Organization": "org",
    }
    kept = {"User-Agent": "tests", "X-Title": "Tests", "Idempotency-Key": "7"}
    assert 200 == client.post(PATH, content=body, headers=sent | kept).status_code
    seen = chatting.upstream.seen[-1]
    assert f"Bearer {MODEL_KEY}" == seen.headers["authorization"]
    assert str(len(body)) == seen.headers["content-length"]
    assert {"x": 1.0}.items() <= seen.body.items()
    assert {name.lower(): value for name, value in kept.items()}.items() <= seen.headers.items()
    assert not {"cookie", "forwarded", "openai-project", "x-session-key"} & seen.headers.keys()
    assert chatting.secret not in str(seen.headers)


def test_pass_errors_on_as_they_are(chatting: Chatting, client: httpx.Client) -> None:
    """Whatever the model's server says is the answer; what was asked is kept, and nothing doubled by a retry."""
    faults = [
        completions.rate_limited(9),
        completions.context_too_long(),
        completions.broken(),
        completions.unauthorised(),
    ]
    for fault in faults:
        chatting.upstream.script(fault)
        answer = client.post(PATH, json=asked("x"), headers=keyed("errors"))
        assert (fault.status, fault.error) == (answer.status_code, answer.json())
        assert fault.headers.get("Retry-After") == answer.headers.get("retry-after")
    assert [("user", "x")] == chatting.said("errors")
    assert 400 == client.post(PATH, json={"model": "small-model", "messages": "hi"}).status_code


def test_pass_the_models_on(chatting: Chatting, client: httpx.Client) -> None:
    """The list of models is that of the model's server."""
    assert completions.models() == client.get("/v1/models").json()


def test_take_a_message_too_large_to_keep(chatting: Chatting, client: httpx.Client) -> None:
    """A large image reaches the model whole; its words are kept, and the next turn is recognised."""
    url = "data:image/png;base64," + "QUJD" * (MESSAGE_BYTES_MAX // 4)
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    request = asked("") | {"messages": [{"role": "user", "content": parts}]}
    for turn in range(3):
        answer = client.post(PATH, json=request, headers=keyed("image")).json()["choices"][0]["message"]
        request["messages"] += [answer, {"role": "user", "content": f"turn {turn}"}]
    assert url == chatting.upstream.seen[-1].body["messages"][0]["content"][1]["image_url"]["url"]
    stored = chatting.messages("image")
    assert 6 == len(stored)
    assert "What is it?" == stored[0].text
    assert {"altered": ["shortened"]} == stored[0].metadata


def test_take_text_that_cannot_be_stored(chatting: Chatting, client: httpx.Client) -> None:
    """NUL and lone surrogates reach the model; what is stored is marked, and the next turn is recognised."""
    messages = r'[{"role":"user","content":"a\u0000b\ud800"}%s]'
    more = r',{"role":"assistant","content":"ok"},{"role":"user","content":"more"}'
    sent = {"Content-Type": "application/json", **keyed("odd")}
    for said in (messages % "", messages % more):
        chatting.upstream.script(Answer("ok"))
        answer = client.post(PATH, content='{"model":"small-model","messages":%s}' % said, headers=sent)  # noqa: UP031
        assert 200 == answer.status_code
    assert "a\0b\ud800" == chatting.upstream.seen[-1].body["messages"][0]["content"]
    assert ["a\ufffdb\ufffd", "ok", "more", "ok"] == [message.text for message in chatting.messages("odd")]
    del sent["X-Session-Key"]
    chatting.upstream.script(Answer("ok"))
    told = client.post(PATH, content='{"model":"small-model","messages":%s}' % (messages % ""), headers=sent)
    assert ["a\ufffdb\ufffd", "ok"] == [message.text for message in chatting.messages(told.headers["x-session-key"])]


_ODD = {
    "too deep": b'{"role":"user","content":"odd","extra":%b}' % (b"[" * 200 + b"]" * 200),
    "too deep to be parsed": b'{"role":"user","content":"odd","extra":%b}' % (b'{"a":[' * 9000 + b"]}" * 9000),
    "deep within its parts": b'{"role":"user","content":[{"type":"text","text":"odd"},{"x":%b}]}'
    % (b"[" * 3000 + b"]" * 3000),
    "too many values": b'{"role":"user","content":"odd","extra":[%b1]}' % (b"1," * 200_000),
    "a number that JSON has not": b'{"role":"user","content":"odd","extra":[NaN,-Infinity,1e999]}',
    "half a character": rb'{"role":"user","content":"odd\ud83d"}',
    "a name twice": b'{"role":"user","role":"user","content":"x","content":"odd"}',
    "another role": b'{"role":"critic","content":"odd"}',
    "a role that is none": b'{"role":[7],"content":"odd"}',
    "no role": b'{"content":"odd"}',
    "a name that is none": b'{"role":"user","content":"odd","name":{"a":1},"tool_call_id":7}',
    "parts that are none": b'{"role":"user","content":["odd",{"type":"hologram","of":[1]},{}]}',
    "no object": b'"odd"',
}


@pytest.mark.parametrize("kind", _ODD)
def test_keep_the_neighbours_of_an_odd_message(chatting: Chatting, client: httpx.Client, kind: str) -> None:
    """One message never costs the others: it is stored as far as it can be, and known when it comes again.

    That the model's server may refuse the call changes nothing of it.
    """
    key = f"odd:{list(_ODD).index(kind)}"
    said = [b'{"role":"user","content":"before"}', b'{"role":"assistant","content":"yes"}', _ODD[kind]]
    for _ in range(2):
        body = b'{"model":"small-model","messages":[%b]}' % b", ".join(said)
        answer = client.post(PATH, content=body, headers={"Content-Type": "application/json", **keyed(key)})
        assert key == answer.headers["x-session-key"]
        assert "x-not-recorded" not in answer.headers
        assert len(body) == int(chatting.upstream.seen[-1].headers["content-length"])
        if answer.status_code == 200:
            said.append(json.dumps(answer.json()["choices"][0]["message"]).encode())
        said.append(b'{"role":"user","content":"more"}')
    stored = [message.text for message in chatting.messages(key) if message.role != "assistant"]
    assert ["before", "more"] == [stored[0], *stored[2:]]
    assert stored[1].startswith("odd")


@pytest.mark.parametrize("kind", ["too deep", "too deep to be parsed", "deep within its parts", "too many values"])
def test_mark_what_was_cut_of_a_message(chatting: Chatting, client: httpx.Client, kind: str) -> None:
    """What gave way is told in the message's metadata, and a text stands for it."""
    key = f"cut:{kind}"
    body = b'{"model":"small-model","messages":[%b]}' % _ODD[kind]
    client.post(PATH, content=body, headers={"Content-Type": "application/json", **keyed(key)})
    stored = chatting.messages(key)[0]
    assert ["shortened"] == (stored.metadata or {})["altered"]
    assert re.search("nested .*deep|values, too many to keep", json.dumps([stored.content, stored.metadata]))


@pytest.mark.parametrize("body", [b'{"model":"small-model","messages":[]}', b'{"model":"small-model","messages":"x"}'])
def test_say_what_is_not_recorded(chatting: Chatting, client: httpx.Client, body: bytes) -> None:
    """A request without a conversation passes; a header says that it is not recorded, and it is counted."""
    before = metrics_of(client).get("request unreadable", 0)
    answer = client.post(PATH, content=body, headers={"Content-Type": "application/json", **keyed("unreadable")})
    assert "unreadable" == answer.headers["x-not-recorded"]
    assert "x-session-key" not in answer.headers
    assert () == chatting.messages("unreadable")
    assert 1 == metrics_of(client)["request unreadable"] - before


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"\xff", b"NaN", b"[" * 1_000_000, b'{"messages":' + b"[" * 100_000 + b"NaN"),
        *(b'{"messages":[{"role":"user","content":"x"}', b'{"messages":[' + b"[" * 5000 + b"]" * 4999 + b"]"),
    ],
)
def test_find_no_request(body: bytes) -> None:
    """What is no request at all is not looked at for long."""
    assert asked_in(body) is None


class RefusingStore(MemoryStore):
    """A store that takes nothing."""

    def __init__(self, error: Exception) -> None:
        """Take what it raises."""
        super().__init__()
        self._error = error

    def append(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401 - it does not come to that
        """Raise."""
        raise self._error


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "error,code", [(StorageFullError(), "storage_full"), (BusyError(), "busy"), (RuntimeError("x"), "RuntimeError")]
)
def test_answer_when_nothing_can_be_stored(
    chatting: Chatting,
    client: httpx.Client,
    stream: bool,  # noqa: FBT001 - a parameter
    error: Exception,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The call works all the same; what is missing is counted."""
    monkeypatch.setattr(endings, "BUSY_WAIT_S", 0)
    before = metrics_of(client)
    with instead(chatting, sessions=Sessions(RefusingStore(error))):
        answer = client.post(PATH, json=asked("x", stream=stream))
    assert 200 == answer.status_code
    assert "You " in answer.text
    assert "x-session-key" not in answer.headers
    assert ("failed" if code == "RuntimeError" else code) == answer.headers["x-not-recorded"]
    for stage in ("request", "answer"):
        assert 1 == metrics_of(client)[f"{stage} {code}"] - before.get(f"{stage} {code}", 0)


class SlowStore(MemoryStore):
    """A store that takes its time."""

    def append(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - what a store takes
        """Wait, and store."""
        time.sleep(0.3)
        return super().append(*args, **options)


def test_answer_while_it_is_being_stored(
    chatting: Chatting, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call does not wait for a slow store for long; all is stored in the end, in its order."""
    monkeypatch.setattr(passage, "STORE_WAIT_S", 0.01)
    sessions = Sessions(SlowStore())
    with instead(chatting, sessions=sessions):
        assert 200 == client.post(PATH, json=asked("x"), headers=keyed("slow")).status_code
    deadline = time.monotonic() + WAIT_S
    while not (sessions.keys().keys and len(sessions.read("slow").messages) == 2) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ["user", "assistant"] == [message.role for message in sessions.read("slow").messages]


def test_store_what_is_asked_before_an_error_is_told(chatting: Chatting, client: httpx.Client) -> None:
    """Who learns that the model is not there finds in the session what was asked, however slow the store is."""
    sessions = Sessions(SlowStore())
    with instead(
        chatting,
        sessions=sessions,
        upstreams=Upstreams(Relay(settings_of(chatting.upstream, url="http://127.0.0.1:9/v1"))),
    ):
        assert 502 == client.post(PATH, json=asked("x"), headers=keyed("slow")).status_code
        assert ["x"] == [message.content for message in sessions.read("slow").messages]


def test_say_that_there_is_no_model(chatting: Chatting, client: httpx.Client) -> None:
    """Without a model nothing is stored, and the answer says how to have one."""
    with instead(chatting, upstreams=Upstreams(Relay(None))):
        answers = (client.post(PATH, json=asked("x"), headers=keyed("unset")), client.get("/v1/models"))
    for answer in answers:
        assert 503 == answer.status_code
        assert "CHATKEEP_MODEL_URL" in answer.json()["error"]["message"]
    assert () == chatting.messages("unset")


def test_say_that_the_model_is_not_there(chatting: Chatting, client: httpx.Client) -> None:
    """A server that cannot be reached, or keeps silent, is a 502 that says so; what was asked is kept."""
    with instead(chatting, upstreams=Upstreams(Relay(settings_of(chatting.upstream, url="http://127.0.0.1:9/v1")))):
        unreachable = client.post(PATH, json=asked("x"), headers=keyed("unreachable"))
    assert 502 == unreachable.status_code
    assert "model_unreachable" == unreachable.json()["error"]["code"]
    chatting.upstream.script(Answer(silent=True))
    with instead(chatting, upstreams=Upstreams(Relay(settings_of(chatting.upstream, timeout_s=0.2)))):
        silent = client.post(PATH, json=asked("x"), headers=keyed("unreachable"))
    assert 502 == silent.status_code
    assert "did not answer within 0.2 s" in silent.json()["detail"]
    assert [("user", "x")] == chatting.said("unreachable")


def test_refuse_as_elsewhere(chatting: Chatting, client: httpx.Client) -> None:
    """Tokens, sizes and types are looked at as on every route, and told in OpenAI's shape too."""
    with chatting.client("ck_wrong") as stranger:
        assert 401 == stranger.post(PATH, json=asked("x")).json()["status"]
        assert "Bearer" in stranger.post(PATH, json=asked("x")).json()["error"]["message"]
    large = client.post(PATH, content=b" " * (LARGE_BODY_BYTES_MAX + 1), headers={"Content-Type": "application/json"})
    assert (413, "too_large") == (large.status_code, large.json()["error"]["code"])
    assert 415 == client.post(PATH, content=b"x", headers={"Content-Type": "text/plain"}).json()["status"]
    assert 405 == client.put(PATH, json={}).json()["status"]


@contextmanager
def instead(chatting: Chatting, **wanted: Any) -> Iterator[None]:  # noqa: ANN401 - parts of the application
    """Let a server work with other parts for a while."""
    services = services_of(chatting.app)
    usual = {name: getattr(services, name) for name in wanted}
    for name, part in wanted.items():
        setattr(services, name, part)
    yield
    for name, part in usual.items():
        setattr(services, name, part)


def forks_of(chatting: Chatting, key: str) -> tuple[str, ...]:
    """Return the keys of a session and of its forks."""
    return chatting.sessions.keys(Selection(prefixes=(key,), archived=None)).keys
