"""Every importer there is: Chatkeep's own, and those of installed packages.

A package adds an importer by an entry point in the group `chatkeep.importers`: the name of the format, and a class
with the methods of `Importer`. Its importer is asked before Chatkeep's own. A broken one is reported in a sentence, and
costs no other format. Chatkeep loads the code of other packages only to recognise a source, or for `--as` with its
name.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Final

from msgspec import Struct

from chatkeep.core.model import Session
from chatkeep.errors import BrokenInputError, InvalidError, TooLargeError
from chatkeep.importers.formats import IMPORTERS
from chatkeep.importers.importer import Importer, Look, Reading
from chatkeep.importers.reports import Flaw
from chatkeep.importers.sources import READ_ERRORS, Source

ENTRY_POINTS: Final = "chatkeep.importers"
_OWN: Final = {made().name: made for made in IMPORTERS}
IMPORT_FORMATS: Final = tuple(_OWN)
"""The names of Chatkeep's own importers."""

_METHODS: Final = ("recognises", "files_in", "read")
OnProblem = Callable[[str], None]


class _PlugIn(Struct, frozen=True):
    package: str
    entry: metadata.EntryPoint


class Catalogue:
    """The importers by name, for one import; `on_problem` gets a sentence about each broken one, once."""

    def __init__(self, on_problem: OnProblem | None = None) -> None:
        """Look nothing up yet; without `on_problem`, problems become Python warnings."""
        self._tell = on_problem or _warn
        self._problems: set[str] = set()

    @property
    def names(self) -> Sequence[str]:
        """All names of formats, those of other packages last."""
        return *IMPORT_FORMATS, *sorted(self._plug_ins)

    def all(self) -> Sequence[Importer]:
        """Return a new instance of every importer, in the order of asking."""
        others = (self._loaded(name) for name in sorted(self._plug_ins))
        return *(one for one in others if one is not None), *(own() for own in IMPORTERS)

    def importer(self, name: str) -> Importer:
        """Return a new instance of one importer.

        Raises:
            InvalidError: when the name is unknown, or the importer is broken.
        """
        if (own := _OWN.get(name)) is not None:
            return own()
        if name not in self._plug_ins:
            raise InvalidError("format", f"must be one of {', '.join(self.names)}")
        loaded = self._loaded(name)
        if loaded is None:
            raise InvalidError("format", f"{name} is broken; the others are {', '.join(IMPORT_FORMATS)}")
        return loaded

    @cached_property
    def _plug_ins(self) -> Mapping[str, _PlugIn]:
        found: dict[str, _PlugIn] = {}
        for plug_in in self._listed():
            name = plug_in.entry.name
            if name in _OWN or name in found:
                owner = found[name].package if name in found else "chatkeep"
                self._report(plug_in, f"{owner} has a format with this name")
            else:
                found[name] = plug_in
        return found

    def _listed(self) -> Iterator[_PlugIn]:
        """Yield the entry points of all packages; of two packages with one name, Python uses the first."""
        packages: set[str] = set()
        for package in metadata.distributions():
            text, name = "", "a package"
            try:
                text = package.read_text("entry_points.txt") or ""
                if ENTRY_POINTS not in text or (name := package.name) in packages:
                    continue
                entries = package.entry_points.select(group=ENTRY_POINTS)
            except Exception as error:  # noqa: BLE001 - a stranger's file may be damaged in any way
                if ENTRY_POINTS in text:
                    self._say(f"The list of importers of {name} cannot be read: {_reason(error)}.")
                continue
            packages.add(name)
            yield from (_PlugIn(name, entry) for entry in entries)

    def _loaded(self, name: str) -> Importer | None:
        plug_in = self._plug_ins[name]
        try:
            made = plug_in.entry.load()()
            fault = _fault_of(made, name)
        except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything
            fault = _reason(error)
        if fault is None:
            return _Guarded(made, lambda reason: self._report(plug_in, reason))
        self._report(plug_in, fault)
        return None

    def _report(self, plug_in: _PlugIn, reason: str) -> None:
        self._say(f"The importer {plug_in.entry.name} of {plug_in.package} is not used: {reason}.")

    def _say(self, problem: str) -> None:
        if problem not in self._problems:
            self._problems.add(problem)
            self._tell(problem)


class _Guarded:
    """An importer of another package; its faults cost only the file at hand."""

    def __init__(self, importer: Importer, on_fault: Callable[[str], None]) -> None:
        self.name = importer.name
        self._importer = importer
        self._on_fault = on_fault
        self._is_trusted = True

    def recognises(self, look: Look) -> str | None:
        if not self._is_trusted:
            return None
        try:
            reason = self._importer.recognises(look)
        except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything
            self._fail(_reason(error))
            return None
        if reason is None or isinstance(reason, str):
            return reason
        self._fail(f"recognises returned {type(reason).__name__}, neither a phrase nor None")
        return None

    def files_in(self, folder: Path) -> Iterable[Path]:
        try:
            return list(self._importer.files_in(folder))
        except OSError:
            raise
        except Exception as error:
            self._fail(_reason(error))
            raise BrokenInputError(f"The importer {self.name} failed: {_reason(error)}.") from error

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        try:
            for record in self._importer.read(source, reading):
                yield _checked(record)
        except (*READ_ERRORS, BrokenInputError, TooLargeError):
            raise
        except Exception as error:
            raise BrokenInputError(f"The importer {self.name} failed: {_reason(error)}.") from error

    def _fail(self, reason: str) -> None:
        self._is_trusted = False
        self._on_fault(reason)


def _fault_of(made: object, name: str) -> str | None:
    """Return what makes an object no importer of this name."""
    missing = [method for method in _METHODS if not callable(getattr(made, method, None))]
    if missing:
        return f"it has no method {missing[0]}"
    own = getattr(made, "name", None)
    return None if own == name else f"its own name is {own!r}"


def _checked(record: object) -> Session | Flaw:
    if isinstance(record, Session | Flaw):
        return record
    raise TypeError(f"it yields {type(record).__name__}, neither Session nor Flaw")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(". :")


def _warn(problem: str) -> None:
    warnings.warn(problem, stacklevel=2)
