"""Bad input of every kind is answered with a clear 4xx, never with a 5xx, and quickly."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import httpx
import pytest

from chatkeep.core.bounds import BODY_BYTES_MAX, DEPTH_MAX, LARGE_BODY_BYTES_MAX, MESSAGE_BYTES_MAX, METADATA_BYTES_MAX
from chatkeep.core.model import Json

if TYPE_CHECKING:
    from tests.http.conftest import Server

JSON = {"Content-Type": "application/json"}
POSTS = [
    ("POST", "/api/v1/messages?session=bad"),
    ("POST", "/api/sessions/bad/title"),
    ("PATCH", "/api/v1/sessions/bad"),
    ("POST", "/api/v1/sessions/delete"),
]
BROKEN = {
    "empty": b"",
    "half": b'{"role":"user","content":',
    "nan": b'{"role":"user","content":"x","metadata":{"n":NaN}}',
    "infinity": b'{"role":"user","content":"x","metadata":{"n":-Infinity}}',
    "huge exponent": b'{"role":"user","content":"x","timestamp":1e400}',
    "5000 digits": b'{"role":"user","content":"x","metadata":{"n":' + b"1" * 5000 + b"}}",
    "not utf-8": b'{"role":"user","content":"\xff"}',
    "encoded surrogate": b'{"role":"user","content":"\xed\xa0\x80"}',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and closed": b"[" * 100_000 + b"]" * 100_000,
    "a level too many": b'{"role":"user","content":"x","metadata":{"a":' + b"[" * 127 + b"]" * 127 + b"}}",
    "quotes that never end": b"[" * 130 + b'"' + b'\\"' * 1_000_000,
}
WRONG: dict[str, Json] = {
    "a string": "x",
    "a number": 1,
    "null": None,
    "no role": {"content": "x"},
    "no content": {"role": "user"},
    "a role of its own": {"role": "robot", "content": "x"},
    "content of a number": {"role": "user", "content": 5},
    "content of an object": {"role": "user", "content": {}},
    "content with a number in it": {"role": "user", "content": [1]},
    "an unknown field": {"role": "user", "content": "x", "colour": "red"},
    "a NUL": {"role": "user", "content": "a\0b"},
    "a NUL deep down": {"role": "user", "content": "x", "metadata": {"a": [{"b\0": 1}]}},
    "a lone surrogate": {"role": "user", "content": "\ud800"},
    "a lone surrogate in a name": {"role": "user", "content": "x", "name": "a\udfffb"},
    "an empty id": {"role": "user", "content": "x", "id": ""},
    "a long id": {"role": "user", "content": "x", "id": "x" * 129},
    "a time that is none": {"role": "user", "content": "x", "timestamp": "yesterday"},
    "a time without offset": {"role": "user", "content": "x", "timestamp": "2024-01-15T10:30:00"},
    "a time before year 1": {"role": "user", "content": "x", "timestamp": "0001-01-01T00:00:00+05:00"},
    "a time far away": {"role": "user", "content": "x", "timestamp": 1e18},
    "a time of truth": {"role": "user", "content": "x", "timestamp": True},
    "metadata of a list": {"role": "user", "content": "x", "metadata": []},
    "no messages": [],
    "too many messages": [{"role": "user", "content": "x"}] * 1001,
}
QUERIES = [
    "/api/sessions?limit=0",
    "/api/sessions?limit=-1",
    "/api/sessions?limit=501",
    "/api/sessions?limit=1000000",
    "/api/sessions?limit=99999999999999999999999",
    "/api/sessions?limit=abc",
    "/api/sessions?limit=1.5",
    "/api/sessions?limit=",
    "/api/sessions?cursor=nonsense",
    "/api/sessions?cursor=" + "A" * 5000,
    "/api/sessions?archived=perhaps",
    "/api/sessions?pinned=1",
    "/api/sessions?tags=x",
    "/api/sessions?" + "tag=x&" * 65,
    "/api/v1/sessions?pinned=",
    "/api/v1/sessions?" + "tag=x&" * 65,
    "/api/sessions/search",
    "/api/sessions/search?q=x&limit=201",
    "/api/sessions/search?q=x&limit=0",
    "/api/sessions/search?q=x&role=robot",
    "/api/sessions/search?q=x&since=yesterday",
    "/api/sessions/search?q=x&sort=random",
    "/api/sessions/search?q=" + "x" * 1001,
    "/api/sessions/search?q=%ff",
    "/api/memory/session",
    "/api/memory/session?id=",
    "/api/memory/session?id=%ff",
    "/api/memory/session?id=%00",
    "/api/memory/session?id=%ed%a0%80",
    "/api/memory/session?id=x&limit=501",
    "/api/memory/session?id=x&before=-1",
    "/api/memory/session?id=" + "x" * 129,
    "/api/memory/session?id=" + "x" * 20000,
    "/api/v1/sessions?limit=0",
    "/api/v1/messages",
    "/api/v1/messages?session=x&max_tokens=-1",
    "/api/v1/messages?session=x&after=x",
    "/api/v1/usage?person=%C2%9B",
    "/api/sessions?person=",
    "/api/v1/stats?unit=week",
    "/api/v1/stats?unit=",
    "/api/v1/stats?since=yesterday",
    "/api/v1/stats?since=2024-02-30",
    "/api/v1/stats?since=0",
    "/api/v1/stats?since=2024-01-15T00:00:00Z",
    "/api/v1/stats?tag=x",
    "/api/v1/usage?by=week",
    "/api/v1/usage?since=yesterday",
    "/api/v1/usage?limit=0",
    "/api/v1/usage?session=%00",
    "/api/v1/export?format=txt",
    "/api/v1/export?session=" + "y" * 129,
]
ADDRESSES = ["_index", "_aliases", "..", "../../etc/passwd", "%2e%2e%2f", "a//b", "%00", "a%0a", "%20a", "a%20"]
ADDRESSES += [
    "%ff",
    "%ed%a0%80",
    "x" * 129,
    "x" * 300,
    "x" * 60000,
    "%E2%80%8B",
    "CON",
    "🎉",
    "日本語:x",
    "%5c",
    "%25ff",
]


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    """No bad input takes long."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("method,path", POSTS)
@pytest.mark.parametrize("name", BROKEN)
def test_sending_broken_json_is_refused(name: str, method: str, path: str, client: httpx.Client) -> None:
    """400 with a sentence, and nothing is stored."""
    answer = client.request(method, path, content=BROKEN[name], headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, "broken_input")
    assert client.get("/api/v1/sessions/bad").status_code == 404


@pytest.mark.parametrize("name", WRONG)
def test_sending_a_wrong_message_is_refused(name: str, client: httpx.Client) -> None:
    """422 that names the field, and nothing is stored, of a batch neither."""
    body = json.dumps(WRONG[name])
    answer = client.post("/api/v1/messages?session=bad", content=body, headers=JSON)
    assert (answer.status_code, bool(answer.json()["errors"])) == (422, True)
    batch = f'[{{"role":"user","content":"good"}},{body}]'
    assert client.post("/api/v1/messages?session=bad", content=batch, headers=JSON).status_code == 422
    assert client.get("/api/v1/sessions/bad").status_code == 404


@pytest.mark.parametrize("path", QUERIES)
def test_asking_with_a_wrong_value_is_refused(path: str, client: httpx.Client) -> None:
    """422 that names the parameter."""
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["errors"][0]["field"]


@pytest.mark.parametrize("key", ADDRESSES)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_asking_for_a_hostile_key_is_refused(method: str, key: str, client: httpx.Client) -> None:
    """404 or 422, never more."""
    assert client.request(method, f"/api/v1/sessions/{key}").status_code in {404, 422}
    if method == "DELETE":
        assert client.delete(f"/api/sessions/{key}").status_code in {404, 405, 422}


@pytest.mark.parametrize(
    "body", [{"title": ""}, {"title": "   "}, {}, {"title": None}, {"title": 5}, {"title": "x" * 201}]
)
def test_renaming_to_what_is_no_title_is_refused(body: Json, client: httpx.Client) -> None:
    """422 for a title that is missing, blank, of another type or too long."""
    client.post("/api/v1/messages?session=bad:title", json={"role": "user", "content": "x", "id": "1"})
    assert client.post("/api/sessions/bad:title/title", json=body).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {"tags": "x"},
        {"tags": ["x"] * 65},
        {"tags": [""]},
        {"archived": "yes"},
        {"metadata": []},
        {"metadata": {"a": "x" * METADATA_BYTES_MAX}},
        {"metadata": {"a": "\0"}},
        {"title": "\ud800"},
        {"key": "other"},
        {"pinned": None},
    ],
)
def test_revising_with_wrong_values_is_refused(body: Json, client: httpx.Client) -> None:
    """422, and nothing of it is changed."""
    client.post("/api/v1/messages?session=bad:patch", json={"role": "user", "content": "x", "id": "1"})
    before = client.get("/api/v1/sessions/bad:patch").json() | {"age_seconds": 0}
    answer = client.patch("/api/v1/sessions/bad:patch", content=json.dumps(body), headers=JSON)
    assert answer.status_code == 422
    assert client.get("/api/v1/sessions/bad:patch").json() | {"age_seconds": 0} == before


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_sending_another_media_type_is_refused(kind: str | None, client: httpx.Client) -> None:
    """415: a form of another page cannot store anything."""
    headers = {"Content-Type": kind} if kind else {}
    answer = client.post("/api/v1/messages?session=bad", content=b'{"role":"user","content":"x"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_type")


def test_sending_a_compressed_body_is_refused(client: httpx.Client) -> None:
    """415: what is small outside may be huge inside."""
    headers = {**JSON, "Content-Encoding": "gzip"}
    assert client.post("/api/v1/messages?session=bad", content=b"\x1f\x8b", headers=headers).status_code == 415


def test_sending_a_body_that_says_it_is_too_large_is_refused_unread(server: Server) -> None:
    """413 as soon as the length is known."""
    for address, size in ((b"/api/v1/messages", LARGE_BODY_BYTES_MAX), (b"/api/v1/sessions/delete", BODY_BYTES_MAX)):
        length = b"Content-Length: %d" % (size + 1)
        answer = _raw(server, b"POST %b HTTP/1.1" % address, length, b"Content-Type: application/json")
        assert b" 413 " in answer.partition(b"\r\n")[0]


def test_sending_300_mb_in_chunks_is_refused_without_keeping_them(client: httpx.Client) -> None:
    """413, and the server's memory grows by less than twice what a body may have."""
    megabyte = b" " * (1 << 20)
    before = _rss_bytes()
    try:
        answer = client.post("/api/v1/messages", content=(megabyte for _ in range(300)), headers=JSON)
        assert answer.status_code == 413
    except httpx.WriteError:  # the server may hang up on who keeps sending
        pass
    assert _rss_bytes() - before < 2 * LARGE_BODY_BYTES_MAX
    assert client.get("/health").status_code == 200


def test_sending_a_message_above_its_limit_is_refused(client: httpx.Client) -> None:
    """413 for a message of more than 16 MiB in a body that is small enough."""
    answer = client.post("/api/v1/messages?session=bad", json={"role": "user", "content": "x" * MESSAGE_BYTES_MAX})
    assert (answer.status_code, answer.json()["limit_bytes"]) == (413, 16 << 20)


@pytest.mark.parametrize("body", ["{}", "[{}]"], ids=["alone", "in a list"])
def test_sending_a_message_as_deep_as_it_may_be_is_taken(body: str, client: httpx.Client) -> None:
    """A message may have 128 levels, wherever it stands; 400 for one more."""
    for levels, expected in ((DEPTH_MAX, {200, 201}), (DEPTH_MAX + 1, {400})):
        nested = "[" * (levels - 2) + "]" * (levels - 2)
        message = f'{{"role":"user","id":"deep-{levels}","content":"x","metadata":{{"a":{nested}}}}}'
        content = body.replace("{}", message)
        answer = client.post("/api/v1/messages?session=bad:deep", content=content, headers=JSON)
        assert answer.status_code in expected


@pytest.mark.parametrize("strange", ["ключ", "Ünïcode", "a" * 10_000, "\x01", "a b", ""])
def test_asking_with_a_strange_token_is_refused(strange: str, server: Server) -> None:
    """401 for tokens that no server ever made."""
    answer = _raw(server, b"GET /api/v1/status HTTP/1.1", b"Authorization: Bearer " + strange.encode())
    status = answer.split(b" ", 2)[1]
    assert status in {b"400", b"401"}


@pytest.mark.parametrize(
    "line",
    [
        b"GET /api/v1/sessions/\xff HTTP/1.1",
        b"GET /api/memory/session?id=\xff HTTP/1.1",
        b"GET //evil.example/ HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET /" + b"a" * 70000 + b" HTTP/1.1",
        b"nonsense",
    ],
)
def test_asking_with_a_strange_request_line_is_refused(line: bytes, server: Server) -> None:
    """A 4xx of ours or of the HTTP parser."""
    answer = _raw(server, line, b"Authorization: Bearer " + server.secret.encode())
    assert answer.split(b" ", 2)[1][:1] == b"4"


def test_importing_what_is_no_export_is_refused_or_reported(client: httpx.Client) -> None:
    """What gives nothing is 422 with a report; JSON lines report each line that is no session, and take the others."""
    for content in (b"{", b"[" * 100_000):
        refused = client.post("/api/v1/import", content=content, headers=JSON)
        assert (422, 0) == (refused.status_code, refused.json()["messages_added"])
        assert refused.json()["errors"]
    good = b'{"key":"bad:import","messages":[{"role":"user","content":"hi"}]}\n'
    lines = b"{\n" + good + b"[" * 100_000 + b"\n" + b'"\\ud800"\n'
    report = client.post("/api/v1/import?format=jsonl", content=lines, headers={"Content-Type": "text/plain"}).json()
    assert (report["sessions_created"], report["messages_added"], len(report["errors"])) == (1, 1, 3)
    client.delete("/api/v1/sessions/bad:import")


def test_keys_of_every_kind_stay_apart(client: httpx.Client) -> None:
    """Keys that file systems or servers might confuse are sessions of their own, by path and by query."""
    keys = [
        "k:b",
        "k/b",
        "k_b",
        "k b",
        "k@b",
        "K:b",
        "k%2Fb",
        "k\\b",
        "k//b",
        "k?b",
        "k#b",
        "k&b=c",
        "日本語:x",
        "🎉",
        "k+b",
    ]
    for number, key in enumerate(keys):
        message = {"role": "user", "content": f"only {number}"}
        assert client.post("/api/v1/messages", params={"session": key}, json=message).status_code == 201
    for number, key in enumerate(keys):
        assert client.get(f"/api/v1/sessions/{quote(key, safe='')}").json()["key"] == key
        history = client.get("/api/memory/session", params={"id": key}).json()
        assert [message["content"] for message in history] == [f"only {number}"]
    for key in keys:
        assert client.delete(f"/api/v1/sessions/{quote(key, safe='')}").status_code == 200
        assert client.get("/api/memory/session", params={"id": key}).status_code == 404


def _raw(server: Server, line: bytes, *headers: bytes) -> bytes:
    """Return the beginning of the answer to a request that no client library would send."""
    port = urlsplit(server.url).port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        host = f"Host: 127.0.0.1:{port}".encode()
        token = (
            ()
            if any(h.startswith(b"Authorization") for h in headers)
            else (f"Authorization: Bearer {server.secret}".encode(),)
        )
        connection.sendall(b"\r\n".join((line, host, *token, *headers, b"Connection: close", b"", b"")))
        return connection.recv(4096)


def _rss_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(row.split()[1]) << 10 for row in status.splitlines() if row.startswith("VmRSS"))
