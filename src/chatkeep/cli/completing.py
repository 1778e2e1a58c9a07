"""What the shell offers while a command is typed: keys, channels, roles, formats; nothing where it cannot look."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import typer

from chatkeep import wiring
from chatkeep.config import settings_from
from chatkeep.core.model import Selection
from chatkeep.errors import ChatkeepError
from chatkeep.sessions import Sessions

_OFFERED: Final = 100
Complete = Callable[[typer.Context, str], list[str]]


def one_of(*choices: str) -> Complete:
    """Return what completes a word to one of these."""

    def complete(_: typer.Context, incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def key_completions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return keys that begin so, by code point."""
    chosen = Selection(prefixes=(incomplete,), archived=None)
    return _looked_up(ctx, lambda sessions: sessions.keys(chosen, limit=_OFFERED).keys)


def channels(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return channels that begin so."""
    found = _looked_up(ctx, lambda sessions: tuple(sessions.status().channels))
    return [channel for channel in found if channel.startswith(incomplete)]


def _looked_up(ctx: typer.Context, ask: Callable[[Sessions], Sequence[str]]) -> list[str]:
    """Return what a workspace answers, nothing when there is none: a completion has nobody to tell of errors."""
    given = ctx.params.get("workspace")
    try:
        settings = settings_from({"workspace": Path(given) if given else None}, os.environ)
        if not wiring.is_workspace(settings.workspace):
            return []
        with closing(wiring.opened_store(settings)) as store:
            return list(ask(Sessions(store)))
    except ChatkeepError:
        return []
