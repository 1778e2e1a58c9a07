"""The one place where a backend is named: settings in, a store, its tokens and the application out."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from chatkeep.config import Settings
from chatkeep.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.tokens import TokenFile

Backend = FilesStore
"""The backend in use; `doctor` and `reindex` ask more of it than a store promises."""

_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
_CONNECTIONS_MAX: Final = 1000
_KEEP_ALIVE_S: Final = 15
_FAREWELL_S: Final = 10

_log = logging.getLogger("chatkeep")


def opened_store(
    settings: Settings, *, watch: bool = False, on_progress: Callable[[int, int], None] | None = None
) -> FilesStore:
    """Return the store of the workspace; the caller closes it."""
    return FilesStore.open(settings.workspace, durability=settings.durability, watch=watch, on_progress=on_progress)


def token_file(workspace: Path) -> TokenFile:
    """Return the tokens of the workspace."""
    return TokenFile(workspace / "tokens.json")


def run(settings: Settings, store: FilesStore, listener: socket.socket) -> None:
    """Serve the store over HTTP on a socket that listens, until the process is told to stop.

    A second signal does not wait for the requests under way.
    """
    import uvicorn  # noqa: PLC0415 - half a second that only servers spend

    from chatkeep.http.app import create_app  # noqa: PLC0415
    from chatkeep.http.guard import Guard  # noqa: PLC0415
    from chatkeep.http.limits import Limits  # noqa: PLC0415
    from chatkeep.http.protocol import BoundedProtocol  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of every append otherwise
    for name, reason in store.status().problems.items():
        _log.warning("cannot be served: %r: %s", name, reason)
    limits = Limits(settings.workspace / "limits.sqlite3")
    guard = Guard(
        token_file(settings.workspace),
        limits,
        hosts=(*_LOCAL_HOSTS, settings.host, *settings.allow_hosts),
        rate_ip=settings.rate_limit_ip,
        rate_token=settings.rate_limit_token,
        trusted_proxies=settings.trusted_proxies,
    )
    config = uvicorn.Config(
        create_app(Sessions(store), guard, cors_origins=settings.cors_origins),
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # the guard alone decides whom to believe
        server_header=False,
        limit_concurrency=_CONNECTIONS_MAX,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_FAREWELL_S,
    )
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        limits.close()
