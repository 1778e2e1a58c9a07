"""The command `mcp`: the MCP server for a program on this machine, and its entry in the program's settings."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from chatkeep import wiring
from chatkeep.cli import screen
from chatkeep.cli.options import Workspace, choice, existing, workspace_store
from chatkeep.core.keys import composed
from chatkeep.disk.replacing import fresh_file
from chatkeep.errors import ConflictError, InvalidError, NotFoundError
from chatkeep.mcp.agent_settings import AGENTS, TOKEN_VARIABLE, Agent, ServerEntry

_KNOWN: Final = ", ".join(one.name for one in AGENTS)
mcp_app = typer.Typer(
    help="Serve sessions over stdin and stdout to the agent that starts this (MCP).",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
)


@mcp_app.callback()
def serve_mcp(
    context: typer.Context,
    *,
    workspace: Workspace = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Offer no tools that store something.")] = False,
    prefix: Annotated[str, typer.Option(help="Confine it to the keys that begin like this.")] = "",
) -> None:
    """Serve sessions over stdin and stdout to the agent that starts this (MCP)."""
    if context.invoked_subcommand is not None:
        return
    wiring.check_installed("mcp", "`chatkeep mcp`")
    import anyio  # noqa: PLC0415 - not for help

    from chatkeep.mcp.doors import serve_stdio  # noqa: PLC0415 - loads the SDK
    from chatkeep.sessions.sessions import Sessions  # noqa: PLC0415

    with workspace_store(existing(workspace), watch=True) as store:
        sessions = Sessions(store).confined(composed(prefix))
        anyio.run(lambda: serve_stdio(sessions, only_reads=read_only))


@mcp_app.command("install")
def install(
    agent: Annotated[str, typer.Argument(help=f"One of {_KNOWN}.", show_default=False)],
    *,
    url: Annotated[
        str, typer.Option(help=f"Address of a running server (.../mcp); its token comes from ${TOKEN_VARIABLE}.")
    ] = "",
    read_only: Annotated[bool, typer.Option("--read-only", help="Offer no tools that store something.")] = False,
    prefix: Annotated[str, typer.Option(help="Confine it to the keys that begin like this.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: Workspace = None,
) -> None:
    """Add Chatkeep to the MCP servers of a program, after asking. Nothing else in its settings changes."""
    choice("AGENT", agent, tuple(one.name for one in AGENTS))
    if url and (read_only or prefix):
        raise InvalidError("--url", "takes no --read-only or --prefix: the agent's token says what it may do")
    known = next(one for one in AGENTS if one.name == agent)
    entry = ServerEntry(url=_checked(url)) if url else _started(workspace, prefix, read_only=read_only)
    path = _settings_file(known)
    before = path.read_bytes() if path.exists() else b""
    try:
        after = known.text_with(before.decode(), entry).encode()
    except UnicodeDecodeError as error:
        raise InvalidError("settings", f"in {path} are not UTF-8") from error
    if after == before:
        screen.say(f"{path} has Chatkeep already.")
        return
    _ask_for(path, entry, yes=yes)
    _replace(path, before, after)
    screen.say(f"Added Chatkeep to {path}. Start {agent} anew to use it.")


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidError("--url", "must be the address of a server, such as http://127.0.0.1:8000/mcp")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise InvalidError("--url", f"must have no token in it: that comes from the variable {TOKEN_VARIABLE}")
    return url


def _started(workspace: Path | None, prefix: str, *, read_only: bool) -> ServerEntry:
    """Return the entry to start the server on an existing workspace, wherever the program runs."""
    place = existing(workspace).workspace.absolute()
    options = (*(("--prefix", prefix) if prefix else ()), *(("--read-only",) if read_only else ()))
    return ServerEntry(command=sys.executable, arguments=("-m", "chatkeep", "mcp", "--workspace", str(place), *options))


def _settings_file(known: Agent) -> Path:
    """Return the file of the settings, behind links.

    Raises:
        NotFoundError: when its folder does not exist.
    """
    own = os.environ.get(known.folder) if known.folder else None
    path = Path(own) / known.file.name if own else Path.home() / known.file
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise NotFoundError(f"There is no {path.parent}: is {known.name} installed?")
    return path


def _ask_for(path: Path, entry: ServerEntry, *, yes: bool) -> None:
    way = entry.url or " ".join((entry.command, *entry.arguments))
    screen.complain(f"To add to {path}: the MCP server 'chatkeep' ({way}).")
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidError("--yes", "is needed where nobody can be asked; nothing was changed")
    if not typer.confirm("Add it?", err=True):
        raise typer.Abort


def _replace(path: Path, before: bytes, after: bytes) -> None:
    """Replace the settings, unless somebody changed them meanwhile.

    Raises:
        ConflictError: when somebody did.
    """
    is_there = path.exists()
    if (path.read_bytes() if is_there else b"") != before:
        raise ConflictError(f"{path} changed meanwhile; nothing was written. Try again.")
    mode = path.stat().st_mode & 0o777 if is_there else 0o600
    with fresh_file(path) as file:
        file.write(after)
        os.fchmod(file.fileno(), mode)
