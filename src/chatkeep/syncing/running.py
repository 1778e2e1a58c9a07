"""A sync of a workspace: one at a time, with its lock, its positions and its totals."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from chatkeep.core.text.redaction import Redaction
from chatkeep.disk.files import make_folder, told
from chatkeep.disk.locks import flock
from chatkeep.disk.own import opened_own
from chatkeep.errors import BusyError, ConflictError
from chatkeep.sessions.sessions import Sessions
from chatkeep.syncing.chosen import FOLDER, Choice, ChoiceFile, SyncedHome
from chatkeep.syncing.copies import Copies
from chatkeep.syncing.follower import Follower, Kept, OnTaken, OnTrouble
from chatkeep.syncing.positions import Positions
from chatkeep.syncing.taking import Taken, Taker

_POSITIONS: Final = "positions.jsonl"
_COPIES: Final = "copies"


class SyncHow(Struct, frozen=True, kw_only=True):
    """The way of a sync. `dry_run` stores and remembers nothing; `afresh` reads all files again."""

    redaction: Redaction | None = None
    dry_run: bool = False
    afresh: bool = False


class SyncTotals(Struct, kw_only=True):
    """The sums of what came in."""

    files: int = 0
    sessions_created: int = 0
    sessions_extended: int = 0
    messages_added: int = 0
    sessions_left_out: int = 0
    problems: int = 0

    def add(self, taken: Taken) -> None:
        """Add what came of a file."""
        report = taken.report
        self.files += 1
        self.sessions_created += report.sessions_created
        self.sessions_extended += report.sessions_extended
        self.messages_added += report.messages_added
        self.sessions_left_out += report.sessions_left_out


@contextmanager
def only_sync(workspace: Path) -> Iterator[None]:
    """Keep other syncs from this workspace.

    Raises:
        ConflictError: when one is running.
        StorageError: when the disk refuses.
    """
    with told():
        make_folder(workspace / FOLDER)
        fd = opened_own(workspace / FOLDER / "lock", os.O_RDWR | os.O_CREAT)
    try:
        try:
            flock(fd, time.monotonic())
        except BusyError as error:
            sentence = "Another sync of this workspace is running, perhaps in its server. Nothing was done here."
            raise ConflictError(sentence) from error
        yield
    finally:
        os.close(fd)


@contextmanager
def opened_follower(
    workspace: Path,
    store: str,
    homes: Sequence[SyncedHome],
    sessions: Sessions,
    how: SyncHow,
    told_to: tuple[OnTaken, OnTrouble],
) -> Iterator[Follower]:
    """Yield a follower of homes into the sessions of a store; the caller keeps other syncs away.

    Raises:
        StorageError: when the disk refuses.
    """
    positions = Positions(workspace / FOLDER / _POSITIONS, store, kept=not how.dry_run, afresh=how.afresh)
    on_taken, on_problem = told_to
    with closing(positions), _place_of_copies(workspace, how) as place:
        taker = Taker(sessions, redaction=how.redaction, dry_run=how.dry_run)
        yield Follower(homes, taker, Kept(positions, Copies(place)), on_taken=on_taken, on_problem=on_problem)


@contextmanager
def _place_of_copies(workspace: Path, how: SyncHow) -> Iterator[Path]:
    """Yield the folder for copies; a preview leaves alone those of a sync."""
    if not how.dry_run:
        yield workspace / FOLDER / _COPIES
        return
    with tempfile.TemporaryDirectory(prefix="chatkeep-sync-") as folder:
        yield Path(folder)


def followed_from(workspace: Path, found: Sequence[SyncedHome], *, remember: bool) -> Sequence[SyncedHome]:
    """Return the homes to follow where nobody is asked: all but the declined ones; `remember` them."""
    kept = ChoiceFile(workspace)
    choice = kept.read()
    new = choice.undecided(found)
    if new and remember:
        kept.write(Choice(followed=(*choice.followed, *new), declined=choice.declined))
    return [*choice.followed, *new]


def forget(workspace: Path) -> None:
    """Forget which homes were chosen, and what was read.

    Raises:
        StorageError: when the disk refuses.
    """
    with told():
        for name in ("choice.json", _POSITIONS):
            (workspace / FOLDER / name).unlink(missing_ok=True)
