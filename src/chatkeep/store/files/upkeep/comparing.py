"""The files and the index, compared: all names of the tree, and what changed since the index saw them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Final

from chatkeep.disk.files import Stamp
from chatkeep.errors import StorageError
from chatkeep.store.admin import Progress
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.pieces import FilePiece, readings
from chatkeep.store.files.tree.tree import NotRegularError, Tree
from chatkeep.store.files.upkeep.intake import Intake

_HEAD_BYTES: Final = 1024  # of a file, enough for the creation time in most headers


def bring_up_to_date(index: Index, tree: Tree, intake: Intake, on_progress: Progress | None = None) -> None:
    """Bring an index up to date. Cost: one look at each name, and one reading of each changed file.

    Sessions are taken in by the time they began. A search then finds the newest soon, as its rows follow time.
    """
    known = index.stamps()
    changed: dict[str, Stamp | None] = {}
    times: dict[str, float] = {}
    for name, stamp in tree.stamps():
        seen = known.pop(name, None)
        if stamp is None or stamp != seen:
            changed[name], times[name] = seen, stamp.modified_ns / 1e9 if stamp else 0.0
    times.update(_beginnings(tree, changed))
    ordered = sorted(changed.items(), key=lambda change: (times[change[0]], change[0]))
    intake.take_in(index, [*ordered, *known.items()], on_progress)


def _beginnings(tree: Tree, names: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Yield names with the start of their session, in seconds since 1970, where the file has one."""
    for reading in readings(tree, (FilePiece(name, 0, _HEAD_BYTES) for name in names)):
        with contextlib.suppress(FileNotFoundError, NotRegularError, StorageError):
            head, _ = reading.read()
            if (began := session_file.begun_at(head)) is not None:
                yield reading.piece.name, began
