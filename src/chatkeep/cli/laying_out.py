"""Sessions written as another server's folder: a new folder, so no file there is changed or replaced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from chatkeep.cli import screen
from chatkeep.core.model import Json, Session
from chatkeep.disk.files import flush_folder, make_folder
from chatkeep.disk.replacing import fresh_file
from chatkeep.errors import ConflictError, InvalidError, NotFoundError
from chatkeep.exporters.layouts import FolderLayout

_NAME_BYTES_MAX: Final = 255
_FOLDER: Final = "sessions"


def lay_out(layout: FolderLayout, sessions: Iterable[Session], output: Path | None) -> None:
    """Write sessions into a new folder `sessions` in the one that was named, and say what was left out.

    Raises:
        InvalidError: without a folder.
        ConflictError: when there is such a folder already.
        NotFoundError: when no session has anything to write.
    """
    if output is None:
        raise InvalidError("--output", f"name the folder for {layout.name}'s `{_FOLDER}`")
    folder = output / _FOLDER
    if os.path.lexists(folder):
        raise ConflictError(f"{folder} is there already: name a folder without `{_FOLDER}`.")
    entries: dict[str, Json] = {}
    left_out: list[str] = []
    with _new_folder(folder):
        for session in sessions:
            left_out += _write(layout, session, folder, entries)
        if not entries:
            raise NotFoundError(f"No session has anything that {layout.name} keeps.")
        index = layout.index_file(entries)
        if index is not None:
            _store(folder / index[0], index[1])
        flush_folder(folder)
    screen.say(f"Wrote {screen.counted(len(entries), 'session')} to {folder}.")
    for one in left_out:
        screen.complain(one)


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and remove it with its files after an error: half of the sessions look like all of them."""
    make_folder(folder)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write(layout: FolderLayout, session: Session, folder: Path, entries: dict[str, Json]) -> Iterator[str]:
    """Write the file of a session and note its entry; yield why not."""
    key = session.header.key
    name = layout.file_name(key)
    document = layout.document(session)
    if not document:
        yield f"{key} is left out: it has nothing that {layout.name} keeps."
    elif layout.keeps_for_itself(name):
        yield f"{key} is left out: {layout.name} keeps the name {name} for itself."
    elif len(os.fsencode(name)) > _NAME_BYTES_MAX:
        yield f"{key} is left out: its key is too long for the name of a file."
    elif name in entries or os.path.lexists(folder / name):  # some disks take two names for one
        yield f"{key} is left out: another session has the file {name}."
    else:
        _store(folder / name, document)
        entries[name] = layout.index_entry(session, document)


def _store(path: Path, document: Json) -> None:
    with fresh_file(path, replace=False) as file:
        file.write(msgspec.json.encode(document))
