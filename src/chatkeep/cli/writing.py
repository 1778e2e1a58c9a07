"""Commands to change sessions: `append_command`, `rename`, `delete_command`."""

# ruff: noqa: PLR0913 - a command has as many parameters as it has options

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from chatkeep.cli import completing, facts, screen
from chatkeep.cli.interrupts import stoppable
from chatkeep.cli.moments import moment
from chatkeep.cli.options import (
    AsJson,
    ChannelOption,
    ExpectCount,
    KeyArgument,
    PrefixOption,
    Workspace,
    choice,
    existing_keys,
    made_sessions,
    opened_sessions,
)
from chatkeep.core.bounds import MESSAGE_BYTES_MAX
from chatkeep.core.standing import ROLES
from chatkeep.errors import ChatkeepError, InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatkeep.sessions.sessions import Sessions

_NAMED_KEYS = 20  # keys in the question before a deletion


def append_command(
    key: KeyArgument,
    text: Annotated[str, typer.Argument(help="What is said, or - to read it from stdin.", show_default=False)],
    *,
    role: Annotated[
        str,
        typer.Option(
            help=f"Who says it: {', '.join(ROLES)}.", show_default=False, autocompletion=completing.one_of(*ROLES)
        ),
    ],
    message_id: Annotated[
        str | None, typer.Option("--id", help="An id of your own: a repetition stores nothing.", show_default=False)
    ] = None,
    expect_count: ExpectCount = None,
    create: Annotated[bool, typer.Option("--create/--no-create", help="Make the session if there is none.")] = True,
    channel: Annotated[str | None, typer.Option(help="Channel of a new session.", show_default=False)] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Append a message to a session; it is on the disk when this returns.

    From stdin, one trailing line end is left out.
    """
    from chatkeep.core.model import Draft  # noqa: PLC0415 - not for help, nor for completion

    content = stdin_text() if text == "-" else text
    if not content:
        raise InvalidError("text", "there is nothing to append")
    draft = Draft(role=choice("--role", role, ROLES), content=content, id=message_id)
    with (made_sessions if create else opened_sessions)(workspace) as sessions:
        appended = sessions.append(key, [draft], channel=channel, create=create, expect_count=expect_count)
    if as_json:
        from chatkeep.wire.answers import append_answer  # noqa: PLC0415 - only for programs

        screen.show_json(append_answer(appended))
        return
    seq = appended.receipts[0].seq
    if appended.stored_count:
        screen.say(f"Stored as message {seq} of {screen.safe_text(appended.key, one_line=True)}.")
    else:
        screen.say(f"Nothing new: this is message {seq} of {screen.safe_text(appended.key, one_line=True)} already.")


def rename(
    key: KeyArgument,
    title: Annotated[str, typer.Argument(help="The title, 1 to 200 characters.", show_default=False)],
    *,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Give a session a title."""
    with opened_sessions(workspace) as sessions:
        summary = sessions.rename(key, title)
    if as_json:
        screen.show_json(facts.listed(summary))
    else:
        screen.say(f"Renamed to: {screen.safe_text(summary.title, one_line=True)}")


def delete_command(
    keys: Annotated[
        list[str] | None,
        typer.Argument(help="Keys of sessions.", show_default=False, autocompletion=completing.key_completions),
    ] = None,
    *,
    prefix: PrefixOption = "",
    channel: ChannelOption = None,
    older_than: Annotated[
        str, typer.Option(help="Only sessions without activity for 30d, 12h ... or since a day.")
    ] = "",
    trash: Annotated[
        bool | None,
        typer.Option("--trash/--no-trash", help="Keep them in the trash.", show_default="as the settings say"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Delete sessions: those with the given keys, or all matching every given filter.

    They are gone for good, unless the setting `trash_days` or `--trash` keeps them in the trash.
    """
    if bool(keys) == bool(prefix or channel or older_than):
        raise InvalidError("KEY", "give keys, or at least one of --prefix, --channel and --older-than")
    with opened_sessions(workspace) as sessions:
        doomed = existing_keys(sessions, keys, "deleted") if keys else _matching(sessions, prefix, channel, older_than)
        if not dry_run:
            is_kept = sessions.trash.days > 0 if trash is None else trash
            _ask(doomed, "to the trash" if is_kept else "for good", yes=yes)
            doomed = _deleted(sessions, doomed, to_trash=is_kept)
    if as_json:
        from chatkeep.wire.answers import BulkAnswer  # noqa: PLC0415 - only for programs

        screen.show_json(BulkAnswer(keys=tuple(doomed), count=len(doomed), dry_run=dry_run))
        return
    what = screen.counted(len(doomed), "session")
    screen.say(f"Would delete {what}:" if dry_run else f"Deleted {what}.")
    for key in doomed if dry_run else ():
        screen.say(screen.safe_text(key, one_line=True))


def _deleted(sessions: Sessions, keys: Sequence[str], *, to_trash: bool) -> Sequence[str]:
    """Delete sessions one by one, and return the keys of the existing ones."""
    removed: list[str] = []
    with stoppable(lambda: f"{len(removed):,} of {screen.counted(len(keys), 'session')} are deleted."):
        for key in keys:
            removed += sessions.delete_all([key], to_trash=to_trash)
    return removed


def stdin_text() -> str:
    """Return all of stdin as a text, without one trailing line end.

    Raises:
        InvalidError: when it is not UTF-8.
    """
    data = stdin_bytes(MESSAGE_BYTES_MAX + 2)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if len(data) > MESSAGE_BYTES_MAX:  # perhaps cut inside a character; a later check refuses the size
            return data.decode(errors="replace")
        raise InvalidError("stdin", "is not UTF-8 text") from error
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def stdin_bytes(bytes_max: int) -> bytes:
    """Return the bytes of stdin, at most so many."""
    return sys.stdin.buffer.read(bytes_max)


def _matching(sessions: Sessions, prefix: str, channel: str | None, older_than: str) -> Sequence[str]:
    from chatkeep.core.model import Selection  # noqa: PLC0415 - not for help, nor for completion

    before = moment("--older-than", older_than, sessions.now()) if older_than else None
    selection = Selection(prefixes=(prefix,), channel=channel, archived=None, updated_before=before)
    keys = sessions.keys(selection).keys
    if not keys:
        raise NotFoundError("No session matches; nothing was deleted.")
    return keys


def _ask(keys: Sequence[str], where: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidError("--yes", "is needed where nobody can be asked; nothing was deleted")
    for key in keys[:_NAMED_KEYS]:
        screen.complain(key)
    if len(keys) > _NAMED_KEYS:
        screen.complain(f"... and {len(keys) - _NAMED_KEYS:,} more")
    if not typer.confirm(f"Delete {screen.counted(len(keys), 'session')} {where}?", err=True):
        raise ChatkeepError("Nothing was deleted.")
