"""Every command of the command line, loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from chatkeep.cli import app
from chatkeep.cli.loading import LazyCommand


def all_commands() -> dict[str, Any]:
    """Return each command that does something by its name, as in `token create`."""
    return dict(_loaded(get_command(app), ""))


def _loaded(command: object, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(command, LazyCommand):
        yield from _loaded(command.loaded(), name)
    elif isinstance(command, TyperGroup):
        if command.invoke_without_command:
            yield name, command
        for inner, one in command.commands.items():
            yield from _loaded(one, f"{name} {inner}".strip())
    else:
        yield name, command
