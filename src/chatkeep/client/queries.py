"""What a call asks for: a search, a portion of keys, and the parameters of its query as text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

import msgspec

from chatkeep.core.checks import check_entries
from chatkeep.core.model import Selection, Sort, utc
from chatkeep.core.search.query import parse_query
from chatkeep.core.search.search import Search
from chatkeep.core.text.surrogates import LONE_SURROGATE
from chatkeep.errors import InvalidError
from chatkeep.wire.bodies import BULK_KEYS_MAX

_CHOICES: Final = {True: "true", False: "false", None: "all"}

Fields = Mapping[str, str | int | bool | tuple[str, ...] | datetime | None]


def narrowed(selection: Selection, prefix: str) -> Selection:
    """Return the selection, narrowed to keys under the prefix."""
    return msgspec.structs.replace(selection, prefixes=(*selection.prefixes, prefix)) if prefix else selection


def search_of(
    search: Search | str,
    *,
    prefix: str,
    session: str | None,
    sort: Sort | None,
    limit: int | None,
    cursor: str | None = None,
) -> Search:
    """Return a search from a text or a search, with the other arguments in it."""
    whole = Search(query=parse_query(search)) if isinstance(search, str) else search
    given = {"session": session, "sort": sort, "limit": limit, "cursor": cursor}
    changes = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(whole, selection=narrowed(whole.selection, prefix), **changes)


def finds_nothing(search: Search) -> bool:
    """Return whether a search finds nothing for certain, without a call."""
    return not search.query.terms or search.selection.prefix is None


def portions(keys: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield the keys, each once, in portions of one request."""
    chosen = tuple(dict.fromkeys(keys))
    for first in range(0, len(chosen), BULK_KEYS_MAX):
        yield chosen[first : first + BULK_KEYS_MAX]


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
        "person": selection.person,
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
