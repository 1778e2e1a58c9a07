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
