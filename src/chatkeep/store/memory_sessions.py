"""The sessions of a store in memory, deleted ones too, and statistics of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import BinaryIO

import msgspec
from msgspec import Struct, field

from chatkeep.core.blobs.blob_names import BlobName
from chatkeep.core.digest import Digest, summary
from chatkeep.core.life.trashing import Trashed
from chatkeep.core.model import Header, Json, Message, Summary, erased
from chatkeep.core.standing import reach, said
from chatkeep.core.stats import (
    LARGEST_SHOWN,
    TAGS_SHOWN,
    ChannelCount,
    Measure,
    PeriodUnit,
    Stats,
    TagCount,
    periods_of,
)
from chatkeep.errors import BlobNotFoundError, SessionNotFoundError


class StoredSession(Struct, frozen=True):
    """A session: its header, and `messages`, every line of its log."""

    header: Header
    messages: tuple[Message, ...] = ()
    digest: Digest = Digest()
    extra: dict[str, Json] = field(default_factory=dict)

    @property
    def summary(self) -> Summary:
        """The session without its messages."""
        return summary(self.header, self.digest)

    @property
    def size(self) -> int:
        """Bytes, as JSON."""
        return len(msgspec.json.encode((self.header, self.messages)))

    def plus(self, fresh: Sequence[Message]) -> StoredSession:
        """Return the session with new messages at its end."""
        messages = (*self.messages, *fresh)
        digest = Digest().plus(*messages) if reach(fresh) else self.digest.plus(*fresh)
        return StoredSession(self.header, messages, digest, self.extra)

    def without(self, lines: Sequence[Message]) -> StoredSession:
        """Return the session without the content of these lines."""
        gone = {line.seq for line in lines}
        messages = tuple(erased(line) if line.seq in gone else line for line in self.messages)
        return msgspec.structs.replace(self, messages=messages)


class DeletedSession(Struct, frozen=True):
    """A session in the trash."""

    id: str
    session: StoredSession
    deleted_at: datetime


class MemoryTrash:
    """Deleted sessions, in the order of their deletions. Its caller has the store's lock."""

    def __init__(self) -> None:
        """Begin without any."""
        self._deleted: dict[str, DeletedSession] = {}
        self._count = 0

    def put(self, session: StoredSession) -> None:
        """Add a session."""
        self._count += 1
        name = f"{self._count:010d}"
        self._deleted[name] = DeletedSession(name, session, datetime.now(UTC))

    def sessions(self, prefix: str) -> Iterator[Trashed]:
        """Yield the sessions whose keys begin so, the last deleted first."""
        for one in reversed(self._deleted.values()):
            header = one.session.header
            if header.key.startswith(prefix):
                yield Trashed(
                    id=one.id,
                    key=header.key,
                    title=header.title,
                    channel=header.channel,
                    deleted_at=one.deleted_at,
                    size_bytes=one.session.size,
                )

    def stored(self, key: str, trash_id: str | None) -> DeletedSession:
        """Return the last deleted session of a key, or that of an id.

        Raises:
            SessionNotFoundError: when there is none.
        """
        for one in reversed(self._deleted.values()):
            if one.session.header.key == key and trash_id in {None, one.id}:
                return one
        raise SessionNotFoundError(key)

    def remove(self, ids: Iterable[str]) -> None:
        """Remove sessions by their ids."""
        for name in list(ids):
            self._deleted.pop(name, None)


def stats_of_stored(sessions: Sequence[StoredSession], unit: PeriodUnit, since: date | None) -> Stats:
    """Return the statistics of `Store.stats`."""
    created = Counter(stored.header.created_at.date() for stored in sessions)
    days = Counter(message.sent_at.date() for stored in sessions for message in said(stored.messages))
    tags = Counter(tag for stored in sessions for tag in set(stored.header.tags))
    channels = {stored.header.channel for stored in sessions}
    counts = [
        _channel_count(name, [one for one in sessions if one.header.channel == name]) for name in sorted(channels)
    ]
    measures = sorted(map(_measure, sessions), key=lambda one: one.key)
    return Stats(
        session_count=len(sessions),
        message_count=sum(one.message_count for one in measures),
        size_bytes=sum(one.size_bytes for one in measures),
        unit=unit,
        periods=periods_of(created, days, unit, since),
        channels=tuple(sorted(counts, key=lambda one: -one.session_count)),
        tags=tuple(
            TagCount(tag=tag, session_count=count)
            for tag, count in sorted(tags.items(), key=lambda one: (-one[1], one[0]))[:TAGS_SHOWN]
        ),
        largest=tuple(sorted(measures, key=lambda one: -one.size_bytes)[:LARGEST_SHOWN]),
        longest=tuple(sorted(measures, key=lambda one: -one.message_count)[:LARGEST_SHOWN]),
    )


def _channel_count(channel: str, sessions: Sequence[StoredSession]) -> ChannelCount:
    return ChannelCount(
        channel=channel,
        session_count=len(sessions),
        message_count=sum(stored.digest.message_count for stored in sessions),
        size_bytes=sum(stored.size for stored in sessions),
    )


def _measure(stored: StoredSession) -> Measure:
    return Measure(
        key=stored.header.key,
        title=stored.summary.title,
        message_count=stored.digest.message_count,
        size_bytes=stored.size,
    )


def no_attachment(sha256: str, prefix: str = "") -> BinaryIO:  # noqa: ARG001 - of every store
    """Raise an error: a store in memory keeps attachments in their messages."""
    raise BlobNotFoundError


def kept_in_message(source: BinaryIO) -> BlobName | None:  # noqa: ARG001 - of every store
    """Return None: a store in memory keeps attachments in their messages."""
    return None
