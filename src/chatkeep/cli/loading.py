"""Commands, each loaded when it is called. The list of them needs only names and sentences.

Most of a command's time goes into loading modules. Typer checks values with pydantic, and pydantic alone loads longer
than the whole command `list`: it is loaded only for a value in need of a check.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Final, get_args

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

COMMANDS: Final = {
    "serve": ("serving.serve", "Serve the workspace over HTTP until Ctrl-C."),
    "mcp": ("mcp_serving.mcp_app", "Serve sessions over stdin and stdout to the agent that starts this (MCP)."),
    "open": ("opening.open_page", "Print a link that signs a browser in to the page, once within an hour."),
    "list": ("reading.list_command", "List sessions, the latest activity first."),
    "show": ("reading.show", "Show the newest messages of a session, oldest first."),
    "search": ("reading.search_command", "Find sessions by the text of their messages, and by their names."),
    "watch": ("watching.watch", "Print every change to a session, by any process, until Ctrl-C."),
    "chat": ("chatting.chat_command", "Chat with the model, or ask it one question."),
    "append": ("writing.append_command", "Append a message to a session; it is on the disk when this returns."),
    "drop": ("rewinding.drop_command", "Take back messages of a session; the log keeps them."),
    "replace": (
        "rewinding.replace_command",
        "Replace all messages of a session by those of a file, in one step; those that begin both alike stay.",
    ),
    "create": ("rewinding.create_command", "Begin a session without messages; fail if its key has one."),
    "fork": ("rewinding.fork_command", "Begin a session with the first messages of another one, as far as they stand."),
    "compact": ("compaction.compact_command", "Erase dropped messages for good."),
    "rename": ("writing.rename", "Give a session a title."),
    "tag": ("marking.tag", "Give a session tags."),
    "untag": ("marking.untag", "Take tags from a session."),
    "pin": ("marking.pin", "Pin sessions."),
    "unpin": ("marking.unpin", "Unpin sessions."),
    "archive": ("marking.archive", "Archive sessions."),
    "unarchive": ("marking.unarchive", "Take sessions out of the archive."),
    "hold": ("marking.hold_command", "Hold sessions."),
    "release": ("marking.release_command", "Release sessions that were held."),
    "link": ("linking.link_command", "Link sessions to a person; no session changes, and `unlink` takes it back."),
    "unlink": ("linking.unlink_command", "Let sessions belong to nobody."),
    "people": (
        "linking.people_command",
        "List the people, or show what one of them said and heard in all sessions, merged by time.",
    ),
    "delete": ("writing.delete_command", "Delete sessions."),
    "trash": ("deleted.trash_app", "List deleted sessions, bring them back, remove them for good."),
    "prune": ("pruning.prune", "Archive or delete what the retention rules say, and print what went and why."),
    "webhooks": ("telling_others.hooks_app", "List webhooks, try them, and send again what nobody took."),
    "export": ("exporting.export", "Write sessions for a later import, for people or for models."),
    "import": ("transfer.import_", "Import sessions from files."),
    "sync": ("sync.sync", "Take in the histories of other programs on this machine, and follow them until Ctrl-C."),
    "stats": (
        "status.stats_command",
        "Show the counts of sessions and messages, by time, channel and tag, and their size.",
    ),
    "usage": (
        "usage.usage_command",
        "Show the tokens and the cost of the models' answers, by day, model, channel, session or tag.",
    ),
    "doctor": (
        "doctor.doctor",
        "Check every file and list each problem with its remedy; nothing changes without --fix.",
    ),
    "backup": (
        "backup.backup",
        "Write all sessions to one file, each as of one moment, even while others write.",
    ),
    "restore": ("backup.restore_command", "Restore the sessions of a backup, after checking all of them."),
    "reindex": ("status.reindex", "Rebuild the index from the files."),
    "db": ("db_tables.db_app", "Make, renew and check the tables of a store in PostgreSQL."),
    "demo": ("transfer.demo", "Add the sample sessions, to try things out; a second run adds nothing."),
    "token": ("tokens.tokens_app", "Make, list and revoke the tokens that let programs in."),
}
"""The place of each command, a function or an app of several, and the first sentence of its description."""

_INTEGER: Final = re.compile(r"-?[0-9]{1,15}")


class LazyCommand(TyperCommand):
    """A command by its name and its sentence; it is loaded for a call, for its help and for its options."""

    def __init__(self, name: str, place: str, sentence: str) -> None:
        """Take the place of the command, as in `COMMANDS`."""
        super().__init__(name, short_help=sentence, rich_markup_mode=None)
        self._place = place

    def make_context(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401 - as Typer has it
        """Return the context of the command itself."""
        return self.loaded().make_context(*args, **extra)

    def loaded(self) -> Any:  # noqa: ANN401 - Typer has no public name for what a command is
        """Return the command itself."""
        module, _, name = self._place.partition(".")
        command = getattr(import_module(f"chatkeep.cli.{module}"), name)
        if isinstance(command, typer.Typer):
            command.info.cls = Group
            for one in command.registered_commands:
                one.cls, one.short_help = Command, first_sentence(one.callback)
            return get_command(command)
        alone = typer.Typer(rich_markup_mode=None, add_completion=False)
        alone.command(self.name, cls=Command)(command)
        return get_command(alone)


class Command(TyperCommand):
    """A command; its parameters take plain values without pydantic."""

    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401 - as Typer has it
        """Return the parameters."""
        return _plain(super().get_params(ctx))


class Group(TyperGroup):
    """Several commands; their options take plain values without pydantic."""

    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401 - as Typer has it
        """Return the parameters."""
        return _plain(super().get_params(ctx))


class AllCommands(Group):
    """All commands of the command line, none of them loaded."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - as Typer has it
        """Take what Typer gives a group."""
        commands = {name: LazyCommand(name, *about) for name, about in COMMANDS.items()}
        super().__init__(**{**attributes, "commands": commands})


def first_sentence(command: object) -> str:
    """Return the first sentence of a command's description, for the list of commands."""
    line = (command.__doc__ or "").partition("\n")[0]
    return re.split(r"(?<=[.:])\s", line)[0].rstrip(":.") + "."


class _Plain:
    """How a parameter takes a value: at once if a check could only agree, else in Typer's way."""

    def __init__(self, checked: Callable[[], Any]) -> None:
        self._checked = checked

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401 - as Typer has it
        """Return the value for the command."""
        is_list = param.multiple or param.nargs == -1
        if value is None:
            return () if is_list else None
        about = param.type_descriptor
        item = (get_args(about.annotation) or (about.annotation,))[0]
        read = about.parameter_info.parser or _READERS.get(item)
        if read is not None and is_list == isinstance(value, list | tuple):
            with contextlib.suppress(ValueError):
                return [read(one) for one in value] if is_list else read(value)
        return self._checked().coerce(value, param=param, ctx=ctx)


def _plain(params: Any) -> Any:  # noqa: ANN401 - Typer has no public name for what a parameter is
    """Let parameters take plain values at once; a Typer with other checks keeps them."""
    for param in params:
        checked = getattr(param, "get_runtime_param", None)
        if checked is not None and not isinstance(checked, partial):
            param.get_runtime_param = partial(_Plain, checked)
    return params


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - how a parser says that it cannot read something
    return value


def _integer(value: object) -> int:
    if type(value) is int:
        return value
    if not _INTEGER.fullmatch(_text(value)):
        raise ValueError
    return int(_text(value))


_READERS: Final[Mapping[object, Callable[[object], object]]] = {str: _text, int: _integer}
