"""Shell completion of keys, channels, roles and formats; without a usable workspace, nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from chatkeep.core.keys import composed
from chatkeep.errors import ChatkeepError

if TYPE_CHECKING:
    from chatkeep.config import Settings
    from chatkeep.sessions.sessions import Sessions
    from chatkeep.store.open import KnownNames

_OFFERED: Final = 100  # keys
Complete = Callable[[typer.Context, str], list[str]]


def one_of(*choices: str) -> Complete:
    """Return a completer for a fixed set of words."""

    def complete(_: typer.Context, incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def key_completions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return keys with this beginning, by code point."""

    def ask(sessions: Sessions) -> Sequence[str]:
        from chatkeep.core.model import Selection  # noqa: PLC0415 - only where a store is opened

        return sessions.keys(Selection(prefixes=(incomplete,), archived=None), limit=_OFFERED).keys

    return _looked_up(ctx, lambda names: names.keys(composed(incomplete), _OFFERED), ask)


def channels(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return channels with this beginning."""
    found = _looked_up(ctx, lambda names: names.channels(), lambda sessions: tuple(sessions.status().channels))
    return [channel for channel in found if channel.startswith(incomplete)]


def _looked_up(
    ctx: typer.Context, recall: Callable[[KnownNames], Sequence[str]], ask: Callable[[Sessions], Sequence[str]]
) -> list[str]:
    """Return the names of the workspace, from its store if nothing else knows any.

    They are empty when the workspace is missing or fails, as a completion cannot report errors.
    """
    from chatkeep.config import settings_from  # noqa: PLC0415 - only where a workspace is asked
    from chatkeep.store.open import kind_of  # noqa: PLC0415

    given = ctx.params.get("workspace")
    try:
        settings = settings_from({"workspace": Path(given) if given else None}, os.environ)
        names = kind_of(settings.address).names
        known = recall(names(settings.address)) if names else ()
        return list(known or _asked(settings, ask))
    except ChatkeepError:
        return []


def _asked(settings: Settings, ask: Callable[[Sessions], Sequence[str]]) -> Sequence[str]:
    from chatkeep import wiring  # noqa: PLC0415 - only where a store is opened
    from chatkeep.sessions.sessions import Sessions  # noqa: PLC0415

    if not wiring.is_workspace(settings):
        return ()
    with closing(wiring.opened_store(settings)) as store:
        return ask(Sessions(store))
