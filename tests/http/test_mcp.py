"""The Model Context Protocol over HTTP: the same tokens, scopes and prefixes as every other route."""

from __future__ import annotations

import http.client
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import httpx2
import pytest
from mcp.client.streamable_http import streamable_http_client

from chatkeep.core.model import Draft, Json
from mcp import Client

if TYPE_CHECKING:
    from tests.http.conftest import Server

LISTING: Json = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
HEADERS = {"Accept": "application/json, text/event-stream"}


def call(server: Server, secret: str, tool: str, mode: str = "auto", **arguments: object) -> tuple[bool, Any]:
    """Return whether a tool refused, and its answer or its sentence, as the protocol's own client gets it."""

    async def asked() -> tuple[bool, Any]:
        headers = {"Authorization": f"Bearer {secret}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as asking,
            Client(streamable_http_client(f"{server.url}/mcp", http_client=asking), mode=mode) as client,
        ):
            result = await client.call_tool(tool, arguments)
            return result.is_error, result.structured_content or result.content[0].text  # type: ignore[union-attr]

    return anyio.run(asked)


@contextmanager
def _logged() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_ask_with_the_own_client(server: Server, mode: str) -> None:
    """The client of the SDK finds, in both ways of the protocol to begin, and no log has what it asked or found."""
    server.sessions.append(f"mcp:{mode}", [Draft(role="user", content=f"the okapi {mode} grazes")])
    with _logged() as lines:
        refused, answer = call(server, server.secret, "search", mode, query=f"okapi {mode}")
    assert (False, f"mcp:{mode}") == (refused, answer["hits"][0]["session"])
    assert not [line for line in lines if "okapi" in line and "chatkeep" in line]
    assert not [line for line in lines if server.secret in line]


def test_tools_keep_to_scope_and_prefix(server: Server) -> None:
    """A token reads and writes through a tool what it may through the API, and its prefix holds."""
    server.sessions.append("mcp-other:1", [Draft(role="user", content="the secret tapir")])
    reader, _ = server.tokens.create("reader", scopes=("read",), prefix="mcp-own:")
    writer, _ = server.tokens.create("writer", scopes=("write",), prefix="mcp-own:")
    said = {"role": "user", "content": "x"}
    assert [] == call(server, reader, "search", query="tapir")[1]["hits"]
    assert (True, "Session not found") == call(server, reader, "read_session", session="mcp-other:1")
    assert (True, "This token lacks the scope 'write'.") == call(server, reader, "append", **said)
    assert (True, "This token lacks the scope 'read'.") == call(server, writer, "list_sessions")
    assert call(server, writer, "append", session="mcp-other:1", **said)[0]
    refused, stored = call(server, writer, "append", session="mcp-own:1", **said)
    assert (False, "mcp-own:1", 1) == (refused, stored["session"], stored["seq"])
    assert "mcp-own:notes" == call(server, writer, "save_note", text="x")[1]["session"]


def test_refuse_without_a_token(server: Server) -> None:
    """No token, a wrong one and one in the URL are 401; a foreign page is refused even with a token."""
    for path, headers in (("/mcp", {}), ("/mcp", {"Authorization": "Bearer no"}), (f"/mcp?key={server.secret}", {})):
        answer = httpx.post(server.url + path, json=LISTING, headers={**HEADERS, **headers})
        assert (401, "Bearer") == (answer.status_code, answer.headers["www-authenticate"].split()[0])
    with server.client() as client:
        for origin, status in (("https://evil.example", 403), (server.url, 200), ("null", 403), ("http://[", 403)):
            answer = client.post("/mcp", json=LISTING, headers={**HEADERS, "Origin": origin})
            assert status == answer.status_code, origin
        assert 421 == client.post("/mcp", json=LISTING, headers={**HEADERS, "Host": "evil.example"}).status_code


@pytest.mark.parametrize(
    "body,status",
    [
        (b"{", 400),
        (b"[" * 200 + b"]" * 200, 400),
        (b"[]", 400),
        (b"3", 400),
        (b'{"jsonrpc":"2.0","id":1,"method":"no/such"}', 200),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":3}}', 200),
        (b'{"jsonrpc":"2.0","method":"notifications/initialized"}', 202),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":{"query":"\\ud800"}}}',
            422,
        ),
    ],
)
def test_send_what_is_no_request(client: httpx.Client, body: bytes, status: int) -> None:
    """What is broken is refused, without a fault of the server; an unknown method is an error of the protocol."""
    answer = client.post("/mcp", content=body, headers={**HEADERS, "Content-Type": "application/json"})
    assert status == answer.status_code, answer.text
    assert status != 200 or "error" in answer.json()


def test_ask_with_blanks_around_headers(client: httpx.Client) -> None:
    """Blanks around the value of a header are no part of it, also where the protocol compares it with the body."""
    version = "2026-07-28"
    meta = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    asked = {"name": "list_sessions", "arguments": {"prefix": "none:"}, "_meta": meta}
    own = {"MCP-Protocol-Version": version, "Mcp-Method": " tools/call ", "Mcp-Name": "  list_sessions  "}
    body: Json = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": asked}
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port)
    headers = {**HEADERS, **own, "Content-Type": "application/json", "Authorization": client.headers["authorization"]}
    connection.request("POST", "/mcp", json.dumps(body), headers)
    assert 0 == json.loads(connection.getresponse().read())["result"]["structuredContent"]["total"]
    connection.close()


def test_say_what_is_not_installed(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without the SDK says how to install it."""
    monkeypatch.setitem(sys.modules, "mcp", None)
    answer = client.post("/mcp", json=LISTING, headers=HEADERS)
    assert (404, True) == (answer.status_code, "chatkeep[mcp]" in answer.json()["detail"])


def test_ask_by_another_way(client: httpx.Client) -> None:
    """There is no stream of the server's own and no session to end: other methods are 405, other types refused."""
    for method in ("GET", "DELETE", "PUT"):
        answer = client.request(method, "/mcp", headers=HEADERS)
        assert (405, "POST") == (answer.status_code, answer.headers["allow"])
    assert 415 == client.post("/mcp", content=b"{}", headers={**HEADERS, "Content-Type": "text/plain"}).status_code
    assert (
        413
        == client.post(
            "/mcp", content=b" " * (11 << 20), headers={**HEADERS, "Content-Type": "application/json"}
        ).status_code
    )
    assert 422 == client.post("/mcp?x=1", json=LISTING, headers=HEADERS).status_code


def test_many_ask_at_once(server: Server) -> None:
    """Requests side by side each get their own answer, and nothing of them is left behind."""

    async def asked() -> list[int]:
        headers = {"Authorization": f"Bearer {server.secret}", **HEADERS}
        found: list[int] = []
        async with httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=30) as asking:

            async def one(number: int) -> None:
                answer = await asking.post("/mcp", json={**LISTING, "id": number})
                found.append(answer.json()["id"])

            async with anyio.create_task_group() as group:
                for number in range(40):
                    group.start_soon(one, number)
        return sorted(found)

    assert list(range(40)) == anyio.run(asked)
