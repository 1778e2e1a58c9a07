"""Replacing all messages of a session by some without ids, which are those stored with the same content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from chatkeep.core.life.dropping import Mark, standing_lines, unnamed_as
from chatkeep.core.model import Appended, Draft
from chatkeep.errors import MessageConflictError, SessionNotFoundError
from chatkeep.store.protocol import Store

_ATTEMPTS: Final = 3  # others may drop a message after its id was looked up, each time


class Replacement(Struct, frozen=True, kw_only=True):
    """Messages to replace all others: as `given`, and `complete` with ids and times. `create` allows a new session."""

    given: Sequence[Draft]
    complete: Sequence[Draft]
    mark: Mark
    create: bool
    expect_count: int | None


def replaced_in(store: Store, key: str, new: Replacement) -> Appended:
    """Replace everything that stands of a session, as `Sessions.replace` says."""
    own = {draft.id for draft in new.given}
    for _ in range(_ATTEMPTS):
        named = _named(store, key, new)
        try:
            return store.replace(key, named, mark=new.mark, create=new.create, expect_count=new.expect_count)
        except MessageConflictError as error:
            if error.message_id in own:
                raise
    return store.replace(key, new.complete, mark=new.mark, create=new.create, expect_count=new.expect_count)


def _named(store: Store, key: str, new: Replacement) -> Sequence[Draft]:
    """Return the messages, those without an id of the sender under the ids stored for the same content."""
    if all(draft.id for draft in new.given):
        return new.complete
    try:
        stored = store.read(key, log=True).messages
    except SessionNotFoundError:
        return new.complete
    return unnamed_as(standing_lines(stored), new.given, new.complete)
