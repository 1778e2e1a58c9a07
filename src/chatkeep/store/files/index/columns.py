"""Values as the columns of the index have them: headers, digests, times, and short hashes of ids.

Times are whole microseconds since 2024. The hashes are short enough to be stored for every message.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec

from chatkeep.core.digest import Digest
from chatkeep.core.model import Header
from chatkeep.store.sets.times import EPOCH, MICROSECOND, microseconds

Value = Any
"""A value in SQLite: text, a number or nothing; the schema says which."""

EPOCH_DAY: Final = EPOCH.toordinal()  # days since the year 1
DAY_US: Final = 86_400_000_000  # microseconds


def hash_of(key: str, message_id: str) -> int:
    """Return a hash of 24 bits, signed, for a message id of a session; another id may have the same."""
    digest = blake2b(f"{key}\0{message_id}".encode(), digest_size=3).digest()
    return int.from_bytes(digest, "big", signed=True)


def time_at(at_us: int) -> datetime:
    """Return the time of some microseconds since 2024."""
    return EPOCH + MICROSECOND * at_us


def header_values(header: Header) -> dict[str, Value]:
    """Return the columns of a header, by name."""
    return {
        "key": header.key,
        "channel": header.channel,
        "user_title": header.title,
        "created_at": microseconds(header.created_at),
        "metadata": msgspec.json.encode(header.metadata).decode(),
        "archived": header.archived,
        "pinned": header.pinned,
        "tags": msgspec.json.encode(header.tags).decode(),
        "held": header.held,
    }


def digest_values(header: Header, digest: Digest) -> dict[str, Value]:
    """Return the columns of a digest, by name; a session without lines counts as active since its beginning."""
    latest_at = None if digest.latest_at is None else microseconds(digest.latest_at)
    return {
        "line_count": digest.line_count,
        "message_count": digest.message_count,
        "talk_count": digest.talk_count,
        "auto_title": digest.auto_title,
        "title_hint": digest.title_hint,
        "title_seq": digest.title_seq,
        "preview": digest.preview,
        "preview_hint": digest.preview_hint,
        "preview_seq": digest.preview_seq,
        "latest_at": latest_at,
        "updated_at": microseconds(header.created_at) if latest_at is None else latest_at,
    }
