"""The JSON of people: links, lists, and a history over several sessions."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from chatkeep.core.life.people import PERSON_KEYS_MAX, Person, PersonHistory, Said
from chatkeep.core.model import Json, Message
from chatkeep.core.unknown import message_in, written
from chatkeep.wire.bodies import Key, Name


class LinkBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sessions to link to a person."""

    person: Name
    keys: Annotated[list[Key], Meta(min_length=1, max_length=PERSON_KEYS_MAX)]


class UnlinkBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sessions to belong to nobody."""

    keys: Annotated[list[Key], Meta(min_length=1, max_length=PERSON_KEYS_MAX)]


class PeopleList(Struct, frozen=True, kw_only=True):
    """The people with sessions within reach, by name, each with the keys there."""

    people: tuple[Person, ...]
    count: int


class UnlinkAnswer(Struct, frozen=True, kw_only=True):
    """The keys that belong to nobody now."""

    keys: tuple[str, ...]
    count: int


class PersonMessage(Struct, frozen=True, kw_only=True):
    """A message, and the key of its session."""

    session: str
    message: Message


class PersonHistoryAnswer(Struct, frozen=True, kw_only=True):
    """Messages of a person over several sessions, oldest first; `next_cursor` leads to those before them."""

    messages: tuple[PersonMessage, ...]
    next_cursor: str | None


class _SaidFacts(Struct, frozen=True, kw_only=True):
    session: str
    message: msgspec.Raw


class _HistoryFacts(Struct, frozen=True, kw_only=True):
    messages: tuple[_SaidFacts, ...]
    next_cursor: str | None


def person_history_answer(found: PersonHistory) -> Json:
    """Return a history ready to be encoded, its messages with their unknown fields."""
    messages = written([one.message for one in found.said])
    said = [{"session": one.session, "message": message} for one, message in zip(found.said, messages, strict=True)]
    return {"messages": said, "next_cursor": found.next_cursor}


def person_history_of(data: bytes) -> PersonHistory:
    """Return the history in an answer."""
    facts = msgspec.json.decode(data, type=_HistoryFacts)
    said = tuple(Said(session=one.session, message=message_in(one.message)) for one in facts.messages)
    return PersonHistory(said=said, next_cursor=facts.next_cursor)
