"""Confinement: the keys within reach of a caller, and whether its messages may drop others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

from chatkeep.core.checks import check_entries
from chatkeep.core.keys import parse_key
from chatkeep.core.life.people import Person
from chatkeep.core.model import Draft, Message, Selection
from chatkeep.errors import ForbiddenError, SessionNotFoundError


class PeopleBook(Protocol):
    """The list of people, as `sessions.people_file` keeps it."""

    def all(self) -> tuple[Person, ...]:
        """Return all people by name."""

    def keys_of(self, name: str, /) -> tuple[str, ...]:
        """Return the keys of a person; none for one who is not known."""

    def link(self, name: str, keys: Sequence[str], /) -> Person:
        """Let keys belong to a person."""

    def unlink(self, keys: Sequence[str], /) -> None:
        """Let keys belong to nobody."""


class Confinement(Struct, frozen=True, kw_only=True):
    """The reach of a caller: the keys under a prefix. Without `may_drop` its messages only add to what was said.

    A deleted session goes to the trash for `trash_days`, unless the caller says otherwise; with 0 it is gone. `people`
    says which keys belong to a person. With `puts_back` messages are read with their attachments, else with the names.
    """

    prefix: str = ""
    may_drop: bool = True
    trash_days: int = 0
    people: PeopleBook | None = None
    puts_back: bool = True

    def own(self, key: str) -> str:
        """Return a key as it is stored.

        Raises:
            InvalidKeyError: when it breaks a rule.
            SessionNotFoundError: when it is out of reach: no such session exists for this caller.
        """
        parsed = parse_key(key)
        if not parsed.startswith(self.prefix):
            raise SessionNotFoundError(parsed)
        return parsed

    def writable(self, key: str) -> str:
        """Return the key of a session to write, as it is stored.

        Raises:
            InvalidKeyError: when it breaks a rule.
            ForbiddenError: when it is out of reach.
        """
        parsed = parse_key(key)
        if not parsed.startswith(self.prefix):
            raise ForbiddenError(f"This token writes only to keys that begin with {self.prefix!r}.")
        return parsed

    def within(self, selection: Selection) -> Selection:
        """Return the part of a selection within reach."""
        check_entries(selection.metadata)
        own = msgspec.structs.replace(selection, prefixes=(*selection.prefixes, self.prefix)).composed()
        if own.person is None:
            return own
        return msgspec.structs.replace(own, keys=() if self.people is None else self.people.keys_of(own.person))

    def check_may_drop(self, messages: Iterable[Draft | Message] | None = None) -> None:
        """Check messages that may drop others, or without any, a drop itself.

        Raises:
            ForbiddenError: when they drop and may not.
        """
        if not self.may_drop and (messages is None or any(message.drops for message in messages)):
            raise ForbiddenError("This token lacks the scope 'delete': its messages cannot drop others.")
