"""Windows kept in memory, each with the state of its file: in the same state, a file has the same messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import Struct

from chatkeep.core.history.windows import Window
from chatkeep.disk.files import Stamp
from chatkeep.errors import StorageError
from chatkeep.store.files.tree.tree import NotRegularError, Tree

_WINDOWS_MAX: Final = 64
_BYTES_MAX: Final = 1 << 16  # of a window's lines in its file: about 15 MB in memory for all


class WindowAsked(NamedTuple):
    """A question for a window, by the name of its file."""

    name: str
    limit: int
    before: int | None
    after: int | None
    log: bool


class _Kept(Struct, frozen=True):
    window: Window
    stamp: Stamp


class KeptWindows:
    """The last windows read from a tree."""

    def __init__(self, tree: Tree) -> None:
        """Begin without any."""
        self._tree = tree
        self._kept: dict[WindowAsked, _Kept] = {}

    def get(self, asked: WindowAsked, indexed: Callable[[], Stamp | None]) -> Window | None:
        """Return the window if the index (`indexed`) and the disk have its file in the state it was read in, else None.

        Without a window neither is asked.
        """
        kept = self._kept.get(asked)
        if kept is None or kept.stamp != (stamp := indexed()):
            return None
        try:
            return kept.window if self._tree.stamp(asked.name) == stamp else None
        except (NotRegularError, StorageError):
            return None

    def keep(self, asked: WindowAsked, window: Window, stamp: Stamp | None, size_bytes: int) -> Window:
        """Keep a window that is not too large, and return it."""
        if stamp is not None and size_bytes <= _BYTES_MAX:
            if len(self._kept) >= _WINDOWS_MAX:
                self._kept.clear()
            self._kept[asked] = _Kept(window, stamp)
        return window
