"""The people of a workspace: which sessions belong to whom, in one small file beside the sessions.

    people.json    {"format": 1, "people": [{"person": "alice", "keys": ["discord:2", "telegram:1"]}]}

A change takes a lock, writes a new file and renames it, so commands and servers share it, and a crash leaves the old
file or the new one. A damaged or unreadable file is never overwritten, and never counts as an empty one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from chatkeep.core.life.people import Person, linked, unlinked
from chatkeep.disk.private import FileState, PrivateFile
from chatkeep.errors import ConflictError, NotFoundError, StorageError

PEOPLE_FILE: Final = "people.json"
_FORMAT: Final = 1


class _Contents(Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    people: tuple[Person, ...]


class _Known(NamedTuple):
    """A cache: the people, with the state of the file at reading."""

    stamp: FileState | None
    people: tuple[Person, ...]


class PeopleFile:
    """The people of one workspace. Safe to use from many threads and processes."""

    def __init__(self, workspace: Path) -> None:
        """Take the workspace; the first link makes the file."""
        self._file = PrivateFile(workspace / PEOPLE_FILE)
        self._known = _Known(None, ())

    def all(self) -> tuple[Person, ...]:
        """Return the people by name.

        Raises:
            StorageError: when the file cannot be read.
        """
        known, stamp = self._known, self._file.stamp()
        if stamp != known.stamp:  # the stamp is older than the read: the next call sees a change between them
            self._known = known = _Known(stamp, self._read())
        return known.people

    def keys_of(self, name: str) -> tuple[str, ...]:
        """Return the keys of a person; none for one who is not known."""
        return next((one.keys for one in self.all() if one.person == name), ())

    def link(self, name: str, keys: Sequence[str]) -> Person:
        """Let keys belong to a person, and return the person.

        Raises:
            ConflictError: when a key belongs to another person; nothing is linked then.
            InvalidError: when there would be too many.
            BusyError: when another process holds the file's lock for too long.
            StorageError: when the file cannot be read (it stays unchanged), or the disk refuses.
        """
        with self._file.locked():
            people = self._read()
            for one in people:
                taken = sorted(set(one.keys).intersection(keys)) if one.person != name else ()
                if taken:
                    raise ConflictError(f"{taken[0]} belongs to {one.person}: unlink it first.")
            grown = linked(people, name, keys)
            self._write(grown)
        return next(one for one in grown if one.person == name)

    def unlink(self, keys: Sequence[str]) -> None:
        """Let keys belong to nobody.

        Raises:
            NotFoundError: when one of them belongs to nobody already; nothing changes then.
            BusyError, StorageError: as in `link`.
        """
        with self._file.locked():
            people = self._read()
            known = {key for one in people for key in one.keys}
            for key in keys:
                if key not in known:
                    raise NotFoundError(f"{key} belongs to nobody.")
            self._write(unlinked(people, keys))

    def _read(self) -> tuple[Person, ...]:
        try:
            contents = msgspec.json.decode(self._file.read(), type=_Contents)
        except FileNotFoundError:
            return ()
        except (ValueError, RecursionError) as error:
            raise StorageError(f"{PEOPLE_FILE} is damaged and was left as it is: mend or remove it.") from error
        if contents.format != _FORMAT:
            raise StorageError(f"{PEOPLE_FILE} is of a later version, and was left as it is.")
        return contents.people

    def _write(self, people: Sequence[Person]) -> None:
        encoded = msgspec.json.encode(_Contents(_FORMAT, tuple(people)))
        self._file.replace(msgspec.json.format(encoded) + b"\n")
