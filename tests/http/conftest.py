"""A server on a loopback port, as a person would run it, and clients for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from chatkeep.access.tokens import TokenFile
from chatkeep.http.app import create_app
from chatkeep.http.gate.guard import UNLIMITED, Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.sessions.confinement import Confinement
from chatkeep.sessions.people_file import PeopleFile
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from tests.http.listening import listening


@dataclass(frozen=True)
class Server:
    """A running server: where it is, who may come in, and what it serves."""

    url: str
    secret: str
    tokens: TokenFile
    sessions: Sessions
    app: Starlette
    workspace: Path

    def client(self, secret: str | None = None) -> httpx.Client:
        """Return a client that sends a token, the admin's unless another is given."""
        headers = {"Authorization": f"Bearer {secret or self.secret}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Hand over a server, whose files are in a folder that is empty."""
    tokens = TokenFile(folder / "tokens.json")
    secret, _ = tokens.create("admin", scopes=("admin",))
    store = FilesStore.open(folder / "workspace", durability="none")
    sessions = Sessions(store, reach=Confinement(people=PeopleFile(folder / "workspace")))
    limits = Limits(folder / "limits.sqlite")
    guard = Guard(tokens, limits, hosts={"127.0.0.1", "localhost"}, rates=UNLIMITED)
    app = create_app(sessions, guard)
    with listening(app, access_log=False) as port:
        yield Server(f"http://127.0.0.1:{port}", secret, tokens, sessions, app, folder / "workspace")
    limits.close()
    store.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests; each uses keys of its own."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client with the admin's token."""
    with server.client() as client:
        yield client


@pytest.fixture
def server_secret(server: Server) -> str:
    """The admin's token."""
    return server.secret
