"""The Python client chats: waiting, streamed, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from chatkeep.client import AsyncClient, Client
from chatkeep.errors import InvalidKeyError, ModelCutOffError, ModelLimitedError, UnreachableError
from chatkeep.wire.chat import ChatAnswer, ChatDone, ChatStart, ChatToken, Usage
from tests.chat.completions import Answer, rate_limited
from tests.chat.conftest import Chatting

USAGE = Usage(prompt_tokens=6, completion_tokens=4)
EVENTS = [
    ChatStart(session_key="cli:default"),
    *(ChatToken(text=text) for text in ("You ", "said: ", "Hello ", "there")),
    ChatDone(usage=USAGE, session_key="cli:default", seq=2, finish_reason="stop"),
]


@pytest.fixture
def python(chatting: Chatting) -> Iterator[Client]:
    """A client with the admin's token, and no session."""
    chatting.sessions.delete_all(["cli:default"])
    with Client(chatting.url, chatting.secret) as client:
        yield client


def test_client_chats(chatting: Chatting, python: Client) -> None:
    """Both ways, with the same result."""
    expected = ChatAnswer(response="You said: Hello there", usage=USAGE, session_key="cli:default")
    assert expected == python.chat("Hello there", key="cli:default")
    python.delete("cli:default")
    assert EVENTS == list(python.chat_stream("Hello there", key="cli:default"))
    assert 2 == len(chatting.messages("cli:default"))
    assert "large-model" == (python.chat("Hi", model="large-model") and chatting.upstream.seen[-1].body["model"])


def test_client_reads_whatever_a_model_says(chatting: Chatting, python: Client) -> None:
    """Also what some take for the end of a line."""
    odd = "a\u2028b\u2029c\x85d\x0be\x1cf\r\ng"
    chatting.upstream.script(Answer(odd))
    events = list(python.chat_stream("Hello", key="cli:default"))
    assert odd == "".join(event.text for event in events if isinstance(event, ChatToken))


def test_async_client_chats(chatting: Chatting, python: Client) -> None:
    """The same for asynchronous programs."""

    async def main() -> None:
        async with AsyncClient(chatting.url, chatting.secret) as client:
            assert EVENTS == [event async for event in client.chat_stream("Hello there", key="cli:default")]
            assert "You said: Again" == (await client.chat("Again", key="cli:default")).response

    asyncio.run(main())
    assert 4 == len(chatting.messages("cli:default"))


def test_client_raises_what_the_server_told(chatting: Chatting, python: Client) -> None:
    """As a status or as the last event, once, and nothing is sent again."""
    chatting.upstream.script(rate_limited(7), Answer("one two", cut_after=1))
    with pytest.raises(ModelLimitedError) as limited:
        python.chat("Hello", key="cli:default")
    assert 7 == limited.value.retry_after_s
    events = python.chat_stream("Hello", key="cli:default")
    assert [EVENTS[0], ChatToken(text="one ")] == [next(events), next(events)]
    with pytest.raises(ModelCutOffError):
        next(events)
    with pytest.raises(InvalidKeyError):
        next(python.chat_stream("Hello", key="a/b"))
    assert 2 == len(chatting.upstream.seen)


def test_client_that_closes_the_stream_stops_the_model(chatting: Chatting, python: Client) -> None:
    """What came is kept."""
    chatting.upstream.script(Answer("one two", hold_after=1))
    events = python.chat_stream("Hello", key="cli:default")
    assert [EVENTS[0], ChatToken(text="one ")] == [next(events), next(events)]
    events.close()
    assert chatting.upstream.seen[0].gone.wait(20)
    assert "one " == chatting.wait_for("cli:default", 2)[1].content


def test_client_tells_of_a_server_that_is_none(chatting: Chatting) -> None:
    """Nobody there, or somebody else."""
    with Client("http://127.0.0.1:9", "token") as client, pytest.raises(UnreachableError):
        next(client.chat_stream("Hello"))
    with Client(chatting.upstream.url, "token") as client, pytest.raises(UnreachableError):
        next(client.chat_stream("Hello"))
