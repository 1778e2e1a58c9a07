"""The bytes of attachments over HTTP: the right type, never a script, only for readers of a session of theirs."""

from __future__ import annotations

import os
from base64 import b64encode
from hashlib import sha256
from typing import Any

import httpx
import pytest

from tests.http.conftest import Server

PICTURE = b"\x89PNG\r\n\x1a\n" + os.urandom(6000)
HASH = sha256(PICTURE).hexdigest()


def parts(content: bytes) -> list[Any]:
    """Return a message's content with an attachment."""
    return [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64encode(content).decode()}"}}]


def append(client: httpx.Client, key: str, content: bytes = PICTURE) -> None:
    """Store a message with an attachment."""
    body = {"role": "user", "content": parts(content)}
    assert 201 == client.post("/api/v1/messages", params={"session": key}, json=body).status_code


def read(client: httpx.Client, key: str, **more: str | int) -> Any:  # noqa: ANN401 - JSON
    """Return the content of the newest message."""
    answer = client.get("/api/v1/messages", params={"session": key, **more}).json()
    return answer["messages"][-1]["content"]


def test_get_returns_the_bytes(client: httpx.Client) -> None:
    """The part names the attachment, and its hash leads to the bytes."""
    append(client, "blobs:bytes")
    url = read(client, "blobs:bytes")[0]["image_url"]["url"]
    assert f"chatkeep-blob:{HASH};{len(PICTURE)};base64;data:image/png;base64," == url
    answer = client.get(f"/api/v1/blobs/{HASH}")
    assert (200, PICTURE, "image/png") == (answer.status_code, answer.content, answer.headers["content-type"])
    assert "nosniff" == answer.headers["x-content-type-options"]
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["content-disposition"].startswith("inline")
    assert (200, b"") == ((head := client.head(f"/api/v1/blobs/{HASH}")).status_code, head.content)
    assert str(len(PICTURE)) == head.headers["content-length"]


def test_inline_gives_the_message_as_it_came(client: httpx.Client) -> None:
    """`inline=true`, a window for a model, the shape of a protocol and an export have the bytes."""
    append(client, "blobs:inline")
    whole = parts(PICTURE)
    assert whole == read(client, "blobs:inline", inline="true")
    assert whole == read(client, "blobs:inline", max_tokens=100_000)
    shaped = client.get("/api/v1/messages", params={"session": "blobs:inline", "shape": "openai"}).text
    assert whole[0]["image_url"]["url"] in shaped
    exported = client.get("/api/v1/export", params={"session": "blobs:inline"}).json()
    assert whole == exported["messages"][0]["content"]
    history = client.get("/api/memory/session", params={"id": "blobs:inline", "inline": "true"}).json()
    assert whole == history[0]["content"]


def test_script_is_only_saved(client: httpx.Client) -> None:
    """What a browser could run has no type of its own, and is saved to a file."""
    page = b"<!doctype html><script>alert(1)</script>" + os.urandom(6000)
    append(client, "blobs:page", page)
    answer = client.get(f"/api/v1/blobs/{sha256(page).hexdigest()}")
    assert "application/octet-stream" == answer.headers["content-type"]
    assert answer.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "asked, status, start, end",
    [
        ("bytes=0-99", 206, 0, 100),
        ("bytes=6000-", 206, 6000, 6008),
        ("bytes=-8", 206, 6000, 6008),
        ("bytes=0-0,5-9", 200, 0, 6008),
        ("pages=1-2", 200, 0, 6008),
        ("bytes=7000-", 416, 0, 0),
    ],
)
def test_get_returns_a_range(client: httpx.Client, asked: str, status: int, start: int, end: int) -> None:
    """A player asks for parts of a sound."""
    append(client, "blobs:range")
    answer = client.get(f"/api/v1/blobs/{HASH}", headers={"Range": asked})
    assert (status, PICTURE[start:end]) == (answer.status_code, answer.content)


def test_get_again_needs_no_bytes(client: httpx.Client) -> None:
    """A browser that has the bytes of a hash has them for good."""
    append(client, "blobs:again")
    tag = client.get(f"/api/v1/blobs/{HASH}").headers["etag"]
    assert 304 == client.get(f"/api/v1/blobs/{HASH}", headers={"If-None-Match": tag}).status_code


@pytest.mark.parametrize("name", ["0" * 64, "x", "F9" * 32, "..%2F..%2Ftokens.json"])
def test_get_of_nothing_is_not_found(client: httpx.Client, name: str) -> None:
    """A hash that nothing has, and a name that is no hash, lead nowhere."""
    assert 404 == client.get(f"/api/v1/blobs/{name}").status_code


def test_get_outside_the_prefix_is_not_found(server: Server, client: httpx.Client) -> None:
    """A confined token reads the attachments of its own sessions alone, and needs to read."""
    theirs = b"\x89PNG\r\n\x1a\n" + os.urandom(6000)
    append(client, "blobs:theirs", theirs)
    secret, _ = server.tokens.create("mine", scopes=("read", "write"), prefix="mine-blobs:")
    blind, _ = server.tokens.create("blind", scopes=("write",))
    path = f"/api/v1/blobs/{sha256(theirs).hexdigest()}"
    with server.client(secret) as mine, server.client(blind) as writer:
        assert (404, 403) == (mine.get(path).status_code, writer.get(path).status_code)
        named = read(client, "blobs:theirs")
        body = {"role": "user", "content": named}
        refused = mine.post("/api/v1/messages", params={"session": "mine-blobs:1"}, json=body)
        assert (422, "content") == (refused.status_code, refused.json()["errors"][0]["field"])
        append(mine, "mine-blobs:1", theirs)
        assert theirs == mine.get(path).content
