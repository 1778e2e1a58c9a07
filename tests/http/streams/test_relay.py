"""The relay asks the model's server directly, unless the environment names a proxy; what it answers passes."""

from __future__ import annotations

import asyncio

import httpx2
import msgspec
import pytest
from starlette.types import Message

from chatkeep.core.history.folding import ModelAnswer
from chatkeep.core.history.masking import Mask
from chatkeep.core.history.protocols.chat_completions import COMPLETIONS
from chatkeep.core.model import Draft, Json
from chatkeep.errors import ModelRefusedError
from chatkeep.http.gate.rules import Pools
from chatkeep.http.streams.passage import Passage, Recorder
from chatkeep.http.streams.relay import Outgoing, Relay, told_headers
from chatkeep.model.places import Root
from chatkeep.model.recording import Recording
from chatkeep.model.upstream import ModelSettings
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from tests.model.test_connections import BLINK_S, WAIT_S, WHOLE, saying, served


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
        answer = await relay.ask("POST", "chat/completions", {}, Outgoing(b"{}"))
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


def relay_to(server: httpx2.URL) -> Relay:
    """Return what asks a server."""
    return Relay(ModelSettings(url=str(server), key="", model="any", timeout_s=WAIT_S, retries=0))


def test_refuse_to_be_sent_elsewhere() -> None:
    """Where a server sends elsewhere, its address is most likely wrong; who asks is told so."""

    async def sent() -> None:
        async with served(saying(b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")) as server:
            await relay_to(server).ask("POST", "chat/completions", {}, Outgoing(b"{}"))

    with pytest.raises(ModelRefusedError, match="is model_url right"):
        asyncio.run(sent())


def test_pass_headers_of_any_bytes() -> None:
    """Headers pass as they are, also those that are no ASCII."""
    lines: list[bytes] = []

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.extend((await reader.readuntil(b"\r\n\r\n")).splitlines())
        writer.write(
            "HTTP/1.1 200 OK\r\nOpenAI-Model: gr\u00f6\u00dfer als 5 \u20ac\r\nContent-Length: 0\r\n\r\n".encode()
        )

    async def passed() -> list[tuple[bytes, bytes]]:
        async with served(visit) as server:
            answer = await relay_to(server).ask("GET", "models", {"x-title": "gr\xf6\xdfer"})
            await answer.aclose()
            return [*told_headers(answer, Mask(""))]

    assert (b"openai-model", "gr\u00f6\u00dfer als 5 \u20ac".encode()) in asyncio.run(passed())
    assert b"x-title: gr\xf6\xdfer" in lines


@pytest.mark.parametrize(
    "status, more",
    [
        (204, {}),
        (304, {}),
        (200, {"content-type": "text/event-stream"}),
    ],
)
def test_tell_no_length_that_may_mislead(status: int, more: dict[str, str]) -> None:
    """A length is told only of a body that comes, as long, and whose last byte does not end it."""
    names = [
        name for name, _ in told_headers(httpx2.Response(status, headers={"content-length": "5", **more}), Mask(""))
    ]
    assert b"content-length" not in names


@pytest.mark.parametrize(
    "told, expected",
    [
        ("application/json", "application/json"),
        ("Application/JSON; charset=UTF-8", "Application/JSON; charset=UTF-8"),
        ("application/problem+json", "application/problem+json"),
        ("text/event-stream; charset=utf-8", "text/event-stream; charset=utf-8"),
        ("audio/mpeg", "audio/mpeg"),
        ("application/json; charset=\xff", "application/json"),
        ("text/html", "text/plain; charset=utf-8"),
        ("TEXT/HTML;charset=utf-7", "text/plain; charset=utf-8"),
        ("application/xhtml+xml", "text/plain; charset=utf-8"),
        ("image/svg+xml", "text/plain; charset=utf-8"),
        ("text/javascript", "text/plain; charset=utf-8"),
        ("application/pdf", "text/plain; charset=utf-8"),
        ("application/json, text/html", "text/plain; charset=utf-8"),
        ("multipart/mixed; boundary=x", "text/plain; charset=utf-8"),
        ("", "text/plain; charset=utf-8"),
    ],
)
def test_tell_no_type_that_a_browser_runs(told: str, expected: str) -> None:
    """What a browser may run or look through is told to be plain text."""
    answer = httpx2.Response(200, headers=[(b"content-type", told.encode("latin-1"))])
    assert dict(told_headers(answer, Mask("")))[b"content-type"] == expected.encode()


def test_tell_no_more_headers_than_clients_take() -> None:
    """Many clients refuse an answer with more than a hundred headers, or very long ones."""
    many = httpx2.Response(200, headers=[(f"x-ratelimit-{n}", "v") for n in range(1000)])
    long = httpx2.Response(200, headers=[("x-ratelimit-a", "v" * (1 << 16)), ("x-ratelimit-b", "v")])
    assert 65 == len([*told_headers(many, Mask(""))])
    assert [b"content-type"] == [name for name, _ in told_headers(long, Mask(""))]


@pytest.mark.parametrize("cut", range(1, 15))
def test_store_before_the_end_is_told_in_pieces(cut: int) -> None:
    """Who has seen the end of an answer finds it in its session, wherever the end was cut in two on its way."""
    sessions = Sessions(MemoryStore())
    event = b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n'
    end = b"data: [DONE]\n\n"
    passed, stored = b"", 0

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + event + end[:cut])
        await asyncio.sleep(BLINK_S)
        writer.write(end[cut:])

    async def send(message: Message) -> None:
        nonlocal passed, stored
        before, passed = passed, passed + message.get("body", b"")
        if b"]\n" in passed and b"]\n" not in before:
            stored = len(sessions.read("a").messages)

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {}

    async def pass_on() -> None:
        async with served(visit) as server:
            relay = relay_to(server)
            recording = Recording(sessions, Root("a"), [Draft(role="user", content="Hi")])
            recorder = Recorder(relay, recording, Pools(), lambda _, __: None)
            recorder.begin()
            await Passage(lambda: relay.ask("GET", "models", {}), recorder)({}, receive, send)
            await relay.close()

    asyncio.run(pass_on())
    assert event + end == passed
    assert stored == 2


def test_keep_an_answer_that_is_too_deep() -> None:
    """An answer that is nested deeper than a message may be passes, and is kept but for what nests without end."""
    missed: list[tuple[str, str]] = []
    sessions = Sessions(MemoryStore())
    deep = b'{"a":' * 900 + b"1" + b"}" * 900
    body = b'{"choices":[{"message":{"role":"assistant","content":"Hi","deep":%b}}]}' % deep

    async def send(message: Message) -> None:
        passed.append(message.get("body", b""))

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {}

    async def pass_on() -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        async with served(saying(head + body)) as server:
            relay = relay_to(server)
            recording = Recording(sessions, Root("a"), [Draft(role="user", content="Hi")])
            recorder = Recorder(relay, recording, Pools(), lambda stage, code: missed.append((stage, code)))
            recorder.begin()
            await Passage(lambda: relay.ask("GET", "models", {}), recorder)({}, receive, send)
            await relay.close()

    passed: list[bytes] = []
    asyncio.run(pass_on())
    assert (body, []) == (b"".join(passed), missed)
    assert ["Hi", "Hi"] == [message.content for message in sessions.read("a").messages]
    assert b"nested without end" in msgspec.json.encode(sessions.read("a").messages[1].metadata)


def test_pass_an_answer_that_the_recording_fails_on() -> None:
    """Whatever is wrong with the recording of an answer, its client gets the whole answer, and the failure counts."""
    missed: list[tuple[str, str]] = []
    body = b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\ndata: [DONE]\n\n'
    passed = b""

    class Failing(ModelAnswer):
        def add(self, piece: Json) -> None:
            raise TypeError(piece)

    async def send(message: Message) -> None:
        nonlocal passed
        passed += message.get("body", b"")

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {}

    async def pass_on() -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
        async with served(saying(head + body)) as server:
            relay = relay_to(server)
            protocol = msgspec.structs.replace(COMPLETIONS, answer=Failing)
            recording = Recording(Sessions(MemoryStore()), Root("a"), [Draft(role="user", content="Hi")], protocol)
            recorder = Recorder(relay, recording, Pools(), lambda stage, code: missed.append((stage, code)))
            recorder.begin()
            await Passage(lambda: relay.ask("GET", "models", {}), recorder)({}, receive, send)
            await relay.close()

    asyncio.run(pass_on())
    assert (body, [("answer", "TypeError")]) == (passed, missed)
