"""Our own formats, without any loss.

- `json`: one session is a document like the session file, without its reserve: a header, one message per line, comma
  first, and the number of messages. Several sessions are an array of documents.
- `jsonl`: one session per line.
- `zip`: an archive with a document for each session in `sessions/`, and a list of them in `_manifest.json`: key, title,
  number of messages, size and checksum. Its bytes go out as they are made, and its times are those of the sessions.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Generator, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from chatkeep.core.model import Session
from chatkeep.core.unknown import encoded_message, encoded_opening
from chatkeep.exporters.titling import title_in

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MANIFEST: Final = "_manifest.json"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9]+")
_READABLE_CHARS: Final = 60  # of the key, in the name of a file
_LEVEL: Final = 3  # of zlib, 1 to 9: fast rather than small
_PRIVATE: Final = (0o100600) << 16  # a regular file for its owner alone, where a zip file has it
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)  # that a zip file can say


class DocumentExporter:
    """The format `json`."""

    name: Final = "json"
    media_type: Final = "application/json"
    suffix: Final = ".json"
    has_logs: Final = True
    is_binary: Final = False

    def exported(self, sessions: Iterable[Session], *, single: bool) -> Iterator[bytes]:
        """Yield a document, or an array of documents."""
        return (piece for session in sessions for piece in _document(session)) if single else _array(sessions)


class LinesExporter:
    """The format `jsonl`."""

    name: Final = "jsonl"
    media_type: Final = "application/jsonl"
    suffix: Final = ".jsonl"
    has_logs: Final = True
    is_binary: Final = False

    def exported(self, sessions: Iterable[Session], *, single: bool) -> Iterator[bytes]:  # noqa: ARG002 - a line each
        """Yield a line for each session."""
        return map(_json_line, sessions)


class ArchiveExporter:
    """The format `zip`."""

    name: Final = "zip"
    media_type: Final = "application/zip"
    suffix: Final = ".zip"
    has_logs: Final = True
    is_binary: Final = True

    def exported(self, sessions: Iterable[Session], *, single: bool) -> Iterator[bytes]:  # noqa: ARG002 - one or many
        """Yield an archive, its list last."""
        sink = _Sink()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
            items: list[_Item] = []
            for number, session in enumerate(sessions, start=1):
                items.append((yield from _put(archive, sink, session, number)))
            at = max((item.updated_at for item in items), default=None)
            listed = msgspec.json.format(msgspec.json.encode({"format": 1, "sessions": items})) + b"\n"
            archive.writestr(_entry(_MANIFEST, at), listed)
        yield sink.taken()


class _Item(Struct, frozen=True):
    """A session in the list of an archive."""

    file: str
    key: str
    title: str
    message_count: int
    updated_at: datetime
    size_bytes: int
    sha256: str


class _Sink(io.RawIOBase):
    """The bytes of an archive that nobody has taken yet; it is no place to seek in."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: ReadableBuffer) -> int:
        content = bytes(piece)
        self._pieces.append(content)
        return len(content)

    def taken(self) -> bytes:
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content


def _put(archive: zipfile.ZipFile, sink: _Sink, session: Session, number: int) -> Generator[bytes, None, _Item]:
    """Write a session's document into an archive; return its entry in the list."""
    header = session.header
    updated_at = max((message.sent_at for message in session.messages), default=header.created_at)
    readable = _UNSAFE.sub("-", header.key)[:_READABLE_CHARS].strip("-") or "session"
    file = f"sessions/{number:06}-{readable}.json"
    digest, size = hashlib.sha256(), 0
    with archive.open(_entry(file, updated_at), "w") as entry:
        for piece in _document(session):
            entry.write(piece)
            digest.update(piece)
            size += len(piece)
            yield sink.taken()
    return _Item(file, header.key, title_in(session), len(session.messages), updated_at, size, digest.hexdigest())


def _entry(name: str, at: datetime | None) -> zipfile.ZipInfo:
    moment = at.timetuple()[:6] if at is not None and 1980 <= at.year < 2108 else _EARLIEST  # noqa: PLR2004
    entry = zipfile.ZipInfo(name, moment)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = _PRIVATE
    return entry


def _json_line(session: Session) -> bytes:
    return b"".join((_head(session), b",".join(map(encoded_message, session.messages)), _tail(session), b"\n"))


def _document(session: Session) -> Iterator[bytes]:
    yield _head(session) + b"\n"
    comma = b""
    for message in session.messages:
        yield comma + encoded_message(message) + b"\n"
        comma = b","
    yield _tail(session) + b"\n"


def _array(sessions: Iterable[Session]) -> Iterator[bytes]:
    yield b"[\n"
    comma = b""
    for session in sessions:
        yield comma
        yield from _document(session)
        comma = b","
    yield b"]\n"


def _head(session: Session) -> bytes:
    return encoded_opening(session.header, session.extra)


def _tail(session: Session) -> bytes:
    return b'],"message_count":%d}' % len(session.messages)
