"""The one place where a backend is named: settings in, a store, its tokens and the application out."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chatkeep.access.page_sessions import PAGES_FILE, PageSessions, SignInCode
from chatkeep.access.tokens import TokenFile
from chatkeep.config import Settings
from chatkeep.core.search.search import Search
from chatkeep.core.text.quoting import visible
from chatkeep.disk.files import Durability, flush_folder, is_there
from chatkeep.disk.own import is_linked
from chatkeep.errors import ChatkeepError, StorageError
from chatkeep.sessions import Sessions
from chatkeep.store.files.care import remedies
from chatkeep.store.files.care.backups import (
    Backup,
    Item,
    Restored,
    Written,
    is_empty,
    missing_in,
    restore,
    write_backup,
)
from chatkeep.store.files.care.checkup import Cuts, cuts_in, examined, set_aside_in
from chatkeep.store.files.care.findings import Finding, FindingKind, Remedy
from chatkeep.store.files.care.remedies import Outcome
from chatkeep.store.files.store import FilesStore
from chatkeep.wire.answers import hit_page, json_bytes

if TYPE_CHECKING:
    from chatkeep.model.chat import Chats
    from chatkeep.model.upstream import ModelSettings
    from chatkeep.workers.beside import Beside

Backend = FilesStore
"""The backend in use; `doctor` and `reindex` ask more of it than a store promises."""

__all__ = (
    "Backup", "Cuts", "Finding", "Item", "Outcome", "Restored", "Written",
    "cuts_in", "flush_folder", "is_empty", "missing_in", "restore", "set_aside_in", "write_backup",
)  # fmt: skip
"""What the command line gets from the backend in use, besides what is below."""

EXTRAS: Final[Mapping[str, Sequence[str]]] = {
    "server": ("fastapi", "httptools", "httpx2", "prometheus_client", "uvicorn"),
    "model": ("httptools", "httpx2", "openai"),
}
"""The modules that the extras of the package bring, which a bare installation does without."""
_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
_OPEN_FILES: Final = 4096
_ALLOCATOR: Final = ((-1, 1 << 20), (-3, 1 << 18), (-8, 1))  # trim and mmap thresholds in bytes; arenas (malloc.h)
_SERVING: Final[Mapping[str, Any]] = {
    "ws": "none",
    "lifespan": "on",
    "log_config": None,
    "access_log": False,
    "proxy_headers": False,  # the guard alone decides whom to believe
    "server_header": False,
    "timeout_keep_alive": 15,  # seconds
    "timeout_graceful_shutdown": 10,  # seconds
}
_OBJECTS: Final = 20_000  # made before young ones are looked through for garbage
_TURN_S: Final = 0.0005
_LARGE_BYTES: Final = 1 << 20  # of a message that was worked on: what that took goes back to the system
_SEARCH_CHANNELS: Final = 2
_LANES: Final = 2  # of long texts, by their size
_NICE: Final = 5  # of the process that stores them: a third of a processor where others want it, too

_log = logging.getLogger("chatkeep")


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


def is_workspace(folder: Path) -> bool:
    """Tell whether a folder has a place for sessions, or for tokens; what stands there is not looked at.

    Raises:
        StorageError: when that cannot be told.
    """
    return any(is_there(folder / name) for name in ("sessions", "tokens.json"))


def run_searcher(workspace: Path, descriptors: Sequence[int]) -> None:
    """Search a workspace for a server, whose channels these are, until it ends."""
    _give_memory_back()
    store = FilesStore.open(workspace, follow=True)
    store.warm_up()
    decode = msgspec.msgpack.Decoder(Search).decode
    _answer(descriptors, lambda message: json_bytes(hit_page(store.search(decode(message)))))
    store.close()


def append_for(workspace: Path, durability: str, descriptors: Sequence[int]) -> None:
    """Store long texts in a workspace for a server, whose channels these are, until it ends."""
    from chatkeep.workers.appending import Append, Works, done, outcome  # noqa: PLC0415 - only for servers
    from chatkeep.workers.holding import Holding, RootRequest, held, opened  # noqa: PLC0415

    _give_memory_back()
    os.nice(_NICE)
    kept = msgspec.convert(durability, Durability)
    store = FilesStore.open(workspace, durability=kept, follow=True)

    works: Works = {Append: done, RootRequest: opened, Holding: held}

    def work(message: bytes) -> bytes:
        told = outcome(store, works, message) if store.is_told else b""
        if len(message) > _LARGE_BYTES:
            _trim()
        return told if store.is_told else b""  # else what is stored is to be told by whoever asked

    _answer(descriptors, work)
    store.close()


def _answer(descriptors: Sequence[int], work: Callable[[bytes], bytes]) -> None:
    """Work for a server, each channel in a thread, until the server ends."""
    from chatkeep.workers.beside import answer  # noqa: PLC0415 - only for servers

    _keep_pauses_short()
    channels = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    threads = [threading.Thread(target=answer, args=(channel, work), daemon=True) for channel in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def findings_in(workspace: Path, on_progress: Callable[[int, int], None] | None = None) -> Iterator[Finding]:
    """Yield what there is against a workspace and its tokens; nothing is opened for writing, nothing is changed."""
    yield from examined(workspace, on_progress)
    tokens = token_file(workspace)
    lists: tuple[tuple[FindingKind, Path, Callable[[], object]], ...] = (
        ("tokens", tokens.path, tokens.all),
        ("pages", workspace / PAGES_FILE, PageSessions(tokens).check),
    )
    for kind, path, read in lists:
        try:
            read()
        except StorageError as error:
            if path.is_file() and not path.is_symlink() and not is_linked(path):  # those are findings of their own
                remedy: Remedy = "set aside" if os.access(path, os.R_OK) else "leave"
                yield Finding(file=path.name, kind=kind, reason=str(error).rstrip("."), remedy=remedy)


def fixed_workspace(workspace: Path, on_progress: Callable[[int, int], None] | None = None) -> list[Outcome]:
    """Put right what can be in a workspace, and return what became of each finding, as `remedies.fixed` says."""
    return remedies.fixed(workspace, lambda: findings_in(workspace, on_progress))


def check_installed(extra: str, what: str) -> None:
    """Check, without loading them, that the packages of an extra are installed, which `what` needs.

    Raises:
        ChatkeepError: saying which one to install, when they are not.
    """
    if any(find_spec(name) is None for name in EXTRAS[extra]):
        raise ChatkeepError(f"{what} needs more packages. Install them: pip install 'chatkeep[{extra}]'")


def start_log() -> None:
    """Let the server's log go to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Visible("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for chatty in ("watchfiles", "httpx", "httpx2", "openai"):  # they tell of every append, and of every question
        logging.getLogger(chatty).setLevel(logging.WARNING)


class _Visible(logging.Formatter):
    """Writes lines that neither act on a terminal nor break where the text of somebody else has a line end."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name of the library
        return super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def warn_of(name: str, reason: str) -> None:
    """Log that a file cannot be served whole; no character of its name acts on a terminal."""
    _log.warning("cannot be served whole: %s: %s", ascii(name), ascii(reason)[1:-1])


def token_file(workspace: Path) -> TokenFile:
    """Return the tokens of the workspace."""
    return TokenFile(workspace / "tokens.json")


def model_of(settings: Settings) -> ModelSettings | None:
    """Return how the model's server is asked, None when none is named."""
    if not settings.model_url:
        return None
    check_installed("model", "Asking a model")
    from chatkeep.model.upstream import ModelSettings  # noqa: PLC0415 - only for those who chat

    return ModelSettings(
        url=settings.model_url,
        key=settings.model_key,
        model=settings.model,
        timeout_s=settings.model_timeout,
        retries=settings.model_retries,
        life_s=settings.model_answer_timeout,
    )


def chats_of(settings: Settings) -> Chats | None:
    """Return the turns with the model of the settings, None when none is named."""
    asked = model_of(settings)
    if asked is None:
        return None
    from chatkeep.model.chat import Chats  # noqa: PLC0415 - only for those who chat
    from chatkeep.model.upstream import Upstream  # noqa: PLC0415

    return Chats(
        Upstream(asked),
        history_tokens=settings.history_tokens,
        system_prompt=settings.system_prompt,
        titled=settings.model_titles,
    )


def page_sessions(workspace: Path) -> PageSessions:
    """Return the browsers that are signed in to the page."""
    return PageSessions(token_file(workspace))


def serve_store(
    settings: Settings, store: FilesStore, tokens: TokenFile, listener: socket.socket, code: SignInCode
) -> None:
    """Serve the store over HTTP, to who has one of the tokens, on a socket that listens, until told to stop.

    The code opens the page. A second signal does not wait for the requests under way.
    """
    import uvicorn  # noqa: PLC0415 - half a second that only servers spend

    from chatkeep.http.app import create_app  # noqa: PLC0415
    from chatkeep.http.gate.connection import BoundedProtocol  # noqa: PLC0415
    from chatkeep.http.gate.guard import Guard, Rates  # noqa: PLC0415
    from chatkeep.http.gate.limits import Limits  # noqa: PLC0415
    from chatkeep.http.gate.room import BodyMemory  # noqa: PLC0415
    from chatkeep.http.gate.rules import Pools  # noqa: PLC0415
    from chatkeep.http.streams.relay import Relay  # noqa: PLC0415

    _allow_open_files()
    _give_memory_back()
    limits = Limits(settings.workspace / "limits.sqlite3")
    guard = Guard(
        tokens,
        limits,
        hosts=(*_LOCAL_HOSTS, settings.host, *settings.allow_hosts),
        rates=Rates(address=settings.rate_limit_ip, token=settings.rate_limit_token, model=settings.rate_limit_model),
        trusted_proxies=settings.trusted_proxies,
    )
    searcher, writer = _beside(settings, store)
    app = create_app(
        Sessions(store),
        guard,
        pools=Pools(searcher, BodyMemory(settings.body_memory, _trim), writer),
        chats=chats_of(settings),
        relay=Relay(model_of(settings)),
        cors_origins=settings.cors_origins,
        code=code,
    )
    config = uvicorn.Config(app, http=BoundedProtocol, **_SERVING)
    server = uvicorn.Server(config)
    config.load()
    _keep_pauses_short()
    try:
        server.run(sockets=[listener])
    finally:
        for process in filter(None, (searcher, writer)):
            process.close()
        limits.close()


def _beside(settings: Settings, store: FilesStore) -> tuple[Beside | None, Beside | None]:
    """Return the process that searches and that which stores long texts, if there are to be such."""
    if not settings.search_process:
        threading.Thread(target=store.warm_up, name="chatkeep-warm", daemon=True).start()
        return None, None
    from chatkeep.workers.beside import Beside  # noqa: PLC0415 - only for servers

    workspace = str(settings.workspace)
    search = [sys.executable, "-m", "chatkeep.processes.searcher", workspace]
    write = [sys.executable, "-m", "chatkeep.processes.writer", workspace, settings.durability]
    return Beside(search, _SEARCH_CHANNELS, lambda: store.is_told), Beside(write, _LANES, lambda: store.is_told)


def _allow_open_files() -> None:
    """Let there be more open files than connections may take: many systems allow 1024 unless asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _keep_pauses_short() -> None:
    """Leave what was loaded to the end out of searches for garbage, which are rare, and let threads take turns soon.

    A search through all of it stopped the server for 0.1 s now and then, and a thread that computes kept
    the event loop waiting for 5 ms at a time. Looking for garbage after each 700 objects, as Python does, took
    a twentieth of the time of a search, which makes thousands that are gone when it ends.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS, 10, 10)
    sys.setswitchinterval(_TURN_S)


def _trim() -> None:
    """Let the allocator, where it is glibc's, return what is free between what is used.

    Connections that are gone are garbage that only a search finds, and each may have a piece of a body.
    """
    gc.collect()  # of all that was made since the start: some 10 ms
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _give_memory_back() -> None:
    """Let the allocator, where it is glibc's, return what large bodies took instead of keeping it."""
    with contextlib.suppress(OSError, AttributeError):
        for option, value in _ALLOCATOR:
            ctypes.CDLL(None).mallopt(option, value)
