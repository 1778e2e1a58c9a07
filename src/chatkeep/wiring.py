"""From settings to a store, its care, its tokens and the application."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chatkeep.disk.files import is_there
from chatkeep.disk.own import is_linked
from chatkeep.errors import ChatkeepError, InvalidError, StorageError
from chatkeep.store.address import folder_address, store_address
from chatkeep.store.open import StoreOptions, WriteRules, admin_of, kind_of, opened_at

if TYPE_CHECKING:
    import socket

    from chatkeep.access.page_sessions import PageSessions, SignInCode
    from chatkeep.access.tokens import TokenFile
    from chatkeep.config import Settings
    from chatkeep.http.gate.rules import Pools
    from chatkeep.http.streams.upstreams import Upstreams
    from chatkeep.model.chat import Chats
    from chatkeep.model.upstream import ModelSettings
    from chatkeep.sessions.confinement import Confinement
    from chatkeep.store.admin import Admin, Cuts, Finding, FindingKind, Outcome, Remedy
    from chatkeep.store.protocol import Served

EXTRAS: Final[Mapping[str, Sequence[str]]] = {
    "server": ("anyio", "httptools", "httpx2", "opentelemetry", "prometheus_client", "starlette", "uvicorn"),
    "model": ("httptools", "httpx2", "openai"),
    "mcp": ("anyio", "mcp", "starlette"),
    "postgres": ("psycopg", "psycopg_pool"),
}
"""The modules of the package's extras, absent from a bare installation."""
_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
_OPEN_FILES: Final = 4096  # descriptors; `http.gate.connection` admits 1000 connections
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
_OBJECTS: Final = 20_000  # new objects before a collection of the young generation; Python's default is 700
_TURN_S: Final = 0.0005  # seconds a thread may compute before another gets its turn; Python's default is 5 ms
_LARGE_BYTES: Final = 1 << 20  # bytes; after a longer message the memory goes back to the system
_SEARCH_CHANNELS: Final = 2  # searches at a time in the other process
_LANES: Final = 7  # long texts at a time, as `http.gate.rules` parts them
_NICE: Final = 5  # for the writer: a third of a processor while others want it too

_log = logging.getLogger("chatkeep")


def opened_store(
    settings: Settings,
    *,
    watch: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    on_problem: Callable[[str, str], None] | None = None,
) -> Served:
    """Return the store of the settings; the caller closes it. `on_problem`: as in `StoreOptions`."""
    rules = msgspec.structs.asdict(settings.write_rules)
    options = StoreOptions(**rules, watch=watch, on_progress=on_progress, on_problem=on_problem)
    return opened_at(settings.address, options)


def admin_for(settings: Settings) -> Admin:
    """Return the care for the store of the settings.

    Raises:
        InvalidError: when its kind has none.
    """
    return admin_of(settings.address)


def kept_cuts(settings: Settings) -> Sequence[Cuts]:
    """Return the bytes cut off by repairs; none for a kind of store without care."""
    return () if kind_of(settings.address).admin is None else admin_for(settings).cuts()


def check_lasting(settings: Settings) -> None:
    """Check that another process finds the sessions stored by this one.

    Raises:
        InvalidError: when they end with this process: its answers would be about nothing.
    """
    if not kind_of(settings.address).is_shared:
        raise InvalidError("store", f"{settings.place} ends with the process; it is for `chatkeep serve` and `chat`")


def is_workspace(settings: Settings) -> bool:
    """Tell whether the store exists, without reading it. In its default place, tokens count as well.

    Raises:
        StorageError: when its place cannot be examined.
    """
    if kind_of(settings.address).exists(settings.address):
        return True
    return not settings.store and is_there(token_file(settings.workspace).path)


def _followed(place: str, options: StoreOptions) -> Served:
    """Open a store for a process beside a server. Without an index to follow the process ends, and says so."""
    try:
        return opened_at(store_address(place), options)
    except ChatkeepError as error:
        raise SystemExit(f"A process beside the server ends: {error}") from error


def run_searcher(place: str, descriptors: Sequence[int]) -> None:
    """Search a store for a server until it ends; `descriptors` are the server's channels."""
    from msgspec.msgpack import Decoder  # noqa: PLC0415 - only for servers

    from chatkeep.core.search.search import Search  # noqa: PLC0415
    from chatkeep.wire.answers import json_bytes  # noqa: PLC0415
    from chatkeep.wire.hits import hit_page  # noqa: PLC0415

    _give_memory_back()
    store = _followed(place, StoreOptions(follow=True))
    store.warm_up()
    decode = Decoder(Search).decode
    _answer(descriptors, lambda message: json_bytes(hit_page(store.search(decode(message)))))
    store.close()


def append_for(place: str, rules: str, descriptors: Sequence[int]) -> None:
    """Store long texts in a store for a server until it ends; `descriptors` are the server's channels."""
    from chatkeep.workers.appending import Append, Works, done, outcome  # noqa: PLC0415
    from chatkeep.workers.heard import HeardAnswer, store_heard  # noqa: PLC0415
    from chatkeep.workers.holding import CallHolder, Holding, RootRequest  # noqa: PLC0415
    from chatkeep.workers.showing import (  # noqa: PLC0415
        SessionExport,
        SessionFork,
        Showing,
        exported_beside,
        fork_made,
        shown_beside,
    )
    from chatkeep.workers.taking_in import SessionCreation, SessionImport, session_begun, taken_in  # noqa: PLC0415
    from chatkeep.workers.telemetry_intake import Telemetry, taken_down  # noqa: PLC0415

    _give_memory_back()
    os.nice(_NICE)
    kept = msgspec.json.decode(rules, type=WriteRules)
    store = _followed(place, StoreOptions(**msgspec.structs.asdict(kept), follow=True))
    holder = CallHolder()
    works: Works = {
        Append: done,
        RootRequest: holder.opened,
        Holding: holder.held,
        HeardAnswer: store_heard,
        Telemetry: taken_down,
        SessionCreation: session_begun,
        SessionImport: taken_in,
        Showing: shown_beside,
        SessionExport: exported_beside,
        SessionFork: fork_made,
    }

    def work(message: bytes) -> bytes:
        size_bytes, messages = len(message), [message]
        del message
        told = outcome(store, works, messages.pop()) if store.is_told else b""
        if max(size_bytes, len(told)) > _LARGE_BYTES:
            _trim()
        return told if store.is_told else b""  # else the asking process has to announce the stored messages

    _answer(descriptors, work)
    store.close()


def sync_for(workspace: str, place: str, rules: str) -> None:
    """Follow other programs for a server until stdin ends."""
    from chatkeep.sessions.sessions import Sessions  # noqa: PLC0415
    from chatkeep.syncing.beside_server import serve_sync  # noqa: PLC0415

    start_log()
    os.nice(_NICE)
    stop = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    address = store_address(place)
    kept = msgspec.json.decode(rules, type=WriteRules)
    store = opened_at(address, StoreOptions(**msgspec.structs.asdict(kept)))
    try:
        serve_sync(Path(workspace), address.url, Sessions(store), stop)
    finally:
        store.close()


def _answer(descriptors: Sequence[int], work: Callable[[bytes], bytes]) -> None:
    """Answer a server on each channel, in a thread of its own, until the server ends."""
    import socket  # noqa: PLC0415 - only for servers

    from chatkeep.workers.beside import answer  # noqa: PLC0415

    _keep_pauses_short()
    channels = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    threads = [threading.Thread(target=answer, args=(channel, work), daemon=True) for channel in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def findings_in(settings: Settings, on_progress: Callable[[int, int], None] | None = None) -> Iterator[Finding]:
    """Yield the findings in a store and the tokens of its workspace; open nothing for writing and change nothing."""
    from chatkeep.access.page_sessions import PAGES_FILE, PageSessions  # noqa: PLC0415 - only for `doctor`
    from chatkeep.sessions.people_file import PEOPLE_FILE, PeopleFile  # noqa: PLC0415
    from chatkeep.store.admin import Finding  # noqa: PLC0415

    yield from admin_for(settings).check(on_progress)
    workspace = settings.workspace
    is_beside = settings.address == folder_address(workspace)  # a repair moves files within the store's folder only
    tokens = token_file(workspace)
    lists: tuple[tuple[FindingKind, Path, Callable[[], object]], ...] = (
        ("tokens", tokens.path, tokens.all),
        ("pages", workspace / PAGES_FILE, PageSessions(tokens).check),
        ("people", workspace / PEOPLE_FILE, PeopleFile(workspace).all),
    )
    for kind, path, read in lists:
        try:
            read()
        except StorageError as error:
            if path.is_file() and not path.is_symlink() and not is_linked(path):  # the check above has other cases
                remedy: Remedy = "set aside" if is_beside and os.access(path, os.R_OK) else "leave"
                yield Finding(file=path.name, kind=kind, reason=str(error).rstrip("."), remedy=remedy)


def fixed_workspace(settings: Settings, on_progress: Callable[[int, int], None] | None = None) -> Sequence[Outcome]:
    """Fix a workspace as far as possible, and return the outcome of each finding, as `Admin.repair`."""
    return admin_for(settings).repair(lambda: findings_in(settings, on_progress))


def check_installed(extra: str, what: str) -> None:
    """Check for the packages of an extra, without loading them; `what` names their user in the error.

    Raises:
        ChatkeepError: naming the extra to install.
    """
    if any(find_spec(name) is None for name in EXTRAS[extra]):
        raise ChatkeepError(f"{what} needs more packages. Install them: pip install 'chatkeep[{extra}]'")


def start_log() -> None:
    """Send the server's log to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Visible("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for chatty in ("mcp", "watchfiles", "httpx", "httpx2", "openai"):  # they log every append, and every question
        logging.getLogger(chatty).setLevel(logging.WARNING)


class _Visible(logging.Formatter):
    """A formatter to escape line ends and terminal controls, as logged text may come from others."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name in the library
        return super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")

    def format(self, record: logging.LogRecord) -> str:
        from chatkeep.core.text.quoting import visible  # noqa: PLC0415 - only for servers

        return visible(super().format(record))


def warn_of(name: str, reason: str) -> None:
    """Log that a file is not served whole; escape its name for terminals."""
    _log.warning("cannot be served whole: %s: %s", ascii(name), ascii(reason)[1:-1])


def token_file(workspace: Path) -> TokenFile:
    """Return the token file of the workspace."""
    from chatkeep.access.tokens import TokenFile  # noqa: PLC0415 - only for those who ask for tokens

    return TokenFile(workspace / "tokens.json")


def model_of(settings: Settings) -> ModelSettings | None:
    """Return the address and limits of the model's server; None if none is configured."""
    if not settings.model_url:
        return None
    check_installed("model", "Asking a model")
    from chatkeep.model.upstream import ModelSettings  # noqa: PLC0415 - only for chat

    return ModelSettings(
        url=settings.model_url,
        key=settings.model_key,
        model=settings.model,
        timeout_s=settings.model_timeout,
        retries=settings.model_retries,
        life_s=settings.model_answer_timeout,
    )


def _upstreams_of(settings: Settings) -> Upstreams:
    """Return the ways to the models' servers."""
    from chatkeep.http.streams.relay import Relay  # noqa: PLC0415 - only for servers
    from chatkeep.http.streams.upstreams import NamedUpstream, Upstreams  # noqa: PLC0415

    others = []
    for entry in settings.upstream:
        own = msgspec.structs.replace(settings, model_url=entry.url, model_key=entry.key)
        others.append(NamedUpstream(entry.kind, entry.models, Relay(model_of(own))))
    return Upstreams(
        Relay(model_of(settings)),
        others,
        keeps_conversations=settings.conversations == "upstream",
        lacks_state=settings.responses_state,
    )


def chats_of(settings: Settings) -> Chats | None:
    """Return the turns with the configured model; None if none is configured."""
    asked = model_of(settings)
    if asked is None:
        return None
    from chatkeep.model.chat import Chats  # noqa: PLC0415 - only for chat
    from chatkeep.model.upstream import Upstream  # noqa: PLC0415

    return Chats(
        Upstream(asked),
        history_tokens=settings.history_tokens,
        system_prompt=settings.system_prompt,
        titled=settings.model_titles,
    )


def reach_of(settings: Settings) -> Confinement:
    """Return the reach of the workspace's owner: every key, its people, and the trash of the settings."""
    from chatkeep.sessions.confinement import Confinement  # noqa: PLC0415
    from chatkeep.sessions.people_file import PeopleFile  # noqa: PLC0415 - not for help

    return Confinement(trash_days=settings.trash_days, people=PeopleFile(settings.workspace))


def page_sessions(workspace: Path) -> PageSessions:
    """Return the store of signed-in browsers."""
    from chatkeep.access.page_sessions import PageSessions  # noqa: PLC0415 - only for those who ask for tokens

    return PageSessions(token_file(workspace))


def serve_store(
    settings: Settings, store: Served, tokens: TokenFile, listener: socket.socket, code: SignInCode
) -> None:
    """Serve the store over HTTP to holders of a token, on a listening socket, until a signal.

    `code` opens the page. A second signal ends the server without waiting for running requests.
    """
    import uvicorn  # noqa: PLC0415 - takes 0.5 s, only on servers

    from chatkeep.http.app import create_app, keep_by  # noqa: PLC0415
    from chatkeep.http.gate.connection import BoundedProtocol  # noqa: PLC0415
    from chatkeep.http.gate.guard import Guard, Rates  # noqa: PLC0415
    from chatkeep.http.gate.limits import Limits  # noqa: PLC0415
    from chatkeep.sessions.sessions import Sessions  # noqa: PLC0415
    from chatkeep.webhooks.telling import telling  # noqa: PLC0415

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
    pools = _pools(settings, store)
    app = create_app(
        sessions := Sessions(store, reach=reach_of(settings)),
        guard,
        pools=pools,
        chats=chats_of(settings),
        relay=_upstreams_of(settings),
        cors_origins=settings.cors_origins,
        code=code,
    )
    keep_by(app, settings.retention)
    server = uvicorn.Server(uvicorn.Config(app, http=BoundedProtocol, **_SERVING))
    server.config.load()
    _keep_pauses_short()
    _end_in_order()
    try:
        with _following(settings), telling(settings.webhook, settings.workspace, sessions, app.state.services.metrics):
            server.run(sockets=[listener])
    finally:
        pools.close()
        limits.close()


def _pools(settings: Settings, store: Served) -> Pools:
    """Return the threads of a server and its memory for bodies, with the processes beside it if they can help."""
    from chatkeep.http.gate.room import BodyMemory  # noqa: PLC0415 - only for servers
    from chatkeep.http.gate.rules import Pools  # noqa: PLC0415
    from chatkeep.workers.beside import Beside  # noqa: PLC0415

    kind, memory = kind_of(settings.address), BodyMemory(settings.body_memory, _trim)
    if not (settings.search_process and kind.has_helpers):
        threading.Thread(target=store.warm_up, name="chatkeep-warm", daemon=True).start()
        return Pools(body_memory=memory, is_prompt=kind.is_prompt)
    place = settings.store or str(settings.workspace)
    search = [sys.executable, "-m", "chatkeep.processes.searcher", place]
    write = [sys.executable, "-m", "chatkeep.processes.writer", place, settings.write_rules.encoded]
    searcher = Beside(search, _SEARCH_CHANNELS, lambda: store.is_told)
    writer = Beside(write, _LANES, lambda: store.is_told)
    return Pools(searcher, memory, writer, is_prompt=kind.is_prompt)


@contextlib.contextmanager
def _following(settings: Settings) -> Iterator[None]:
    """Let another process follow other programs for the length of the block, if that is wanted."""
    if not settings.sync:
        yield
        return
    if not kind_of(settings.address).has_helpers:
        raise InvalidError("--sync", f"needs session files, and {settings.place} has none; run `chatkeep sync` beside")
    from chatkeep.workers.lasting import Lasting  # noqa: PLC0415 - only for those who want it

    place = settings.store or str(settings.workspace)
    command = [sys.executable, "-m", "chatkeep.processes.syncer", str(settings.workspace), place]
    follower = Lasting([*command, settings.write_rules.encoded])
    try:
        yield
    finally:
        follower.close()


def _end_in_order() -> None:
    """Let SIGTERM end the process as Ctrl-C does: the store is closed, and the other processes end before it.

    uvicorn raises the signal again once it has ended, and by default the process dies there.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())


def _allow_open_files() -> None:
    """Raise the limit on open files above the number of connections: many systems default to 1024."""
    import resource  # noqa: PLC0415 - only for servers

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _keep_pauses_short() -> None:
    """Exempt loaded objects from garbage collection, collect rarely, and switch threads often.

    A full collection stopped the server for 0.1 s now and then. A computing thread held up the event loop for 5 ms at
    a time. Python collects after each 700 new objects. That took a twentieth of the time of a search: it makes
    thousands of objects and drops all of them at its end.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS, 10, 10)
    sys.setswitchinterval(_TURN_S)


def _trim(generation: int = 2) -> None:
    """Make glibc's allocator return free memory from between blocks in use; do nothing elsewhere.

    Closed connections are garbage in cycles, and each may hold a piece of a body, so collect it first, up to this
    generation.
    """
    gc.collect(generation)
    import ctypes  # noqa: PLC0415 - only for servers

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _give_memory_back() -> None:
    """Make glibc's allocator return the memory of large bodies at once; do nothing elsewhere."""
    import ctypes  # noqa: PLC0415 - only for servers

    with contextlib.suppress(OSError, AttributeError):
        for option, value in _ALLOCATOR:
            ctypes.CDLL(None).mallopt(option, value)
