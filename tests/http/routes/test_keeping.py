"""The routes about the end of sessions' lives: erasing for good, and the trash."""

from __future__ import annotations

from itertools import count

import httpx
import pytest

from chatkeep.core.model import Json
from tests.http.conftest import Server

NUMBERS = count(1)


@pytest.fixture
def prefix(client: httpx.Client) -> str:
    """The prefix of three sessions: the last message of `a` and `b` is dropped."""
    prefix = f"kept:{next(NUMBERS)}:"
    for name in "abc":
        said = [{"role": "user", "content": f"line {n}", "id": f"m{n}"} for n in (1, 2)]
        assert 201 == client.post(f"/api/v1/messages?session={prefix}{name}", json=said).status_code
    for name in "ab":
        params = {"session": f"{prefix}{name}", "last": "1", "mark": "undo"}
        assert 200 == client.delete("/api/v1/messages", params=params).status_code
    return prefix


def compact(client: httpx.Client, **body: Json) -> httpx.Response:
    """Ask for a compaction."""
    return client.post("/api/v1/compact", json=body)


def log(client: httpx.Client, key: str) -> list[tuple[int, str, str]]:
    """Return the lines of a session: seq, id and content."""
    answer = client.get("/api/v1/messages", params={"session": key, "log": "true"}).json()
    return [(line["seq"], line["id"], line["content"]) for line in answer["messages"]]


def test_compact_keys(client: httpx.Client, prefix: str) -> None:
    """The dropped line is an empty event with its seq and id; a second time there is nothing to erase."""
    for erased in (1, 0):
        answer = compact(client, keys=[f"{prefix}a", f"{prefix}c"])
        assert (200, erased) == (answer.status_code, answer.json()["erased_count"])
    assert [(1, "m1", "line 1"), (2, "m2", ""), (3, "undo", "")] == log(client, f"{prefix}a")
    assert [(1, "m1", "line 1"), (2, "m2", "line 2")] == log(client, f"{prefix}c")
    assert "line 2" == log(client, f"{prefix}b")[1][2]


def test_compact_by_filters(client: httpx.Client, prefix: str) -> None:
    """A dry run counts and erases nothing; the answer lists the sessions with something to erase."""
    for dry_run in (True, False):
        told = compact(client, prefix=prefix, dry_run=dry_run).json()
        assert ([f"{prefix}a", f"{prefix}b"], 2, dry_run, []) == (
            [one["key"] for one in told["sessions"]],
            told["erased_count"],
            told["dry_run"],
            told["left_out"],
        )
        assert told["freed_bytes"] == sum(one["freed_bytes"] for one in told["sessions"]) > 0
    assert [] == compact(client, prefix=prefix).json()["sessions"]


@pytest.mark.parametrize(
    "body,status",
    [
        *(({}, 422), ({"all": False}, 422), ({"all": True, "prefix": "x"}, 422), ({"prefix": ""}, 422)),
        *(
            ({"keys": ["none"]}, 404),
            ({"keys": [" "]}, 422),
            ({"keys": ["x"], "prefix": "y"}, 422),
            ({"key": "x"}, 422),
        ),
    ],
)
def test_compact_what_cannot_be(client: httpx.Client, body: dict[str, Json], status: int) -> None:
    """A body chooses in exactly one way, and its keys have sessions."""
    assert status == compact(client, **body).status_code


def test_compact_within_rights(server: Server, client: httpx.Client, prefix: str) -> None:
    """It needs the scope `delete`, and reaches no session outside the prefix."""
    writer, _ = server.tokens.create("one", scopes=("read", "write"))
    other, _ = server.tokens.create("two", scopes=("delete",), prefix="elsewhere:")
    with server.client(writer) as own:
        assert 403 == compact(own, keys=[f"{prefix}a"]).status_code
    with server.client(other) as own:
        assert 404 == compact(own, keys=[f"{prefix}a"]).status_code
        assert [] == compact(own, all=True).json()["sessions"]
    assert "line 2" == log(client, f"{prefix}a")[1][2]


def trashed(client: httpx.Client, prefix: str) -> list[str]:
    """Return the keys in the trash."""
    return [one["key"] for one in client.get("/api/v1/trash", params={"prefix": prefix}).json()["sessions"]]


def test_trash_keeps_what_is_deleted(client: httpx.Client, prefix: str) -> None:
    """Each way to delete may keep the session; by default it is gone for good."""
    for path in (f"/api/v1/sessions/{prefix}a", f"/api/sessions/{prefix}b"):
        assert 200 == client.delete(path, params={"trash": "true"}).status_code
    assert 200 == client.delete(f"/api/v1/sessions/{prefix}c").status_code
    assert [f"{prefix}b", f"{prefix}a"] == trashed(client, prefix)
    assert 404 == client.get(f"/api/v1/sessions/{prefix}a").status_code
    restored = client.post("/api/v1/trash/restore", json={"key": f"{prefix}a"})
    assert (200, f"{prefix}a", 3) == (restored.status_code, restored.json()["key"], restored.json()["line_count"])
    body = {"keys": [f"{prefix}a"], "dry_run": False, "trash": True}
    assert 1 == client.post("/api/v1/sessions/delete", json=body).json()["count"]
    assert [f"{prefix}a", f"{prefix}b"] == trashed(client, prefix)


def test_trash_restores_where_there_is_room(client: httpx.Client, prefix: str) -> None:
    """A key with a session again is 409, one that is not in the trash 404."""
    client.delete(f"/api/v1/sessions/{prefix}a", params={"trash": "true"})
    client.post(f"/api/v1/messages?session={prefix}a", json={"role": "user", "content": "anew"})
    for body, status in (({"key": f"{prefix}a"}, 409), ({"key": f"{prefix}c"}, 404), ({"key": " "}, 422)):
        assert status == client.post("/api/v1/trash/restore", json=body).status_code
    assert "anew" == log(client, f"{prefix}a")[0][2]


def test_trash_is_purged(client: httpx.Client, prefix: str) -> None:
    """Keys, filters or everything; a dry run removes nothing."""
    for name in "abc":
        client.delete(f"/api/v1/sessions/{prefix}{name}", params={"trash": "true"})
    for body, count_of, left in (
        ({"prefix": prefix, "older_than": "1d"}, 0, 3),
        ({"prefix": prefix, "dry_run": True}, 3, 3),
        ({"keys": [f"{prefix}b"]}, 1, 2),
        ({"prefix": prefix}, 2, 0),
    ):
        assert count_of == client.post("/api/v1/trash/purge", json=body).json()["count"]
        assert left == len(trashed(client, prefix))
    for wrong in ({}, {"keys": ["x"], "all": True}, {"all": False}, {"older_than": "soon"}, {"prefix": ""}):
        assert 422 == client.post("/api/v1/trash/purge", json=wrong).status_code, wrong
    assert 404 == client.post("/api/v1/trash/purge", json={"keys": [f"{prefix}b"]}).status_code


def test_trash_within_rights(server: Server, client: httpx.Client, prefix: str) -> None:
    """Each route needs its scope; outside a prefix nobody sees, restores or purges anything."""
    client.delete(f"/api/v1/sessions/{prefix}a", params={"trash": "true"})
    asked = ("GET", "/api/v1/trash", None), ("POST", "/api/v1/trash/restore", {"key": f"{prefix}a"})
    for scopes, allowed in (
        (("read",), [200, 403, 403]),
        (("delete",), [403, 403, 200]),
        (("write",), [403, 404, 403]),
    ):
        secret, _ = server.tokens.create("one", scopes=scopes, prefix="elsewhere:")
        with server.client(secret) as own:
            purge = ("POST", "/api/v1/trash/purge", {"all": True})
            assert allowed == [own.request(how, path, json=body).status_code for how, path, body in (*asked, purge)]
    assert [f"{prefix}a"] == trashed(client, prefix)
