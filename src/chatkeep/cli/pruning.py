"""The command to let sessions go by the retention rules: `prune`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

import typer

from chatkeep.cli import screen
from chatkeep.cli.options import AsJson, Workspace, opened_sessions, settings
from chatkeep.core.life.retention import Departure
from chatkeep.sessions.retaining import due, let_go
from chatkeep.wire.lives import PruneReport

_DONE: Final = {"archive": "archived", "trash": "moved to the trash", "delete": "deleted"}


def prune(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Archive or delete what the retention rules say, and print what went and why."""
    rules = settings(workspace).retention
    gone: list[Departure] = []
    left_out: list[str] = []
    with opened_sessions(workspace) as sessions:
        for one in due(sessions, rules):
            if not dry_run and not let_go(sessions, one, rules):
                left_out.append(one.key)
                continue
            gone.append(one)
            if not as_json:
                _show(one, dry_run=dry_run)
    if as_json:
        report = PruneReport(
            sessions=tuple(gone),
            count=len(gone),
            rule_count=len(rules),
            dry_run=dry_run,
            left_out=tuple(left_out),
        )
        screen.show_json(report)
        return
    if left_out:
        screen.complain(f"{screen.counted(len(left_out), 'session')} stayed: used, changed or in use meanwhile.")
    if not rules:
        screen.say("There are no rules: chatkeep.toml has no [[retention]] table. Nothing was changed.")
    elif gone:
        screen.say(f"{screen.counted(len(gone), 'session')} {'would go' if dry_run else 'went'}.")
    else:
        screen.say("No session goes by the rules. Nothing was changed.")


def _show(one: Departure, *, dry_run: bool) -> None:
    done = f"{'would be ' if dry_run else ''}{_DONE[one.action]}"
    screen.say(screen.safe_text(f"{one.key}: {done} by rule {one.rule}: {_reason(one)}", one_line=True))


def _reason(one: Departure) -> str:
    if one.rank is not None:
        return f"{one.rank - 1} newer"
    if one.total_bytes is not None:
        return f"{one.total_bytes} bytes with all newer ones"
    return f"no activity for {timedelta(seconds=one.age_seconds or 0)}"
