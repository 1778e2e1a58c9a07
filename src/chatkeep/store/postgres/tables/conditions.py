"""A selection of sessions as conditions of SQL."""

from __future__ import annotations

from typing import Final

from chatkeep.core.model import Selection
from chatkeep.store.postgres.tables.cells import Cell, hashed_entry, micros

_LAST: Final = 0x10FFFF


def selected_by(selection: Selection) -> tuple[str, dict[str, Cell]]:
    """Return the condition of a selection, and its values by name.

    PostgreSQL stores no NUL. So nothing has a text with one, and no statement may have it as a value.
    """
    told = (selection.channel or "", *selection.tags)
    if selection.prefix is None or not selection.is_resolved or any("\0" in text for text in told):
        return "false", {}
    where: list[str] = []
    values: dict[str, Cell] = {}
    for name, compare, wanted in (
        ("archived", "archived =", selection.archived),
        ("channel", "channel =", selection.channel),
        ("pinned", "pinned =", selection.pinned),
        (
            "updated_after",
            "updated_at >=",
            None if selection.updated_after is None else micros(selection.updated_after),
        ),
        (
            "updated_before",
            "updated_at <",
            None if selection.updated_before is None else micros(selection.updated_before),
        ),
    ):
        if wanted is not None:
            where.append(f"sessions.{compare} %({name})s")
            values[name] = wanted
    if selection.tags:
        where.append("sessions.tags <> '{}' AND sessions.tags @> %(tags)s::text[]")
        values["tags"] = list(selection.tags)
    if selection.metadata:
        where.append("sessions.entries <> '{}' AND sessions.entries @> %(entries)s::uuid[]")
        values["entries"] = [hashed_entry(*entry) for entry in selection.metadata]
    if selection.keys is not None:
        where.append("sessions.key = ANY(%(keys)s::text[])")
        values["keys"] = [key for key in selection.keys if "\0" not in key]
    if selection.prefix:
        where.append("sessions.key >= %(first)s AND (%(after)s::text IS NULL OR sessions.key < %(after)s)")
        values.update(bounds_of(selection.prefix))
    return " AND ".join(where) or "true", values


def bounds_of(prefix: str) -> dict[str, Cell]:
    """Return the bounds of the texts with a prefix: `first` is one, `after` is none; None for no upper bound.

    In the collation "C" texts are in the order of their code points.
    """
    if "\0" in prefix:
        return {"first": "", "after": ""}
    for place in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[place]) + 1
        if code <= _LAST:
            return {"first": prefix, "after": prefix[:place] + chr(0xE000 if 0xD800 <= code < 0xE000 else code)}  # noqa: PLR2004
    return {"first": prefix, "after": None}
