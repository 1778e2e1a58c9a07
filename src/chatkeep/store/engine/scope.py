"""The filters of a search as one set of documents."""

from __future__ import annotations

from functools import reduce
from operator import and_

import msgspec
from pyroaring import BitMap

from chatkeep.core.model import Selection
from chatkeep.core.search.search import Search
from chatkeep.store.engine.port import SearchIndex
from chatkeep.store.sets import times
from chatkeep.store.sets.terms import NAMED, OF_CHANNEL, ROLE_NUMBERS, key_part, role_label
from chatkeep.store.sets.times import microseconds

_EVERY_SESSION = Selection(archived=None)


def docs_of_filters(index: SearchIndex, search: Search) -> BitMap | None:
    """Return the documents that the filters leave, None for all of them.

    Of the roles it sees to those of a search for text alone; the work behind messages is found whatever their role.
    Roles, times, the channel, and a prefix up to a colon or slash are sets of the index. For the other filters, the
    index looks up the sessions.
    """
    if search.selection.prefix is None:
        return BitMap()
    parts = [] if search.covers_work else [docs_of_roles(index, search)]
    selection = search.selection
    if selection.channel is not None:
        parts.append(index.docs(OF_CHANNEL + selection.channel))
        selection = msgspec.structs.replace(selection, channel=None)
    if (label := key_part(selection.prefix or "")) is not None:
        parts.append(index.docs(label))
        selection = msgspec.structs.replace(selection, prefixes=())
    if search.session is not None or selection != _EVERY_SESSION:
        parts.append(index.of_sessions(selection, search.session))
    if not parts and search.since is None and search.until is None:
        return None
    docs = reduce(and_, parts) if parts else index.everything()
    return _between(index, docs - index.gone, search)


def docs_of_roles(index: SearchIndex, search: Search) -> BitMap:
    """Return the documents of the roles of a search, and those with names if it looks at names."""
    named = (NAMED,) if search.covers_names else ()
    return index.any_of(map(role_label, (*(ROLE_NUMBERS[role] for role in search.roles or ()), *named)))


def _between(index: SearchIndex, docs: BitMap, search: Search) -> BitMap:
    """Return the documents of a set with a time in [since, until)."""
    if search.since is not None:
        docs = times.since(index.docs, docs, microseconds(search.since))
    if search.until is not None:
        docs = docs - times.since(index.docs, docs, microseconds(search.until))
    return docs
