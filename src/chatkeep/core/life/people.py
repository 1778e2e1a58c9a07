"""People: the sessions that belong to one person, over all channels, and their messages merged by time.

A link is a fact beside the sessions: it changes none of them, and goes again without a trace in them. A key belongs to
one person at most.

A history goes backwards. The session with the latest message gives the next line; within a session `seq` alone orders,
so a message with an early time stays behind the one before it. A cursor has the place in each session reached so far.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core.checks import check_name
from chatkeep.core.keys import composed
from chatkeep.core.model import Message
from chatkeep.errors import InvalidCursorError, InvalidError

PERSON_KEYS_MAX: Final = 100
"""Keys of one person; a cursor has a number for each."""

PEOPLE_MAX: Final = 10_000
"""People of a workspace; the file is read whole."""

_SCOPE_BYTES: Final = 6


class Person(Struct, frozen=True, kw_only=True):
    """A person, and the keys of their sessions by code point."""

    person: str
    keys: tuple[str, ...]


class Said(Struct, frozen=True, kw_only=True):
    """A message, and the key of its session."""

    session: str
    message: Message


class PersonHistory(Struct, frozen=True, kw_only=True):
    """Messages of a person, oldest first; `next_cursor` leads to those before them, None at the beginning."""

    said: tuple[Said, ...]
    next_cursor: str | None


class _Content(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    scope: str
    before: tuple[int | None, ...]


def checked_person(name: str) -> str:
    """Return the name of a person as it is stored.

    Raises:
        InvalidError: when it is empty, too long, or not printable.
    """
    check_name("person", name)
    if not name.strip():
        raise InvalidError("person", "must not be empty")
    return composed(name)


def history_cursor(person: Person, before: Mapping[str, int]) -> str:
    """Return the cursor that goes on before these seqs, one for each session reached so far."""
    content = _Content(_scope(person), tuple(before.get(key) for key in person.keys))
    return base64.urlsafe_b64encode(msgspec.json.encode(content)).rstrip(b"=").decode()


def history_places(person: Person, cursor: str | None) -> Mapping[str, int]:
    """Return the seqs of a cursor; none without one.

    Raises:
        InvalidCursorError: when it is not from this history, or the links of the person have changed since.
    """
    if cursor is None:
        return {}
    try:
        encoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        content = msgspec.json.decode(encoded, type=_Content)
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise InvalidCursorError from error
    if content.scope != _scope(person) or len(content.before) != len(person.keys):
        raise InvalidCursorError
    places = zip(person.keys, content.before, strict=True)
    return {key: before for key, before in places if before is not None and 0 <= before < 1 << 53}


def linked(people: Sequence[Person], person: str, keys: Sequence[str]) -> tuple[Person, ...]:
    """Return the people with further keys of one of them, sorted by name.

    Raises:
        InvalidError: when there are too many; keys of another person are for the caller to find.
    """
    known = {one.person: one for one in people}
    before = known[person].keys if person in known else ()
    known[person] = Person(person=person, keys=tuple(sorted({*before, *keys})))
    if len(known[person].keys) > PERSON_KEYS_MAX:
        raise InvalidError("keys", f"would be more than {PERSON_KEYS_MAX} of one person")
    if len(known) > PEOPLE_MAX:
        raise InvalidError("person", f"would be one more than {PEOPLE_MAX}")
    return tuple(known[name] for name in sorted(known))


def unlinked(people: Sequence[Person], keys: Sequence[str]) -> tuple[Person, ...]:
    """Return the people without these keys; a person without any is gone."""
    gone = set(keys)
    left = (Person(person=one.person, keys=tuple(key for key in one.keys if key not in gone)) for one in people)
    return tuple(one for one in left if one.keys)


def _scope(person: Person) -> str:
    names = msgspec.json.encode((person.person, person.keys))
    return hashlib.blake2b(names, digest_size=_SCOPE_BYTES).hexdigest()
