"""The care for one workspace, as the `Admin` of its store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from chatkeep.core.life.people import Person
from chatkeep.core.model import Status
from chatkeep.store.admin import Backup, Cuts, Finding, Item, Outcome, Progress, Restored, Written
from chatkeep.store.files.care import backups, checkup, remedies
from chatkeep.store.files.store import FilesStore


class FilesAdmin:
    """The `Admin` of the session files in a folder; each method is a function of this package."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it need not exist."""
        self._folder = folder

    def check(self, on_progress: Progress | None = None) -> Iterator[Finding]:
        """Yield the faults of the files and of their index, as `checkup.examined`."""
        return checkup.examined(self._folder, on_progress)

    def repair(self, look: Callable[[], Iterable[Finding]]) -> Sequence[Outcome]:
        """Apply the remedies for the findings of `look`, as `remedies.fixed`."""
        return remedies.fixed(self._folder, look)

    def cuts(self) -> Sequence[Cuts]:
        """Return the cuts of all session files, as kept in quarantine."""
        return checkup.cuts_in(self._folder)

    def set_aside(self) -> Sequence[str]:
        """Return the names in `quarantine` of files set aside or replaced."""
        return checkup.set_aside_in(self._folder)

    def reindex(self, on_progress: Progress | None = None) -> Status:
        """Build the index anew from the files, unless opening the store has just built it."""
        with closing(FilesStore.open(self._folder, on_progress=on_progress)) as store:
            if not store.has_new_index:
                store.reindex(on_progress)
            return store.status()

    def back_up(
        self,
        output: BinaryIO,
        created_at: datetime,
        on_progress: Progress | None = None,
        *,
        people: Sequence[Person] = (),
    ) -> Written:
        """Write the session files into a zip file, as `backups.write_backup`."""
        return backups.write_backup(self._folder, output, created_at, on_progress, people=people)

    def is_empty(self) -> bool:
        """Return whether there are no session files."""
        return backups.is_empty(self._folder)

    def missing(self, backup: Backup, items: Sequence[Item]) -> Sequence[Item]:
        """Return the sessions of a backup without a file here."""
        return backups.missing_in(self._folder, backup, items)

    def restore(self, backup: Backup, items: Sequence[Item], on_progress: Progress | None = None) -> Restored:
        """Put the files of a backup in place, as `backups.restore`."""
        return backups.restore(self._folder, backup, items, on_progress=on_progress)
