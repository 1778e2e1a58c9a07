"""Whatever the model's server does, and whenever: the session is whole, nothing is doubled, the next turn works."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from chatkeep.core.model import Appended, Draft
from chatkeep.core.text.reasoning import TextPiece
from chatkeep.errors import BusyError, ModelError
from chatkeep.http.gate.rules import Pools
from chatkeep.http.services import services_of
from chatkeep.model import endings
from chatkeep.model.chat import Chats
from chatkeep.model.upstream import ModelSettings, NoModel
from chatkeep.model.upstream import Upstream as Asked
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from tests.chat import completions
from tests.chat.completions import Answer
from tests.chat.conftest import MODEL_KEY, Chatting, events_of, settings_of, streamed
from tests.chat.upstream import Upstream
from tests.model.test_connections import WAIT_S, saying
from tests.model.test_connections import served as listening

CHAT = "/api/v1/chat"
TOKENS = ("one ", "two ", "three ", "four ", "five")
EVERYWHERE = range(len(TOKENS) + 1)


def failing(fault: str, count: int, **more: Any) -> Answer:  # noqa: ANN401 - what `Answer` takes
    """Return an answer that fails after so many tokens."""
    return Answer("".join(TOKENS), **{fault: count, **more})


def told(client: httpx.Client, key: str, *, stream: bool) -> dict[str, Any]:
    """Return the error that a turn ends with."""
    problem: dict[str, Any]
    if stream:
        name, problem = streamed(client, message="Hi", session_key=key)[-1]
        assert "error" == name
        return problem
    answer = client.post(CHAT, json={"message": "Hi", "session_key": key})
    problem = answer.json()
    assert (answer.status_code, "application/problem+json") == (problem["status"], answer.headers["content-type"])
    return problem


def check_session(chatting: Chatting, client: httpx.Client, key: str, code: str, count: int) -> None:
    """Check that the session has the message, what came of the answer, marked, and takes the next turn."""
    kept = [("user", "Hi")] + ([("assistant", "".join(TOKENS[:count]))] if count else [])
    assert kept == chatting.said(key)
    marks = [(message.metadata or {}) for message in chatting.messages(key)[1:]]
    assert [(True, code)] * bool(count) == [(mark["partial"], mark["reason"]) for mark in marks]
    assert "You said: Again" == client.post(CHAT, json={"message": "Again", "session_key": key}).json()["response"]
    assert [*kept, ("user", "Again"), ("assistant", "You said: Again")] == chatting.said(key)


@pytest.mark.parametrize("fault", ["cut_after", "reset_after", "malformed_after", "error_after"])
@pytest.mark.parametrize("count", EVERYWHERE)
def test_stream_whose_model_dies_after_any_token_ends_with_an_error(
    chatting: Chatting, client: httpx.Client, count: int, fault: str
) -> None:
    """The tokens that came are told and stored once, marked; the error comes last."""
    key = f"{fault}:{count}"
    chatting.upstream.script(failing(fault, count, hold_after=count))
    with client.stream("POST", f"{CHAT}/stream", json={"message": "Hi", "session_key": key}) as response:
        events = events_of(response.iter_lines())
        begun = [next(events) for _ in range(count + 1)]
        chatting.upstream.wait_for(1)
        chatting.upstream.release()
        *rest, (name, problem) = events
    came = len(TOKENS) if fault == "malformed_after" else count  # an event that cannot be read ends no answer
    assert [("start", {"session_key": key}), *(("token", {"text": text}) for text in TOKENS[:came])] == begun + rest
    assert ("error", 502) == (name, problem["status"])
    codes = {"malformed_after": "model_unreadable", "error_after": "model_reported"}
    assert codes.get(fault, "model_cut_off") == problem["code"]
    check_session(chatting, client, key, problem["code"], came)


@pytest.mark.parametrize("count", EVERYWHERE)
def test_answer_whose_model_dies_after_any_token_is_an_error(
    chatting: Chatting, client: httpx.Client, count: int
) -> None:
    """The same without streaming: what came is kept, though nobody was told of it."""
    chatting.upstream.script(failing("cut_after", count))
    problem = told(client, f"whole:{count}", stream=False)
    assert (502, "model_cut_off") == (problem["status"], problem["code"])
    check_session(chatting, client, f"whole:{count}", "model_cut_off", count)


@pytest.mark.parametrize("count", EVERYWHERE)
def test_client_that_leaves_after_any_token_stops_the_model(
    chatting: Chatting, client: httpx.Client, count: int
) -> None:
    """The model's server is let go, and what it had said is kept."""
    key = f"leaves:{count}"
    chatting.upstream.script(failing("hold_after", count))
    body = {"message": "Hi", "session_key": key}
    with chatting.client() as leaving, leaving.stream("POST", f"{CHAT}/stream", json=body) as response:
        events = events_of(response.iter_lines())
        assert ["start", *["token"] * count] == [next(events)[0] for _ in range(count + 1)]
        chatting.upstream.wait_for(1)
    assert chatting.upstream.seen[0].gone.wait(20)
    chatting.wait_for(key, 2 if count else 1)
    check_session(chatting, client, key, "client_gone", count)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "answer,status,code,sentence",
    [
        (completions.unauthorised(), 502, "model_refused", "refuses the key (401): CHATKEEP_MODEL_KEY is wrong"),
        (completions.refusal(403, "No."), 502, "model_refused", "refuses the key (403)"),
        (completions.unknown_model("m"), 502, "model_refused", "has no model 'small-model', or model_url is wrong"),
        (completions.refusal(422, "Odd.\nVery"), 502, "model_refused", "refuses the request (422): Odd. Very"),
        (completions.refusal(400, f"Bad {MODEL_KEY}"), 502, "model_refused", "refuses the request (400): Bad ***"),
        (completions.refusal(403, f"{MODEL_KEY} ended"), 502, "model_refused", "wrong. It says: '***"),
        (completions.refusal(429, "Team quota"), 503, "model_limited", "try again in 5 s. It says: 'Team quota'."),
        (completions.refusal(500, "<h1>On fire</h1>"), 502, "model_failed", "try again. It says: 'On fire'."),
        (completions.rate_limited(7), 503, "model_limited", "try again in 7 s"),
        (completions.rate_limited(None), 503, "model_limited", "try again in 5 s"),
        (completions.broken(), 502, "model_failed", "failed (500)"),
        (completions.context_too_long(), 413, "context_too_long", "send less, or set history_tokens lower"),
        (completions.refusal(400, "prompt is too long"), 413, "context_too_long", "send less"),
        (Answer(empty=True), 502, "model_silent", "sent nothing"),
        (Answer(text="", finish_reason="stop"), 502, "model_silent", "answered nothing (finish reason: stop)"),
    ],
)
def test_failure_is_told_with_what_to_do(
    chatting: Chatting, client: httpx.Client, answer: Answer, status: int, code: str, sentence: str, *, stream: bool
) -> None:
    """Each has its status, code and sentence; nothing but the message is stored, and the key is not told."""
    chatting.upstream.script(answer)
    key = f"fails:{code}:{chatting.sessions.status().session_count}"
    problem = told(client, key, stream=stream)
    assert (status, code) == (problem["status"], problem["code"])
    assert sentence in problem["detail"]
    assert MODEL_KEY not in problem["detail"]
    check_session(chatting, client, key, code, 0)


@pytest.mark.parametrize(
    "answer,told_beside,kept",
    [
        (Answer(text="", tool_calls=(("f", {}),)), "called tools, which chat does not run", (None, 1, None)),
        (Answer(text="<think>Hm.", finish_reason="length"), "thought about it", ("", 0, "Hm.")),
        (Answer(text="", reasoning="Hm.", finish_reason="length"), "thought about it", ("", 0, "Hm.")),
    ],
)
def test_answer_without_words_is_told_and_kept(
    chatting: Chatting, client: httpx.Client, answer: Answer, told_beside: str, kept: tuple[Any, ...]
) -> None:
    """It is no answer that could be shown, but whole; the next turn works."""
    chatting.upstream.script(answer)
    key = f"wordless:{chatting.sessions.status().session_count}"
    problem = told(client, key, stream=True)
    assert "model_silent" == problem["code"]
    assert told_beside in problem["detail"]
    (_, said) = chatting.messages(key)
    thought = ((said.metadata or {}).get("reasoning") or {}).get("text")
    assert kept == (said.content, len(said.tool_calls or ()), thought)
    assert "partial" not in (said.metadata or {})
    assert "You said: Again" == client.post(CHAT, json={"message": "Again", "session_key": key}).json()["response"]


def test_limit_of_the_model_says_when_to_come_back(chatting: Chatting, client: httpx.Client) -> None:
    """As the limits of this server do."""
    chatting.upstream.script(completions.rate_limited(7))
    answer = client.post(CHAT, json={"message": "Hi"})
    assert ("7", 7) == (answer.headers["retry-after"], answer.json()["retry_after_s"])


def test_model_server_that_never_answers_is_given_up(chatting: Chatting, client: httpx.Client) -> None:
    """After the timeout; the connection to it is closed."""
    chatting.asks(timeout_s=0.5)
    chatting.upstream.script(Answer(silent=True))
    problem = told(client, "silent", stream=False)
    assert (502, "model_unreachable") == (problem["status"], problem["code"])
    assert "did not answer within 0.5 s" in problem["detail"]
    assert chatting.upstream.seen[0].gone.wait(20)
    chatting.upstream.script(failing("hold_after", 2))
    assert "model_unreachable" == told(client, "falls-silent", stream=False)["code"]
    services_of(chatting.app).chats = chatting.usual
    check_session(chatting, client, "falls-silent", "model_unreachable", 2)


def test_model_server_that_is_not_there_is_told(chatting: Chatting, client: httpx.Client) -> None:
    """And when it is back, it is asked again."""
    chatting.upstream.stop()
    problem = told(client, "away", stream=True)
    chatting.upstream.start()
    assert (502, "model_unreachable") == (problem["status"], problem["code"])
    assert "cannot be reached; check that it runs" in problem["detail"]
    check_session(chatting, client, "away", problem["code"], 0)


def test_model_server_is_asked_again_before_it_answers(chatting: Chatting, client: httpx.Client) -> None:
    """As often as the settings say; the message is stored once."""
    chatting.asks(retries=1)
    chatting.upstream.script(Answer(status=500, error=completions.broken().error, headers={"Retry-After-Ms": "1"}))
    assert 200 == client.post(CHAT, json={"message": "Hi", "session_key": "twice"}).status_code
    assert (2, 2) == (len(chatting.upstream.seen), len(chatting.messages("twice")))


@pytest.mark.parametrize("path", [CHAT, f"{CHAT}/stream"])
def test_no_model_configured_is_told_before_anything_is_stored(
    chatting: Chatting, client: httpx.Client, path: str
) -> None:
    """503, which names the settings; without a default model a request can still name one."""
    services_of(chatting.app).chats = Chats(NoModel(), history_tokens=0)
    key = f"unset:{path.count('/')}"
    answer = client.post(path, json={"message": "Hi", "session_key": key})
    assert (503, "model_unset") == (answer.status_code, answer.json()["code"])
    assert "set CHATKEEP_MODEL_URL, or model_url in chatkeep.toml" in answer.json()["detail"]
    chatting.asks(model="")
    answer = client.post(path, json={"message": "Hi", "session_key": key})
    assert "set CHATKEEP_MODEL, or model in chatkeep.toml" in answer.json()["detail"]
    assert [] == chatting.said(key)
    named = client.post(path, json={"message": "Hi", "session_key": key, "model": "small-model"})
    assert (200, 2) == (named.status_code, len(chatting.messages(key)))


def test_key_that_is_missing_is_told(chatting: Chatting, client: httpx.Client) -> None:
    """Another sentence than for a wrong one."""
    chatting.asks(key="")
    assert "CHATKEEP_MODEL_KEY is not set" in told(client, "keyless", stream=False)["detail"]


def test_key_is_nowhere(
    chatting: Chatting, client: httpx.Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the log, not in a representation; and the environment of OpenAI's client is not asked."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-somebody")
    chatting.asks()
    with caplog.at_level(logging.INFO):
        client.post(CHAT, json={"message": "Hi"})
        chatting.upstream.script(completions.unauthorised())
        client.post(CHAT, json={"message": "Hi"})
    assert caplog.records
    assert MODEL_KEY not in caplog.text
    assert MODEL_KEY not in repr(ModelSettings(url="u", key=MODEL_KEY, model="m", timeout_s=1, retries=0))
    assert "somebody" not in repr(chatting.upstream.seen[0].headers)


def test_session_deleted_meanwhile_stays_deleted(chatting: Chatting, client: httpx.Client) -> None:
    """The answer has nowhere to go, and says so."""
    chatting.upstream.script(failing("hold_after", 1))
    with client.stream("POST", f"{CHAT}/stream", json={"message": "Hi", "session_key": "gone"}) as response:
        events = events_of(response.iter_lines())
        assert ["start", "token"] == [next(events)[0] for _ in range(2)]
        chatting.sessions.delete("gone")
        chatting.upstream.release()
        assert ("error", "session_not_found") == [(name, data.get("code")) for name, data in events][-1]
    assert [] == chatting.said("gone")


def test_server_that_ends_waits_for_what_came_to_be_stored(upstream: Upstream) -> None:
    """It has cancelled the answers under way, and would go before they are stored."""
    sessions = Sessions(MemoryStore())
    upstream.script(failing("hold_after", 2))

    async def main() -> None:
        model = Asked(settings_of(upstream))
        chats = Chats(model, history_tokens=100)
        turn = await chats.begin(sessions, Pools(), "Hi", key="a")
        heard = asyncio.Event()

        async def hear(piece: TextPiece) -> None:
            if piece.text == TOKENS[1]:
                heard.set()

        running = asyncio.create_task(turn.run(hear))
        await heard.wait()
        running.cancel()
        await chats.close()
        assert running.cancelled()
        assert 2 == sessions.get("a").message_count
        await model.close()

    asyncio.run(main())
    message, partial = sessions.read("a").messages
    assert ("Hi", "one two ", "server_ended") == (message.content, partial.content, (partial.metadata or {})["reason"])


@pytest.mark.parametrize("fails_late", [False, True])
def test_answer_is_stored_when_the_session_is_free_again(
    chatting: Chatting, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, *, fails_late: bool
) -> None:
    """Once, even when it was stored and only that could not be told."""
    key, failures, append = f"busy:{fails_late}", iter([BusyError, BusyError]), chatting.sessions._store.append

    def busy(key: str, drafts: Sequence[Draft], **wanted: Any) -> Appended:  # noqa: ANN401 - as the store has it
        if drafts[0].role == "assistant" and (failure := next(failures, None)):
            if fails_late:
                append(key, drafts, **wanted)
            raise failure
        return append(key, drafts, **wanted)

    monkeypatch.setattr(chatting.sessions._store, "append", busy)
    assert "You said: Hi" == client.post(CHAT, json={"message": "Hi", "session_key": key}).json()["response"]
    assert [("user", "Hi"), ("assistant", "You said: Hi")] == chatting.said(key)
    assert next(failures, None) is None


def test_answer_that_cannot_be_stored_for_long_is_an_error(
    chatting: Chatting, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits without end."""
    append = chatting.sessions._store.append

    def busy(key: str, drafts: Sequence[Draft], **wanted: Any) -> Appended:  # noqa: ANN401 - as the store has it
        if drafts[0].role == "assistant":
            raise BusyError
        return append(key, drafts, **wanted)

    monkeypatch.setattr(endings, "BUSY_WAIT_S", 0.2)
    monkeypatch.setattr(chatting.sessions._store, "append", busy)
    assert ("busy", 503) == ((problem := told(client, "always-busy", stream=True))["code"], problem["status"])
    assert [("user", "Hi")] == chatting.said("always-busy")


@pytest.mark.parametrize(
    "said",
    [
        b"Content-Encoding: gzip\r\n\r\nno gzip",
        b'Content-Type: text/event-stream\r\n\r\ndata: {"error":%b\n\n' % (b"[" * 100_000),
    ],
)
def test_tell_that_an_answer_cannot_be_read(said: bytes) -> None:
    """What is not packed as it says, or nested without end, is an error of the model's server."""

    async def asked() -> None:
        async with listening(saying(b"HTTP/1.1 200 OK\r\n" + said)) as server:
            model = Asked(ModelSettings(url=str(server), key="", model="any", timeout_s=WAIT_S, retries=0))
            try:
                async for _ in model.answer("any", []):
                    pass
            finally:
                await model.close()

    with pytest.raises(ModelError, match="cannot be read"):
        asyncio.run(asked())
