"""Commands for tokens: `token create`, `token list`, `token revoke`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from chatkeep import wiring
from chatkeep.bodies import parse_duration
from chatkeep.cli import screen
from chatkeep.cli.options import AsJson, Workspace, named
from chatkeep.config import workspace_from
from chatkeep.core.model import Json
from chatkeep.sessions import now_utc
from chatkeep.tokens import DEFAULT_SCOPES, SCOPES, Token, TokenFile

app = typer.Typer(help="Make, list and revoke the tokens that let programs in.", no_args_is_help=True)


@app.command("create")
def create(
    *,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(SCOPES)}; repeat it for several.", show_default=", ".join(DEFAULT_SCOPES)),
    ] = None,
    prefix: Annotated[str, typer.Option(help="Confine it to the keys that begin like this.")] = "",
    expires: Annotated[str, typer.Option(help="How long it is good for: 30d, 12h, 90s.")] = "",
    rate: Annotated[
        int | None, typer.Option(help="Its own limit of requests a minute, 0 for none.", show_default=False)
    ] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it: this once, for it is kept nowhere."""
    with _file(workspace) as file:
        secret, token = file.create(
            name,
            scopes=scope or DEFAULT_SCOPES,
            prefix=prefix,
            lifetime=parse_duration("--expires", expires) if expires else None,
            rate=rate,
        )
    if as_json:
        screen.show_json({"token": secret, **_facts(token)})
        return
    screen.say(secret)
    screen.complain(f"Token {token.id} with {', '.join(token.scopes)}. It is not shown again.")


@app.command("list")
def list_tokens(*, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """List the tokens, expired ones included; their secrets are not known."""
    with _file(workspace) as file:
        tokens = file.all()
    if as_json:
        screen.show_json({"tokens": [_facts(token) for token in tokens]})
    elif not tokens:
        screen.say("No tokens. `chatkeep serve` makes the first one, `chatkeep token create` others.")
    else:
        screen.show_table(("ID", "NAME", "SCOPES", "PREFIX", "RATE", "EXPIRES"), [_row(token) for token in tokens])


@app.command("revoke")
def revoke(
    token: Annotated[str, typer.Argument(help="The id of a token, or the token itself.", show_default=False)],
    *,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Take a token back; it is refused from the next request on."""
    with _file(workspace) as file:
        revoked = file.revoke(token)
    if as_json:
        screen.show_json({"revoked": _facts(revoked)})
    else:
        screen.say(f"Revoked token {revoked.id}.")


@contextmanager
def _file(workspace: Path | None) -> Iterator[TokenFile]:
    place = workspace_from(workspace, os.environ)
    with named(place):
        yield wiring.token_file(place)


def _row(token: Token) -> tuple[str, ...]:
    expires = "never" if token.expires_at is None else f"{token.expires_at:%Y-%m-%d %H:%M} UTC"
    expired = " (expired)" if token.expired(now_utc()) else ""
    rate = "" if token.rate is None else str(token.rate)
    return (token.id, token.name, ", ".join(token.scopes), token.prefix, rate, expires + expired)


def _facts(token: Token) -> dict[str, Json]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": token.scopes,
        "prefix": token.prefix,
        "rate": token.rate,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "expired": token.expired(now_utc()),
    }
