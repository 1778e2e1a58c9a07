"""Chat and recorder with a model where the disk takes no writes: an answer reaches who asked, or nobody is asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from chatkeep.testing import talk
from tests.chat.completions import Answer
from tests.chat.conftest import MODEL_KEY, Chatting, events_of, served, streamed
from tests.chat.upstream import Upstream
from tests.disks import SmallDisk, in_memory

LONG = "words " * 20_000
PATH = "/v1/chat/completions"


@contextmanager
def chatting_on_a_disk() -> Iterator[tuple[Chatting, SmallDisk, httpx.Client]]:
    """Yield a server whose workspace lies on a small disk of its own, with one session."""
    with (
        tempfile.TemporaryDirectory() as place,
        in_memory(Path(place) / "disk") as disk,
        Upstream(key=MODEL_KEY) as upstream,
        served(disk.place, upstream) as chatting,
        chatting.client() as client,
    ):
        chatting.sessions.append("there:1", talk(2))
        yield chatting, disk, client


@pytest.mark.parametrize("path", ["/api/v1/chat", "/api/v1/chat/stream"])
def test_ask_no_model_where_the_message_cannot_be_stored(path: str) -> None:
    """Chat refuses before the model is asked, at once and as a stream, and says why."""
    with chatting_on_a_disk() as (chatting, disk, client):
        disk.fill()
        refused = client.post(path, json={"message": "x" * 90_000, "session_key": "there:1"})
        assert (507, "storage_full") == (refused.status_code, refused.json()["code"])
        assert [] == chatting.upstream.seen


def test_answer_where_only_the_answer_cannot_be_stored() -> None:
    """A disk that is full when the model has answered keeps nothing from who asked, who is told what is not stored."""
    with chatting_on_a_disk() as (chatting, disk, client):
        disk.fill()
        chatting.upstream.script(Answer(LONG))
        answer = client.post("/api/v1/chat", json={"message": "short", "session_key": "there:1"})
        told = answer.json()
        assert (200, LONG, "storage_full") == (answer.status_code, told["response"], told["not_stored"]["code"])
        assert ["short"] == [one.content for one in chatting.messages("there:1")[2:]]
        disk.empty()
        chatting.upstream.script(Answer("again"))
        answer = client.post("/api/v1/chat", json={"message": "short", "session_key": "there:1"})
        assert ("again", None) == (answer.json()["response"], answer.json().get("not_stored"))


def test_stream_an_answer_that_cannot_be_stored() -> None:
    """Each piece comes as the model says it; the last event says that the answer is not stored."""
    with chatting_on_a_disk() as (chatting, disk, client):
        disk.fill()
        chatting.upstream.script(Answer(LONG))
        events = streamed(client, message="short", session_key="there:1")
        assert LONG == "".join(data["text"] for name, data in events if name == "token")
        assert ("error", "storage_full") == (events[-1][0], events[-1][1]["code"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("key", ["there:1", "new:1"])
def test_pass_answers_on_where_nothing_can_be_recorded(key: str, *, stream: bool) -> None:
    """The recorder's client has its answer, and a header that says what is missing."""
    request = {"model": "small-model", "messages": [{"role": "user", "content": "x" * 50_000}], "stream": stream}
    with chatting_on_a_disk() as (chatting, disk, client):
        disk.fill()
        chatting.upstream.script(Answer(LONG))
        answer = client.post(PATH, json=request, headers={"X-Session-Key": key})
        assert (200, "storage_full") == (answer.status_code, answer.headers["x-not-recorded"])
        said = "".join(
            data["choices"][0]["delta"].get("content") or ""
            for _, data in events_of(line for line in answer.iter_lines() if line.startswith("data: {"))
        )
        assert LONG == (said if stream else answer.json()["choices"][0]["message"]["content"])
