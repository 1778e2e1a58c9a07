"""Counts the instructions of whole requests, from bytes to bytes; runs below valgrind, for `test_request_costs`.

Each request goes through the very connection, layers and handlers of a server, with a transport that keeps the answer
in place of a socket.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from uvicorn import Config
from uvicorn.server import ServerState

from chatkeep.access.tokens import TokenFile
from chatkeep.core.model import Draft
from chatkeep.http.app import create_app
from chatkeep.http.gate.connection import BoundedProtocol
from chatkeep.http.gate.guard import UNLIMITED, Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from tests.linear.counting import Counter

SESSIONS: Final = 60
LENGTH: Final = 60  # messages of the session that is read
READS: Final = {
    "health": "/health",
    "list": "/api/sessions?limit=50",
    "history": "/api/memory/session?limit=50&id=cli:long",
    "detail": "/api/sessions/cli:long",
    "search": "/api/sessions/search?q=tides+tromso",
}
_WARM: Final = 3  # requests before the counted one: what is made once, and what is kept


class KeptAnswers(asyncio.Transport):
    """The transport of a connection: it keeps what the server writes."""

    def __init__(self) -> None:
        """Begin without an answer."""
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.answer = b""
        self.waits: asyncio.Future[None] | None = None

    def write(self, data: Any) -> None:  # noqa: ANN401 - as the base class says
        """Keep bytes."""
        self.answer += bytes(data)
        if self.waits is not None and not self.waits.done() and self._is_whole():
            self.waits.set_result(None)

    def is_closing(self) -> bool:
        """Tell that it is open."""
        return False

    def _is_whole(self) -> bool:
        """Tell whether the answer is there with all of its body."""
        head, _, body = self.answer.partition(b"\r\n\r\n")
        length = next((line for line in head.split(b"\r\n") if line.startswith(b"content-length: ")), None)
        return length is not None and len(body) >= int(length.rpartition(b" ")[2])


class Requests:
    """Requests over one connection to an application."""

    def __init__(self, app: Starlette, loop: asyncio.AbstractEventLoop, secret: str) -> None:
        """Connect."""
        config = Config(app, http=BoundedProtocol, log_config=None, access_log=False, lifespan="off")
        config.load()
        self._loop = loop
        self._secret = secret
        self._transport = KeptAnswers()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(self._connect(config))

    async def _connect(self, config: Config) -> None:
        self._connection = BoundedProtocol(config=config, server_state=ServerState(), app_state={})
        self._connection.connection_made(self._transport)

    def send(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Send a request, and return its answer."""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._secret}\r\n"
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        self._transport.answer = b""
        self._loop.run_until_complete(self._sent(f"{head}{length}\r\n".encode() + body))
        return self._transport.answer

    async def _sent(self, request: bytes) -> None:
        self._transport.waits = asyncio.get_running_loop().create_future()
        self._connection.data_received(request)
        await self._transport.waits


def say(number: int) -> bytes:
    """Return a message of a user as JSON."""
    text = f"message {number} about the weather in Tromsø and about the tides, as long as messages often are"
    return json.dumps({"role": "user", "content": text, "id": f"m{number}"}).encode()


def main(folder: Path, log: Path) -> None:
    """Print the instructions of a request to each route, once its answer is kept, and of an append."""
    logging.getLogger("chatkeep").setLevel(logging.INFO)
    logging.getLogger("chatkeep").addHandler(logging.NullHandler())
    tokens = TokenFile(folder / "tokens.json")
    secret, _ = tokens.create("admin", scopes=("admin",))
    store = FilesStore.open(folder, durability="none")
    sessions = Sessions(store)
    for number in range(SESSIONS):
        sessions.append(f"cli:s{number}", [Draft(role="user", content=f"about the tides of {number}")])
    sessions.append("cli:long", [Draft(role="user", content=f"the tides in Tromsø, {n}") for n in range(LENGTH)])
    guard = Guard(tokens, Limits(None), hosts={"localhost"}, rates=UNLIMITED)
    app = create_app(sessions, guard)
    requests = Requests(app, asyncio.new_event_loop(), secret)
    counts, counter = {}, Counter(log)
    gc.disable()
    for name, path in READS.items():
        for _ in range(_WARM):
            answer = requests.send("GET", path)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"{name}: {answer[:300]!r}")
        counts[name] = min(counter.instructions(partial(requests.send, "GET", path)) for _ in range(3))
    numbers = iter(range(1, 100))

    def append() -> None:
        answer = requests.send("POST", "/api/v1/messages?session=cli:new", say(next(numbers)))
        if not answer.startswith(b"HTTP/1.1 201 "):
            raise RuntimeError(f"append: {answer[:300]!r}")

    for _ in range(_WARM):
        append()
    counts["append"] = min(counter.instructions(append) for _ in range(3))
    sys.stdout.write(json.dumps(counts) + "\n")
    sys.stdout.flush()
    os._exit(0)  # threads of the pools wait for work without end


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
