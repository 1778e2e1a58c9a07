"""A selection of sessions as SQL conditions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from chatkeep.core.model import Selection
from chatkeep.store.files.index.columns import Value, microseconds

# `instr` is cheap and leaves few sessions: the first tag, in quotes, is in the text. Only these pay for json_each
_TAGGED: Final = (
    "tags <> '[]' AND instr(tags, :tag)"
    " AND NOT EXISTS (SELECT value FROM json_each(:tags) EXCEPT SELECT value FROM json_each(tags))"
)


def conditions(selection: Selection) -> tuple[list[str], dict[str, Value]]:
    """Return the SQL conditions of a selection, to join with AND, and their values by name."""
    if selection.prefix is None:
        return ["false"], {}
    where: list[str] = []
    values: dict[str, Value] = {}
    for name, compare, wanted in (
        ("archived", "archived =", selection.archived),
        ("channel", "channel =", selection.channel),
        ("pinned", "pinned =", selection.pinned),
        ("updated_after", "updated_at >=", _us(selection.updated_after)),
        ("updated_before", "updated_at <", _us(selection.updated_before)),
    ):
        if wanted is not None:
            where.append(f"{compare} :{name}")
            values[name] = wanted
    if selection.tags:
        where.append(_TAGGED)
        values["tag"] = msgspec.json.encode(selection.tags[0]).decode()
        values["tags"] = msgspec.json.encode(selection.tags).decode()
    if selection.prefix:
        bounds = key_bounds(selection.prefix)
        where.append("key >= :first")
        if bounds["after"] is not None:
            where.append("key < :after")
        values.update((name, value) for name, value in bounds.items() if value is not None)
    return where, values


def _us(time: datetime | None) -> int | None:
    return None if time is None else microseconds(time)


def unindexed(condition: str, *, keep: str) -> str:
    """Return a condition with a unary `+`, so that SQLite uses no index for it.

    A condition of the kind `keep` stays as it is: "key", or "time" for all others. So do those in parentheses.
    """
    about_key = condition.startswith("key")
    return condition if about_key == (keep == "key") or condition.startswith("(") else f"+{condition}"


def key_bounds(prefix: str) -> Mapping[str, Value]:
    """Return the bounds of the keys with a prefix: `first` inclusive, `after` exclusive, None for no upper bound."""
    for place in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[place]) + 1
        if code < 0x110000:  # noqa: PLR2004 - the end of Unicode
            following = prefix[:place] + chr(0xE000 if 0xD800 <= code < 0xE000 else code)  # noqa: PLR2004 - surrogates
            return {"first": prefix, "after": following}
    return {"first": prefix, "after": None}
