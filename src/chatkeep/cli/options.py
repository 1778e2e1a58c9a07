"""The options that many commands share, and the workspace that they open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from chatkeep import wiring
from chatkeep.cli import screen
from chatkeep.config import Settings, settings_from
from chatkeep.sessions import Sessions

Workspace = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        help="Folder of the sessions; else $CHATKEEP_WORKSPACE, else the platform's data folder.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Channel = Annotated[str | None, typer.Option(help="Only sessions of this channel.", show_default=False)]
Prefix = Annotated[str, typer.Option(help="Only sessions whose key begins like this.", show_default=False)]
Key = Annotated[str, typer.Argument(help="The key of the session.", show_default=False)]


def settings(workspace: Path | None) -> Settings:
    """Return the settings for a command that works on the workspace directly."""
    return settings_from({"workspace": workspace}, os.environ)


@contextmanager
def opened_sessions(workspace: Path | None) -> Iterator[Sessions]:
    """Yield the sessions of a workspace, safely beside running servers."""
    with opened_store(settings(workspace)) as store:
        yield Sessions(store)


@contextmanager
def opened_store(chosen: Settings, *, watch: bool = False) -> Iterator[wiring.Backend]:
    """Yield the store of a workspace; when its index has to be built, a bar shows how far it is."""
    with screen.count_bar("Indexing") as on_progress:
        store = wiring.opened_store(chosen, watch=watch, on_progress=on_progress)
    try:
        yield store
    finally:
        store.close()
