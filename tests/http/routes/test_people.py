"""The routes about people, and the filter by person, over HTTP and with the client."""

from __future__ import annotations

from itertools import count

import httpx
import pytest

from chatkeep.client import Client
from chatkeep.core.model import Selection
from chatkeep.errors import ConflictError, NotFoundError
from chatkeep.testing import draft, search_for
from tests.http.conftest import Server

NUMBERS = count(1)


@pytest.fixture
def name(client: httpx.Client) -> str:
    """The name of a person with two sessions, whose keys begin with it; there is a third one."""
    name = f"person{next(NUMBERS)}"
    for place in "abc":
        said = [{"role": "user", "content": f"needle {place}{n}", "id": f"{place}{n}"} for n in (1, 2)]
        assert 201 == client.post(f"/api/v1/messages?session={name}:{place}", json=said).status_code
    answer = client.post("/api/v1/people/link", json={"person": name, "keys": [f"{name}:a", f"{name}:b"]})
    assert (200, {"person": name, "keys": [f"{name}:a", f"{name}:b"]}) == (answer.status_code, answer.json())
    return name


def test_filter_by_person(client: httpx.Client, name: str) -> None:
    """Lists of both dialects, searches and exports have the sessions of the person."""
    keys = [f"{name}:a", f"{name}:b"]
    assert keys == client.get("/api/v1/sessions", params={"person": name}).json()["sessions"]
    listed = client.get("/api/sessions", params={"person": name}).json()
    assert (keys, 2) == (sorted(one["id"] for one in listed["sessions"]), listed["total"])
    hits = client.get("/api/sessions/search", params={"q": "needle", "person": name}).json()
    assert keys == sorted(hit["id"] for hit in hits["sessions"])
    lines = client.get("/api/v1/export", params={"person": name, "format": "jsonl"}).text.splitlines()
    assert 2 == len(lines)


def test_history_of_a_person(client: httpx.Client, name: str) -> None:
    """The messages of all sessions come by pages; an unknown person is 404, a bad cursor 422."""
    first = client.get("/api/v1/people/history", params={"person": name, "limit": 3}).json()
    second = client.get("/api/v1/people/history", params={"person": name, "cursor": first["next_cursor"]}).json()
    ids = [one["message"]["id"] for one in (*second["messages"], *first["messages"])]
    assert (["a1", "a2", "b1", "b2"], None) == (sorted(ids), second["next_cursor"])
    assert {f"{name}:a", f"{name}:b"} == {one["session"] for one in first["messages"]}
    for params, status in (({"person": "nobody"}, 404), ({"person": name, "cursor": "x"}, 422)):
        assert status == client.get("/api/v1/people/history", params=params).status_code


def test_link_refused(client: httpx.Client, name: str) -> None:
    """A missing session is 404, one of another person 409, and no key 422; nothing is linked."""
    for keys, status in (([f"{name}:none"], 404), ([f"{name}:c", f"{name}:a"], 409), ([], 422)):
        answer = client.post("/api/v1/people/link", json={"person": "another", "keys": keys})
        assert status == answer.status_code
    assert 404 == client.post("/api/v1/people/unlink", json={"keys": [f"{name}:c"]}).status_code
    assert "another" not in {one["person"] for one in client.get("/api/v1/people").json()["people"]}


def test_client_of_people(server: Server, name: str) -> None:
    """The client has the same verbs, answers and errors."""
    with Client(server.url, server.secret) as own:
        own.append(f"{name}:d", [draft("needle d", 3, id="d1")])
        assert f"{name}:d" in own.link(name, [f"{name}:d"]).keys
        with pytest.raises(ConflictError):
            own.link("another", [f"{name}:d"])
        chosen = Selection(person=name)
        assert 3 == own.list(chosen).total
        assert {f"{name}:{place}" for place in "abd"} == {
            hit.key for hit in own.search(search_for("needle", selection=chosen)).hits
        }
        page = own.person_history(name, limit=4)
        rest = own.person_history(name, cursor=page.next_cursor)
        assert (5, None) == (len({(one.session, one.message.id) for one in (*page.said, *rest.said)}), rest.next_cursor)
        assert (f"{name}:d",) == own.unlink([f"{name}:d"])
        assert (f"{name}:a", f"{name}:b") == next(one.keys for one in own.people() if one.person == name)
        with pytest.raises(NotFoundError):
            own.person_history("nobody")
