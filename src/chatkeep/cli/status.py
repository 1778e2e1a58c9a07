"""Commands to look after a workspace: `stats_command`, `reindex`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Final, get_args

import msgspec
import typer

from chatkeep import wiring
from chatkeep.cli import absence, screen
from chatkeep.cli.facts import cut_facts
from chatkeep.cli.interrupts import stoppable
from chatkeep.cli.options import AsJson, Workspace, choice, existing, named, workspace_store
from chatkeep.core.stats import PeriodUnit, Stats
from chatkeep.sessions.sessions import Sessions

_PERIODS: Final = 12  # newest months or days shown
_TAGS: Final = 20  # most frequent tags shown


def stats_command(
    *,
    unit: Annotated[str, typer.Option(help="month, or day: the past 60.")] = "month",
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Show the counts of sessions and messages, by time, channel and tag, and their size."""
    chosen = existing(workspace)
    with workspace_store(chosen) as store:
        sessions = Sessions(store)
        found = sessions.stats(unit=choice("--unit", unit, get_args(PeriodUnit)))
        status = sessions.status()
    cuts = wiring.kept_cuts(chosen)
    if as_json:
        facts = {"workspace": chosen.place, "status": status, **msgspec.to_builtins(found)}
        screen.show_json({**facts, "cuts": list(map(cut_facts, cuts))})
    absence.end_if_unreadable(status)
    if as_json:
        return
    messages = screen.counted(found.message_count, "message")
    screen.say(f"{screen.counted(found.session_count, 'session')}, {messages}, {screen.size(found.size_bytes)}")
    screen.say(f"in {chosen.place}")
    if status.problems:
        screen.say(f"{screen.counted(len(status.problems), 'file')} cannot be served; run `chatkeep doctor`.")
    if cuts:
        screen.say(f"Repairs have cut bytes off {screen.counted(len(cuts), 'file')}; `chatkeep doctor` names them.")
    _show_counts(found)


def reindex(*, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Rebuild the index from the files. This is never needed; it removes all doubt."""
    began = time.monotonic()
    chosen = existing(workspace)
    with (
        named(chosen.place),
        stoppable(lambda: "the index is as it was."),
        screen.count_bar("Indexing") as on_progress,
    ):
        status = wiring.admin_for(chosen).reindex(on_progress)
    took_s = round(time.monotonic() - began, 2)
    counts = {"session_count": status.session_count, "message_count": status.message_count}
    if as_json:
        screen.show_json({**counts, "seconds": took_s})
    absence.end_if_unreadable(status)
    if as_json:
        return
    messages = screen.counted(status.message_count, "message")
    screen.say(f"Indexed {screen.counted(status.session_count, 'session')}, {messages}, in {took_s} s.")


def _show_counts(found: Stats) -> None:
    """Print the tables of the counts, without empty ones."""
    form = "%Y-%m" if found.unit == "month" else "%Y-%m-%d"
    periods = [(f"{one.start:{form}}", one.session_count, one.message_count) for one in found.periods[-_PERIODS:]]
    channels = [(one.channel, one.session_count, one.message_count) for one in found.channels]
    tags = [(one.tag, one.session_count) for one in found.tags[:_TAGS]]
    largest = [(one.key, one.title, one.message_count, screen.size(one.size_bytes)) for one in found.largest]
    _show_table((found.unit.upper(), "SESSIONS", "MESSAGES"), periods)
    _show_table(("CHANNEL", "SESSIONS", "MESSAGES"), channels)
    _show_table(("TAG", "SESSIONS"), tags)
    _show_table(("LARGEST", "TITLE", "MESSAGES", "SIZE"), largest)


def _show_table(columns: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
    if rows:
        screen.say()
        shown = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows]
        screen.show_table(columns, shown, numbers=("SESSIONS", "MESSAGES", "SIZE"))
