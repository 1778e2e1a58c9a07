"""The command `sync`: what other programs on this machine write comes in, and stays."""

# ruff: noqa: PLR0913 - a command has as many parameters as it has options

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from chatkeep import wiring
from chatkeep.cli import screen
from chatkeep.cli.interrupts import stoppable
from chatkeep.cli.options import AsJson, RedactOption, Workspace, path_of, settings, tell_redaction, workspace_store
from chatkeep.core.text.redaction import Redaction
from chatkeep.errors import ChatkeepError, InvalidError, NotFoundError
from chatkeep.importers.homes import this_machine
from chatkeep.sessions.sessions import Sessions
from chatkeep.syncing.chosen import Choice, ChoiceFile, SyncedHome, home_at, homes_on
from chatkeep.syncing.follower import Follower
from chatkeep.syncing.running import SyncHow, SyncTotals, forget, only_sync, opened_follower
from chatkeep.syncing.taking import Taken

_PARTLY_FAILED: Final = 1  # exit code
_SHOWN_PROBLEMS: Final = 20  # of one pass; the rest only as a count


def sync(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            parser=path_of,
            metavar="FOLDER",
            help="Folders to follow; else those of the programs on this machine.",
            show_default=False,
        ),
    ] = None,
    *,
    fmt: Annotated[
        str, typer.Option("--as", help="The format of the folders; else told by their content.", show_default=False)
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Follow all that is found, without a question.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Take in what is there, and end.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come in.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="Only list what is found, and what is followed.")] = False,
    afresh: Annotated[bool, typer.Option("--afresh", help="Read all files again, also those read before.")] = False,
    forgets: Annotated[bool, typer.Option("--forget", help="Forget the choice, and what was read.")] = False,
    redact: RedactOption = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Take in the histories of other programs on this machine, and follow them until Ctrl-C.

    Nothing of theirs is ever written, and what they delete stays here.
    """
    place = settings(workspace).workspace
    if forgets:
        with only_sync(place):
            forget(place)
        screen.complain("Forgotten. What came in stays, and the next sync asks again.")
        return
    if show_list:
        _show_found(place, as_json=as_json)
        return
    named = [home_at(path, fmt) for path in paths or ()]
    homes = named or _chosen(place, yes=yes, remember=not dry_run)
    how = SyncHow(redaction=Redaction() if redact else None, dry_run=dry_run, afresh=afresh)
    running = _Running(as_json=as_json, dry_run=dry_run)
    with only_sync(place):
        if named and not (once or dry_run):
            _remember(place, named)
        _run(workspace, homes, how, running, once=once or dry_run)
    if how.redaction:
        tell_redaction(how.redaction)
    if (once or dry_run) and running.totals.problems:
        raise typer.Exit(_PARTLY_FAILED)


class _Running:
    """What a sync tells while it runs, and its totals."""

    def __init__(self, *, as_json: bool, dry_run: bool) -> None:
        self.totals = SyncTotals()
        self.as_json = as_json
        self.would = "would come" if dry_run else "came"
        self.is_following = False
        self.on_file: Callable[[Taken], None] = lambda _: None

    def taken(self, taken: Taken) -> None:
        """Tell what came of a file."""
        self.totals.add(taken)
        self.on_file(taken)
        report = taken.report
        if not (self.is_following and (report.messages_added or report.sessions_created)):
            return
        if self.as_json:
            screen.show_json_line(_fact(taken))
        else:
            name = screen.safe_text(taken.file.name, one_line=True)
            screen.say(f"{taken.format}  +{screen.counted(report.messages_added, 'message')}  {name}")

    def problem(self, place: str, sentence: str) -> None:
        """Tell what is wrong with a file, or with the disk."""
        self.totals.problems += 1
        if self.is_following and self.as_json:
            screen.show_json_line({"event": "problem", "file": place, "detail": sentence})
        elif self.is_following or self.totals.problems <= _SHOWN_PROBLEMS:
            screen.complain(f"{place}: {sentence}")

    def tell_totals(self) -> None:
        """Say what came in with a pass over all files."""
        totals = self.totals
        if self.as_json:
            screen.show_json({"event": "caught_up", **msgspec.structs.asdict(totals)})
            return
        came = f"{totals.sessions_created:,} new and {screen.counted(totals.sessions_extended, 'extended session')}"
        if totals.messages_added or totals.sessions_created:
            messages = screen.counted(totals.messages_added, "message")
            screen.say(f"{came} with {messages} {self.would} in from {screen.counted(totals.files, 'changed file')}.")
        elif totals.files:
            screen.say(f"Nothing new in {screen.counted(totals.files, 'changed file')}.")
        else:
            screen.say("Nothing new: no file has changed.")
        if totals.sessions_left_out:
            screen.say(f"{screen.counted(totals.sessions_left_out, 'session')} deleted here stayed out.")
        if totals.problems > _SHOWN_PROBLEMS:
            screen.complain(f"... and {totals.problems - _SHOWN_PROBLEMS:,} more problems.")


def _run(workspace: Path | None, homes: Sequence[SyncedHome], how: SyncHow, running: _Running, *, once: bool) -> None:
    """Take in what is there, and follow it unless that is all."""
    chosen = settings(workspace)
    with workspace_store(chosen) as store:
        sessions = Sessions(store, reach=wiring.reach_of(chosen))
        told_to = (running.taken, running.problem)
        with opened_follower(chosen.workspace, chosen.address.url, homes, sessions, how, told_to) as follower:
            if once:
                _catch_up(follower, running)
                return
            with follower.watching():
                _catch_up(follower, running)
                running.is_following = True
                screen.complain(f"Following {screen.counted(len(homes), 'folder')}; Ctrl-C stops.")
                with contextlib.suppress(KeyboardInterrupt):
                    follower.follow(threading.Event())


def _catch_up(follower: Follower, running: _Running) -> None:
    size_bytes = sum(stamps[0].size for stamps in follower.waiting())
    totals = running.totals

    def so_far() -> str:
        return f"{screen.counted(totals.messages_added, 'message')} came in; the same command goes on."

    with screen.work_bar("Syncing", size_bytes) as bar, stoppable(so_far):

        def show(taken: Taken) -> None:
            bar.has_read(taken.stamps[0].size)
            bar.done_to_here(screen.counted(totals.messages_added, "message"))

        running.on_file = show
        follower.catch_up()
        running.on_file = lambda _: None
    running.tell_totals()


def _chosen(workspace: Path, *, yes: bool, remember: bool) -> Sequence[SyncedHome]:
    """Return the homes to follow: those chosen before, and those found now, after one question.

    Raises:
        NotFoundError: when there are none.
    """
    kept = ChoiceFile(workspace)
    choice, found = kept.read(), homes_on(this_machine())
    new = [home for home in found if home not in choice.followed] if yes else choice.undecided(found)
    if new:
        for home in new:
            screen.complain(f"{home.format}: {screen.safe_text(str(home.folder), one_line=True)} ({_size(home)})")
        is_wanted = _is_wanted(len(new), yes=yes or not remember)
        followed = (*choice.followed, *(new if is_wanted else ()))
        declined = tuple(home for home in (*choice.declined, *(() if is_wanted else new)) if home not in followed)
        choice = Choice(followed=followed, declined=declined)
        if remember:
            kept.write(choice)
    homes = [home for home in choice.followed if home.folder.is_dir()]
    if not homes and choice.declined:
        raise ChatkeepError("Nothing is followed, as you chose. `chatkeep sync --forget` lets the next sync ask again.")
    if not homes:
        raise NotFoundError(
            "No history of a program that can be followed is in its usual place. Name a folder: chatkeep sync FOLDER"
        )
    return homes


def _is_wanted(count: int, *, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InvalidError("--yes", "is needed where nobody can be asked; nothing was taken in")
    them = "it" if count == 1 else f"these {count}"
    return bool(typer.confirm(f"Take in {them}, and follow from now on? They are only read.", err=True, default=True))


def _remember(workspace: Path, named: Sequence[SyncedHome]) -> None:
    kept = ChoiceFile(workspace)
    choice = kept.read()
    new = [home for home in named if home not in choice.followed]
    if new:
        declined = tuple(home for home in choice.declined if home not in new)
        kept.write(Choice(followed=(*choice.followed, *new), declined=declined))


def _show_found(workspace: Path, *, as_json: bool) -> None:
    choice = ChoiceFile(workspace).read()
    found = dict.fromkeys((*choice.followed, *homes_on(this_machine())))
    rows = [*_found_rows(found, choice)]
    if as_json:
        screen.show_json({"homes": rows})
    elif rows:
        shown = [(row["format"], row["state"], f"{row['files']:,}", str(row["folder"])) for row in rows]
        screen.show_table(("FORMAT", "STATE", "FILES", "FOLDER"), shown, numbers=("FILES",))
    else:
        screen.say("No history of a program that can be followed is in its usual place.")


def _found_rows(found: dict[SyncedHome, None], choice: Choice) -> Iterator[dict[str, Any]]:
    for home in found:
        state = "followed" if home in choice.followed else "declined" if home in choice.declined else "found"
        files = [one.path for one in home.files()] if home.folder.is_dir() else []
        size_bytes = sum(_file_size(one) for one in files)
        facts = {"format": home.format, "folder": str(home.folder), "state": state}
        yield {**facts, "files": len(files), "size_bytes": size_bytes}


def _size(home: SyncedHome) -> str:
    files = [one.path for one in home.files()]
    return f"{screen.counted(len(files), 'file')}, {screen.size(sum(map(_file_size, files)))}"


def _file_size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _fact(taken: Taken) -> dict[str, Any]:
    report = taken.report
    return {
        "event": "taken",
        "format": taken.format,
        "file": str(taken.file),
        "sessions_created": report.sessions_created,
        "sessions_extended": report.sessions_extended,
        "messages_added": report.messages_added,
    }
