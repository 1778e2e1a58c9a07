"""The sessions meant by a body: those of its keys, or all that match its filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from chatkeep.core.model import Selection
from chatkeep.errors import InvalidError
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.bodies import parse_age

BULK_FILTERS: Final = ("prefix", "channel", "older_than")
"""The names of the filters in such a body."""


class MeantSessions(Protocol):
    """A body with keys, or with filters."""

    @property
    def keys(self) -> list[str] | None:
        """The keys, if they choose."""

    @property
    def prefix(self) -> str | None:
        """The beginning of each key."""

    @property
    def channel(self) -> str | None:
        """The channel of each session."""

    @property
    def older_than(self) -> str | None:
        """The time since its last activity, or the time of it."""


def check_filters(filters: Mapping[str, object]) -> None:
    """Check that none of the filters, by their names, is an empty text.

    Raises:
        InvalidError: when one is: it would choose everything.
    """
    for name, value in filters.items():
        if value == "":
            raise InvalidError(name, "must not be empty: what matches everything is no filter")


def meant_keys(sessions: Sessions, body: MeantSessions, filters: Sequence[str]) -> tuple[str, ...]:
    """Return the keys of the sessions that a body means; exactly one of keys and filters chooses.

    Raises:
        InvalidError: when none or both do, or a filter is empty.
    """
    named = {name: getattr(body, name) for name in filters}
    check_filters(named)
    if (body.keys is None) == all(value in {None, False} for value in named.values()):
        raise InvalidError("keys", f"give either keys, or at least one of {', '.join(filters[:-1])} and {filters[-1]}")
    if body.keys is not None:
        return sessions.existing(body.keys)
    older_than = body.older_than
    before = None if older_than is None else parse_age("older_than", older_than, sessions.now())
    chosen = Selection(prefixes=(body.prefix or "",), channel=body.channel, archived=None, updated_before=before)
    return sessions.keys(chosen).keys
