"""Other requests to the model's server pass unrecorded, under the same rules about tokens and headers."""

from __future__ import annotations

import httpx
import pytest

from tests.chat import spoken
from tests.chat.conftest import MODEL_KEY, Chatting


@pytest.mark.parametrize(
    "method, path",
    [
        *(
            ("POST", "embeddings"),
            ("POST", "moderations"),
            ("POST", "messages/count_tokens"),
            ("GET", "models/small-model"),
        ),
        *(("GET", "responses/resp_1/input_items"), ("POST", "responses/resp_1/cancel"), ("DELETE", "responses/resp_1")),
        *(("GET", "files/a%2Fb/content"), ("POST", "of/tomorrow")),
    ],
)
def test_pass_other_requests_unrecorded(chatting: Chatting, client: httpx.Client, method: str, path: str) -> None:
    """Method, path, query and body arrive as they were sent, and the answer comes back; nothing is stored."""
    before = chatting.sessions.keys().keys
    content = b'{"model": "small-model",  "input":1.0}' if method == "POST" else None
    answer = client.request(method, f"/v1/{path}?after=x%20y", content=content, headers={"X-Kept": "1"})
    seen = chatting.upstream.seen[-1]
    assert (method, f"/v1/{path}", "after=x%20y") == (seen.method, seen.path, seen.query)
    assert {"authorization": f"Bearer {MODEL_KEY}", "x-kept": "1"}.items() <= seen.headers.items()
    assert spoken.reply(method, f"/v1/{path}", seen.body).pieces[0] == answer.content
    assert "x-session-key" not in answer.headers
    assert before == chatting.sessions.keys().keys


def test_pass_bodies_of_any_type(chatting: Chatting, client: httpx.Client) -> None:
    """Audio and files are no JSON."""
    client.post("/v1/audio/transcriptions", files={"file": b"\x00\xff" * 50_000}, data={"model": "small-model"})
    seen = chatting.upstream.seen[-1]
    assert seen.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert int(seen.headers["content-length"]) > 100_000


def test_choose_the_header_of_the_key(chatting: Chatting, client: httpx.Client) -> None:
    """A client of Anthropic's API that lists models is served by a key as Anthropic takes it."""
    client.get("/v1/models", headers={"anthropic-version": "2023-06-01"})
    seen = chatting.upstream.seen[-1].headers
    assert (MODEL_KEY, False) == (seen["x-api-key"], "authorization" in seen)


@pytest.mark.parametrize("path", ["..%2fsecret", "models/..%2f..%2fadmin", "models/%2e%2e/x", "a%5c..%5cb"])
def test_lead_nowhere_else(chatting: Chatting, client: httpx.Client, path: str) -> None:
    """The key opens the API of the model's server and no other address of it."""
    before = len(chatting.upstream.seen)
    assert 404 == client.get(f"/v1/{path}").status_code
    assert before == len(chatting.upstream.seen)


def test_need_a_token_with_the_scope(chatting: Chatting) -> None:
    """Reading needs `read`, anything else `write`; without a token nothing passes."""
    reading, _ = chatting.tokens.create("reading", scopes=("read",))
    writing, _ = chatting.tokens.create("writing", scopes=("write",))
    expected = {"ck_wrong": [401, 401, 401], reading: [200, 403, 403], writing: [403, 200, 200]}
    for secret, statuses in expected.items():
        with chatting.client(secret) as one:
            told = [
                one.get("/v1/models/small-model").status_code,
                one.post("/v1/embeddings", json={}).status_code,
                one.delete("/v1/responses/resp_1").status_code,
            ]
        assert statuses == told


def test_show_a_confined_token_nothing_stored_elsewhere(chatting: Chatting) -> None:
    """The server's key is the same for all, and so are its lists: such a token reads models, and sends requests."""
    before = len(chatting.upstream.seen)
    confined, _ = chatting.tokens.create("confined", scopes=("read", "write", "delete"), prefix="user:")
    with chatting.client(confined) as one:
        for path in ("chat/completions", "responses/resp_1", "files", "models%2f..%2ffiles", "tunedModels"):
            for base in ("/v1", "/v1beta"):
                assert one.get(f"{base}/{path}").status_code in (403, 404)
                assert one.delete(f"{base}/{path}").status_code in (403, 404)
        assert 403 == one.delete("/v1/models/small-model").status_code
        assert before == len(chatting.upstream.seen)
        assert 200 == one.get("/v1/models").status_code
        assert 200 == one.get("/v1beta/models/gemini-2.5-flash").status_code
        assert 200 == one.post("/v1/embeddings", json={}).status_code
