"""Messages in one batch: the new ones, the repeated ones, and the answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from chatkeep.core.model import Appended, Draft, Message, Receipt
from chatkeep.errors import MessageConflictError


def unrepeated(drafts: Sequence[Draft]) -> dict[str, Draft]:
    """Return the drafts by id, in order, each id once.

    Raises:
        MessageConflictError: when two drafts have one id and different content.
    """
    found: dict[str, Draft] = {}
    for draft in drafts:
        message_id = draft.id or ""
        if message_id in found and not found[message_id].says_the_same(draft):
            raise MessageConflictError(message_id)
        found.setdefault(message_id, draft)
    return found


def sorted_out(messages: Sequence[Message], stored: dict[str, Message]) -> tuple[list[Message], tuple[str, ...]]:
    """Return the messages not stored yet, and the ids taken by other content."""
    known = dict(stored)
    new: list[Message] = []
    conflicts: list[str] = []
    for message in messages:
        if message.id not in known:
            known[message.id] = message
            new.append(message)
        elif not known[message.id].says_the_same(message):
            conflicts.append(message.id)
    return new, tuple(conflicts)


def numbered(said: Iterable[Draft | Message], count: int) -> list[Message]:
    """Return messages with seqs from `count` + 1 on."""
    return [
        Message(**{**msgspec.structs.asdict(one), "seq": seq})  # one way for both: a draft has all fields but seq
        for seq, one in enumerate(said, start=count + 1)
    ]


def appended(
    key: str, drafts: Sequence[Draft], placed: dict[str, Message], stored: Sequence[Message], count: int
) -> Appended:
    """Return the answer to an append: the place of each draft, stored now or before."""
    messages = (placed[draft.id or ""] for draft in drafts)
    return Appended(
        key=key,
        message_count=count + len(stored),
        stored_count=len(stored),
        receipts=tuple(Receipt(seq=said.seq, id=said.id, sent_at=said.sent_at) for said in messages),
    )
