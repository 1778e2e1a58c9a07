"""Sessions as files to take away: JSON and JSON lines for a later import, Markdown for reading.

- `json`: one session is a document like the session file, without its reserve: a header, one message per line,
  comma first, and the number of messages. Several sessions are an array of documents.
- `jsonl`: one session per line.
- `md`: a page for people, without events. Each message stands in a block quote or a fence, and no content can close
  it. So a message cannot pose as another part of the page.

The session alone decides the bytes: export, import elsewhere and export again give the same file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core.digest import Digest
from chatkeep.core.model import Json, Message, Session, title_of
from chatkeep.core.standing import said
from chatkeep.core.unknown import encoded_message, encoded_opening
from chatkeep.errors import InvalidError


class Format(Struct, frozen=True):
    """The media type of a format, and the suffix of its files."""

    media_type: str
    suffix: str


EXPORT_FORMATS: Final[dict[str, Format]] = {
    "json": Format("application/json", ".json"),
    "jsonl": Format("application/jsonl", ".jsonl"),
    "md": Format("text/markdown; charset=utf-8", ".md"),
}

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_LINES_AT_ONCE: Final = 1000
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>#&!|~])")
_BACKTICKS: Final = re.compile(r"`+")


def exported(sessions: Iterable[Session], fmt: str, *, single: bool) -> Iterator[bytes]:
    """Yield the sessions as the bytes of one file, piece by piece; set `single` for a file of one session.

    Raises:
        InvalidError: when the format is unknown.
    """
    check_format(fmt)
    if fmt == "jsonl":
        return map(_json_line, sessions)
    if fmt == "md":
        return _joined(sessions)
    return (piece for session in sessions for piece in _document(session)) if single else _array(sessions)


def check_format(fmt: str, *, log: bool = False) -> None:
    """Check the format of an export, for sessions as they stand or for their logs.

    Raises:
        InvalidError: when it is unknown, or no format for a log.
    """
    if fmt not in EXPORT_FORMATS:
        raise InvalidError("format", f"must be one of {', '.join(EXPORT_FORMATS)}")
    if log and fmt == "md":
        raise InvalidError("log", "goes with json and jsonl: a page for people has what stands")


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


_encoded = msgspec.json.Encoder().encode


def _joined(sessions: Iterable[Session]) -> Iterator[bytes]:
    rule = b""
    for session in sessions:
        yield rule
        yield from (block.encode() for block in _page(session))
        rule = b"---\n\n"


def _page(session: Session) -> Iterator[str]:
    header = session.header
    yield f"# {_plain(_title(session))}\n\n"
    yield f"- Key: {_code(header.key)}\n- Channel: {_code(header.channel)}\n- Begun: {_time(header.created_at)}\n"
    messages = said(session.messages)
    if messages:
        yield f"- Latest: {_time(max(message.sent_at for message in messages))}\n"
    yield f"- Messages: {len(messages)}\n\n"
    for message in messages:
        yield from _blocks(message)


def _blocks(message: Message) -> Iterator[str]:
    name = f" {_plain(message.name)}" if message.name else ""
    yield f"**{message.role.capitalize()}**{name} ({_time(message.sent_at)})\n\n"
    if message.text:
        yield from (_fenced("text", message.text),) if message.role == "tool" else _quoted(message.text)
    elif message.content:
        yield _fenced("json", _indented(message.content))
    for call in message.tool_calls or ():
        yield _fenced("json", _indented(call))


def _title(session: Session) -> str:
    return title_of(session.header, Digest().plus(*session.messages).made_title)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _plain(text: str) -> str:
    """Return the text on one line, with every Markdown mark escaped."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    fence = "`" * (_longest_run(text) + 1)
    room = " " if fence != "`" else ""
    return f"{fence}{room}{text}{room}{fence}"


def _quoted(text: str) -> Iterator[str]:
    """Yield a text as a quotation, some lines at a time: no step takes long, however many there are."""
    start, lines = 0, []
    for found in _LINE_END.finditer(text):
        lines.append(_quoted_line(text[start : found.start()]))
        start = found.end()
        if len(lines) == _LINES_AT_ONCE:
            yield "".join(lines)
            lines = []
    yield "".join((*lines, _quoted_line(text[start:]), "\n"))


def _quoted_line(line: str) -> str:
    return f"> {line}\n" if line else ">\n"


def _fenced(language: str, text: str) -> str:
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}\n\n"


def _longest_run(text: str) -> int:
    return max(map(len, _BACKTICKS.findall(text)), default=0)


def _indented(value: Json) -> str:
    return msgspec.json.format(_encoded(value), indent=2).decode()
