"""The use cases of people: link sessions to a person, and read what the person said everywhere, merged by time."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from chatkeep.core.life.people import Person, PersonHistory, Said, checked_person, history_cursor, history_places
from chatkeep.core.model import Message, Selection
from chatkeep.core.paging import LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, check_limit
from chatkeep.errors import InvalidError, NotFoundError, SessionDamagedError, SessionNotFoundError
from chatkeep.sessions.confinement import PeopleBook
from chatkeep.sessions.sessions import Sessions

_AT_ONCE: Final = 20  # messages of a session read at a time


class People:
    """The people within reach of a caller: those with a key there, and of each the keys there."""

    def __init__(self, sessions: Sessions) -> None:
        """Take the sessions of the caller."""
        self._sessions = sessions

    @property
    def _book(self) -> PeopleBook:
        book = self._sessions.reach.people
        if book is None:
            raise NotFoundError("This store has no list of people.")
        return book

    def all(self) -> tuple[Person, ...]:
        """Return the people by name.

        Raises:
            StorageError: when the list cannot be read.
        """
        book = self._sessions.reach.people
        seen = (self._seen(one) for one in (() if book is None else book.all()))
        return tuple(one for one in seen if one.keys)

    def get(self, name: str) -> Person:
        """Return a person.

        Raises:
            NotFoundError: when no key within reach belongs to one of this name.
        """
        wanted = checked_person(name)
        for one in self.all():
            if one.person == wanted:
                return one
        raise NotFoundError(f"Nobody is called {wanted} here.")

    def link(self, name: str, keys: Sequence[str]) -> Person:
        """Let sessions belong to a person; no session changes.

        Raises:
            InvalidError: for no key, for too many, or for a name against the rules.
            SessionNotFoundError: when there is no such session; nothing is linked then.
            ConflictError, BusyError, StorageError: as in `PeopleFile.link`.
        """
        if not keys:
            raise InvalidError("keys", "must be at least one")
        own = [self._sessions.get(key).header.key for key in dict.fromkeys(keys)]
        return self._seen(self._book.link(checked_person(name), own))

    def unlink(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Let sessions belong to nobody, also those deleted since; return their keys.

        Raises:
            SessionNotFoundError: for a key out of reach.
            NotFoundError, BusyError, StorageError: as in `PeopleFile.unlink`.
        """
        own = tuple(dict.fromkeys(self._sessions.reach.own(key) for key in keys))
        self._book.unlink(own)
        return own

    def history(self, name: str, *, limit: int = LIST_LIMIT_DEFAULT, cursor: str | None = None) -> PersonHistory:
        """Return the newest messages of a person over all sessions, oldest first; with a cursor those before a page.

        Cost: by the messages returned and the sessions that they are in. A damaged session is left out.

        Raises:
            NotFoundError: as in `get`.
            InvalidError: for a limit out of 1..500.
            InvalidCursorError: when the cursor is from another history, or the links have changed since.
        """
        check_limit(limit, LIST_LIMIT_MAX)
        person = self.get(name)
        merge = _Merge(self._sessions, person, dict(history_places(person, cursor)))
        found: list[Said] = []
        while len(found) < limit and (said := merge.latest()) is not None:
            found.append(said)
        return PersonHistory(said=tuple(reversed(found)), next_cursor=merge.cursor())

    def _seen(self, one: Person) -> Person:
        return Person(person=one.person, keys=tuple(key for key in one.keys if self._sessions.sees(key)))


class _Head(NamedTuple):
    """The next message of a session; the latest comes first in a heap."""

    age: float
    key: str
    message: Message | None


class _Merge:
    """The sessions of a person, read backwards together."""

    def __init__(self, sessions: Sessions, person: Person, before: dict[str, int]) -> None:
        self._sessions = sessions
        self._person = person
        self._before = before
        self._read: dict[str, list[Message]] = {}
        self._heads: list[_Head] = []
        chosen, cursor = Selection(person=person.person, archived=None), None
        while True:
            page = sessions.list(chosen, limit=LIST_LIMIT_MAX, cursor=cursor)
            for known in page.sessions:  # none is opened before its latest time is reached
                heapq.heappush(self._heads, _Head(_age(known.updated_at), known.header.key, None))
            cursor = page.next_cursor
            if cursor is None:
                return

    def latest(self) -> Said | None:
        """Return the latest message left, None at the beginning of all."""
        while self._heads:
            head = heapq.heappop(self._heads)
            following = self._following(head.key)
            if following is not None:
                age = max(head.age, _age(following.sent_at))
                if head.message is None or head.message is not following:
                    heapq.heappush(self._heads, _Head(age, head.key, following))
                    continue
                self._read[head.key].pop()
                self._before[head.key] = following.seq
                heapq.heappush(self._heads, _Head(head.age, head.key, None))
                return Said(session=head.key, message=following)
        return None

    def cursor(self) -> str | None:
        """Return the cursor behind what was returned; None where nothing is left."""
        is_over = all(self._following(head.key) is None for head in self._heads)
        return None if is_over else history_cursor(self._person, self._before)

    def _following(self, key: str) -> Message | None:
        """Return the next message of a session, going backwards; it stays the next one."""
        if not self._read.get(key):
            before = self._before.get(key)
            try:
                window = self._sessions.window(key, limit=_AT_ONCE, before=before)
            except (SessionNotFoundError, SessionDamagedError):
                return None
            self._read[key] = list(window.messages)
        return self._read[key][-1] if self._read[key] else None


def _age(at: datetime) -> float:
    return -at.timestamp()
