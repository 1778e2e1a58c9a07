"""Titles by the model: once, after the first answer, and never in place of the user's."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import httpx
import pytest

from chatkeep import exporters
from chatkeep.core.model import Draft, Revision
from chatkeep.core.search.query import parse_query
from chatkeep.core.search.search import Search
from chatkeep.http.services import services_of
from tests.chat.completions import Answer, broken
from tests.chat.conftest import Chatting
from tests.chat.upstream import WAIT_S

CHAT = "/api/v1/chat"


@pytest.fixture
def titling(chatting: Chatting) -> Iterator[Chatting]:
    """A server that has titles made."""
    chatting.chats(titled=True)
    yield chatting
    settle(chatting)


def settle(chatting: Chatting) -> None:
    """Wait until nothing is made in the background any more."""
    deadline = time.monotonic() + WAIT_S
    while services_of(chatting.app).chats._background and time.monotonic() < deadline:
        time.sleep(0.005)


def ask(chatting: Chatting, client: httpx.Client, key: str, text: str = "How do I boil an egg?") -> str:
    """Take a turn, let a title be made, and return the session's title."""
    assert 200 == client.post(CHAT, json={"message": text, "session_key": key}).status_code
    settle(chatting)
    return chatting.sessions.get(key).title


def test_title_is_made_once_after_the_first_answer(titling: Chatting, client: httpx.Client) -> None:
    """The model sees the exchange. Every way of looking at the session shows the title, and not as the user's."""
    titling.upstream.script(Answer("Seven minutes."), Answer('"Boiling an egg."\n'))
    assert "Boiling an egg" == ask(titling, client, "egg")
    assert "How do I boil an egg?\n\nSeven minutes." == titling.upstream.seen[1].body["messages"][-1]["content"]
    assert "Boiling an egg" == ask(titling, client, "egg", "And two?")
    assert 3 == len(titling.upstream.seen)
    (listed,) = [one for one in client.get("/api/sessions").json()["sessions"] if one["id"] == "egg"]
    found = titling.sessions.search(Search(query=parse_query("boil an egg"), limit=5))
    exported = b"".join(exporters.exported([titling.sessions.read("egg")], "md", single=True)).decode()
    assert ("Boiling an egg", None) == (listed["title"], listed["user_title"])
    assert ["Boiling an egg"] == [hit.title for hit in found.hits if hit.key == "egg"]
    assert "Boiling an egg" in exported.splitlines()[0]


def test_title_of_the_user_stays_whenever_it_was_given(titling: Chatting, client: httpx.Client) -> None:
    """Before the first answer, so that none is made, or while one is made."""
    titling.sessions.append("mine", [Draft(role="system", content="Be kind.")])
    titling.sessions.rename("mine", "Eggs")
    assert "Eggs" == ask(titling, client, "mine")
    assert 1 == len(titling.upstream.seen)
    titling.upstream.script(Answer("Seven minutes."), Answer("Boiling", hold_after=0))
    client.post(CHAT, json={"message": "How?", "session_key": "meanwhile"})
    titling.sessions.rename("meanwhile", "Mine")
    titling.upstream.release()
    settle(titling)
    assert "Mine" == titling.sessions.get("meanwhile").title


def test_title_of_the_user_taken_back_uncovers_the_one_of_the_model(titling: Chatting, client: httpx.Client) -> None:
    """Two marks, so that none overwrites the other."""
    titling.upstream.script(Answer("Seven minutes."), Answer("Boiling"))
    ask(titling, client, "both")
    titling.sessions.rename("both", "Mine")
    assert "Mine" == titling.sessions.get("both").title
    assert "Boiling" == titling.sessions.revise("both", Revision(title=None)).title


def test_title_that_fails_is_noted_and_nothing_else(
    titling: Chatting, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """The turn is answered; the title is that of the message."""
    titling.upstream.script(Answer("Seven minutes."), broken())
    with caplog.at_level(logging.WARNING):
        assert "How do I boil an egg?" == ask(titling, client, "untitled")
    assert ["No title was made: model_failed"] == [record.getMessage() for record in caplog.records]


def test_no_title_is_made_unless_wanted(chatting: Chatting, client: httpx.Client) -> None:
    """One question, one request."""
    assert "How do I boil an egg?" == ask(chatting, client, "unwanted")
    assert 1 == len(chatting.upstream.seen)


@pytest.mark.parametrize("value", [5, "", "x" * 201, {"a": 1}, None])
def test_metadata_that_is_no_title_is_none(chatting: Chatting, value: object) -> None:
    """Whatever a client stores under the name, list and session agree."""
    chatting.sessions.append("forged", [Draft(role="user", content="Hello")])
    chatting.sessions.revise("forged", Revision(metadata={"model_title": value}))
    (listed,) = [one for one in chatting.sessions.list(limit=500).sessions if one.header.key == "forged"]
    assert ("Hello", "Hello") == (listed.title, chatting.sessions.get("forged").title)
