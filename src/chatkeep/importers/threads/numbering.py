"""Messages numbered through and cut into parts: a long session is stored part by part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import msgspec

from chatkeep.core.bounds import BATCH_MAX
from chatkeep.core.model import Message, Session
from chatkeep.importers.assembly import ALTERED, PART_BYTES
from chatkeep.importers.records import Head, ImportedMessage, made_id
from chatkeep.importers.reports import Flaw

_OVERHEAD_BYTES: Final = 100  # of a message, besides its content


def in_parts(head: Head, begun: datetime, said: Iterable[ImportedMessage | Flaw]) -> Iterator[Session | Flaw]:
    """Yield the session of a head and its messages in parts, and their flaws; none if no message was good.

    A message without a time has that of the message before it. Ids are those given, made unique, or made from content.
    """
    header, ids = head.header(begun), _Ids(head.key)
    part: list[Message] = []
    size = seq = lost = 0
    latest = begun
    for one in said:
        if isinstance(one, Flaw):
            lost += one.code != ALTERED
            yield one
            continue
        seq += 1
        latest = one.timestamp or latest
        part.append(_in_place(one, seq, latest, ids.id_of(one)))
        size += _size_of(one)
        if len(part) == BATCH_MAX or size >= PART_BYTES:
            yield Session(header=header, messages=tuple(part), extra=head.extra)
            part, size = [], 0
    if part or not (seq or lost):
        yield Session(header=header, messages=tuple(part), extra=head.extra)


class _Ids:
    """The ids of a session's messages."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._met: dict[int, int] = {}
        self._given: set[str] = set()

    def id_of(self, said: ImportedMessage) -> str:
        if said.id is None:
            return made_id(self._key, said, self._met)
        if said.id not in self._given:
            self._given.add(said.id)
            return said.id
        return made_id(f"{self._key} {said.id}", said, self._met)


def _in_place(said: ImportedMessage, seq: int, sent_at: datetime, message_id: str) -> Message:
    return Message(
        seq=seq,
        role=said.role,
        content=said.content,
        sent_at=sent_at,
        id=message_id,
        name=said.name,
        tool_calls=said.tool_calls,
        tool_call_id=said.tool_call_id,
        metadata=said.metadata,
        stored_at=said.stored_at,
        extra=said.extra,
    )


def _size_of(said: ImportedMessage) -> int:
    """Return about the bytes of a message in memory."""
    if isinstance(said.content, str) and not said.tool_calls:
        return len(said.content) + _OVERHEAD_BYTES
    return len(msgspec.json.encode(said))
