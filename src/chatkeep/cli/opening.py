"""The command `open`: a link that signs a browser in to the page of a running server."""

from __future__ import annotations

import os
import socket
import webbrowser
from typing import Annotated
from urllib.parse import urlsplit

import typer

from chatkeep import wiring
from chatkeep.access.sign_in_links import SignInLinks
from chatkeep.cli import screen
from chatkeep.cli.options import AsJson, Workspace, check_existing, named
from chatkeep.cli.serving import server_url
from chatkeep.config import settings_from
from chatkeep.errors import ChatkeepError, InvalidError

_PATIENCE_S = 2.0  # seconds that a server may take to accept a connection


def open_page(
    *,
    workspace: Workspace = None,
    url: Annotated[
        str, typer.Option(help="Address of the server, as the browser reaches it.", show_default="from the settings")
    ] = "",
    browser: Annotated[bool, typer.Option("--browser", help="Open the link in the browser, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a link that signs a browser in to the page, once within an hour."""
    chosen = settings_from({"workspace": workspace}, os.environ)
    check_existing(chosen)
    address = url.rstrip("/") or server_url(chosen.host, chosen.port)
    _check_answers(address)
    with named(chosen.workspace):
        code = SignInLinks(wiring.token_file(chosen.workspace)).make()
    link = f"{address}/#code={code}"
    if as_json:
        screen.show_json({"url": link})
    else:
        screen.say(link)
    if browser and not webbrowser.open(link):
        raise ChatkeepError("No browser could be started here; open the link yourself.")


def _check_answers(address: str) -> None:
    """Check that a server listens at an address.

    Raises:
        InvalidError: when the address is no URL of a server.
        ChatkeepError: when nobody listens there.
    """
    try:
        parts = urlsplit(address)
        place = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    except ValueError as error:
        raise InvalidError("--url", "must be an address such as http://127.0.0.1:8000") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidError("--url", "must be an address such as http://127.0.0.1:8000")
    try:
        socket.create_connection(place, _PATIENCE_S).close()
    except (OSError, UnicodeError) as error:
        remedy = "Start one with `chatkeep serve`, or name its address with --url."
        raise ChatkeepError(f"No server answers at {address}. {remedy}") from error
