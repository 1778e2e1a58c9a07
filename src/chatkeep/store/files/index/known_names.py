"""Keys and channels as the index last knew them, without opening the store: for shell completion.

Opening a store compares each file with the index, and loads what writes and searches need. Neither is worth the wait
of a person at a prompt. So a session that came as a file since the last command is missing here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from chatkeep.disk.sqlite import named_statements, sql_text

_IN_PLACE: Final = re.compile(r"index-[0-9a-f]{10}\.sqlite3")
_BUSY_MS: Final = 100  # to wait for a writer; a completion must not hang
_FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW  # a reader alone would leave files behind


class IndexNames:
    """The names in the index of a workspace; nothing where no index is readable, or where two versions have one."""

    def __init__(self, workspace: Path) -> None:
        """Take the folder of the store."""
        self._workspace = workspace

    def keys(self, prefix: str, limit: int) -> Sequence[str]:
        """Return at most so many keys with this beginning, by code point."""
        found = self._column("known_keys", {"prefix": prefix, "limit": limit})
        return [key for key in found if key.startswith(prefix)]

    def channels(self) -> Sequence[str]:
        """Return the channels with sessions, by code point."""
        return self._column("known_channels", {})

    def _column(self, statement: str, values: Mapping[str, str | int]) -> Sequence[str]:
        query = named_statements(sql_text(__package__, "known_names.sql"))[statement]
        try:
            with closing(apsw.Connection(str(self._path()), _FLAGS)) as db:
                db.set_busy_timeout(_BUSY_MS)
                return [name for (name,) in db.execute(query, values) if isinstance(name, str)]
        except (apsw.Error, OSError):
            return []

    def _path(self) -> Path:
        """Return the place of the index.

        Raises:
            FileNotFoundError: when there is none, or more than one.
        """
        paths = [path for path in self._workspace.iterdir() if _IN_PLACE.fullmatch(path.name)]
        if len(paths) != 1:
            raise FileNotFoundError(self._workspace)
        return paths[0]
