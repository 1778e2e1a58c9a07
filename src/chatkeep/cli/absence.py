"""Sentences for empty results, so that nobody takes an empty answer for an empty store."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import typer

from chatkeep.cli import screen
from chatkeep.errors import SessionDamagedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from chatkeep.core.model import Elsewhere, Selection, Status
    from chatkeep.core.search.search import Search
    from chatkeep.sessions.sessions import Sessions

_REASONS: Final = 3  # reasons listed for unreadable files; the others are counted together
_HITS_MAX: Final = 200  # hits counted elsewhere; above it the sentence says `or more`


def filters_of(selection: Selection) -> str:
    """Return the filters of a selection as command-line options; empty without filters."""
    given = [f"--prefix {one}" for one in selection.prefixes if one]
    given += [f"--channel {selection.channel}"] if selection.channel is not None else []
    given += [f"--tag {tag}" for tag in selection.tags]
    given += [] if selection.pinned is None else ["--pinned" if selection.pinned else "--no-pinned"]
    given += ["--archived"] if selection.archived else []
    given += [f"--since {_time(selection.updated_after)}"] if selection.updated_after is not None else []
    given += [f"--until {_time(selection.updated_before)}"] if selection.updated_before is not None else []
    return " ".join(given)


def _time(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%dT%H:%M}"


def tell_no_session(sessions: Sessions, selection: Selection, *, is_quiet: bool) -> None:
    """Explain an empty list: its filters, unreadable files, or no sessions at all.

    With `is_quiet`, for output to programs, print only the complaints on stderr.

    Raises:
        typer.Exit: when there are files, all of them unreadable.
    """
    count = _session_count(sessions)
    given = filters_of(selection)
    if not count:
        end_if_unreadable(sessions.status())
    if is_quiet:
        return
    if given and count:
        screen.say(f"No session matches {given}; without that there are {screen.counted(count, 'session')}.")
    elif count:
        screen.say(f"No session but archived ones: `--all` lists {screen.counted(count, 'session')}.")
    else:
        screen.say("No sessions. `chatkeep demo` adds some to try things on.")


def tell_no_hit(sessions: Sessions, search: Search, elsewhere: Elsewhere | None, *, is_quiet: bool) -> None:
    """Explain a search without hits: its place, and the number of hits elsewhere; `is_quiet` as in `tell_no_session`.

    Raises:
        typer.Exit: when there are files, all of them unreadable.
    """
    count = _session_count(sessions)
    if not count:
        end_if_unreadable(sessions.status())
    if not is_quiet:
        screen.say(_without_hits(sessions, search, count, elsewhere))
    if count or is_quiet:
        tell_unread(sessions)


def _session_count(sessions: Sessions) -> int:
    from chatkeep.core.model import Selection  # noqa: PLC0415 - only for empty results

    return sessions.list(Selection(archived=None), limit=1).total


def _without_hits(sessions: Sessions, search: Search, count: int, elsewhere: Elsewhere | None) -> str:
    """Return a sentence about a search without hits, in a store with so many sessions."""
    if not count:
        return "Nothing found: there are no sessions."
    if elsewhere is not None:
        places = [f"{screen.counted(number, 'message')} with --role {role}" for role, number in elsewhere.roles.items()]
        wide = screen.counted(elsewhere.unfiltered, "message")
        places += [f"{wide} without the other filters"] if elsewhere.unfiltered else []
        return f"Nothing found so, but {', '.join(places)}."
    return _found_elsewhere(sessions, search, count)


def _found_elsewhere(sessions: Sessions, search: Search, count: int) -> str:
    """Return a sentence about the hits of a search without its filters, in a store with so many sessions."""
    import msgspec  # noqa: PLC0415 - only for empty results

    from chatkeep.core.model import Selection  # noqa: PLC0415
    from chatkeep.core.search.search import Search  # noqa: PLC0415

    everywhere = Search(query=search.query, selection=Selection(archived=None), roles=None, limit=_HITS_MAX)
    is_narrow = msgspec.structs.replace(everywhere, sort=search.sort, unit=search.unit, limit=search.limit) != search
    found = len(sessions.search(everywhere).hits) if is_narrow else 0
    if not found:
        return f"Nothing found in {screen.counted(count, 'session')}."
    more = "or more " if found == _HITS_MAX else ""
    where = f"{screen.counted(found, f'{more}session')} without filters and with --role any"
    return f"Nothing found so, but in {where}."


def tell_unread(sessions: Sessions) -> None:
    """Complain on stderr about unreadable files, if there are any."""
    if problems := sessions.status().problems:
        screen.complain(f"{screen.counted(len(problems), 'file')} cannot be served whole; run `chatkeep doctor`.")


def end_if_unreadable(status: Status) -> None:
    """End the command when every file is unreadable; give the reasons on stderr.

    Raises:
        typer.Exit: with the exit code for damage.
    """
    if status.session_count or not status.problems:
        return
    screen.complain(f"There is no session, but {screen.counted(len(status.problems), 'file')} that cannot be read:")
    for reason, count in _commonest(list(status.problems.values())):
        screen.complain(f"  {screen.counted(count, 'file')}: {reason}")
    screen.complain("`chatkeep doctor` names them.")
    from chatkeep.wire.answers import exit_code_of  # noqa: PLC0415 - only for errors

    raise typer.Exit(exit_code_of(SessionDamagedError))


def _commonest(reasons: Sequence[str]) -> list[tuple[str, int]]:
    counts = Counter(reasons).most_common()
    rest = sum(count for _, count in counts[_REASONS:])
    return [*counts[:_REASONS], *([("other reasons", rest)] if rest else [])]
