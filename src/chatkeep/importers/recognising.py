"""The format of a source, found by asking every importer, and the files to read in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct

from chatkeep.core.scanning import BOM
from chatkeep.errors import BrokenInputError, InvalidError
from chatkeep.importers.catalogue import Catalogue
from chatkeep.importers.importer import Importer, Look
from chatkeep.importers.sources import READ_ERRORS, Piped, Source, read_failure, unpacked

_HEAD_BYTES: Final = 1 << 16  # bytes of content shown to importers
_TRIED_FILES: Final = 100  # files of a folder shown to an importer


class Recognised(Struct, frozen=True):
    """The name of a source's format, and the reason for taking it for that."""

    name: str
    reason: str


def recognised(source: Source, catalogue: Catalogue | None = None) -> Recognised:
    """Return the format of a file, folder or pipe. The first importer in the catalogue that recognises it wins.

    Raises:
        InvalidError: when the format is unknown, or the source is empty or unreadable.
        OSError: when a folder may not be read, so its files are unknown.
    """
    known = catalogue or Catalogue()
    importers = known.all()
    if isinstance(source, Path) and source.is_dir():
        found = _asked(importers, Look(name=source.name, path=source, is_folder=True)) or _recognised_inside(
            source, importers
        )
    else:
        found = _asked(importers, _look(source))
    if found is None:
        names = ", ".join(known.names)
        raise InvalidError("path", f"the format of {_named(source)} is not known; name it with --as: {names}")
    return found


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
            found = _asked(asked, _look(file, folder))
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


def _look(source: Source, folder: Path | None = None) -> Look:
    if isinstance(source, Path) and not source.exists():
        raise InvalidError("path", f"{source} does not exist")
    try:
        with unpacked(source) as stream:
            head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    except (*READ_ERRORS, BrokenInputError) as error:
        raise InvalidError("path", f"{_named(source)} cannot be read: {read_failure(error)}") from error
    if not head:
        raise InvalidError("path", f"{_named(source)} is empty")
    return Look(
        name=source.name,
        path=source if isinstance(source, Path) else None,
        folder=folder,
        head=head.removeprefix(BOM).lstrip(),
        is_cut=len(head) == _HEAD_BYTES,
    )


def _named(source: Source) -> str:
    return source.name if isinstance(source, Piped) else str(source)
