"""The command `serve`: one process to answer over HTTP."""

# ruff: noqa: PLR0913 - a command has as many parameters as it has options

from __future__ import annotations

import os
import shlex
import socket
from typing import Annotated

import typer

from chatkeep import wiring
from chatkeep.access.page_sessions import SignInCode
from chatkeep.access.tokens import TokenFile
from chatkeep.cli import screen
from chatkeep.cli.options import Workspace, named, workspace_store
from chatkeep.config import Settings, settings_from
from chatkeep.errors import ChatkeepError, StorageDeniedError, StorageFullError, StorageReadOnlyError

_EVERYWHERE = frozenset(("0.0.0.0", "::"))  # noqa: S104 - compared, never bound
_BACKLOG = 2048  # connections waiting to be accepted
AddressLimit = Annotated[
    int | None, typer.Option(help="Requests a minute for an address, 0 for no limit.", show_default="60")
]
TokenLimit = Annotated[
    int | None, typer.Option(help="Requests a minute for a token, 0 for no limit.", show_default="60")
]
ModelLimit = Annotated[
    int | None, typer.Option(help="Model calls (/v1) a minute for a token, 0 for no limit.", show_default="600")
]
BodyBytes = Annotated[
    int | None, typer.Option(help="Bytes of memory that bodies in flight may take.", show_default=str(1 << 30))
]
AllowedHosts = Annotated[list[str] | None, typer.Option(help="Another name that this server is known by; repeatable.")]
TrustedProxies = Annotated[list[str] | None, typer.Option(help="Address or network of a proxy to believe; repeatable.")]
CorsOrigins = Annotated[list[str] | None, typer.Option(help="Origin whose pages may call this server; repeatable.")]
DurabilityLevel = Annotated[
    str | None, typer.Option(help="full: on the disk before the answer; os; none.", show_default="full")
]
ResponsesState = Annotated[
    bool | None,
    typer.Option("--responses-state/--no-responses-state", help="Keep responses for model servers without state."),
]
ConversationKeeper = Annotated[
    str | None, typer.Option(help="own: /v1/conversations are sessions here; upstream.", show_default="own")
]
SearchProcess = Annotated[
    bool | None, typer.Option("--search-process/--no-search-process", help="Search in a process of its own.")
]


TrashDays = Annotated[
    int | None, typer.Option(help="Days that deleted sessions can come back, 0 for no trash.", show_default="0")
]
AttachmentBytes = Annotated[
    int | None, typer.Option(help="Bytes from which an attachment gets a file of its own.", show_default="4096")
]
SyncWanted = Annotated[
    bool | None, typer.Option("--sync/--no-sync", help="Follow the histories of other programs on this machine.")
]
StoreUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="Place of the sessions, if not the workspace.", show_default=False)
]


def serve(
    *,
    workspace: Workspace = None,
    store: StoreUrl = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8000")] = None,
    rate_limit_ip: AddressLimit = None,
    rate_limit_token: TokenLimit = None,
    rate_limit_model: ModelLimit = None,
    body_memory: BodyBytes = None,
    durability: DurabilityLevel = None,
    attachment_bytes: AttachmentBytes = None,
    allow_host: AllowedHosts = None,
    search_process: SearchProcess = None,
    trash_days: TrashDays = None,
    sync: SyncWanted = None,
    trusted_proxy: TrustedProxies = None,
    cors_origin: CorsOrigins = None,
    model_url: Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible model server.")] = None,
    model: Annotated[str | None, typer.Option(help="Model that answers when a request names none.")] = None,
    model_timeout: Annotated[
        float | None, typer.Option(help="Seconds that the model server may be silent.", show_default="120")
    ] = None,
    model_answer_timeout: Annotated[
        float | None, typer.Option(help="Seconds that an answer may take in all.", show_default="3600")
    ] = None,
    model_retries: Annotated[
        int | None, typer.Option(help="How often it is asked again before it answers.", show_default="2")
    ] = None,
    model_titles: Annotated[
        bool | None, typer.Option("--model-titles/--no-model-titles", help="Let the model make titles.")
    ] = None,
    responses_state: ResponsesState = None,
    conversations: ConversationKeeper = None,
    system_prompt: Annotated[str | None, typer.Option(help="What the model is told before each session.")] = None,
    history_tokens: Annotated[
        int | None, typer.Option(help="How much of a session the model is sent.", show_default="8000")
    ] = None,
) -> None:
    """Serve the workspace over HTTP until Ctrl-C. The first start makes an admin token and prints it once."""
    flags = locals().copy()  # each setting has the name of its parameter, except the lists
    wiring.check_installed("server", "`chatkeep serve`")
    chosen = settings_from(
        flags | {"allow_hosts": allow_host, "trusted_proxies": trusted_proxy, "cors_origins": cors_origin}, os.environ
    )
    wiring.start_log()
    with _bound(chosen) as listener, workspace_store(chosen, watch=True, on_problem=wiring.warn_of) as served:
        code, tokens = SignInCode(), wiring.token_file(chosen.workspace)
        _greet(chosen, tokens, listener.getsockname()[1], code.unspent)
        wiring.serve_store(chosen, served, tokens, listener, code)


def _bound(chosen: Settings) -> socket.socket:
    try:
        family = socket.getaddrinfo(chosen.host, chosen.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((chosen.host, chosen.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        place = f"{chosen.host} port {chosen.port}"
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise ChatkeepError(f"Cannot listen on {place}: {reason}. Choose others with --host and --port.") from error


def _first(tokens: TokenFile) -> tuple[str, str] | None:
    """Return the token of a first start and its description; None if tokens exist.

    If the disk refuses a new token, one lasts until the server ends, so readable sessions are served all the same.

    Raises:
        StorageError: when existing tokens cannot be read.
    """
    try:
        first = tokens.create_first()
    except (StorageFullError, StorageReadOnlyError, StorageDeniedError) as error:
        secret, _ = tokens.lend()
        return secret, f"A token that reads and deletes, until this server ends, for none can be kept: {error}\nToken"
    return None if first is None else (first[0], "Admin token, shown this once")


def _greet(chosen: Settings, tokens: TokenFile, port: int, code: str | None) -> None:
    address = server_url(chosen.host, port)
    with named(chosen.workspace):
        first = _first(tokens)
    screen.say(f"Workspace: {chosen.workspace}")
    if chosen.store:
        screen.say(f"Store: {chosen.place}")
    screen.say(f"Listening on {address}  (docs at {address}/docs, Ctrl-C stops)")
    screen.say(f"Open the page, once within an hour: {address}/#code={code}")
    if chosen.host in _EVERYWHERE and not chosen.allow_hosts:
        screen.say("Known as localhost only; add the names that others call it by with --allow-host.")
    if first is not None:
        header = shlex.quote(f"Authorization: Bearer {first[0]}")
        screen.say(f"{first[1]}: {first[0]}")
        screen.say(f"  curl -H {header} {address}/api/sessions")
    else:
        screen.say("There are tokens, which are not shown again; `chatkeep token create` makes another.")
    screen.say(_limits(chosen))


def server_url(host: str, port: int) -> str:
    """Return the address of a server on this machine for its browsers."""
    shown = "127.0.0.1" if host in _EVERYWHERE else host
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


def _limits(chosen: Settings) -> str:
    rates = (chosen.rate_limit_ip, chosen.rate_limit_token, chosen.rate_limit_model)
    address, token, model = (str(rate or "no limit") for rate in rates)
    return (
        f"Requests a minute: {address} from one address, {token} with one token, {model} with one token to the model"
        " (/v1). A token from `chatkeep token create --rate N` has its own limit instead."
    )
