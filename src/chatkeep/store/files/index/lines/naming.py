"""The blobs that sessions name: a row for each blob of each session."""

from __future__ import annotations

from collections.abc import Iterable

import apsw

from chatkeep.core.blobs.blob_names import blob_names
from chatkeep.core.model import Message
from chatkeep.store.files.index.selecting import key_bounds
from chatkeep.store.files.index.sql import QUERIES


def put_blobs(db: apsw.Connection, sid: int, lines: Iterable[Message]) -> None:
    """Add the blobs named in new lines of a session."""
    named = {name.sha256: name.size_bytes for line in lines for name in blob_names(line)}
    if named:
        rows = [(bytes.fromhex(sha256), sid, size_bytes) for sha256, size_bytes in named.items()]
        db.executemany(QUERIES["put_blob"], rows)


def put_blobs_anew(db: apsw.Connection, sid: int, lines: Iterable[Message]) -> None:
    """Replace the blobs of a session by those named in all of its lines."""
    db.execute(QUERIES["drop_blobs"], {"sid": sid})
    put_blobs(db, sid, lines)


def blobs_of(db: apsw.Connection, name: str) -> frozenset[str]:
    """Return the hashes of the blobs that a session names."""
    return frozenset(found.hex() for (found,) in db.execute(QUERIES["blobs_of"], {"name": name}))


def is_named(db: apsw.Connection, sha256: str, prefix: str = "") -> bool:
    """Tell whether a session under a prefix names a blob."""
    wanted = {"hash": bytes.fromhex(sha256), **key_bounds(prefix)}
    return any(True for _ in db.execute(QUERIES["blob_named"], wanted))


def sizes(db: apsw.Connection, prefix: str) -> tuple[int, int]:
    """Return the number of the blobs that sessions under a prefix name, and their bytes."""
    ((count, size_bytes),) = db.execute(QUERIES["blob_sizes"], key_bounds(prefix))
    return int(count), int(size_bytes)
