"""The trash: deleted sessions that can come back, until they are purged."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from msgspec import Struct


class Trashed(Struct, frozen=True, kw_only=True):
    """A session in the trash. A key deleted several times is there as often; `id` tells its sessions apart.

    The title is the one that its user gave.
    """

    id: str
    key: str
    title: str | None
    channel: str
    deleted_at: datetime
    size_bytes: int


def trashed_in(
    sessions: Iterable[Trashed], keys: Collection[str] | None, before: datetime | None
) -> tuple[Trashed, ...]:
    """Return those of some sessions in the trash with one of the keys, deleted before a time; None means any."""
    return tuple(
        one for one in sessions if (keys is None or one.key in keys) and (before is None or one.deleted_at < before)
    )
