"""The parameters of a call's query, as text."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from chatkeep.core.checks import check_entries
from chatkeep.core.model import Selection, utc
from chatkeep.core.text.surrogates import LONE_SURROGATE
from chatkeep.errors import InvalidError

_CHOICES: Final = {True: "true", False: "false", None: "all"}

Fields = Mapping[str, str | int | bool | tuple[str, ...] | datetime | None]


def filter_fields(selection: Selection) -> dict[str, str | tuple[str, ...] | datetime | None]:
    """Return a selection as parameters."""
    return {
        "prefix": selection.prefix or None,
        "channel": selection.channel,
        "archived": _CHOICES[selection.archived],
        "pinned": None if selection.pinned is None else _CHOICES[selection.pinned],
        "tag": selection.tags,
        "updated_after": selection.updated_after,
        "updated_before": selection.updated_before,
        **meta_fields(selection),
    }


def meta_fields(selection: Selection) -> dict[str, tuple[str, ...]]:
    """Return the names and values of metadata as parameters."""
    check_entries(selection.metadata)
    found: dict[str, tuple[str, ...]] = {}
    for name, value in selection.metadata:
        found[f"meta.{name}"] = (*found.get(f"meta.{name}", ()), value)
    return found


def query_pairs(query: Fields) -> tuple[tuple[str, str], ...]:
    """Return the query as text: without None, and one pair for each of several values."""
    pairs = tuple(
        (name, _text(value))
        for name, given in query.items()
        if given is not None
        for value in (given if isinstance(given, tuple) else (given,))
    )
    for name, text in pairs:
        if any(unicodedata.category(character) == "Cs" for character in text):
            raise InvalidError(name, LONE_SURROGATE)
    return pairs


def _text(value: str | int | bool | datetime) -> str:  # noqa: FBT001 - a value, no switch
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return utc(value).isoformat().replace("+00:00", "Z")
    return str(value)
