"""Debts of the index: files changed and answered, whose change it could not take yet."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Debts:
    """The names of files with a change that the index still lacks."""

    def __init__(self) -> None:
        """Begin without any."""
        self._owed: dict[str, object] = {}
        self._owing = threading.Lock()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._owed)

    def owe(self, name: str) -> None:
        """Note a file; a debt noted while an older one is paid stays."""
        with self._owing:
            self._owed[name] = object()

    def pay(self, refresh: Callable[[str], None], name: str | None = None) -> None:
        """Bring the index up to date with each of the files, or with one of them; what fails stays owed."""
        for owed, debt in list(self._owed.items()):
            if name in {None, owed}:
                refresh(owed)
                with self._owing:
                    if self._owed.get(owed) is debt:
                        del self._owed[owed]
