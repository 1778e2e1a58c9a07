"""Shell completion of keys, channels, roles and formats; without a usable workspace, nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from chatkeep.errors import ChatkeepError

if TYPE_CHECKING:
    from chatkeep.sessions.sessions import Sessions

_OFFERED: Final = 100  # keys
Complete = Callable[[typer.Context, str], list[str]]


def one_of(*choices: str) -> Complete:
    """Return a completer for a fixed set of words."""

    def complete(_: typer.Context, incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def key_completions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return keys with this beginning, by code point."""
    from chatkeep.core.model import Selection  # noqa: PLC0415 - only where keys are looked up

    chosen = Selection(prefixes=(incomplete,), archived=None)
    return _looked_up(ctx, lambda sessions: sessions.keys(chosen, limit=_OFFERED).keys)


def channels(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return channels with this beginning."""
    found = _looked_up(ctx, lambda sessions: tuple(sessions.status().channels))
    return [channel for channel in found if channel.startswith(incomplete)]


def _looked_up(ctx: typer.Context, ask: Callable[[Sessions], Sequence[str]]) -> list[str]:
    """Return the answer of the workspace; empty when it is missing or fails, as a completion cannot report errors."""
    from chatkeep import wiring  # noqa: PLC0415 - only where a workspace is asked
    from chatkeep.config import settings_from  # noqa: PLC0415
    from chatkeep.sessions.sessions import Sessions  # noqa: PLC0415

    given = ctx.params.get("workspace")
    try:
        settings = settings_from({"workspace": Path(given) if given else None}, os.environ)
        if not wiring.is_workspace(settings):
            return []
        with closing(wiring.opened_store(settings)) as store:
            return list(ask(Sessions(store)))
    except ChatkeepError:
        return []
