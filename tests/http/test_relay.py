"""The relay asks the model's server directly, unless the environment names a proxy for it."""

from __future__ import annotations

import asyncio

import pytest

from chatkeep.http.relay import Relay
from chatkeep.upstream import ModelSettings
from tests.test_connections import WAIT_S, WHOLE, served


async def first_line(monkeypatch: pytest.MonkeyPatch, url: str, **environment: str) -> bytes:
    """Return how a request begins that reaches a server; `{server}` is its address."""
    lines: list[bytes] = []

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(await reader.readline())
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(WHOLE)

    async with served(visit) as server:
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(server=server.netloc.decode()))
        told = url.format(server=server.netloc.decode())
        relay = Relay(ModelSettings(url=told, key="", model="any", timeout_s=WAIT_S, retries=0))
        answer = await relay.ask("POST", "chat/completions", {}, b"{}")
        assert await answer.aread() == b"hi"
        await answer.aclose()
        await relay.close()
    return lines[0]


@pytest.mark.parametrize("proxy", ["http://{server}", "{server}"])
@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
def test_ask_through_a_proxy(monkeypatch: pytest.MonkeyPatch, name: str, proxy: str) -> None:
    """A proxy of the environment is asked for the whole address."""
    line = asyncio.run(first_line(monkeypatch, "http://model.test/v1", **{name: proxy}))
    assert line == b"POST http://model.test/v1/chat/completions HTTP/1.1\r\n"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"https_proxy": "http://127.0.0.1:9"},
        {"http_proxy": "http://127.0.0.1:9", "no_proxy": "localhost,127.0.0.1"},
    ],
)
def test_ask_directly(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """A proxy for others is not asked."""
    line = asyncio.run(first_line(monkeypatch, "http://{server}/v1/", **environment))
    assert line == b"POST /v1/chat/completions HTTP/1.1\r\n"
