"""The format of a source, found by asking every importer, and the files to read in it.

A folder may be the home of one tool, or hold the files of many. A tool's home is found by its structure, at any level,
and read as a whole. Other files are looked at one by one, so a mixture of formats comes in with one command. Hidden
folders that are no homes stay closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct

from chatkeep.errors import BrokenInputError, InvalidError
from chatkeep.importers.archives import is_archive, unpacked_archive
from chatkeep.importers.catalogue import Catalogue
from chatkeep.importers.importer import Importer, Look, look_at
from chatkeep.importers.sources import Piped, Source, entries_in, is_json_file, shown_name

_ARCHIVES: Final = (".zip", ".ZIP")
_DATABASES: Final = (".db", ".sqlite", ".sqlite3")
_GENERAL: Final = frozenset(("json", "jsonl"))  # formats of any JSON; among others they must have messages
_PUT_ASIDE: Final = ".jsonl."  # a log with something behind its suffix, such as the time of a reset
_TRIED_FILES: Final = 100  # files of a folder shown to an importer


class Recognised(Struct, frozen=True):
    """The name of a source's format, and the reason for taking it for that."""

    name: str
    reason: str


class PlannedSource(Struct, frozen=True):
    """A source to import, its importer, and the reason for taking it for this format."""

    source: Source
    importer: Importer
    reason: str


class ImportPlan(Struct, frozen=True):
    """The sources of an import, and the files in them of no known format."""

    sources: Sequence[PlannedSource]
    unknown: Sequence[Path] = ()


def recognised(source: Source, catalogue: Catalogue | None = None) -> Recognised:
    """Return the format of a file, folder, archive or pipe. The first importer in the catalogue to recognise it wins.

    Raises:
        InvalidError: when the format is unknown, or the source is empty or unreadable.
        OSError: when a folder may not be read, so its files are unknown.
    """
    known = catalogue or Catalogue()
    with unpacked_archive(source) as place:
        found = _recognised(place, known.all())
    if found is None:
        names = ", ".join(known.names)
        raise InvalidError("path", f"the format of {shown_name(source)} is not known; name it with --as: {names}")
    return found


def _recognised(source: Source, importers: Sequence[Importer]) -> Recognised | None:
    if isinstance(source, Path) and source.is_dir():
        look = Look(name=source.name, path=source, is_folder=True)
        return _asked(importers, look) or _recognised_inside(source, importers)
    return _asked(importers, look_at(source))


def sniff(source: Source, catalogue: Catalogue | None = None) -> str:
    """Return the name of the format of a file, folder or pipe.

    Raises:
        InvalidError, OSError: as `recognised`.
    """
    return recognised(source, catalogue).name


def files_of(source: Source, importer: Importer) -> Sequence[Source]:
    """Return the files to read: the source itself, or those of the importer's format in a folder.

    Raises:
        InvalidError: when the path does not exist, or has no session files.
        OSError: when a folder may not be read, so its files are unknown.
    """
    if isinstance(source, Piped):
        return [source]
    if not source.exists():
        raise InvalidError("path", f"{source} does not exist")
    if not source.is_dir():
        return [source]
    files = list(importer.files_in(source))
    if not files:
        raise InvalidError("path", f"{source} holds no session files")
    return files


def plan_of(source: Source, catalogue: Catalogue) -> ImportPlan:
    """Return the plan for a file, a pipe, a tool's home, or a folder with files of any formats.

    Raises:
        InvalidError: when nothing in it has a known format, or it is empty or unreadable.
        OSError: when a folder may not be read, so its files are unknown.
    """
    importers = catalogue.all()
    if not isinstance(source, Path) or not source.is_dir() or _home_of_tool(source, importers):
        return ImportPlan([_whole(source, catalogue)])
    found = [*_found_below(source, importers)]
    known = [one for one in found if isinstance(one, PlannedSource)]
    unknown = [one for one in found if isinstance(one, Path)]
    if len({one.importer.name for one in known}) > 1 or not _is_read_whole(source, known):
        return ImportPlan(known, unknown)
    return ImportPlan([_whole(source, catalogue)])


def _asked(importers: Sequence[Importer], look: Look) -> Recognised | None:
    for importer in importers:
        if (reason := importer.recognises(look)) is not None:
            return Recognised(importer.name, reason)
    return None


def _recognised_inside(folder: Path, importers: Sequence[Importer]) -> Recognised | None:
    """Return the format of the first recognised file in a folder; an unreadable file does not hide the others."""
    refusal: InvalidError | None = None
    for file, asked in _candidates(folder, importers):
        try:
            found = _asked(asked, look_at(file, folder))
        except InvalidError as error:  # `read_sessions` yields a flaw for this file
            refusal = refusal or error
            continue
        if found is not None:
            return found
    if refusal is not None:
        raise refusal
    return None


def _candidates(folder: Path, importers: Sequence[Importer]) -> Iterator[tuple[Path, Sequence[Importer]]]:
    """Yield files in a folder, each with the importers that would read it.

    The files of the more general formats come first: they lie at the top.
    """
    asked: dict[Path, list[Importer]] = {}
    unreadable: OSError | None = None
    for importer in reversed(importers):
        try:
            for file in islice(importer.files_in(folder), _TRIED_FILES):
                asked.setdefault(file, []).insert(0, importer)
        except OSError as error:
            unreadable = unreadable or error
        except BrokenInputError:  # of another package: the catalogue has reported it
            continue
    yield from asked.items()
    if unreadable is not None:
        raise unreadable
    if not asked:
        raise InvalidError("path", f"{folder} holds no session files")


def _whole(source: Source, catalogue: Catalogue) -> PlannedSource:
    found = recognised(source, catalogue)
    return PlannedSource(source, catalogue.importer(found.name), found.reason)


def _is_read_whole(folder: Path, known: Sequence[PlannedSource]) -> bool:
    """Tell whether the importer of all these files finds them by itself; it reads a folder better as a whole."""
    return not known or {one.source for one in known} <= {*known[0].importer.files_in(folder)}


def _found_below(folder: Path, importers: Sequence[Importer]) -> Iterator[PlannedSource | Path]:
    """Yield the tools' homes and the files below a folder, by path; a path alone has no known format."""
    waiting = [folder]
    while waiting:
        entry = waiting.pop()
        if entry.is_dir():
            home = None if entry == folder else _home_of_tool(entry, importers)
            if home is not None:
                yield home
            elif entry == folder or not (entry.is_symlink() or entry.name.startswith(".")):
                waiting += sorted(entries_in(entry), reverse=True)
        elif entry.name.endswith(_ARCHIVES) and is_archive(entry):
            yield _archive(entry, importers) or entry
        elif _may_be_read(entry.name) and entry.is_file():
            yield _file(entry, importers) or entry


def _home_of_tool(folder: Path, importers: Sequence[Importer]) -> PlannedSource | None:
    return _planned(Look(name=folder.name, path=folder, is_folder=True), folder, importers)


def _file(file: Path, importers: Sequence[Importer]) -> PlannedSource | None:
    try:
        return _planned(look_at(file), file, importers)
    except InvalidError:
        return None


def _planned(look: Look, source: Path, importers: Sequence[Importer]) -> PlannedSource | None:
    for importer in importers:
        if (reason := importer.recognises(look)) is not None:
            is_guess = importer.name in _GENERAL and not look.is_folder and not _has_messages(look)
            return None if is_guess else PlannedSource(source, importer, reason)
    return None


def _archive(file: Path, importers: Sequence[Importer]) -> PlannedSource | None:
    try:
        with unpacked_archive(file) as place:
            found = _recognised(place, importers)
    except InvalidError:
        return None
    named = (one for one in importers if found is not None and one.name == found.name)
    return next((PlannedSource(file, one, found.reason) for one in named if found is not None), None)


def _has_messages(look: Look) -> bool:
    first = look.sight[0] if isinstance(look.sight, list) and look.sight else look.sight
    return isinstance(first, dict) and "messages" in first


def _may_be_read(name: str) -> bool:
    return is_json_file(name) or name.endswith(_DATABASES) or _PUT_ASIDE in name
