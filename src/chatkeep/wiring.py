"""The one place where a backend is named: settings in, a store, its tokens and the application out."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from chatkeep.config import Settings
from chatkeep.core.model import Selection
from chatkeep.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree import file_name
from chatkeep.tokens import TokenFile

Backend = FilesStore
"""The backend in use; `doctor` and `reindex` ask more of it than a store promises."""

_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
_CONNECTIONS_MAX: Final = 1000
_KEEP_ALIVE_S: Final = 15
_FAREWELL_S: Final = 10

_CUT: Final = re.compile(r"-\d+-[0-9a-f]+\.cut$")

_log = logging.getLogger("chatkeep")


class Cuts(Struct, frozen=True):
    """What repairs have cut off one file; `names` are those in the folder `quarantine`."""

    file: str
    key: str | None
    names: tuple[str, ...]


def opened_store(
    settings: Settings,
    *,
    watch: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    on_problem: Callable[[str, str], None] | None = None,
) -> FilesStore:
    """Return the store of the workspace; the caller closes it. `on_problem`: as `FilesStore.open` says."""
    return FilesStore.open(
        settings.workspace,
        durability=settings.durability,
        watch=watch,
        on_progress=on_progress,
        on_problem=on_problem,
    )


def cuts_of(store: FilesStore) -> list[Cuts]:
    """Return what repairs have cut off the files of sessions, and where it is kept."""
    names: dict[str, list[str]] = {}
    for name in store.quarantined():
        names.setdefault(_CUT.sub("", name), []).append(name)
    keys = {file_name(key): key for key in store.keys(Selection(archived=None)).keys} if names else {}
    return [Cuts(file=file, key=keys.get(file), names=tuple(cut)) for file, cut in names.items()]


def start_log() -> None:
    """Let the server's log go to stderr."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of every append otherwise


def warn_of(name: str, reason: str) -> None:
    """Log that a file cannot be served whole; no character of its name acts on a terminal."""
    _log.warning("cannot be served whole: %s: %s", ascii(name), ascii(reason)[1:-1])


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
