"""The use cases of retention rules: what would go, and letting it go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chatkeep.core.life.retention import Departure, Retained, RetentionRule, departures
from chatkeep.core.model import Revision, Summary
from chatkeep.core.paging import LIST_LIMIT_MAX
from chatkeep.errors import BusyError, SessionDamagedError, SessionNotFoundError
from chatkeep.sessions.sessions import Sessions


def due(sessions: Sessions, rules: Sequence[RetentionRule]) -> tuple[Departure, ...]:
    """Return the sessions that go by the rules now; nothing changes.

    Cost: one look at each session that a filter has, and for an age, only at those old enough.
    """
    now = sessions.now()
    found: dict[str, Retained] = {}
    for rule in rules:
        for known in _listed(sessions, rule):
            key = known.header.key
            if rule.max_bytes is not None:
                found[key] = Retained(known=known, size_bytes=_size(sessions, key))
            else:
                found.setdefault(key, Retained(known=known))
    return departures(found.values(), rules, now)


def let_go(sessions: Sessions, one: Departure, rules: Sequence[RetentionRule]) -> bool:
    """Archive, move to the trash or delete a session that is due; tell whether it went.

    It stays if it was pinned, held, used or changed meanwhile, so that its rule takes it no more.

    Raises:
        StorageError: when the disk refuses.
    """
    rule = rules[one.rule - 1]
    try:
        known = sessions.get(one.key)
        if known.updated_at != one.updated_at or not rule.matches(Retained(known=known)):
            return False
        if one.action == "archive":
            sessions.revise(one.key, Revision(archived=True))
        else:
            sessions.delete(one.key, to_trash=one.action == "trash")
    except (BusyError, SessionDamagedError, SessionNotFoundError):
        return False
    return True


def _listed(sessions: Sessions, rule: RetentionRule) -> Iterator[Summary]:
    selection, cursor = rule.selection(sessions.now()), None
    while True:
        page = sessions.list(selection, limit=LIST_LIMIT_MAX, cursor=cursor)
        yield from page.sessions
        cursor = page.next_cursor
        if cursor is None:
            return


def _size(sessions: Sessions, key: str) -> int:
    try:
        return sessions.size_of(key)
    except (SessionDamagedError, SessionNotFoundError):
        return 0
