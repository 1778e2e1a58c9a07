"""Commands for tokens: `token create`, `token list`, `token revoke`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from chatkeep.access.page_sessions import PageSession, PageSessions
from chatkeep.access.tokens import DEFAULT_SCOPES, SCOPES, Token, TokenFile
from chatkeep.cli import screen
from chatkeep.cli.options import AsJson, Workspace, check_existing, choice, named
from chatkeep.config import Settings, workspace_from
from chatkeep.core.model import Json
from chatkeep.errors import NotFoundError
from chatkeep.sessions.message_ids import now_utc
from chatkeep.wire.bodies import parse_duration

tokens_app = typer.Typer(
    help="Make, list and revoke the tokens that let programs in.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@tokens_app.command("create")
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
    """Make a token and print it. This is the only time: its secret is stored nowhere."""
    for one in scope or ():
        choice("--scope", one, SCOPES)
    with _files(workspace) as (file, _):
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


@tokens_app.command("list")
def list_tokens(*, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """List the tokens, even expired ones, and the browsers signed in to the page, without their secrets."""
    check_existing(Settings(workspace=workspace_from(workspace, os.environ)))
    with _files(workspace) as (file, pages):
        tokens, browsers = file.all(), pages.all()
    names = {token.id: token.name or token.id for token in tokens}
    if as_json:
        shown = [_facts_of_page(page, names) for page in browsers]
        screen.show_json({"tokens": [_facts(token) for token in tokens], "page_sessions": shown})
        return
    if tokens:
        screen.show_table(("ID", "NAME", "SCOPES", "PREFIX", "RATE", "EXPIRES"), [_row(token) for token in tokens])
    else:
        screen.say("No tokens. `chatkeep serve` makes the first one, `chatkeep token create` others.")
    if browsers:
        screen.say("\nSigned in to the page:")
        screen.show_table(("ID", "BY", "BROWSER", "SINCE", "EXPIRES"), [_row_of_page(page, names) for page in browsers])


@tokens_app.command("revoke")
def revoke(
    token: Annotated[
        str, typer.Argument(help="The id of a token or a page session, or the token itself.", show_default=False)
    ],
    *,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a token and sign out its browsers, or end one page session; effective at once."""
    check_existing(Settings(workspace=workspace_from(workspace, os.environ)))
    with _files(workspace) as (file, pages):
        names = {known.id: known.name or known.id for known in file.all()}
        try:
            revoked = file.revoke(token)
        except NotFoundError:
            ended = _ended(pages, token)
            facts, said = _facts_of_page(ended, names), f"Ended page session {ended.id}."
        else:
            facts, said = _facts(revoked), f"Revoked token {revoked.id}."
    if as_json:
        screen.show_json({"revoked": facts})
    else:
        screen.say(said)


def _ended(pages: PageSessions, id_or_secret: str) -> PageSession:
    try:
        return pages.end(id_or_secret)
    except NotFoundError as error:
        raise NotFoundError("No token or page session has this id or secret.") from error


@contextmanager
def _files(workspace: Path | None) -> Iterator[tuple[TokenFile, PageSessions]]:
    from chatkeep import wiring  # noqa: PLC0415 - not for help

    place = workspace_from(workspace, os.environ)
    with named(place):
        yield wiring.token_file(place), wiring.page_sessions(place)


def _row(token: Token) -> tuple[str, ...]:
    expires = "never" if token.expires_at is None else _at(token.expires_at)
    expired = " (expired)" if token.expired(now_utc()) else ""
    rate = "" if token.rate is None else str(token.rate)
    return (token.id, token.name, ", ".join(token.scopes), token.prefix, rate, expires + expired)


def _row_of_page(page: PageSession, names: Mapping[str, str]) -> tuple[str, ...]:
    expired = " (expired)" if page.expired(now_utc()) else ""
    by = names.get(page.token_id, "a sign-in link")
    return (page.id, by, page.browser, _at(page.created_at), _at(page.expires_at) + expired)


def _at(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _facts_of_page(page: PageSession, names: Mapping[str, str]) -> dict[str, Json]:
    return {
        "id": page.id,
        "token_id": page.token_id or None,
        "token_name": names.get(page.token_id),
        "browser": page.browser,
        "created_at": page.created_at,
        "expires_at": page.expires_at,
        "expired": page.expired(now_utc()),
    }


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
