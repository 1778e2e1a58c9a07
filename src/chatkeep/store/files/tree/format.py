"""The session file: a JSON document, appended to like a log.

    {"format":2,"key":"telegram:1","channel":"telegram","title":null,"created_at":"...","metadata":{},"messages":[
    {"seq":1,"role":"user","content":"How do I ...","timestamp":"...","id":"..."}
    ,{"seq":2,"role":"assistant","content":"Here's ...","timestamp":"...","id":"..."}
    ],"message_count":2}
    (reserved space: newlines, allowed by JSON at the end)

The first line is the *header*. Each message has one line, comma first. The *trailer* comes last.
An append overwrites the trailer and some reserved newlines, in place, with more lines and a new
trailer. So nothing writes the bytes of a committed message again, its newline included. A write
cut at any byte leaves them whole.

Newlines reserve the space, never blanks. A lost piece of a write then splits a line, and neither part
parses. Blanks would make damaged text look whole.

Nothing is taken out of the log: a line may carry `drops`, ranges of earlier seqs that no longer stand (see
`core.standing`). Format 1 had neither drops nor events; its files are read and appended to. The first such line
takes them to format 2, in a new file, so that an older version refuses the session and shows nothing dropped.

Messages of one append stand or fall together. Each but the last has a blank before its closing brace.
If a torn file ends in such lines, their append is incomplete and is cut.

A scan finds one of four *states*:

- `whole`: every line parses and has the next seq, and the trailer counts them right.
- `torn`: an append was cut. The longest run of good lines stays, the rest is to be cut off. A kill cuts
  a write at one place. A power cut may lose any 512 bytes of it; they then are as they were before.
- `loose`: a session as JSON in another layout, as left by a program after re-writing the file.
- `damaged`: anything else. Chatkeep serves its good lines and never writes to it.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal
from zlib import crc32

import msgspec
from msgspec import Struct, field

from chatkeep.core.keys import channel_of, composed
from chatkeep.core.life.incoming import in_utc
from chatkeep.core.model import Header, Json, Message, utc
from chatkeep.core.standing import EVENT, Drops, Moved, add_move, moved_drops
from chatkeep.core.unknown import (
    FORMAT,
    MESSAGES_OPEN,
    encoded_message,
    encoded_opening,
    message_in,
    message_of,
    unknown_of_session,
)
from chatkeep.errors import InvalidError

RESERVE_STEP_BYTES: Final = 4096  # a block of most file systems
HEAD_BYTES: Final = 32  # of a file; the number of its format is within
_OLD: Final = re.compile(rb'\{\s*"format"\s*:\s*1\s*,')
_RESERVE_MAX_BYTES: Final = 1 << 18  # newlines after the trailer; with more, a large session would waste space
_TRAILER: Final = b'],"message_count":%d}\n'
_CONTINUED: Final = b" }\n"  # ends a message with more of its append behind it
_SECTOR_BYTES: Final = 512  # a disk writes them as one unit
_BOM: Final = b"\xef\xbb\xbf"  # byte order mark; some editors put it in front
_UNWRITTEN: Final = re.compile(rb"(?:[^\n]{0,40}\})?\n+|\0+")  # the end of an old trailer has at most 40 bytes
_BEGUN: Final = re.compile(rb'(?<!\\)"created_at": ?"([0-9TZ:.+-]{10,40})"')
_LINE: Final = re.compile(rb"[^\n]+\n?")  # skips the reserved newlines: they are many, and empty
_NO_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidError)  # raised by the decoders

State = Literal["whole", "torn", "loose", "damaged"]


class _HeaderLine(Struct, frozen=True, kw_only=True):
    """The fields of the first line; `messages` is always empty in it."""

    format: Literal[1, 2]
    key: str
    channel: str
    title: str | None
    created_at: datetime
    metadata: dict[str, Json] = field(default_factory=dict)
    archived: bool = False
    pinned: bool = False
    tags: tuple[str, ...] = ()
    held: bool = False


class _LooseMessages(Struct, frozen=True):
    """The undecoded messages of a session in another layout."""

    messages: list[msgspec.Raw]


class Scan(Struct, frozen=True, kw_only=True):
    """The contents of a session file. Message `i` is `data[starts[i]:ends[i]]`, a JSON object.

    `body` is the offset of the first message line, `tail` the offset of the trailer, present or due.
    `checksums[i]` is the CRC-32 of all lines up to message `i`; a damaged or loose file has none.
    `extra` has the header's unknown fields.
    """

    state: State
    reason: str = ""
    header: Header | None = None
    extra: dict[str, Json] = field(default_factory=dict)
    body: int = 0
    messages: Sequence[Message] = ()
    starts: Sequence[int] = ()
    ends: Sequence[int] = ()
    checksums: Sequence[int] = ()
    tail: int = 0


_decode_header = msgspec.json.Decoder(_HeaderLine).decode
_decode_any = json.JSONDecoder()  # of the two, the one able to stop at the end of a value


def header_line(header: Header, known: bytes = b"") -> bytes:
    """Return the first line of a session file; it keeps the unknown fields of the line `known`."""
    extra = unknown_of_session(msgspec.json.decode(known + b"]}")) if known else {}
    return encoded_opening(header, extra) + b"\n"


def with_unknown(extra: dict[str, Json]) -> bytes:
    """Return unknown fields as a line for the argument `known` of `header_line`."""
    return msgspec.json.encode(extra)[:-1] + MESSAGES_OPEN if extra else b""


def _unknown_of_line(line: bytes) -> dict[str, Json]:
    try:
        return unknown_of_session(msgspec.json.decode(line + b"]}"))
    except _NO_JSON:  # half a surrogate pair in an unknown field; the known fields have parsed
        return {}


def message_lines(messages: Sequence[Message]) -> list[bytes]:
    """Return the lines of messages in one append."""
    last = len(messages) - 1
    return [
        (b"," if message.seq > 1 else b"") + encoded_message(message)[:-1] + (b"}\n" if place == last else _CONTINUED)
        for place, message in enumerate(messages)
    ]


def places(lines: Sequence[bytes], first: int, checksum: int = 0) -> tuple[list[int], list[int], list[int]]:
    """Return the start, the end and the checksum of each line's JSON, with the first line at offset `first`.

    `checksum` is the CRC-32 of all lines before.
    """
    starts, ends, checksums = [], [], []
    for line in lines:
        starts.append(first + line.startswith(b","))
        first += len(line)
        ends.append(first - 1)
        checksum = crc32(line, checksum)
        checksums.append(checksum)
    return starts, ends, checksums


def trailer(message_count: int) -> bytes:
    """Return the last line of a session file."""
    return _TRAILER % message_count


def whole_file(first_line: bytes, lines: Iterable[bytes], message_count: int) -> bytes:
    """Return a complete session file with its reserved space."""
    content = b"".join((first_line, *lines, trailer(message_count)))
    return content + b"\n" * (reserved_size(len(content)) - len(content))


def reserved_size(used_bytes: int) -> int:
    """Return the size of a file with so many bytes in use: an eighth more, at most 256 KiB, in steps of 4 KiB."""
    room = min(used_bytes // 8, _RESERVE_MAX_BYTES)
    return -(-(used_bytes + room) // RESERVE_STEP_BYTES) * RESERVE_STEP_BYTES


def needs_format(lines: Iterable[Message]) -> bool:
    """Tell whether a file of format 1 cannot have these lines."""
    return any(line.drops or line.role == EVENT for line in lines)


def is_old(head: bytes) -> bool:
    """Tell whether the first bytes of a file name format 1."""
    return _OLD.match(head) is not None


def is_tail(data: bytes, message_count: int) -> bool:
    """Tell whether bytes read at the tail are the trailer for so many messages, then nothing but newlines."""
    expected = trailer(message_count)
    return data.startswith(expected) and not data[len(expected) :].strip(b"\n")


def parse_message(line: bytes, seq: int) -> Message | None:
    """Return the message in a line, None unless it parses and has this seq."""
    message = _any_message(line)
    return message if message is not None and message.seq == seq else None


def header_in(head: bytes) -> Header | None:
    """Return the header in the first bytes of a session file, None if it does not parse."""
    return _parse_header(head.partition(b"\n")[0])


def begun_at(head: bytes) -> float | None:
    """Return the creation time in the first bytes of a session file, in seconds since 1970, None if not found."""
    found = _BEGUN.search(head)
    try:
        began = None if found is None else datetime.fromisoformat(found[1].decode())
    except ValueError:
        return None
    return None if began is None else began.replace(tzinfo=began.tzinfo or UTC).timestamp()


def scan(data: bytes, committed_count: int = 0) -> Scan:
    """Return the contents of a session file, whatever its bytes are. Cost: one pass.

    The file is known to have had `committed_count` messages. With fewer, it counts as damaged: no append
    takes messages away.
    """
    body = data.find(b"\n") + 1
    header = _parse_header(data[: body - 1]) if body else None
    if header is None:
        return _scan_loose(data)
    messages: list[Message] = []
    starts: list[int] = []
    ends: list[int] = []
    checksums: list[int] = []
    place, checksum, view = body, 0, memoryview(data)
    while (found := _message_at(data, place, len(messages) + 1)) is not None:
        message, start, end = found
        messages.append(message)
        starts.append(start)
        ends.append(end)
        checksum = crc32(view[place : end + 1], checksum)
        checksums.append(checksum)
        place = end + 1
    good = Scan(
        state="whole",
        header=header,
        extra=_unknown_of_line(data[: body - 1]),
        body=body,
        messages=messages,
        starts=starts,
        ends=ends,
        checksums=checksums,
        tail=place,
    )
    return good if is_tail(data[place:], len(messages)) else _scan_broken(data, good, committed_count)


def with_other_lines(data: bytes, whole: Scan, other: Mapping[int, Message]) -> bytes:
    """Return a whole session file with other lines at some seqs; all others keep their bytes."""
    lines: list[bytes] = []
    place = whole.body
    for seq, end in enumerate(whole.ends, start=1):
        line = data[place : end + 1]
        if seq in other:
            ending = _CONTINUED if line.endswith(_CONTINUED) else b"}\n"
            line = line[: line.startswith(b",")] + encoded_message(other[seq])[:-1] + ending
        lines.append(line)
        place = end + 1
    return whole_file(data[: whole.body], lines, len(lines))


def loose_lines(data: bytes) -> list[bytes]:
    """Return the message lines of a session in another layout, numbered, with every other field kept."""
    messages = _numbered(_document(data)["messages"])
    ordered = ({"seq": message.pop("seq"), **message} for message in messages)
    return [(b"," if seq else b"") + msgspec.json.encode(message) + b"\n" for seq, message in enumerate(ordered)]


def with_places(data: bytes, loose: Scan) -> Scan | None:
    """Return the scan of a session in another layout, now with the offsets of its messages.

    With them it can be served as it is. Returns None if a message does not carry its own seq.
    """
    pieces = msgspec.json.decode(data.removeprefix(_BOM), type=_LooseMessages).messages
    starts: list[int] = []
    ends: list[int] = []
    place = 0
    for seq, piece in enumerate(map(bytes, pieces), start=1):
        if parse_message(piece, seq) is None:
            return None
        starts.append(data.index(piece, place))
        place = starts[-1] + len(piece)
        ends.append(place)
    return msgspec.structs.replace(loose, starts=starts, ends=ends)


def loose_header(data: bytes) -> bytes:
    """Return the fields of a session in another layout as a line for the argument `known` of `header_line`."""
    strange = {name: value for name, value in _document(data).items() if name not in {"messages", "message_count"}}
    return msgspec.json.encode(strange)[:-1] + MESSAGES_OPEN


def with_new_header(data: bytes, is_right: Callable[[str], bool]) -> tuple[str, bytes] | None:
    """Return the key and the new bytes of a session file with a damaged header over sound messages.

    The new header keeps the old fields as far as they can be read, up to the damage. `is_right` tells whether
    a key belongs to the file. Returns None if more is damaged, or if no such key can be read.
    """
    body = data.find(b"\n") + 1
    found = _legible(data[:body].decode(errors="replace"))
    key, first = found.get("key"), _message_at(data, body, 1)
    if not isinstance(key, str) or not is_right(key) or first is None or _parse_header(data[: body - 1]) is not None:
        return None
    fields: dict[str, Json] = {"format": FORMAT, "channel": channel_of(key), "title": None}
    fields |= {"key": key, "created_at": first[0].sent_at}
    for name, value in found.items():
        with contextlib.suppress(msgspec.ValidationError):
            msgspec.convert({**fields, name: value}, _HeaderLine)
            fields[name] = value
    mended = header_line(_header(msgspec.convert(fields, _HeaderLine))) + data[body:]
    return None if scan(mended).state == "damaged" else (key, mended)


def _legible(line: str) -> dict[str, Json]:
    """Return the readable fields of a damaged header.

    Names of fields may also occur in the metadata and behind it. So a field counts anywhere before the
    metadata, but later only right after the field before. The key counts anywhere: the caller checks it.
    """
    found: dict[str, Json] = {}
    place, free = 0, max(line.find('"metadata":'), 0)
    for name in _HeaderLine.__struct_fields__[1:]:
        mark = f'"{name}":'
        at = line.find(mark, place)
        if at < 0 or not (name == "key" or at < free or at == place + 1):
            continue
        try:
            value, end = _decode_any.raw_decode(line, at + len(mark))
        except (ValueError, RecursionError):
            continue
        if line[end : end + 1] == "," and "\ufffd" not in f"{value}":
            found[name], place = value, end
    return found


def _message_at(data: bytes, place: int, seq: int) -> tuple[Message, int, int] | None:
    """Return the message in the line at this offset, with the start and end of its JSON, or None."""
    if (data[place : place + 1] == b",") != (seq > 1):
        return None
    start = place + (seq > 1)
    end = data.find(b"\n", start)
    message = parse_message(data[start:end], seq) if end > start else None
    return None if message is None else (message, start, end)


def _parse_header(line: bytes) -> Header | None:
    if not line.endswith(MESSAGES_OPEN):
        return None
    try:
        return _header(_decode_header(line + b"]}"))
    except _NO_JSON:
        return None


def _header(line: _HeaderLine) -> Header:
    fields = msgspec.structs.asdict(line)
    del fields["format"]
    named = {"channel": composed(line.channel), "tags": tuple(dict.fromkeys(map(composed, line.tags)))}
    return Header(**{**fields, **named, "created_at": utc(line.created_at)})


def _scan_broken(data: bytes, good: Scan, committed_count: int) -> Scan:
    """Return the scan of a file with a broken line or trailer after its good messages."""
    messages, starts, ends, broken = good.messages, good.starts, good.ends, good.tail
    later, found_end = _after(data, broken, len(messages) + 1)
    kept = len(ends)
    while kept and data[ends[kept - 1] - 2 : ends[kept - 1] + 1] == _CONTINUED:
        kept -= 1
    is_torn = not found_end or (_is_one_append(data, later) and _lost_a_piece(data, broken, later))
    if is_torn and kept >= committed_count:
        return msgspec.structs.replace(
            good,
            state="torn",
            reason="an append was cut short",
            messages=messages[:kept],
            starts=starts[:kept],
            ends=ends[:kept],
            checksums=good.checksums[:kept],
            tail=ends[kept - 1] + 1 if kept else good.body,
        )
    return Scan(
        state="damaged",
        reason=f"message {len(messages) + 1} does not parse"
        if found_end
        else f"it ends in message {len(messages) + 1}",
        header=good.header,
        extra=good.extra,
        body=good.body,
        messages=[*messages, *(message for message, _, _ in later)],
        starts=[*starts, *(start for _, start, _ in later)],
        ends=[*ends, *(end for _, _, end in later)],
        tail=later[-1][2] + 1 if later else broken,
    )


def _after(data: bytes, place: int, seq: int) -> tuple[list[tuple[Message, int, int]], bool]:
    """Return the messages after a broken line, and whether they or a trailer end the file well.

    A kill cuts a write at one place, and nothing of the write stands after it. So a good line after a
    broken one is older than the break.
    """
    found: list[tuple[Message, int, int]] = []
    for line in _LINE.finditer(data, place):
        if not line[0].endswith(b"\n"):
            break
        start, end = line.start() + line[0].startswith(b","), line.end() - 1
        message = _any_message(data[start:end])
        if message is not None and message.seq > (found[-1][0].seq if found else seq):
            found.append((message, start, end))
        elif line[0] == trailer(found[-1][0].seq if found else seq):
            return found, True
    return found, bool(found)


def _is_one_append(data: bytes, later: Sequence[tuple[Message, int, int]]) -> bool:
    """Tell whether these lines, up to the end of the file, may belong to one append."""
    return all(data[end - 2 : end + 1] == _CONTINUED for _, _, end in later[:-1])


def _lost_a_piece(data: bytes, broken: int, later: Sequence[tuple[Message, int, int]]) -> bool:
    """Tell whether a power cut kept a piece of the last append from the disk.

    The piece then has its old bytes: the old trailer (or the end of it) where the append began, farther on
    reserved newlines, or zeros. Nothing else damages a file in this way.
    """
    end = later[0][1] if later else len(data.rstrip(b"\n"))
    first = -(-(broken - 1) // _SECTOR_BYTES) * _SECTOR_BYTES  # the piece may begin at the newline before
    sectors = (data[start : start + _SECTOR_BYTES] for start in range(first, end - _SECTOR_BYTES + 1, _SECTOR_BYTES))
    return data[broken : broken + 1] == b"]" or any(map(_UNWRITTEN.fullmatch, sectors))


def _any_message(line: bytes) -> Message | None:
    if not line.startswith(b"{"):
        return None
    try:
        return in_utc(message_in(line))
    except _NO_JSON:
        return None


def _scan_loose(data: bytes) -> Scan:
    """Return the scan of bytes without a header line: JSON in another layout, or damage."""
    if not data.strip(b"\n\0 "):
        return Scan(state="damaged", reason="the file is empty")
    try:
        document = _document(data)
        header = _header(msgspec.convert(document, _HeaderLine))
        messages = [in_utc(message_of(message)) for message in _numbered(document["messages"])]
        extra = unknown_of_session(document)
    except (*_NO_JSON, KeyError, TypeError) as error:
        return Scan(state="damaged", reason=f"not a session file: {_first_words(error)}")
    return Scan(state="loose", reason="another layout", header=header, messages=messages, extra=extra)


def _numbered(given: Json) -> list[dict[str, Json]]:
    """Return the messages of another layout with their places as seqs; what they drop moves with the seqs."""
    messages = msgspec.convert(given, list[dict[str, Json]])
    seqs: list[Json] = [message.get("seq") for message in messages]
    is_moved = seqs != list(range(1, len(seqs) + 1)) and all(isinstance(seq, int) for seq in seqs)
    moves: list[Moved] = []
    for place, seq in enumerate(seqs if is_moved else (), start=1):
        add_move(moves, seq, place)
    numbered = [{**message, "seq": place} for place, message in enumerate(messages, start=1)]
    for message in numbered if is_moved else ():
        if message.get("drops"):
            message["drops"] = moved_drops(msgspec.convert(message["drops"], Drops), moves)
            if not message["drops"]:
                del message["drops"]
    return numbered


def _document(data: bytes) -> Json:
    """Return the JSON value of a file in another layout, with or without a byte order mark."""
    return msgspec.json.decode(data.removeprefix(_BOM))


def _first_words(error: Exception) -> str:
    """Return the cause of an error without any content of the file."""
    return str(error) if isinstance(error, msgspec.ValidationError) else "it is no JSON of this form"
