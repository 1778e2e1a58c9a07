"""Commands for the trash: `trash list`, `trash restore`, `trash purge`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from chatkeep.cli import facts, screen
from chatkeep.cli.moments import moment
from chatkeep.cli.options import AsJson, PrefixOption, Workspace, opened_sessions
from chatkeep.core.life.trashing import Trashed
from chatkeep.errors import ChatkeepError, InvalidError, NotFoundError
from chatkeep.sessions.trash_can import check_purged
from chatkeep.wire.lives import PurgeAnswer, TrashList

trash_app = typer.Typer(
    help="List deleted sessions, bring them back, remove them for good.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@trash_app.command("list")
def list_trashed(*, prefix: PrefixOption = "", workspace: Workspace = None, as_json: AsJson = False) -> None:
    """List the sessions in the trash, the last deleted first."""
    with opened_sessions(workspace) as sessions:
        found = sessions.trash.sessions(prefix)
    if as_json:
        screen.show_json(TrashList(sessions=found, count=len(found)))
        return
    if not found:
        screen.complain("The trash is empty.")
    for one in found:
        _show(one)


@trash_app.command("restore")
def restore_trashed(
    key: Annotated[str, typer.Argument(help="The key of the session.", show_default=False)],
    *,
    trash_id: Annotated[
        str | None, typer.Option("--id", help="Its id in the list, if the key is there twice.", show_default=False)
    ] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Bring a session back from the trash, as it was."""
    with opened_sessions(workspace) as sessions:
        summary = sessions.trash.restore(key, trash_id=trash_id)
    if as_json:
        screen.show_json(facts.listed(summary))
        return
    count = screen.counted(summary.message_count, "message")
    screen.say(f"Restored {screen.safe_text(summary.header.key, one_line=True)}, with {count}.")


@trash_app.command("purge")
def purge_trashed(  # noqa: PLR0913 - the options of a command
    keys: Annotated[list[str] | None, typer.Argument(help="Keys of sessions.", show_default=False)] = None,
    *,
    prefix: PrefixOption = "",
    older_than: Annotated[str, typer.Option(help="Only sessions deleted 30d, 12h ... ago or before a day.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All of the trash.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Remove sessions from the trash for good: those with the keys, those that match the filters, or all."""
    check_purged(keys=bool(keys), filters=bool(prefix or older_than), everything=everything)
    with opened_sessions(workspace) as sessions:
        before = moment("--older-than", older_than, sessions.now()) if older_than else None
        gone = sessions.trash.purge(prefix, keys=keys or None, before=before, dry_run=True)
        if not gone:
            raise NotFoundError("No session in the trash matches; nothing was removed.")
        if not dry_run:
            _ask(gone, yes=yes)
            gone = sessions.trash.purge(prefix, keys=keys or None, before=before)
    if as_json:
        screen.show_json(PurgeAnswer(sessions=gone, count=len(gone), dry_run=dry_run))
        return
    screen.say(f"{'Would remove' if dry_run else 'Removed'} {screen.counted(len(gone), 'session')} for good.")


def _show(one: Trashed) -> None:
    title = f"  {one.title}" if one.title else ""
    screen.say(screen.safe_text(f"{one.deleted_at:%Y-%m-%d %H:%M}  {one.key}{title}  ({one.id})", one_line=True))


def _ask(gone: Sequence[Trashed], *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidError("--yes", "is needed where nobody can be asked; nothing was removed")
    if not typer.confirm(f"Remove {screen.counted(len(gone), 'session')} for good?", err=True):
        raise ChatkeepError("Nothing was removed.")
