"""Messages known from an earlier import: their ids, and whether a later state of one contradicts it.

A program may write a message first, and facts about it later, such as the count of its tokens. An import in between
stores the message without them. Stored messages never change, so the facts that come late are left out; they are no
contradiction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

import msgspec

from chatkeep.core.model import Json, Merged, Message, Session
from chatkeep.core.paging import LIST_LIMIT_MAX
from chatkeep.errors import SessionDamagedError, SessionNotFoundError
from chatkeep.sessions.sessions import Sessions


def ids_in(sessions: Sessions) -> Callable[[str], Mapping[str, int]]:
    """Return a function of a key to the ids of the messages stored under it, each with the count of its tool calls."""

    def ids(key: str) -> Mapping[str, int]:
        return {message.id: len(message.tool_calls or ()) for message in _stored(sessions, key)}

    return ids


def settled(sessions: Sessions, session: Session, merged: Merged) -> Merged:
    """Return what came of a merge; a message stored before its program added facts to it counts as known.

    Cost: one reading of the stored session if there are conflicts, else nothing.
    """
    if not merged.conflicts:
        return merged
    conflicts = set(merged.conflicts)
    new: defaultdict[str, list[Message]] = defaultdict(list)
    for message in session.messages:
        new[message.id].append(message)  # a file may have an id twice, with other content
    for stored in _stored(sessions, session.header.key):
        if stored.id in conflicts and all(_is_earlier(stored, later) for later in new[stored.id]):
            conflicts.discard(stored.id)
    return msgspec.structs.replace(
        merged,
        conflicts=tuple(one for one in merged.conflicts if one in conflicts),
        skipped_count=merged.skipped_count + len(merged.conflicts) - len(conflicts),
    )


def _stored(sessions: Sessions, key: str) -> Iterator[Message]:
    """Yield the messages of a session; none without a session, and those before a damage."""
    after = 0
    while True:
        try:
            window = sessions.window(key, limit=LIST_LIMIT_MAX, after=after)
        except (SessionNotFoundError, SessionDamagedError):
            return
        yield from window.messages
        if not window.has_more:
            return
        after = window.messages[-1].seq


def _is_earlier(stored: Message, later: Message) -> bool:
    """Tell whether a message says the same as a later state of it, with all facts it has."""
    bare = msgspec.structs.replace(later, metadata=stored.metadata)
    return stored.says_the_same(bare) and _has_all(later.metadata or {}, stored.metadata or {})


def _has_all(later: Mapping[str, Json], earlier: Mapping[str, Json]) -> bool:
    return all(name in later and _goes_on(later[name], value) for name, value in earlier.items())


def _goes_on(later: Json, earlier: Json) -> bool:
    if isinstance(later, dict) and isinstance(earlier, dict):
        return _has_all(later, earlier)
    return bool(later == earlier)
