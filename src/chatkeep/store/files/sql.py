"""The statements of the index, read from the `.sql` files beside this module."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final


def text_of(name: str) -> str:
    """Return the text of a file beside this module."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _named(text: str) -> dict[str, str]:
    """Return the statements of a text by the names in the comments above them."""
    parts = re.split(r"^-- (\w+): .*$", text, flags=re.MULTILINE)
    return {name: sql.strip().rstrip(";") for name, sql in zip(parts[1::2], parts[2::2], strict=True)}


SCHEMA: Final = text_of("schema.sql")
LATE_INDEXES: Final = text_of("late_indexes.sql")
QUERIES: Final = _named(text_of("queries.sql"))
AUDIT: Final = _named(text_of("audit.sql"))
