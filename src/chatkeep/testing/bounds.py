"""The promises about messages and metadata at the limits of `core.bounds`."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest

from chatkeep.core.bounds import DEPTH_MAX, MESSAGE_BYTES_MAX, METADATA_BYTES_MAX, VALUES_MAX
from chatkeep.core.life.message_rules import check_draft
from chatkeep.core.model import Draft, Json, Revision
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import draft, places_of, search_for, session

_KEY = "cli:large"
_NEEDLE: Final = "haystackneedle"


class BoundsContract:
    """Content at the limits is stored, found and returned like any other."""

    def test_append_the_largest_message(self, store: Store) -> None:
        """A message of 16 MiB comes back whole from every read, is found, and does not disturb its neighbours."""
        store.append(_KEY, [draft("before", 1, id="1"), largest("2"), draft("after", 3, id="3")])
        messages = store.read(_KEY).messages
        assert ["before", largest("2").content, "after"] == [message.content for message in messages]
        assert messages[1:2] == store.window(_KEY, limit=1, before=3).messages
        assert [(_KEY, 2)] == places_of(store.search(search_for(_NEEDLE)))
        store.revise(_KEY, Revision(title="Large"))
        assert messages == store.read(_KEY).messages

    def test_merge_the_largest_message(self, store: Store) -> None:
        """A merge takes the same content as an append."""
        merged = store.merge(session(_KEY, [largest("1"), deepest("2"), widest("3")]))
        assert (3, ()) == (merged.added_count, merged.conflicts)
        assert [largest("1").content, "x", "x"] == [message.content for message in store.read(_KEY).messages]

    @pytest.mark.parametrize("kind", ["deepest", "widest"])
    def test_append_the_deepest_and_the_widest_message(self, store: Store, kind: str) -> None:
        """A message of 128 levels and one of 100,000 values come back unchanged."""
        said = {"deepest": deepest, "widest": widest}[kind]("1")
        store.append(_KEY, [said])
        store.append(_KEY, [draft("after")])
        assert said.metadata == store.read(_KEY).messages[0].metadata
        assert said.metadata == store.window(_KEY, limit=2).messages[0].metadata

    def test_revise_the_largest_metadata(self, store: Store) -> None:
        """A session's metadata may have 256 KiB."""
        store.append(_KEY, [draft("x")])
        metadata: dict[str, Json] = {"a": "x" * (METADATA_BYTES_MAX - len('{"a":""}'))}
        store.revise(_KEY, Revision(metadata=metadata))
        assert metadata == store.read(_KEY).header.metadata
        assert metadata == store.get(_KEY).header.metadata


def largest(message_id: str) -> Draft:
    """Return a message of exactly 16 MiB, with a word of its own at the end."""
    empty = draft(f" {_NEEDLE}", 2, id=message_id)
    room = MESSAGE_BYTES_MAX - len(msgspec.json.encode(empty))
    filled = msgspec.structs.replace(empty, content="x" * (room % 5) + " word" * (room // 5) + f" {_NEEDLE}")
    check_draft(filled)
    return filled


def deepest(message_id: str) -> Draft:
    """Return a message of exactly 128 levels."""
    nested: Json = []
    for _ in range(DEPTH_MAX - 3):  # the message, its metadata and the innermost list are levels too
        nested = [nested]
    filled = draft("x", 2, id=message_id, metadata={"a": nested})
    check_draft(filled)
    return filled


def widest(message_id: str) -> Draft:
    """Return a message of nearly 100,000 values."""
    filled = draft("x", 2, id=message_id, metadata={"a": [0] * (VALUES_MAX - 10)})
    check_draft(filled)
    return filled
