"""What is almost right is refused with a sentence that names it, and nothing happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from chatkeep.core.model import Json

if TYPE_CHECKING:
    from tests.http.conftest import Server


@pytest.fixture
def kept(client: httpx.Client) -> str:
    """The key of a session that nobody may delete by mistake."""
    client.post("/api/v1/messages?session=strict:a", json={"role": "user", "content": "x", "id": "1"})
    return "strict:a"


@pytest.mark.parametrize("name", ["prefix", "channel", "older_than"])
def test_deleting_by_an_empty_filter_is_refused(name: str, kept: str, server: Server) -> None:
    """An empty filter is none, for a confined token too."""
    confined, _ = server.tokens.create("confined", scopes=("delete", "read"), prefix="strict:")
    for client in (server.client(), server.client(confined)):
        with client:
            answer = client.post("/api/v1/sessions/delete", json={name: "", "dry_run": False})
            assert (422, name) == (answer.status_code, answer.json()["errors"][0]["field"])
            assert client.get(f"/api/v1/sessions/{kept}").status_code == 200


def test_patching_with_the_media_type_of_merge_patches(kept: str, client: httpx.Client) -> None:
    """RFC 7396 has a media type of its own; it is taken by PATCH alone."""
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = client.patch(f"/api/v1/sessions/{kept}", content=b'{"pinned":true}', headers=headers)
    assert (200, True) == (answer.status_code, answer.json()["pinned"])
    refused = client.post(f"/api/sessions/{kept}/title", content=b'{"title":"x"}', headers=headers)
    assert refused.status_code == 415


@pytest.mark.parametrize(
    "method,path",
    [
        ("POST", "/api/v1/messages?sesion=x"),
        ("PATCH", "/api/v1/sessions/strict:a?sesion=x"),
        ("DELETE", "/api/v1/sessions/strict:a?sesion=x"),
        ("GET", "/api/v1/export?sesion=x"),
        ("GET", "/api/sessions?sesion=x"),
        ("HEAD", "/api/v1/sessions?sesion=x"),
    ],
)
def test_asking_with_an_unknown_parameter_is_refused(method: str, path: str, kept: str, client: httpx.Client) -> None:
    """A filter that is misspelt is not the same as none."""
    body: Json = {"role": "user", "content": "x"} if method == "POST" else None
    answer = client.request(method, path, json=body)
    assert answer.status_code == 422
    assert method == "HEAD" or answer.json()["errors"][0]["field"] == "sesion"
    assert client.get(f"/api/v1/sessions/{kept}").status_code == 200


@pytest.mark.parametrize(
    "method,path,body,field",
    [
        ("GET", "/api/memory/session?id=%01", None, "id"),
        ("DELETE", "/api/sessions/a%E2%80%8Bb", None, "id"),
        ("GET", "/api/v1/messages?session=%01", None, "session"),
        ("GET", "/api/v1/export?session=%01", None, "session"),
        ("POST", "/api/v1/messages?session=%01", {"role": "user", "content": "x"}, "session"),
        ("POST", "/api/v1/messages?session=strict:a", {"content": "x"}, "role"),
        ("POST", "/api/v1/messages?session=strict:a", {"role": "user", "content": "a\0b"}, "content"),
        (
            "POST",
            "/api/v1/messages?session=strict:a",
            {"role": "user", "content": "x", "metadata": {"\0": 1}},
            "metadata",
        ),
        ("POST", "/api/sessions/strict:a/title", {}, "title"),
    ],
)
def test_asking_wrongly_names_what_is_wrong(
    method: str, path: str, body: Json, field: str, kept: str, client: httpx.Client
) -> None:
    """The field of an error is called as the client called it."""
    assert kept == "strict:a"
    answer = client.request(method, path, json=body)
    assert (422, field) == (answer.status_code, answer.json()["errors"][0]["field"])


def test_reading_a_window_by_tokens_looks_at_more_than_a_page(client: httpx.Client) -> None:
    """The default limit of 50 does not cut it; `after` beside it has no meaning."""
    messages = [{"role": "user", "content": str(number)} for number in range(120)]
    client.post("/api/v1/messages?session=strict:long", json=messages)
    window = client.get("/api/v1/messages?session=strict:long&max_tokens=100000").json()
    assert (120, False) == (len(window["messages"]), window["has_more"])
    assert 50 == len(client.get("/api/v1/messages?session=strict:long").json()["messages"])
    limited = client.get("/api/v1/messages?session=strict:long&max_tokens=100000&limit=7").json()
    assert 7 == len(limited["messages"])
    refused = client.get("/api/v1/messages?session=strict:long&max_tokens=100&after=3")
    assert (422, "max_tokens") == (refused.status_code, refused.json()["errors"][0]["field"])


def test_asking_for_options_without_cors_tells_the_methods(server: Server, client: httpx.Client) -> None:
    """405 with `Allow` for who has a token, the same 401 at every address for who has none; no CORS header."""
    origin = {"Origin": "https://a.example"}
    answer = client.options("/api/v1/messages", headers=origin)
    assert (405, "GET, HEAD, POST, PUT, DELETE") == (answer.status_code, answer.headers["allow"])
    refused = [httpx.options(server.url + path, headers=origin) for path in ("/api/v1/messages", "/nope", "/v1/x")]
    assert {(401, None)} == {(one.status_code, one.headers.get("allow")) for one in refused}
    assert 1 == len({one.json()["detail"] for one in refused})
    assert not [name for one in (answer, *refused) for name in one.headers if name.startswith("access-control")]


def test_going_on_with_a_cursor_of_another_list_is_refused(client: httpx.Client) -> None:
    """A cursor of keys is none of sessions, and one with other filters is none of this list."""
    for key in ("strict:c1", "strict:c2"):
        client.post(f"/api/v1/messages?session={key}", json={"role": "user", "content": "x", "id": "1"})
    of_keys = client.get("/api/v1/sessions?prefix=strict:c&limit=1").json()["next_cursor"]
    of_sessions = client.get("/api/sessions?prefix=strict:c&limit=1").json()["next_cursor"]
    for path, cursor, status in [
        ("/api/v1/sessions?prefix=strict:c", of_keys, 200),
        ("/api/sessions?prefix=strict:c", of_sessions, 200),
        ("/api/v1/sessions?prefix=strict:c", of_sessions, 422),
        ("/api/sessions?prefix=strict:c", of_keys, 422),
        ("/api/sessions?prefix=strict", of_sessions, 422),
    ]:
        answer = client.get(f"{path}&limit=1&cursor={cursor}")
        assert (status, status == 200) == (answer.status_code, "code" not in answer.json())
