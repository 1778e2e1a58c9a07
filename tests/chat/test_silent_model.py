"""While a model is silent, a call holds next to nothing of the memory, however large it was."""

from __future__ import annotations

import gc
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from chatkeep.core.model import Draft, Selection
from chatkeep.errors import StorageFullError
from chatkeep.http.gate import room
from chatkeep.http.gate.room import COST, BodyMemory
from chatkeep.http.gate.rules import Pools
from chatkeep.http.services import services_of
from chatkeep.model import endings
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from tests.chat.completions import Answer
from tests.chat.conftest import Chatting
from tests.chat.raw import WAIT_S, Raw, raw_model
from tests.chat.test_hostile_model import BODY, HEAD, SIZED, asking
from tests.chat.test_proxy import PATH, RefusingStore, asked, instead, keyed
from tests.http.test_memory import GROWTH_BYTES_MAX, Process, running_process

LARGE = "word " * 40_000
"""Of 200 kB."""
LONG = "word " * 500_000
"""Of 2.5 MB: two of them are more than may be passed on before they are stored."""


@contextmanager
def calling(chatting: Chatting, *keys: str, text: str = LARGE) -> Iterator[None]:
    """Have calls under way, with all of which the model is, silent."""
    with ThreadPoolExecutor(len(keys)) as threads, ExitStack() as calls:
        for _ in keys:
            chatting.upstream.script(Answer("Hi", hold_after=0))

        def call(key: str) -> None:
            with chatting.client() as client:
                client.post(PATH, json=asked(text), headers=keyed(key)).raise_for_status()

        for key in keys:
            calls.callback(chatting.upstream.release)
            threads.submit(call, key)
        chatting.upstream.wait_for(len(keys))
        yield


def drafts_held() -> int:
    """Return how many characters of large messages are alive that nobody has stored yet."""
    gc.collect()
    drafts = [one for one in gc.get_objects() if isinstance(one, Draft)]
    return sum(len(one.content) for one in drafts if isinstance(one.content, str) and len(one.content) > 1000)


def test_hold_nothing_of_a_call_that_is_sent_and_stored(chatting: Chatting) -> None:
    """The model has it, the session has it, and the server has let go of it and of the room that it took."""
    memory = services_of(chatting.app).pools.body_memory
    keys = [f"silent:{number}" for number in range(8)]
    with calling(chatting, *keys):
        assert 0 == until_held(memory, 0)
        assert 0 == drafts_held()
        assert [1] * len(keys) == [len(chatting.messages(key)) for key in keys]
    assert ["Hi"] * len(keys) == [chatting.wait_for(key, 2)[1].content for key in keys]
    assert 0 == until_held(memory, 0)


class WaitingStore(MemoryStore):
    """A store that takes appends once it may."""

    def __init__(self) -> None:
        """Take none yet."""
        super().__init__()
        self.may = threading.Event()

    def append(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401 - as the store has it
        """Wait, and store."""
        assert self.may.wait(WAIT_S)
        return super().append(*given, **named)


def until_held(memory: BodyMemory, wanted_bytes: int) -> int:
    """Return how much is held once it is this, or the time is up."""
    deadline = time.monotonic() + WAIT_S
    while memory.held_bytes != wanted_bytes and time.monotonic() < deadline:
        time.sleep(0.01)
    return memory.held_bytes


def test_hold_nothing_for_clients_that_left(chatting: Chatting) -> None:
    """A store that lags behind gets few long calls: the others wait with their clients, and leave with them."""
    store, body = WaitingStore(), json.dumps(asked(LONG)).encode()
    memory, size = services_of(chatting.app).pools.body_memory, len(body)
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {chatting.secret}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {size}\r\n"
    with raw_model(ends=False) as raw, asking(chatting, raw), instead(chatting, sessions=Sessions(store)):
        with ExitStack() as calls:
            for number in range(4):
                client = calls.enter_context(socket.create_connection(("127.0.0.1", urlsplit(chatting.url).port)))
                client.sendall(f"{head}X-Session-Key: left:{number}\r\n\r\n".encode() + body)
            assert (4 * COST - 1) * size == until_held(memory, (4 * COST - 1) * size)  # one is sent
        assert (COST - 1) * size == until_held(memory, (COST - 1) * size)
        store.may.set()
        assert 0 == until_held(memory, 0)
        assert 1 == len(raw.seen)
        assert 1 == len(store.keys(Selection(archived=None)).keys)


def test_refuse_a_large_call_that_finds_no_room(chatting: Chatting, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits a while with its sender, and is a 503 that says when to come again; a small one is not held up."""
    monkeypatch.setattr(room, "ROOM_WAIT_S", 0.05)
    pools = Pools(None, BodyMemory(1 << 20))
    taken = pools.body_memory._large
    with instead(chatting, pools=pools), chatting.client() as client:
        taken.held_bytes = taken.size_bytes
        answers = [
            client.post(PATH, json=asked(LARGE)),
            client.post("/api/v1/messages", json=[{"role": "user", "content": LARGE}]),
        ]
        small = client.post(PATH, json=asked("x"))
        taken.held_bytes = 0
        again = client.post(PATH, json=asked(LARGE))
        assert 0 == until_held(pools.body_memory, 0)
    for answer in answers:
        assert (503, "1", "busy") == (answer.status_code, answer.headers["retry-after"], answer.json()["code"])
    assert (200, 200) == (small.status_code, again.status_code)


@pytest.mark.parametrize("text", [LARGE, "x"])
def test_give_room_back_when_nothing_can_be_stored(
    chatting: Chatting, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A store that takes nothing does not fill the memory with what it does not take; calls go on."""
    monkeypatch.setattr(endings, "BUSY_WAIT_S", 0)
    memory = services_of(chatting.app).pools.body_memory
    with instead(chatting, sessions=Sessions(RefusingStore(StorageFullError()))), chatting.client() as client:
        assert 200 == client.post(PATH, json=asked(text)).status_code
        assert 0 == until_held(memory, 0)


@pytest.mark.parametrize("body", [b"{", b"[]", b"x" * 100_000])
def test_give_room_back_of_what_is_no_request(chatting: Chatting, client: httpx.Client, body: bytes) -> None:
    """Whatever a body turns out to be, its room is free in the end."""
    with raw_model(HEAD + SIZED + b"\r\n" + BODY) as raw, asking(chatting, raw):
        client.post(PATH, content=body, headers={"Content-Type": "application/json"})
    client.post(PATH, content=body, headers={"Content-Type": "application/json", "X-Session-Key": "a" * 200})
    client.post("/api/v1/messages", content=iter([body]), headers={"Content-Type": "application/json"})
    client.post("/api/v1/messages", content=body, headers={"Content-Type": "text/html"})
    assert 0 == until_held(services_of(chatting.app).pools.body_memory, 0)


@pytest.fixture
def raw() -> Iterator[Raw]:
    """A model server that says nothing."""
    with raw_model(ends=False) as raw:
        yield raw


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: Raw) -> Iterator[Process]:
    """A server in a process of its own that asks it."""
    monkeypatch.setitem(os.environ, "CHATKEEP_MODEL_URL", raw.url)
    with running_process(tmp_path) as process:
        yield process


def test_silent_calls_leave_memory_alone(process: Process, raw: Raw) -> None:
    """Twenty calls of 2.5 MB each, which the model has and does not answer, take less than 50 MB together."""
    said = [{"role": "user", "content": "word " * 13_000}] * 40
    body = json.dumps({"model": "small-model", "messages": said}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {process.token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    before, port = process.resident_bytes("VmRSS"), urlsplit(process.url).port
    with ExitStack() as calls:
        for number in range(20):
            client = calls.enter_context(socket.create_connection(("127.0.0.1", port), WAIT_S))
            client.sendall(f"{head}X-Session-Key: call:{number}\r\n\r\n".encode() + body)
        deadline = time.monotonic() + 3 * WAIT_S
        while not _is_quiet(process, raw, before) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert 20 == len(raw.seen)
        assert process.resident_bytes("VmRSS") - before < GROWTH_BYTES_MAX


def _is_quiet(process: Process, raw: Raw, before: int) -> bool:
    """Tell whether the model has all calls, and the server nothing of them."""
    return len(raw.seen) == 20 and process.resident_bytes("VmRSS") - before < GROWTH_BYTES_MAX
