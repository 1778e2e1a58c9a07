"""Hashes of message ids, short enough to be stored for every message."""

from __future__ import annotations

from hashlib import blake2b


def hash_of(key: str, message_id: str) -> int:
    """Return a hash of 24 bits, signed, for a message id of a session; another id may have the same."""
    digest = blake2b(f"{key}\0{message_id}".encode(), digest_size=3).digest()
    return int.from_bytes(digest, "big", signed=True)
