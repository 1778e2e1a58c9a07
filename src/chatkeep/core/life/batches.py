"""The messages of an append: each once, with their seqs, and the answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from chatkeep.core.life.message_rules import check_reach
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


def numbered(drafts: Iterable[Draft], count: int) -> list[Message]:
    """Return messages with seqs from `count` + 1 on.

    Raises:
        InvalidError: when one drops itself or a later one.
    """
    messages = [Message(seq=seq, **msgspec.structs.asdict(one)) for seq, one in enumerate(drafts, start=count + 1)]
    check_reach(messages)
    return messages


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
