"""The command `usage_command`: tokens and their cost."""

# ruff: noqa: PLR0913 - a command has as many parameters as it has options

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, get_args

import typer

from chatkeep.cli import absence, completing, moments, screen
from chatkeep.cli.moments import moment
from chatkeep.cli.options import AsJson, ChannelOption, PrefixOption, TagsOption, Workspace, choice, opened_sessions
from chatkeep.core.keys import parse_key
from chatkeep.core.model import Selection
from chatkeep.core.usage.spending import USAGE_LIMIT_MAX, UsageGroup, UsageQuery, UsageReport, UsageRow
from chatkeep.errors import InvalidError
from chatkeep.model.prices import price_table

if TYPE_CHECKING:
    from datetime import date, datetime

_NUMBERS: Final = ("ANSWERS", "INPUT", "CACHED", "OUTPUT", "REASONING", "COST")
_NO_NAMES: Final = {"model": "unknown", "tag": "(no tag)"}
_GROUPS: Final = get_args(UsageGroup)


def usage_command(
    *,
    by: Annotated[str, typer.Option(help=f"{', '.join(_GROUPS)}.", autocompletion=completing.one_of(*_GROUPS))] = "day",
    since: Annotated[str, typer.Option(help=f"Answers of this day and later: {moments.HELP}.")] = "",
    until: Annotated[str, typer.Option(help="Answers of this day and earlier.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", help=f"How many rows, 1 to {USAGE_LIMIT_MAX}.")] = 30,
    session: Annotated[
        str, typer.Option(help="Only the session with this key.", autocompletion=completing.key_completions)
    ] = "",
    channel: ChannelOption = None,
    prefix: PrefixOption = "",
    tag: TagsOption = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Show the tokens and the cost of the models' answers, by day, model, channel, session or tag.

    Costs are those that the servers told, else by the prices of each day. Days are of UTC.
    """
    group: UsageGroup = choice("--by", by, _GROUPS)
    if not 1 <= limit <= USAGE_LIMIT_MAX:
        raise InvalidError("--limit", f"must be 1 to {USAGE_LIMIT_MAX}")
    with opened_sessions(workspace) as sessions:
        now = sessions.now()
        asked = UsageQuery(
            by=group,
            selection=Selection(prefixes=(prefix,), channel=channel, tags=tuple(tag or ()), archived=None),
            session=parse_key(session) if session else None,
            since=_day("--since", since, now),
            until=_day("--until", until, now),
            limit=limit,
            prices=price_table(),
        )
        if asked.since is not None and asked.until is not None and asked.since > asked.until:
            raise InvalidError("--since", "must not be later than --until")
        found = sessions.usage(asked)
        if as_json:
            screen.show_json(found)
        absence.end_if_unreadable(sessions.status())
    if not as_json:
        _show(found)


def _show(found: UsageReport) -> None:
    if not found.total.call_count:
        screen.say("No answers of models are stored for this.")
        return
    title = ("TITLE",) if found.by == "session" else ()
    columns = (found.by.upper(), *title, *_NUMBERS)
    rows = [_cells(one, one.name or _NO_NAMES.get(found.by, ""), found.by) for one in found.rows]
    screen.show_table(columns, [*rows, _cells(found.total, "in all", found.by)], numbers=_NUMBERS, spare=_SPARE)
    for sentence in _notes(found):
        screen.say(sentence)


_SPARE: Final = ("REASONING", "CACHED", "ANSWERS")  # left out on narrow terminals, in this order


def _cells(row: UsageRow, name: str, by: UsageGroup) -> Sequence[str]:
    title = (row.title or "",) if by == "session" else ()
    counts = (row.call_count, row.input_tokens, row.cached_tokens, row.output_tokens, row.reasoning_tokens)
    return (name, *title, *(f"{count:,}" for count in counts), _cost(row))


def _cost(row: UsageRow) -> str:
    """Return a cost in US dollars; of a part of the answers, as the least that it may be."""
    if row.cost_usd is None:
        return "unknown"
    dollars = f"${row.cost_usd:,.2f}" if row.cost_usd >= 1 or not row.cost_usd else f"${row.cost_usd:.4f}"
    return f"{dollars} or more" if row.unpriced_count else dollars


def _notes(found: UsageReport) -> Sequence[str]:
    notes = []
    if found.row_count > len(found.rows):
        notes.append(f"{len(found.rows):,} of {found.row_count:,} rows; more with --limit.")
    if found.total.uncounted_count:
        notes.append(f"The server told no tokens for {screen.counted(found.total.uncounted_count, 'answer')}.")
    if found.total.unpriced_count:
        hint = "" if found.prices else " Install the prices: pip install 'chatkeep[prices]'"
        notes.append(f"The cost of {screen.counted(found.total.unpriced_count, 'answer')} is unknown.{hint}")
    return notes


def _day(option: str, text: str, now: datetime) -> date | None:
    return moment(option, text, now).astimezone().date() if text else None
