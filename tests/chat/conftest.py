"""A model server for the tests of chat, and a server of Chatkeep that asks it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from chatkeep.access.tokens import TokenFile
from chatkeep.core.model import Message
from chatkeep.errors import SessionNotFoundError
from chatkeep.http.app import create_app
from chatkeep.http.gate.guard import UNLIMITED, Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.http.services import services_of
from chatkeep.http.streams.relay import Relay
from chatkeep.http.streams.upstreams import Upstreams
from chatkeep.model.chat import Chats
from chatkeep.model.upstream import ModelSettings
from chatkeep.model.upstream import Upstream as Asked
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from tests.chat.upstream import WAIT_S, Upstream

MODEL_KEY = "sk-secret-of-the-model"
Event = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Chatting:
    """A running server, and the model server that it asks."""

    url: str
    secret: str
    upstream: Upstream
    sessions: Sessions
    tokens: TokenFile
    app: Starlette
    usual: Chats
    models: list[Asked]

    def client(self, secret: str | None = None) -> httpx.Client:
        """Return a client that sends a token, the admin's unless another is given."""
        headers = {"Authorization": f"Bearer {secret or self.secret}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=WAIT_S)

    def chats(self, **wanted: Any) -> None:  # noqa: ANN401 - what `Chats` takes
        """Chat otherwise from now on."""
        services_of(self.app).chats = Chats(self.usual.model, **{"history_tokens": 8000, **wanted})

    def asks(self, **wanted: Any) -> None:  # noqa: ANN401 - what `ModelSettings` takes
        """Ask the model server otherwise from now on."""
        self.models.append(Asked(settings_of(self.upstream, **wanted)))
        services_of(self.app).chats = Chats(self.models[-1], history_tokens=8000)

    def messages(self, key: str) -> tuple[Message, ...]:
        """Return what is stored in a session, nothing when there is none."""
        try:
            return self.sessions.read(key).messages
        except SessionNotFoundError:
            return ()

    def said(self, key: str) -> list[tuple[str, Any]]:
        """Return who said what in a session."""
        return [(message.role, message.content) for message in self.messages(key)]

    def wait_for(self, key: str, count: int) -> tuple[Message, ...]:
        """Return the messages of a session when there are as many."""
        deadline = time.monotonic() + WAIT_S
        while len(found := self.messages(key)) < count and time.monotonic() < deadline:
            time.sleep(0.005)
        assert count == len(found)
        return found


def settings_of(upstream: Upstream, **wanted: Any) -> ModelSettings:  # noqa: ANN401 - what `ModelSettings` takes
    """Return settings that lead to a model server, which is asked once."""
    usual = {"url": upstream.url, "key": MODEL_KEY, "model": "small-model", "timeout_s": WAIT_S, "retries": 0}
    return ModelSettings(**{**usual, **wanted})


def events_of(lines: Iterator[str]) -> Iterator[Event]:
    """Yield the events of a stream as they come; comments are no events."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


def streamed(client: httpx.Client, **body: Any) -> list[Event]:  # noqa: ANN401 - what a request may say
    """Return all events of a turn."""
    with client.stream("POST", "/api/v1/chat/stream", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream"), response.read()
        return list(events_of(response.iter_lines()))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A model server of one test's own."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chatting]:
    """One server for the tests of a module; each uses keys of its own."""
    folder: Path = tmp_path_factory.mktemp("chatting")
    with Upstream(key=MODEL_KEY) as upstream, served(folder, upstream) as chatting:
        yield chatting


@pytest.fixture
def chatting(running: Chatting) -> Chatting:
    """The server, with nothing scripted."""
    running.upstream.forget()
    services_of(running.app).chats = running.usual
    return running


@pytest.fixture
def client(chatting: Chatting) -> Iterator[httpx.Client]:
    """A client with the admin's token."""
    with chatting.client() as client:
        yield client


@contextmanager
def served(folder: Path, upstream: Upstream, *, lacks_state: bool = False) -> Iterator[Chatting]:
    """Run a server in a thread; `lacks_state` says that the model server keeps no responses."""
    tokens = TokenFile(folder / "tokens.json")
    secret, _ = tokens.create("admin", scopes=("admin",))
    store = FilesStore.open(folder / "workspace", durability="none")
    sessions, limits = Sessions(store), Limits(None)
    guard = Guard(tokens, limits, hosts={"127.0.0.1"}, rates=UNLIMITED)
    models = [Asked(settings_of(upstream))]
    usual = Chats(models[0], history_tokens=8000)
    ways = Upstreams(Relay(settings_of(upstream)), lacks_state=lacks_state)
    app = create_app(sessions, guard, chats=usual, relay=ways)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="on"))

    async def serve() -> None:
        await server.serve()
        for model in models:
            await model.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Chatting(f"http://127.0.0.1:{port}", secret, upstream, sessions, tokens, app, usual, models)
    server.should_exit = True
    thread.join(10)
    limits.close()
    store.close()
