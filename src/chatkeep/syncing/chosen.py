"""The homes of programs on this machine, and the choice of their user: which of them to follow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.disk.private import PrivateFile
from chatkeep.errors import InvalidError, StorageError
from chatkeep.importers.catalogue import Catalogue
from chatkeep.importers.homes import HistoryPlace, Homed, Machine
from chatkeep.importers.recognising import recognised
from chatkeep.syncing.walking import SyncedFile, files_at

FOLDER: Final = "sync"
"""The folder in a workspace for what a sync remembers."""


class SyncedHome(Struct, frozen=True, order=True):
    """The home of a program: the name of its format, and the folder."""

    format: str
    folder: Path

    def importer(self) -> Homed:
        """Return the importer, which knows the folders and files."""
        importer = Catalogue().importer(self.format)
        if not isinstance(importer, Homed):
            raise InvalidError("path", f"{self.folder} has the format {self.format}, which cannot be followed")
        return importer

    def places(self) -> Sequence[HistoryPlace]:
        """Return the folders with history."""
        return self.importer().places(self.folder)

    def files(self) -> Iterator[SyncedFile]:
        """Yield the files with history."""
        importer = self.importer()
        seen: set[Path] = set()
        for place in importer.places(self.folder):
            for one in files_at(place, importer):
                if one.path not in seen:
                    seen.add(one.path)
                    yield one


def homes_on(machine: Machine) -> Sequence[SyncedHome]:
    """Return the homes on a machine that have any history, each folder once."""
    found: dict[Path, SyncedHome] = {}
    for importer in Catalogue(lambda _: None).all():
        if not isinstance(importer, Homed):
            continue
        for folder in importer.homes(machine):
            with suppress(OSError):
                home = SyncedHome(importer.name, folder)
                if folder.is_dir() and folder not in found and any(home.files()):
                    found[folder] = home
    return tuple(found.values())


def home_at(folder: Path, fmt: str = "") -> SyncedHome:
    """Return the home in a folder that the user names, by its content or the name of its format.

    Raises:
        InvalidError: when it is no folder, or its format is unknown or cannot be followed.
    """
    place = folder.expanduser().absolute()
    if not place.is_dir():
        raise InvalidError("path", f"{folder} is not a folder")
    home = SyncedHome(fmt or recognised(place).name, place)
    home.importer()
    return home


class Choice(Struct, frozen=True, kw_only=True):
    """The homes to follow, and those to leave alone."""

    followed: tuple[SyncedHome, ...] = ()
    declined: tuple[SyncedHome, ...] = ()

    def undecided(self, found: Sequence[SyncedHome]) -> Sequence[SyncedHome]:
        """Return those of the homes that the user was not asked about."""
        return [home for home in found if home not in self.followed and home not in self.declined]


class ChoiceFile:
    """The choice of a workspace's user, kept in a file."""

    def __init__(self, workspace: Path) -> None:
        """Take the workspace; it need not exist."""
        self._file = PrivateFile(workspace / FOLDER / "choice.json")

    def read(self) -> Choice:
        """Return the choice; an empty one before the first.

        Raises:
            StorageError: when it cannot be read.
        """
        try:
            return msgspec.json.decode(self._file.read(), type=Choice, dec_hook=lambda _, value: Path(value))
        except FileNotFoundError:
            return Choice()
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise StorageError("sync/choice.json cannot be read: `chatkeep sync --forget` begins anew.") from error

    def write(self, choice: Choice) -> None:
        """Keep a choice.

        Raises:
            StorageError: when the disk refuses.
        """
        with self._file.locked():
            self._file.replace(msgspec.json.encode(choice, enc_hook=os.fspath))
