"""The options that many commands share, and the workspace that they open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from chatkeep import wiring
from chatkeep.cli import screen
from chatkeep.config import Settings, settings_from
from chatkeep.core.model import Json
from chatkeep.errors import InvalidError, NotFoundError, StorageError
from chatkeep.sessions import Sessions


def path_of(text: str) -> Path:
    """Return the path that an argument names; an empty one would be the current folder."""
    if not text:
        raise typer.BadParameter("must not be empty")
    return Path(text)


Workspace = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        parser=path_of,
        metavar="DIR",
        help="Folder of the sessions; else $CHATKEEP_WORKSPACE, else the platform's data folder.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Channel = Annotated[str | None, typer.Option(help="Only sessions of this channel.", show_default=False)]
Prefix = Annotated[str, typer.Option(help="Only sessions whose key begins like this.", show_default=False)]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="Only sessions with this tag; repeated, with all.", show_default=False),
]
Pinned = Annotated[bool | None, typer.Option(help="Only pinned sessions, or only others.", show_default=False)]
Key = Annotated[str, typer.Argument(help="The key of the session.", show_default=False)]


def choice(option: str, given: str, allowed: tuple[str, ...]) -> Json:
    """Return what is given to an option that has these choices."""
    if given not in allowed:
        raise InvalidError(option, f"must be one of {', '.join(allowed)}")
    return given


def settings(workspace: Path | None) -> Settings:
    """Return the settings for a command that works on the workspace directly, and makes it if there is none."""
    return settings_from({"workspace": workspace}, os.environ)


def existing(workspace: Path | None) -> Settings:
    """Return the settings for a command that makes no workspace.

    Raises:
        NotFoundError: when there is none, as where its name is mistyped.
    """
    chosen = settings(workspace)
    check_existing(chosen.workspace)
    return chosen


def check_existing(place: Path) -> None:
    """Check that there is a workspace.

    Raises:
        NotFoundError: when there is none.
    """
    with named(place):
        if not wiring.is_workspace(place):
            raise NotFoundError(
                f"There is no workspace in {place}. Name another with --workspace or CHATKEEP_WORKSPACE, or make "
                "one: `chatkeep demo` puts samples into it, `chatkeep serve` serves it."
            )


@contextmanager
def named(workspace: Path) -> Iterator[None]:
    """Name the workspace in front of what goes wrong with it; a server must not tell where it lies."""
    try:
        yield
    except StorageError as error:
        error.args = (f"{workspace}: {error}",)
        raise


@contextmanager
def opened_sessions(workspace: Path | None) -> Iterator[Sessions]:
    """Yield the sessions of a workspace that there is, safely beside running servers."""
    with opened_store(existing(workspace)) as store:
        yield Sessions(store)


@contextmanager
def made_sessions(workspace: Path | None) -> Iterator[Sessions]:
    """Yield the sessions of a workspace, which is made if there is none, safely beside running servers."""
    with opened_store(settings(workspace)) as store:
        yield Sessions(store)


@contextmanager
def opened_store(
    chosen: Settings, *, watch: bool = False, on_problem: Callable[[str, str], None] | None = None
) -> Iterator[wiring.Backend]:
    """Yield the store of a workspace; when its index has to be built, a bar shows how far it is."""
    with named(chosen.workspace), screen.count_bar("Indexing") as on_progress:
        store = wiring.opened_store(chosen, watch=watch, on_progress=on_progress, on_problem=on_problem)
    try:
        yield store
    finally:
        store.close()
