"""A damaged session hides no other one, and is never written to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.http.conftest import Server, serving

LISTS = (("/api/sessions", "total"), ("/api/v1/sessions", "count"), ("/api/v1/sessions?limit=9", "count"))
HI = {"role": "user", "content": "hi"}


@pytest.fixture
def damaged(server: Server, client: httpx.Client) -> Iterator[Path]:
    """The file of the session `damage:1`, of which nothing can be read; `damage:2` is whole."""
    for key in ("damage:1", "damage:2"):
        assert client.post("/api/v1/messages", params={"session": key}, json=HI).status_code == 201
    (file,) = (server.workspace / "sessions").glob("damage-1*.json")
    whole = file.read_bytes()
    file.write_bytes(b"no JSON at all\n" * 40)
    yield file
    file.write_bytes(whole)
    for key in ("damage:1", "damage:2"):
        client.delete(f"/api/v1/sessions/{key}")


def test_appending_to_a_damaged_session_is_refused(damaged: Path, client: httpx.Client) -> None:
    """409 with a code of its own, and the file stays as it is."""
    before = damaged.read_bytes()
    answer = client.post("/api/v1/messages?session=damage:1", json=HI)
    assert (answer.status_code, answer.json()["code"]) == (409, "session_damaged")
    assert damaged.read_bytes() == before


def test_export_of_all_leaves_out_what_cannot_be_read(damaged: Path, client: httpx.Client) -> None:
    """The others are there, whole; a header says how many are not."""
    client.post("/api/v1/messages?session=damage:1", json=HI)  # from now on the index knows, however many there are
    answer = client.get("/api/v1/export")
    assert "damage:2" in [session["key"] for session in answer.json()]
    assert "1" == answer.headers["x-chatkeep-left-out"]


def test_no_other_answer_suffers(damaged: Path, client: httpx.Client) -> None:
    """Lists, search and history of the others go on; nothing is a 5xx."""
    assert "damage:2" in client.get("/api/v1/sessions").json()["sessions"]
    assert client.get("/api/memory/session?id=damage:2").status_code == 200
    for path in ("/api/sessions", "/api/sessions/search?q=hi", "/api/v1/sessions/damage:1", "/api/v1/status"):
        assert client.get(path).status_code < 500
    for path in ("/api/memory/session?id=damage:1", "/api/v1/export?session=damage:1"):
        assert client.get(path).status_code in {200, 404, 409}


def test_empty_list_counts_what_cannot_be_read(tmp_path: Path) -> None:
    """Where files are and none can be read, an empty list says so; a filter that matches nothing does not."""
    folder = tmp_path / "workspace" / "sessions"
    folder.mkdir(parents=True)
    (folder / "some-0123456789.json").write_bytes(b"no JSON at all")
    with serving(tmp_path) as server, server.client() as client:
        for path, count in LISTS:
            assert (0, 1) == _unreadable(client, path, count)
        assert client.post("/api/v1/messages?session=whole:1", json=HI).status_code == 201
        for path, count in LISTS:
            assert (1, None) == _unreadable(client, path, count)
            assert (0, None) == _unreadable(client, f"{path}{'&' if '?' in path else '?'}channel=none", count)


def _unreadable(client: httpx.Client, path: str, count: str) -> tuple[int, int | None]:
    answer = client.get(path).json()
    return answer[count], answer.get("unreadable")
