"""The statements of the index, read from the `.sql` files beside this module, and answers that come in one row.

Rows that are handed over one by one take two to three times as long as one row of JSON with all of them (2,500
documents 0.9 ms and 0.3), and at each of them another thread may take its turn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Final, TypeVar

import apsw
import msgspec

_T = TypeVar("_T")
Begun = tuple[list[tuple[str, int]], tuple[str, ...]]
"""Words with a beginning, in how many messages each is, and if there are others, all that were asked for by then."""


class UnreadableRowError(Exception):
    """A row holds what nobody has put there."""


def sql_text(name: str) -> str:
    """Return the text of a file beside this module."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


class IndexConnection(apsw.Connection):
    """A connection to the index, with what `vocabulary` remembers for a while."""

    def __init__(self, path: str, flags: int, vfs: str | None = None) -> None:
        """Open the database of this name, as SQLite's flags say, in the file system of the disk or another one."""
        super().__init__(path, flags=flags, vfs=vfs)
        self.begun: dict[str, tuple[float, Begun]] = {}


def one_row(
    db: apsw.Connection, sql: str, values: Mapping[str, apsw.SQLiteValue], decoder: msgspec.json.Decoder[_T]
) -> _T:
    """Return what a query answers in one row of JSON.

    Raises:
        UnreadableRowError: when that cannot be: the database is damaged.
    """
    ((found,),) = db.execute(sql, values)
    try:
        return decoder.decode(found)
    except (TypeError, msgspec.DecodeError) as error:
        raise UnreadableRowError from error


def _named(text: str) -> dict[str, str]:
    """Return the statements of a text by the names in the comments above them."""
    parts = re.split(r"^-- (\w+): .*$", text, flags=re.MULTILINE)
    return {name: sql.strip().rstrip(";") for name, sql in zip(parts[1::2], parts[2::2], strict=True)}


SCHEMA: Final = sql_text("schema.sql")
LATE_INDEXES: Final = sql_text("late_indexes.sql")
QUERIES: Final = _named(sql_text("queries.sql"))
AUDIT: Final = _named(sql_text("audit.sql"))
