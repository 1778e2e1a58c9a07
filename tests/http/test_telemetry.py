"""Telemetry over HTTP: who may send it, in which form, and what becomes of it."""

from __future__ import annotations

import gzip
from typing import Any

import httpx
import msgspec
import pytest

from chatkeep.model.telemetry.observing import NO_CONTENT
from tests.http.conftest import Server
from tests.model.telemetry.told import agent_event, logs, protobuf_of, span, traces

JSON = "application/json"
PROTOBUF = "application/x-protobuf"


def send(server: Server, signal: str, content: bytes, kind: str = JSON, **headers: str) -> httpx.Response:
    """Send a request of telemetry with the admin's token."""
    told = {"Authorization": f"Bearer {server.secret}", "Content-Type": kind, **headers}
    return httpx.post(f"{server.url}/v1/{signal}", content=content, headers=told)


@pytest.mark.parametrize("packing", ["identity", "gzip"])
@pytest.mark.parametrize("kind", [JSON, PROTOBUF])
def test_keep_what_was_said(server: Server, kind: str, packing: str) -> None:
    """Log records in either form, packed or not, are answered in their form and found by a search at once."""
    word = f"word{packing}{kind[-4:]}"
    event = agent_event("user_prompt", 1, {"prompt": f"Ask for {word}", "session.id": word}, f"p-{word}")
    body = protobuf_of(logs(event)) if kind == PROTOBUF else msgspec.json.encode(logs(event))
    sent = gzip.compress(body) if packing == "gzip" else body
    answer = send(server, "logs", sent, kind, **{"Content-Encoding": packing})
    assert (200, kind, b"" if kind == PROTOBUF else b"{}") == (
        answer.status_code,
        answer.headers["content-type"],
        answer.content,
    )
    auth = {"Authorization": f"Bearer {server.secret}"}
    found: Any = httpx.get(f"{server.url}/api/sessions/search", params={"q": word}, headers=auth).json()
    assert [f"claude-code:{word}"] == [one["id"] for one in found["sessions"]]


def test_warn_a_program_that_sends_no_content(server: Server) -> None:
    """A span of a model without messages is accepted, with a hint that OpenTelemetry's libraries show."""
    answer = send(server, "traces", msgspec.json.encode(traces(span({"gen_ai.request.model": "m"}))))
    assert (200, NO_CONTENT) == (answer.status_code, answer.json()["partialSuccess"]["errorMessage"])


@pytest.mark.parametrize(
    "content,kind,packing,status",
    [
        (b"{", JSON, "identity", 400),
        (b"\x0a\xff", PROTOBUF, "identity", 400),
        (b"{}", JSON, "gzip", 400),
        (b"{}", JSON, "br", 415),
        (b"{}", "text/plain", "identity", 415),
    ],
)
def test_refuse_what_is_no_telemetry(server: Server, content: bytes, kind: str, packing: str, status: int) -> None:
    """Each refusal has a code and a sentence."""
    answer = send(server, "logs", content, kind, **{"Content-Encoding": packing})
    assert status == answer.status_code
    assert answer.json()["code"]


def test_refuse_telemetry_without_a_token(server: Server) -> None:
    """A sender without a token that may write stores nothing."""
    reader, _ = server.tokens.create("reader", scopes=("read",))
    for headers, status in (({}, 401), ({"Authorization": f"Bearer {reader}"}, 403)):
        answer = httpx.post(f"{server.url}/v1/logs", json=logs(), headers=headers)
        assert status == answer.status_code
