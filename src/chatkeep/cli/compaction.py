"""The command to erase dropped lines for good: `compact_command`."""

from __future__ import annotations

from typing import Annotated

import typer

from chatkeep.cli import completing, screen
from chatkeep.cli.moments import moment
from chatkeep.cli.options import AsJson, ChannelOption, PrefixOption, Workspace, existing_keys, opened_sessions
from chatkeep.core.model import Selection
from chatkeep.errors import InvalidError, NotFoundError
from chatkeep.sessions.lifetimes import Compaction, compaction
from chatkeep.wire.lives import CompactAnswer


def compact_command(  # noqa: PLR0913 - the options of a command
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
    everything: Annotated[bool, typer.Option("--all", help="All sessions.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how much would be erased.")] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Erase dropped messages for good: from the files, the index and the quarantine."""
    if sum(map(bool, (keys, prefix or channel or older_than, everything))) != 1:
        raise InvalidError("KEY", "give keys, or some of --prefix, --channel and --older-than, or --all")
    with opened_sessions(workspace) as sessions:
        if keys:
            chosen = existing_keys(sessions, keys, "erased")
            done = (
                compaction(sessions, chosen, dry_run=True) if dry_run else Compaction(sessions=sessions.compact(chosen))
            )
        else:
            before = moment("--older-than", older_than, sessions.now()) if older_than else None
            selection = Selection(prefixes=(prefix,), channel=channel, archived=None, updated_before=before)
            chosen = sessions.keys(selection).keys
            if not chosen:
                raise NotFoundError("No session matches; nothing was erased.")
            done = compaction(sessions, chosen, dry_run=dry_run)
    if as_json:
        answer = CompactAnswer(
            sessions=done.sessions,
            erased_count=done.erased_count,
            freed_bytes=done.freed_bytes,
            dry_run=dry_run,
            left_out=done.left_out,
        )
        screen.show_json(answer)
        return
    _tell(done, dry_run=dry_run)


def _tell(done: Compaction, *, dry_run: bool) -> None:
    for key in done.left_out:
        screen.complain(f"Left out {screen.safe_text(key, one_line=True)}: it is damaged. `chatkeep doctor` says how.")
    sessions = [one for one in done.sessions if one.erased_count]
    if not sessions:
        screen.say("Nothing to erase.")
        return
    lines, where = screen.counted(done.erased_count, "line"), screen.counted(len(sessions), "session")
    screen.say(f"{'Would erase' if dry_run else 'Erased'} {lines} of {where}, {done.freed_bytes:,} bytes.")
