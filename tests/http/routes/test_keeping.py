"""The routes about the end of sessions' lives: erasing for good."""

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
