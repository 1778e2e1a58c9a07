"""The places where programs keep their history on a machine, as their importers know them.

An importer of such a program has the methods of `Homed` besides those of `Importer`. `chatkeep sync` looks into the
folders it names, and reads the files it names after each change. Nothing else knows a program's folders.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol, runtime_checkable

from msgspec import Struct

System = Literal["linux", "macos", "windows"]
_SYSTEMS: Final[Mapping[str, System]] = {"darwin": "macos", "win32": "windows", "cygwin": "windows"}


class Machine(Struct, frozen=True, kw_only=True):
    """A machine as programs see it: the home folder of the user, the environment, and the kind of system."""

    home: Path
    environ: Mapping[str, str] = {}
    system: System = "linux"

    def folder(self, variable: str, *default: str) -> Path:
        """Return the folder in a variable of the environment, else one in the user's home."""
        named = self.named(variable)
        return self.home.joinpath(*default) if named is None else named

    def named(self, variable: str) -> Path | None:
        """Return the folder in a variable of the environment; None for none."""
        given = self.environ.get(variable, "").strip()
        if given == "~" or given.startswith(("~/", "~\\")):
            return self.home / given[2:]
        return Path(given).absolute() if given else None

    def xdg_data(self, name: str) -> Path:
        """Return a program's data folder by the XDG rules, which some programs follow on every system."""
        return self.folder("XDG_DATA_HOME", ".local", "share") / name

    def xdg_config(self, name: str) -> Path:
        """Return a program's folder of settings by the XDG rules."""
        return self.folder("XDG_CONFIG_HOME", ".config") / name

    def app_data(self, name: str) -> Path | None:
        """Return a program's folder of local data on Windows; None elsewhere."""
        return self.folder("LOCALAPPDATA", "AppData", "Local") / name if self.system == "windows" else None


class HistoryPlace(Struct, frozen=True):
    """A folder with history. `is_deep`: files in the folders below it count as well."""

    folder: Path
    is_deep: bool = True


@runtime_checkable
class Homed(Protocol):
    """An importer of a program that keeps its history in known folders of a machine."""

    def homes(self, machine: Machine) -> Sequence[Path]:
        """Return the folders where the program may keep its history, whether they exist or not."""
        ...

    def places(self, home: Path) -> Sequence[HistoryPlace]:
        """Return the folders with history in a home of the program."""
        ...

    def source_of(self, changed: Path) -> Path | None:
        """Return the file to read after a change of this one; None for a file without history."""
        ...


def this_machine() -> Machine:
    """Return the machine that this process runs on, as its user sees it."""
    return Machine(home=Path.home(), environ=dict(os.environ), system=_SYSTEMS.get(sys.platform, "linux"))


def deep_places(home: Path, *names: str) -> Sequence[HistoryPlace]:
    """Return those of the folders in a home that exist, else the home itself."""
    found = [HistoryPlace(home / name) for name in names if (home / name).is_dir()]
    return found or [HistoryPlace(home)]


def database_of(changed: Path) -> Path:
    """Return the database whose log has changed; another file as it is."""
    for ending in ("-wal", "-journal"):
        if changed.name.endswith(ending):
            return changed.with_name(changed.name.removesuffix(ending))
    return changed
