"""Places for adapters under test: in process, or over HTTP with `CHATKEEP_OVER=http`. One for each name."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from chatkeep import Client
from chatkeep.access.tokens import TokenFile
from chatkeep.http.app import create_app
from chatkeep.http.gate.guard import UNLIMITED, Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore

_folder = Path(tempfile.mkdtemp(prefix="chatkeep-conformance-"))
_places: dict[str, Client | Sessions] = {}
_lock = threading.Lock()


def place(name: str) -> Client | Sessions:
    """Return the place of a name, always the same one: keys of different names are apart."""
    with _lock:
        if name not in _places:
            _places[name] = _served(f"p{len(_places)}:") if is_over_http() else _own(f"p{len(_places)}")
        return _places[name]


def is_over_http() -> bool:
    """Tell whether places are behind a server."""
    return os.environ.get("CHATKEEP_OVER") == "http"


def _own(name: str) -> Sessions:
    return Sessions(FilesStore.open(_folder / name, durability="none"))


class _Server:
    url = ""
    tokens: TokenFile


def _served(prefix: str) -> Client:
    """Return a client confined to a prefix of the one server, under which every key has to be."""
    if not _Server.url:
        _Server.tokens = TokenFile(_folder / "tokens.json")
        sessions = Sessions(FilesStore.open(_folder / "served", durability="none"))
        guard = Guard(_Server.tokens, Limits(None), hosts={"127.0.0.1"}, rates=UNLIMITED)
        _Server.url = _listen(create_app(sessions, guard))
    secret, _ = _Server.tokens.create("test", scopes=("read", "write", "delete"), prefix=prefix)
    client = Client(_Server.url, secret)
    client.prefix = prefix  # type: ignore[attr-defined]
    client.address = (_Server.url, secret)  # type: ignore[attr-defined]
    return client


def _listen(app: Starlette) -> str:
    """Serve an application in a thread until this process ends, and return its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def prefix_of(given: Client | Sessions) -> str:
    """Return the prefix that an adapter has to use in a place."""
    return str(getattr(given, "prefix", ""))


def address_of(given: Client | Sessions) -> tuple[str, str]:
    """Return the address and the token of a place behind a server."""
    url, token = given.address  # type: ignore[union-attr]
    return str(url), str(token)
