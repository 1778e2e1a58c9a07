"""The protocol of a layout: a file for each session in a folder, and perhaps an index beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from chatkeep.core.model import Json, Session


class FolderLayout(Protocol):
    """A writer of another server's folder of sessions."""

    @property
    def name(self) -> str:
        """The name of the server, for `--to`."""
        ...

    def file_name(self, key: str) -> str:
        """Return the name of the file of a session; two keys may share one."""
        ...

    def keeps_for_itself(self, file_name: str) -> bool:
        """Tell whether the server has another use for a file of this name."""
        ...

    def document(self, session: Session) -> Json:
        """Return what the file of a session holds; nothing (an empty list or object) if no message can stand in it."""
        ...

    def index_entry(self, session: Session, document: Json) -> Json:
        """Return the entry of a session in the index, None if the layout has no index."""
        ...

    def index_file(self, entries: Mapping[str, Json]) -> tuple[str, Json] | None:
        """Return the name and content of the index for entries by file name, None if the layout has no index."""
        ...
