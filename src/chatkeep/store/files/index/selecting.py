"""A selection of sessions as SQL conditions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from chatkeep.core.model import Selection
from chatkeep.store.files.index.columns import Value
from chatkeep.store.sets.times import microseconds

# `instr` is cheap and leaves few sessions: the first tag, in quotes, is in the text. Only these pay for json_each
_TAGGED: Final = (
    "tags <> '[]' AND instr(tags, :tag)"
    " AND NOT EXISTS (SELECT value FROM json_each(:tags) EXCEPT SELECT value FROM json_each(tags))"
)

# Lists read a view without metadata; `instr` is cheap and leaves few sessions
_WITH_ENTRY: Final = (
    "sid IN (SELECT sid FROM sessions WHERE instr(metadata, :entry_{place}) AND CASE json_type(metadata, :path_{place})"
    " WHEN 'text' THEN metadata -> :path_{place} = :text_{place} WHEN 'object' THEN 0 WHEN 'array' THEN 0"
    " ELSE metadata -> :path_{place} = :value_{place} END)"
)


def conditions(selection: Selection) -> tuple[list[str], dict[str, Value]]:
    """Return the SQL conditions of a selection, to join with AND, and their values by name."""
    if selection.prefix is None or not selection.is_resolved:
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
    if selection.keys is not None:
        where.append("key IN (SELECT value FROM json_each(:keys))")
        values["keys"] = msgspec.json.encode(selection.keys).decode()
    for place, (name, value) in enumerate(selection.metadata):
        where.append(_WITH_ENTRY.replace("{place}", str(place)))
        parts = name.split(".")
        values[f"entry_{place}"] = msgspec.json.encode(parts[0]).decode()
        values[f"path_{place}"] = "$" + "".join(f'."{part}"' for part in parts)
        values[f"value_{place}"] = value
        values[f"text_{place}"] = msgspec.json.encode(value).decode()
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
