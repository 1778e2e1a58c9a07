"""Messages as they are stored, for tests that compare them with drafts."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from chatkeep.core.model import Draft, Message


def message_of(draft: Draft) -> Message:
    """Return a draft as the first message of a session."""
    fields = msgspec.structs.asdict(draft) | {"sent_at": datetime(2026, 1, 1, tzinfo=UTC), "id": "1"}
    return Message(seq=1, **fields)
