"""Chat: what a turn answers, what it stores, and what the model is sent."""

from __future__ import annotations

import re
import threading
from typing import Any

import httpx
import pytest

from chatkeep.core.model import Draft
from chatkeep.errors import InvalidKeyError
from chatkeep.model import upstream
from chatkeep.model.chat import check_chat_key
from tests.chat.completions import Answer
from tests.chat.conftest import Chatting, events_of, streamed

CHAT = "/api/v1/chat"


def test_chat_answers_and_stores_both_messages(chatting: Chatting, client: httpx.Client) -> None:
    """The answer has the shape of the contract; what is known of it stands beside the stored message."""
    answer = client.post(CHAT, json={"message": "Hello there"}).json()
    key = answer.pop("session_key")
    assert re.fullmatch("api:[0-9a-f]{12}", key)
    usage = {"prompt_tokens": 6, "completion_tokens": 4}
    assert {"response": "You said: Hello there", "iterations": 1, "usage": usage, "tool_calls_made": []} == answer
    asked, answered = chatting.messages(key)
    assert ("user", "Hello there", None) == (asked.role, asked.content, asked.metadata)
    assert ("assistant", "You said: Hello there") == (answered.role, answered.content)
    facts = answered.metadata or {}
    assert facts.pop("latency_ms") >= 0
    assert facts.pop("response_id").startswith("chatcmpl-")
    assert {"system_fingerprint": "fp_tests"} == facts.pop("response")
    counts = {"usage": usage | {"total_tokens": 10}, "tokens": {"input": 6, "output": 4}}
    assert {"model": "small-model", "finish_reason": "stop", **counts} == facts


def test_stream_tells_start_tokens_and_done(chatting: Chatting, client: httpx.Client) -> None:
    """The events of the contract, in their order."""
    start, *tokens, done = streamed(client, message="Hello there", session_key="user:ali_ce@home.org-1")
    assert ("start", {"session_key": "user:ali_ce@home.org-1"}) == start
    assert [("token", {"text": text}) for text in ("You ", "said: ", "Hello ", "there")] == tokens
    assert "done" == done[0]
    assert (1, {"prompt_tokens": 6, "completion_tokens": 4}, [], 2, "stop") == tuple(
        done[1][name] for name in ("iterations", "usage", "tool_calls_made", "seq", "finish_reason")
    )
    assert [("user", "Hello there"), ("assistant", "You said: Hello there")] == chatting.said("user:ali_ce@home.org-1")


def test_message_is_stored_and_token_sent_while_the_model_thinks(chatting: Chatting, client: httpx.Client) -> None:
    """Nothing is held back: not the message until the answer, not a token until the next."""
    chatting.upstream.script(Answer("one two", hold_after=1))
    with client.stream("POST", f"{CHAT}/stream", json={"message": "Count", "session_key": "held"}) as response:
        events = events_of(response.iter_lines())
        assert [("start", {"session_key": "held"}), ("token", {"text": "one "})] == [next(events), next(events)]
        assert [("user", "Count")] == chatting.said("held")
        chatting.upstream.release()
        assert ["token", "done"] == [name for name, _ in events]
    assert [("user", "Count"), ("assistant", "one two")] == chatting.said("held")


def test_model_is_sent_the_session_so_far(chatting: Chatting, client: httpx.Client) -> None:
    """The system prompt, the messages in their order, and nothing that only Chatkeep knows."""
    chatting.chats(system_prompt="Be kind.")
    for text in ("first", "second"):
        client.post(CHAT, json={"message": text, "session_key": "cli:default"})
    seen = chatting.upstream.seen[-1]
    assert [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "You said: first"},
        {"role": "user", "content": "second"},
    ] == seen.body["messages"]
    assert ("small-model", True, "Bearer sk-secret-of-the-model") == (
        seen.body["model"],
        seen.body["stream"],
        seen.headers["authorization"],
    )


def test_model_is_sent_what_fits_and_always_the_message(chatting: Chatting, client: httpx.Client) -> None:
    """The budget bounds what goes before the message, not the message."""
    chatting.chats(history_tokens=30)
    chatting.sessions.append("long", [Draft(role="user", content="x" * 400)])
    client.post(CHAT, json={"message": "short", "session_key": "long"})
    client.post(CHAT, json={"message": "y" * 400, "session_key": "long"})
    assert [["short"], ["short", "You said: short", "y" * 400]] == [
        [message["content"] for message in seen.body["messages"]] for seen in chatting.upstream.seen
    ]


def test_request_names_another_model(chatting: Chatting, client: httpx.Client) -> None:
    """The model of the request is asked, and noted."""
    client.post(CHAT, json={"message": "Hi", "session_key": "other", "model": "large-model"})
    assert "large-model" == chatting.upstream.seen[-1].body["model"]
    assert "large-model" == (chatting.messages("other")[1].metadata or {})["model"]


def test_turns_on_one_session_do_not_wait_for_each_other(chatting: Chatting, client: httpx.Client) -> None:
    """Messages stand in the order of their arrival, answers in that of their end; the later turn saw both messages."""
    chatting.upstream.script(Answer("slow answer", hold_after=1))
    answers: list[httpx.Response] = []

    def ask() -> None:
        with chatting.client() as other:
            answers.append(other.post(CHAT, json={"message": "one", "session_key": "shared"}))

    slow = threading.Thread(target=ask)
    slow.start()
    chatting.upstream.wait_for(1)
    client.post(CHAT, json={"message": "two", "session_key": "shared"})
    assert ["one", "two"] == [message["content"] for message in chatting.upstream.seen[1].body["messages"]]
    chatting.upstream.release()
    slow.join()
    assert "slow answer" == answers[0].json()["response"]
    expected = [("user", "one"), ("user", "two"), ("assistant", "You said: two"), ("assistant", "slow answer")]
    assert expected == chatting.said("shared")


def test_what_cannot_be_stored_of_an_answer_is_replaced(chatting: Chatting, client: httpx.Client) -> None:
    """A NUL or half a pair of surrogates from a model fails nobody."""
    chatting.upstream.script(Answer("a\0b \ud800c"))
    assert "a\ufffdb \ufffdc" == client.post(CHAT, json={"message": "Hi", "session_key": "odd"}).json()["response"]
    assert ("assistant", "a\ufffdb \ufffdc") == chatting.said("odd")[1]


def test_endless_answer_is_cut_where_a_message_ends(
    chatting: Chatting, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fits into a message is kept and marked; the model is not listened to any longer."""
    monkeypatch.setattr(upstream, "ANSWER_CHARS_MAX", 160_000)
    chatting.upstream.script(Answer(("\u0001" * 9_999 + " ") * 17, hold_after=16))
    answer = client.post(CHAT, json={"message": "Hi", "session_key": "endless"})
    assert (502, "model_cut_off") == (answer.status_code, answer.json()["code"])
    kept = chatting.messages("endless")[1]
    assert 160_000 <= len(kept.text)
    assert "longer than 160000 characters" in (kept.metadata or {})["detail"]
    assert ("model_cut_off", True) == ((kept.metadata or {})["reason"], (kept.metadata or {})["partial"])


@pytest.mark.parametrize(
    "body,field",
    [
        ({"message": ""}, "message"),
        ({"message": "x" * 100_001}, "message"),
        ({"message": 5}, "message"),
        ({"message": "a\0b"}, "message"),
        ({}, "message"),
        ({"message": "x", "model": ""}, "model"),
        ({"message": "x", "model": "m" * 257}, "model"),
        ({"message": "x", "other": 1}, "other"),
        ({"message": "x", "session_key": ""}, "session_key"),
        ({"message": "x", "session_key": "a/b"}, "session_key"),
        ({"message": "x", "session_key": "a b"}, "session_key"),
        ({"message": "x", "session_key": "abc\n"}, "session_key"),
        ({"message": "x", "session_key": "k" * 129}, "session_key"),
    ],
)
@pytest.mark.parametrize("path", [CHAT, f"{CHAT}/stream"])
def test_wrong_value_is_named_and_nobody_is_asked(
    chatting: Chatting, client: httpx.Client, path: str, body: dict[str, Any], field: str
) -> None:
    """422 with the field; no model is asked, nothing is stored."""
    before = chatting.sessions.status()
    answer = client.post(path, json=body)
    assert (422, field) == (answer.status_code, answer.json()["errors"][0]["field"])
    assert (before, []) == (chatting.sessions.status(), chatting.upstream.seen)


@pytest.mark.parametrize("text", ["x" * 100_000, "\u0627" * 100_000, "\U0001f600" * 100_000])
def test_longest_message_is_taken(client: httpx.Client, text: str) -> None:
    """100,000 characters of any script."""
    assert 200 == client.post(CHAT, json={"message": text}).status_code


@pytest.mark.parametrize("key", ["a", "日本語", "api:0123456789ab", "..", "k" * 128, "user:alice:project-planning"])
def test_key_of_letters_digits_and_marks_is_taken(key: str) -> None:
    """What the pattern of the seed takes."""
    check_chat_key(key)


@pytest.mark.parametrize("key", ["", "a/b", "a b", "a\n", "k" * 129, "a#", "é" + "\u0301\u0301" * 2, "\u200b"])
def test_key_of_other_characters_is_refused(key: str) -> None:
    """What it does not take."""
    with pytest.raises(InvalidKeyError, match="session_key"):
        check_chat_key(key)


def test_confined_token_chats_under_its_prefix(chatting: Chatting) -> None:
    """Keys are made under it, continue under it, and others are refused before anything is stored."""
    secret, _ = chatting.tokens.create("team", scopes=("write",), prefix="team/x ")
    with chatting.client(secret) as client:
        key = client.post(CHAT, json={"message": "one"}).json()["session_key"]
        assert re.fullmatch("team/x [0-9a-f]{12}", key)
        assert key == client.post(CHAT, json={"message": "two", "session_key": key}).json()["session_key"]
        assert 4 == len(chatting.messages(key))
        assert 403 == client.post(CHAT, json={"message": "Hi", "session_key": "user:bob"}).status_code
    assert () == chatting.messages("user:bob")


def test_reading_token_may_not_chat(chatting: Chatting) -> None:
    """Chat writes."""
    secret, _ = chatting.tokens.create("reader", scopes=("read",))
    with chatting.client(secret) as client:
        assert 403 == client.post(CHAT, json={"message": "Hi"}).status_code
        assert 403 == client.post(f"{CHAT}/stream", json={"message": "Hi"}).status_code


def test_large_messages_hold_no_room_while_the_model_thinks(chatting: Chatting, client: httpx.Client) -> None:
    """Bodies of more than 64 KiB are read two at a time, but answered side by side."""
    count = 3
    chatting.upstream.script(*[Answer("one two", hold_after=1)] * count)

    def ask() -> None:
        with chatting.client() as other:
            other.post(CHAT, json={"message": "x" * 70_000})

    askers = [threading.Thread(target=ask) for _ in range(count)]
    for asker in askers:
        asker.start()
    chatting.upstream.wait_for(count)
    assert 200 == client.post(CHAT, json={"message": "y" * 70_000}).status_code
    for _ in askers:
        chatting.upstream.release()
    for asker in askers:
        asker.join()
