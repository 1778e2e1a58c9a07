"""Commands to back up a workspace and restore it: `backup`, `restore_command`."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from chatkeep import wiring
from chatkeep.cli import screen
from chatkeep.cli.interrupts import stoppable
from chatkeep.cli.options import AsJson, Workspace, check_existing, named, opened_sessions, path_of, settings
from chatkeep.config import Settings, place_from
from chatkeep.core.keys import parse_key
from chatkeep.core.life.people import Person
from chatkeep.disk.replacing import fresh_file
from chatkeep.errors import (
    ChatkeepError,
    ConflictError,
    InvalidError,
    NotFoundError,
    SessionDamagedError,
    StorageError,
)
from chatkeep.sessions.message_ids import now_utc
from chatkeep.sessions.people_file import PEOPLE_FILE, PeopleFile
from chatkeep.sessions.persons import People
from chatkeep.store.admin import Admin, Backup, Item
from chatkeep.store.open import opened_backup
from chatkeep.wire.answers import exit_code_of

BackupArgument = Annotated[Path, typer.Argument(parser=path_of, metavar="FILE", help="The backup.", show_default=False)]


def backup(
    file: BackupArgument,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Only check a backup that exists.")] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Write all sessions to one file, each as of one moment, even while others write. Tokens are left out."""
    if verify:
        _verify(file, as_json=as_json)
        return
    chosen = place_from(workspace, os.environ)
    check_existing(chosen)
    if file.absolute().parent.resolve() == (Path(chosen.place) / "sessions").resolve():
        raise InvalidError("FILE", "must not lie in the folder of the sessions")
    people, unread = _people_of(chosen)
    with (
        stoppable(lambda: f"{file} was not written."),
        named(chosen.place),
        screen.count_bar("Copying") as on_progress,
        fresh_file(file, replace=force) as output,
    ):
        written = wiring.admin_for(chosen).back_up(output, now_utc(), on_progress, people=people)
    damaged = {item.file: item.damage for item in written.manifest.sessions if item.damage}
    left_out = {**written.left_out, **unread}
    if as_json:
        facts = {"file": str(file), "file_bytes": file.stat().st_size, **_counts(written.manifest.sessions)}
        screen.show_json({**facts, "damaged": damaged, "left_out": left_out})
    else:
        screen.say(f"Put {_told(written.manifest.sessions)} into {file} ({screen.size(file.stat().st_size)}).")
    for name, reason in {**damaged, **left_out}.items():
        said = "left out" if name in left_out else "damaged, and copied as it is"
        screen.complain(f"{name}: {said}: {reason}.")
    if damaged or left_out:
        raise typer.Exit(exit_code_of(SessionDamagedError))


def restore_command(
    file: BackupArgument,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="Only these sessions.", show_default=False)
    ] = None,
    *,
    add: Annotated[bool, typer.Option("--add", help="Into a workspace that has sessions: those it lacks.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check, and say what would be restored.")] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Restore the sessions of a backup, after checking all of them. Nothing is overwritten; a backup has no tokens."""
    chosen = settings(workspace)
    admin = wiring.admin_for(chosen)
    with named(chosen.place), _opened(file) as source:
        items = source.chosen([parse_key(key) for key in keys or ()])
        if not (keys or add or admin.is_empty()):
            raise ConflictError(
                f"{chosen.place} has sessions. Restore into a new workspace, name single sessions, or add "
                "those that are missing with --add; to merge sessions, unpack it and `chatkeep import` the folder."
            )
        with screen.count_bar("Checking") as on_progress:
            source.verify(items, on_progress)
        missing = admin.missing(source, items) if dry_run else _restored(admin, source, items)
        if not dry_run:
            _link_again(workspace, source.manifest.people, {item.key for item in items})
    skipped = len(items) - len(missing)
    if as_json:
        screen.show_json({**_counts(missing), "already_there": skipped, "dry_run": dry_run})
        return
    did = "Would restore" if dry_run else "Restored"
    there = f"; {screen.counted(skipped, 'session')} there already" if skipped else ""
    screen.say(f"{did} {_told(missing)}{there}.")


def _restored(admin: Admin, source: Backup, items: Sequence[Item]) -> Sequence[Item]:
    done = 0
    with screen.count_bar("Restoring") as show:

        def on_progress(count: int, total: int) -> None:
            nonlocal done
            done = count
            show(count, total)

        def so_far() -> str:
            return f"{screen.counted(done, 'session')} restored so far; go on with --add."

        try:
            with stoppable(so_far):
                return admin.restore(source, items, on_progress).restored
        except StorageError as error:
            error.args = (f"{error} {so_far()}",)
            raise


def _people_of(chosen: Settings) -> tuple[Sequence[Person], dict[str, str]]:
    """Return the people to put into a backup; without a list that can be read none, and why."""
    try:
        return PeopleFile(chosen.workspace).all(), {}
    except StorageError as error:
        return (), {PEOPLE_FILE: str(error).rstrip(".")}


def _link_again(workspace: Path | None, people: Sequence[Person], keys: Collection[str]) -> None:
    """Link the sessions of a backup as they were; one that belongs to somebody else here stays so, and is named."""
    wanted = [(one.person, key) for one in people for key in one.keys if key in keys]
    if not wanted:
        return
    with opened_sessions(workspace) as sessions:
        linked = People(sessions)
        for person, key in wanted:
            try:
                linked.link(person, [key])
            except ChatkeepError as error:
                screen.complain(screen.safe_text(f"{key} is not linked to {person}: {error}", one_line=True))


def _verify(file: Path, *, as_json: bool) -> None:
    with _opened(file) as source, screen.count_bar("Checking") as on_progress:
        source.verify(source.manifest.sessions, on_progress)
    made_at = source.manifest.created_at
    if as_json:
        screen.show_json({"file": str(file), "created_at": made_at, **_counts(source.manifest.sessions)})
    else:
        screen.say(f"All is well: {_told(source.manifest.sessions)}, of {made_at:%Y-%m-%d %H:%M} UTC.")


@contextmanager
def _opened(file: Path) -> Iterator[Backup]:
    if not file.exists():
        raise NotFoundError(f"{file} does not exist.")
    if not file.is_file():
        raise InvalidError("FILE", f"{file} is not a regular file")
    with file.open("rb") as source:
        yield opened_backup(source)


def _counts(items: Sequence[Item]) -> dict[str, int]:
    return {
        "session_count": len(items),
        "message_count": sum(item.message_count for item in items),
        "size_bytes": sum(item.size_bytes for item in items),
    }


def _told(items: Sequence[Item]) -> str:
    messages = screen.counted(sum(item.message_count for item in items), "message")
    return f"{screen.counted(len(items), 'session')} with {messages}"
