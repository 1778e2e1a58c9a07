"""The command `db`: the tables of a store in PostgreSQL."""

from __future__ import annotations

import os

import typer

from chatkeep.cli import screen
from chatkeep.cli.options import AsJson, Workspace, named
from chatkeep.config import place_from
from chatkeep.errors import ConflictError, NotFoundError
from chatkeep.store.open import state_of_tables

db_app = typer.Typer(help="Make, renew and check the tables of a store in PostgreSQL.", no_args_is_help=True)


@db_app.command("init")
def init_command(*, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Make the tables in the database of the setting `store`; it must have none yet."""
    chosen = place_from(workspace, os.environ)
    with named(chosen.place):
        if state_of_tables(chosen.address).version:
            raise ConflictError("The database has tables of Chatkeep already; `chatkeep db migrate` renews them.")
        state = state_of_tables(chosen.address, renew=True)
    _tell(f"Made the tables, version {state.newest}.", 0, state.newest, as_json=as_json)


@db_app.command("migrate")
def migrate_command(*, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Bring the tables to the newest version. Stop the servers of an older version before."""
    chosen = place_from(workspace, os.environ)
    with named(chosen.place):
        state = state_of_tables(chosen.address, renew=True)
    told = "are of version" if state.is_current else f"went from version {state.version} to"
    _tell(f"The tables {told} {state.newest}.", state.version, state.newest, as_json=as_json)


@db_app.command("check")
def check_command(*, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Tell whether the database can be reached, and whether its tables are of the newest version."""
    chosen = place_from(workspace, os.environ)
    with named(chosen.place):
        state = state_of_tables(chosen.address)
    if not state.version:
        raise NotFoundError("The database has no tables of Chatkeep; `chatkeep db init` makes them.")
    if not state.is_current:
        raise ConflictError(
            f"The tables are of version {state.version}, and this program needs {state.newest}: "
            "`chatkeep db migrate` renews older ones."
        )
    _tell(f"The tables are of version {state.version}, the newest.", state.version, state.newest, as_json=as_json)


def _tell(sentence: str, version: int, newest: int, *, as_json: bool) -> None:
    if as_json:
        screen.show_json({"version": version, "newest": newest})
    else:
        screen.say(sentence)
