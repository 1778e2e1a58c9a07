"""The verbs about people as calls: the request of each, and the reading of its answer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chatkeep.client.exchange import Call
from chatkeep.client.queries import query_pairs
from chatkeep.core.checks import encoded_json
from chatkeep.core.keys import parse_key
from chatkeep.core.life.people import Person, PersonHistory
from chatkeep.wire.links import LinkBody, PeopleList, UnlinkAnswer, UnlinkBody, person_history_of


def people() -> Call[tuple[Person, ...]]:
    """Return the call for the list of people."""
    return Call(
        method="GET",
        path="/api/v1/people",
        decode=lambda body: msgspec.json.decode(body, type=PeopleList).people,
    )


def link(person: str, keys: Sequence[str]) -> Call[Person]:
    """Return the call for linking sessions to a person."""
    return Call(
        method="POST",
        path="/api/v1/people/link",
        decode=lambda body: msgspec.json.decode(body, type=Person),
        body=encoded_json("person", LinkBody(person=person, keys=[parse_key(key) for key in keys])),
        key=keys[0] if keys else "",
    )


def unlink(keys: Sequence[str]) -> Call[tuple[str, ...]]:
    """Return the call for letting sessions belong to nobody. A second attempt would find them so."""
    return Call(
        method="POST",
        path="/api/v1/people/unlink",
        decode=lambda body: msgspec.json.decode(body, type=UnlinkAnswer).keys,
        body=encoded_json("keys", UnlinkBody(keys=[parse_key(key) for key in keys])),
        key=keys[0] if keys else "",
        repeatable=False,
    )


def person_history(person: str, *, limit: int, cursor: str | None) -> Call[PersonHistory]:
    """Return the call for the messages of a person over all sessions."""
    return Call(
        method="GET",
        path="/api/v1/people/history",
        decode=person_history_of,
        query=query_pairs({"person": person, "limit": limit, "cursor": cursor}),
    )
