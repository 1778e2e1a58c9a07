"""The format of a source, found by asking every importer, and the files to read in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct

from chatkeep.errors import BrokenInputError, InvalidError
from chatkeep.importers.archives import unpacked_archive
from chatkeep.importers.catalogue import Catalogue
from chatkeep.importers.importer import Importer, Look, look_at
from chatkeep.importers.sources import Piped, Source, shown_name

_TRIED_FILES: Final = 100  # files of a folder shown to an importer


class Recognised(Struct, frozen=True):
    """The name of a source's format, and the reason for taking it for that."""

    name: str
    reason: str


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
