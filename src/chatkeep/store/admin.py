"""The protocol of care for a whole store: check, repair, back up, restore, rebuild.

A store may do without: its database may have tools of its own. No method needs the store open, and each is
safe beside processes with the store open.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import BinaryIO, Final, Literal, Protocol

from msgspec import Struct

from chatkeep.core.life.people import Person
from chatkeep.core.model import Status

Progress = Callable[[int, int], None]
"""A function to call with the number of things done, and of all."""

FindingKind = Literal[
    "torn",
    "loose",
    "damaged",
    "foreign",
    "odd",
    "linked",
    "access",
    "busy",
    "index",
    "behind",
    "leftover",
    "stray",
    "tokens",
    "pages",
    "people",
    "deletions",
    "blob",
    "unnamed",
]
Remedy = Literal["mend", "rewrite", "recover", "rename", "set aside", "protect", "copy", "rebuild", "update", "leave"]

HARMLESS: Final[frozenset[FindingKind]] = frozenset(("torn", "loose", "behind", "leftover", "stray", "unnamed"))
"""Kinds in need of nobody's care: the store repairs them by itself, or they mean nothing."""


class Finding(Struct, frozen=True, kw_only=True):
    """A fault in a store, and the remedy for it. `key` is None when unknown.

    `file` is the place of the fault: a path in the store's folder, `.` the folder itself.
    """

    file: str
    kind: FindingKind
    reason: str
    remedy: Remedy = "leave"
    key: str | None = None

    @property
    def needs_care(self) -> bool:
        """Whether it is neither harmless nor repaired by itself."""
        return self.kind not in HARMLESS


class Outcome(Struct, frozen=True, kw_only=True):
    """The result for a finding: `done` says how it was repaired, else `hindrance` why not.

    Both are None if its remedy is `leave`.
    """

    finding: Finding
    done: str | None = None
    hindrance: str | None = None


class Cuts(Struct, frozen=True):
    """The bytes cut off one file by repairs; `names` are in the folder `quarantine`."""

    file: str
    key: str | None
    names: tuple[str, ...]


class Item(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session in a backup. `damage` is the reason for a file not being whole."""

    file: str
    key: str
    message_count: int
    size_bytes: int
    sha256: str
    damage: str | None = None


class Manifest(Struct, frozen=True, kw_only=True):
    """The list of the sessions in a backup, their people, and the deletions that the store remembers.

    `deleted` has the hash of each deleted key, with the time of the deletion in seconds since 1970. `blobs` are the
    hashes of the attachments in it.
    """

    format: Literal[1] = 1
    created_at: datetime
    sessions: tuple[Item, ...]
    deleted: dict[str, int] = {}
    people: tuple[Person, ...] = ()
    blobs: tuple[str, ...] = ()

    @property
    def message_count(self) -> int:
        """The number of messages in all sessions."""
        return sum(item.message_count for item in self.sessions)


class Written(Struct, frozen=True, kw_only=True):
    """The list of a backup just written, and the names left out, each with the reason."""

    manifest: Manifest
    left_out: dict[str, str]


class Restored(Struct, frozen=True, kw_only=True):
    """The sessions put in place, and those already there, byte for byte."""

    restored: Sequence[Item]
    already_there: Sequence[Item]


class Backup(Protocol):
    """A backup open for reading. Its list is checked, its sessions not yet."""

    manifest: Manifest

    def chosen(self, keys: Collection[str]) -> Sequence[Item]:
        """Return the sessions with these keys, in this order; all sessions for no keys.

        Raises:
            NotFoundError: when one is not in the backup.
        """
        ...

    def content(self, item: Item) -> bytes:
        """Return a session as it was written, after every check.

        Raises:
            BrokenInputError: when it differs from the list.
        """
        ...

    def blob(self, sha256: str) -> BinaryIO:
        """Return an open attachment of the backup; the caller closes it.

        Raises:
            BrokenInputError: when it cannot be read.
        """
        ...

    def verify(self, items: Sequence[Item], on_progress: Progress | None = None) -> None:
        """Read sessions and their attachments, and check them.

        Raises:
            BrokenInputError: when one differs from the list; it names the first.
        """
        ...


class Admin(Protocol):
    """Care for one store."""

    def check(self, on_progress: Progress | None = None) -> Iterator[Finding]:
        """Yield the faults of the store; change nothing. Cost: one reading of the whole store."""
        ...

    def repair(self, look: Callable[[], Iterable[Finding]]) -> Sequence[Outcome]:
        """Apply the remedies for the findings of `look`, and look again until it finds nothing new.

        Returns the outcome of each finding. No byte is deleted.
        """
        ...

    def cuts(self) -> Sequence[Cuts]:
        """Return the bytes cut off by repairs."""
        ...

    def set_aside(self) -> Sequence[str]:
        """Return the names of files set aside or replaced by repairs."""
        ...

    def reindex(self, on_progress: Progress | None = None) -> Status:
        """Rebuild everything derived from the sessions, and return the counts."""
        ...

    def back_up(
        self,
        output: BinaryIO,
        created_at: datetime,
        on_progress: Progress | None = None,
        *,
        people: Sequence[Person] = (),
    ) -> Written:
        """Write all sessions into a file, each as of one moment, and these people; the store stays as it is.

        Raises:
            NotFoundError: when there is no store.
        """
        ...

    def is_empty(self) -> bool:
        """Return whether there are no sessions, not even damaged ones."""
        ...

    def missing(self, backup: Backup, items: Sequence[Item]) -> Sequence[Item]:
        """Return the sessions of a backup missing in the store.

        Raises:
            ConflictError: when the store has one of them with other content.
            BrokenInputError: as `Backup.content` says.
        """
        ...

    def restore(self, backup: Backup, items: Sequence[Item], on_progress: Progress | None = None) -> Restored:
        """Put sessions in place, each atomically and durably; the caller has verified them.

        Raises:
            ConflictError: as `missing` says; no session was put in place.
            StorageFullError, StorageError: when the disk refuses; every session put in place so far is whole.
        """
        ...
