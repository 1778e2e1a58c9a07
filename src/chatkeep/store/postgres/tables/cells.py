"""Values as the columns of the tables have them: times, headers, digests, and the lines of a session.

Times are whole microseconds since 1970, and the sets of searches have them since 2024. JSON is text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from chatkeep.core.digest import Digest, summary
from chatkeep.core.model import Header, Json, Message, Summary
from chatkeep.core.search.search import names_of
from chatkeep.core.standing import EVENT, holds, reach
from chatkeep.core.usage.spending import model_call
from chatkeep.store.sets.terms import ROLE_NUMBERS, labels_of, labels_of_names

Cell = Any
"""A value in a table: text, a number, a list or nothing; the schema says which."""

SAID: Final = 0
"""The state of a message that stands; that of an event is 1, that of a mark 2, that of a dropped line 3."""
STANDING_EVENT: Final = 1
MARK: Final = 2
DROPPED: Final = 3
_BUCKETS: Final = 1024
_BEGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STEP: Final = timedelta(microseconds=1)
_HEADER: Final = ("key", "channel", "user_title", "created_at", "metadata", "archived", "pinned", "tags", "held")
_DIGEST: Final = (
    *("line_count", "message_count", "talk_count", "auto_title", "title_hint", "title_seq"),
    *("preview", "preview_hint", "preview_seq", "latest_at"),
)
_OTHERS: Final = ("size", "extra")
COLUMNS: Final = ", ".join(f"sessions.{name}" for name in ("bucket", "sid", *_HEADER, *_DIGEST, *_OTHERS))
"""The columns of a session's row, as `stored_row` reads them."""
STORED: Final = ", ".join(("bucket", *_HEADER, *_DIGEST, *_OTHERS, "updated_at", "entries"))
"""The columns of a session that go to the trash with it, besides its number."""
_encode: Final = msgspec.json.Encoder().encode
_message_in: Final = msgspec.json.Decoder(Message).decode


class StoredRow(Struct, frozen=True, kw_only=True):
    """The row of a session."""

    bucket: int
    sid: int
    header: Header
    digest: Digest
    size: int
    extra: dict[str, Json]

    @property
    def summary(self) -> Summary:
        """The session without its messages."""
        return summary(self.header, self.digest)

    @property
    def listed(self) -> Summary:
        """The session as a list shows it: without its metadata."""
        known = self.summary
        return msgspec.structs.replace(known, header=msgspec.structs.replace(known.header, metadata={}))

    @property
    def place(self) -> dict[str, Cell]:
        """The values that name the session in a statement."""
        return {"bucket": self.bucket, "sid": self.sid, "key": self.header.key, "channel": self.header.channel}


def micros(at: datetime) -> int:
    """Return a time as microseconds since 1970."""
    return (at - _BEGIN) // _STEP


def moment_at(at_us: int) -> datetime:
    """Return the time of some microseconds since 1970."""
    return _BEGIN + _STEP * at_us


def bucket_of(key: str) -> int:
    """Return the bucket of a key."""
    return int.from_bytes(blake2b(key.encode(), digest_size=2).digest(), "big") % _BUCKETS


def place_of_key(key: str) -> dict[str, Cell]:
    """Return the values that name a session by its key in a statement."""
    return {"bucket": bucket_of(key), "key": key}


def key_hash(key: str) -> bytes:
    """Return the hash that remembers a deleted key."""
    return blake2b(key.encode(), digest_size=16).digest()


def stored_row(values: Sequence[Cell]) -> StoredRow:
    """Return the session in a row of `COLUMNS`."""
    bucket, sid, key, channel, title, created_at, metadata, archived, pinned, tags, held, *rest = values
    *told, latest_at, size, extra = rest
    digest = dict(zip(_DIGEST, told, strict=False))
    return StoredRow(
        bucket=bucket,
        sid=sid,
        header=Header(
            key=key,
            channel=channel,
            title=title,
            created_at=moment_at(created_at),
            metadata=msgspec.json.decode(metadata),
            archived=archived,
            pinned=pinned,
            tags=tuple(tags),
            held=held,
        ),
        digest=Digest(**digest, latest_at=None if latest_at is None else moment_at(latest_at)),
        size=size,
        extra=msgspec.json.decode(extra),
    )


def stored_header(header: Header) -> dict[str, Cell]:
    """Return the columns of a header, by name."""
    return {
        "key": header.key,
        "channel": header.channel,
        "user_title": header.title,
        "created_at": micros(header.created_at),
        "metadata": _encode(header.metadata).decode(),
        "archived": header.archived,
        "pinned": header.pinned,
        "tags": list(header.tags),
        "held": header.held,
        "entries": list({_entry(*entry) for entry in _entries(header.metadata)}),
        "header_size": header_size(header),
    }


def header_size(header: Header) -> int:
    """Return the bytes of a header as JSON."""
    return len(_encode(header))


def stored_digest(digest: Digest) -> dict[str, Cell]:
    """Return the columns of a digest, by name."""
    latest_at = None if digest.latest_at is None else micros(digest.latest_at)
    return {**msgspec.structs.asdict(digest), "latest_at": latest_at}


def hashed_entry(name: str, value: str) -> UUID:
    """Return the hash of a name and a value in the metadata, as `Selection.metadata` writes them."""
    return _entry(name, value)


def named_values(header: Header) -> dict[str, Cell]:
    """Return the labels of a session's names, for a statement."""
    labels = labels_of_names(*names_of(header))
    return {"named": len(ROLE_NUMBERS), "name_texts": labels.texts, "name_pairs": labels.pairs}


def message_at(seq: int, body: str) -> Message:
    """Return the message in a body, with its seq."""
    return _message_in(b'{"seq":%d,' % seq + body.encode()[1:])


def body_and_size(line: Message) -> tuple[str, int]:
    """Return the JSON of a line without its seq, and the bytes of it."""
    encoded = _encode(line)
    body = b"{" + encoded[encoded.index(b",") + 1 :]
    return body.decode(), len(body)


def state_of(line: Message) -> int:
    """Return the state of a line that nothing drops."""
    if line.role != EVENT:
        return SAID
    return MARK if line.is_mark else STANDING_EVENT


def line_values(lines: Sequence[Message]) -> dict[str, Cell]:
    """Return the columns of new lines, each as a list; what these lines drop of themselves is dropped already."""
    gone = reach(lines)
    found: dict[str, list[Cell]] = {
        name: [] for name in ("states", "roles", "sizes", "ats", "ids", "bodies", "texts", "pairs", "calls")
    }
    total = 0
    for line in lines:
        state = DROPPED if holds(gone, line.seq) else state_of(line)
        body, size = body_and_size(line)
        labels = labels_of(line) if state < MARK else None
        call = model_call(line)
        row = (
            *(state, ROLE_NUMBERS[line.role], size, micros(line.sent_at), line.id, body),
            *("" if labels is None else labels.texts, b"" if labels is None else labels.pairs),
            None if call is None else _encode(call).decode(),
        )
        for column, value in zip(found.values(), row, strict=True):
            column.append(value)
        total += size + len('"seq":,') + len(str(line.seq))
    return {**found, "count": len(lines), "size": total}


def _entries(metadata: Mapping[str, Json], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name and value of each scalar that a filter can name: names with dots lead into objects."""
    for name, value in metadata.items():
        if "." in name:
            continue
        if isinstance(value, dict):
            yield from _entries(value, f"{path}{name}.")
        elif not isinstance(value, list):
            yield f"{path}{name}", value if isinstance(value, str) else _encode(value).decode()


def _entry(name: str, value: str) -> UUID:
    return UUID(bytes=blake2b(_encode((name, value)), digest_size=16).digest())
