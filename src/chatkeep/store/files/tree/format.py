"""The session file: a JSON document that is appended to like a log.

    {"format":1,"key":"telegram:1","channel":"telegram","title":null,"created_at":"...","metadata":{},"messages":[
    {"seq":1,"role":"user","content":"How do I ...","timestamp":"...","id":"..."}
    ,{"seq":2,"role":"assistant","content":"Here's ...","timestamp":"...","id":"..."}
    ],"message_count":2}
    (reserved space: newlines, which JSON allows at the end)

The first line is the *header*, then each message has one line, comma first, then comes the *trailer*.
An append overwrites the trailer and some reserved newlines with more lines and a new trailer, in
place. So the bytes of a committed message, its newline included, are never written again, and a
write that is cut anywhere leaves them whole.

The space is reserved with newlines, never with blanks: a lost piece of a write then splits a line,
and each part fails to parse, while blanks would make damaged text look whole.

Messages that are appended together stand or fall together. Each but the last of them has a blank
before its closing brace; when the file is torn, a run that ends in such a line is incomplete and is cut.

What a scan finds is one of four *states*:

- `whole`: every line parses, has the next seq, and the trailer counts them right.
- `torn`: an append was cut. The longest run of good lines stays, the rest is to be cut off. A kill cuts
  a write at one place; a power cut may lose any 512 bytes of it, which then are as they were before.
- `loose`: a session as JSON in another layout, as a program leaves it that re-wrote the file.
- `damaged`: anything else. Good lines are served, nothing is ever written to the file.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal
from zlib import crc32

import msgspec
from msgspec import Struct, field

from chatkeep.core.keys import channel_of, composed
from chatkeep.core.model import Header, Json, Message, utc
from chatkeep.core.unknown import encoded_message, message_in, message_of, unknown_of_session
from chatkeep.errors import InvalidError

FORMAT: Final = 1
RESERVE_STEP_BYTES: Final = 4096
_RESERVE_MAX_BYTES: Final = 1 << 18
_MESSAGES_OPEN: Final = b',"messages":['
_TRAILER: Final = b'],"message_count":%d}\n'
_CONTINUED: Final = b" }\n"
_SECTOR_BYTES: Final = 512
_BOM: Final = b"\xef\xbb\xbf"
_UNWRITTEN: Final = re.compile(rb"(?:[^\n]{0,40}\})?\n+|\0+")  # an old trailer's end has at most 40 bytes
_BEGUN: Final = re.compile(rb'(?<!\\)"created_at": ?"([0-9TZ:.+-]{10,40})"')
_LINE: Final = re.compile(rb"[^\n]+\n?")  # not the reserved newlines, which are many and hold nothing
_NO_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidError)
_ONLY_WHEN_SET: Final = frozenset(("archived", "pinned", "tags"))

State = Literal["whole", "torn", "loose", "damaged"]


class _HeaderLine(Struct, frozen=True, kw_only=True):
    """The fields of the first line; `messages` is always empty in it."""

    format: Literal[1]
    key: str
    channel: str
    title: str | None
    created_at: datetime
    metadata: dict[str, Json] = field(default_factory=dict)
    archived: bool = False
    pinned: bool = False
    tags: tuple[str, ...] = ()


class _LooseMessages(Struct, frozen=True):
    """The messages of a session in another layout, as they stand there."""

    messages: list[msgspec.Raw]


class Scan(Struct, frozen=True, kw_only=True):
    """What a session file holds. Message `i` is `data[starts[i]:ends[i]]`, a JSON object.

    `body` is where the first message line begins, `tail` where the trailer is or has to be. `checksums[i]` is that of
    all lines up to message `i`; a damaged or loose file has none. `extra` are the header's unknown fields.
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
_decode_any = json.JSONDecoder()  # the one that can stop at the end of a value


def header_line(header: Header, known: bytes = b"") -> bytes:
    """Return the first line of a session file. Fields of the line `known` that Chatkeep does not know are kept."""
    told = msgspec.structs.asdict(header).items()
    fields: dict[str, Json] = {"format": FORMAT}
    fields.update((name, value) for name, value in told if value or name not in _ONLY_WHEN_SET)
    if known:
        fields |= unknown_of_session(msgspec.json.decode(known + b"]}"))
    return msgspec.json.encode(fields)[:-1] + _MESSAGES_OPEN + b"\n"


def with_unknown(extra: dict[str, Json]) -> bytes:
    """Return fields that Chatkeep does not know in the form `header_line` keeps them."""
    return msgspec.json.encode(extra)[:-1] + _MESSAGES_OPEN if extra else b""


def _unknown_of_line(line: bytes) -> dict[str, Json]:
    try:
        return unknown_of_session(msgspec.json.decode(line + b"]}"))
    except _NO_JSON:  # half a character in one of them: a header that is known has none
        return {}


def message_lines(messages: Sequence[Message]) -> list[bytes]:
    """Return the lines of messages that are appended together."""
    last = len(messages) - 1
    return [
        (b"," if message.seq > 1 else b"") + encoded_message(message)[:-1] + (b"}\n" if place == last else _CONTINUED)
        for place, message in enumerate(messages)
    ]


def places(lines: Sequence[bytes], first: int, checksum: int = 0) -> tuple[list[int], list[int], list[int]]:
    """Return where the JSON of each line starts and ends when the first line is put at `first`, and the checksums.

    `checksum` is that of the lines before.
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
    """Return the size to give a file that holds so many bytes: an eighth more, in steps of 4 KiB."""
    room = min(used_bytes // 8, _RESERVE_MAX_BYTES)
    return -(-(used_bytes + room) // RESERVE_STEP_BYTES) * RESERVE_STEP_BYTES


def is_tail(data: bytes, message_count: int) -> bool:
    """Tell whether bytes read at the tail are the trailer of so many messages, and nothing after it."""
    expected = trailer(message_count)
    return data.startswith(expected) and not data[len(expected) :].strip(b"\n")


def parse_message(line: bytes, seq: int) -> Message | None:
    """Return the message of a line if it is one and has this seq, else None."""
    message = _any_message(line)
    return message if message is not None and message.seq == seq else None


def begun_at(head: bytes) -> float | None:
    """Return when a session says that it began, in seconds since 1970, by the first bytes of its file, if they tell."""
    found = _BEGUN.search(head)
    try:
        began = None if found is None else datetime.fromisoformat(found[1].decode())
    except ValueError:
        return None
    return None if began is None else began.replace(tzinfo=began.tzinfo or UTC).timestamp()


def scan(data: bytes, committed_count: int = 0) -> Scan:
    """Return what a session file holds, whatever its bytes are. Cost: one pass.

    `committed_count` messages are known to have been there: a file that ends before them was not
    torn by an append, it is damaged.
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


def loose_lines(data: bytes) -> list[bytes]:
    """Return the message lines of a session in another layout, numbered, everything else in them kept."""
    document = _document(data)
    messages = [{**message, "seq": seq} for seq, message in enumerate(document["messages"], start=1)]
    ordered = ({"seq": message.pop("seq"), **message} for message in messages)
    return [(b"," if seq else b"") + msgspec.json.encode(message) + b"\n" for seq, message in enumerate(ordered)]


def with_places(data: bytes, loose: Scan) -> Scan | None:
    """Return a scan of a session in another layout that says where its messages are, as far as it can be served so.

    None when a message does not say its own seq.
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
    """Return the unknown header fields of a session in another layout, in the form `header_line` keeps them."""
    strange = {name: value for name, value in _document(data).items() if name not in {"messages", "message_count"}}
    return msgspec.json.encode(strange)[:-1] + _MESSAGES_OPEN


def with_new_header(data: bytes, is_right: Callable[[str], bool]) -> tuple[str, bytes] | None:
    """Return the key and the bytes of a session file whose header alone is damaged, with a header that parses.

    None when that is not so, or its key cannot be made out; `is_right` tells whether it is the one of this file.
    What else of the header can be read is kept, up to the damage.
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
    """Return the fields of a damaged header that can be read.

    Names of fields may stand in the metadata too, and in what follows them. So up to the metadata a field is
    taken wherever it is, and from there on right after the one before. The key can be proved.
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
    """Return the message whose line begins here, with the start and end of its JSON, or None."""
    if (data[place : place + 1] == b",") != (seq > 1):
        return None
    start = place + (seq > 1)
    end = data.find(b"\n", start)
    message = parse_message(data[start:end], seq) if end > start else None
    return None if message is None else (message, start, end)


def _parse_header(line: bytes) -> Header | None:
    if not line.endswith(_MESSAGES_OPEN):
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
    """Return a scan of a file in which something does not parse after the good messages."""
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
    """Return the messages that parse after a line that does not, and whether they or a trailer end the file well.

    A write that was killed is cut at one place, and nothing of it stands after that. So what stands
    after a broken line was written before it broke.
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
    """Tell whether these lines, up to the end of the file, may all be of one append."""
    return all(data[end - 2 : end + 1] == _CONTINUED for _, _, end in later[:-1])


def _lost_a_piece(data: bytes, broken: int, later: Sequence[tuple[Message, int, int]]) -> bool:
    """Tell whether a power cut kept a piece of the last append from the disk.

    The piece then has what was there before: the old trailer (or the end of it) where the append
    began, farther on reserved newlines, or zeros. Nothing else damages a file in this way.
    """
    end = later[0][1] if later else len(data.rstrip(b"\n"))
    first = -(-(broken - 1) // _SECTOR_BYTES) * _SECTOR_BYTES  # the piece may begin with the newline before
    sectors = (data[start : start + _SECTOR_BYTES] for start in range(first, end - _SECTOR_BYTES + 1, _SECTOR_BYTES))
    return data[broken : broken + 1] == b"]" or any(map(_UNWRITTEN.fullmatch, sectors))


def _any_message(line: bytes) -> Message | None:
    if not line.startswith(b"{"):
        return None
    try:
        return _in_utc(message_in(line))
    except _NO_JSON:
        return None


def _in_utc(message: Message) -> Message:
    """Return a message with its time in UTC; other programs may have written another offset."""
    if message.sent_at.tzinfo is UTC:
        return message
    return msgspec.structs.replace(message, sent_at=utc(message.sent_at))


def _scan_loose(data: bytes) -> Scan:
    """Return a scan of bytes without a header line: JSON in another layout, or damage."""
    if not data.strip(b"\n\0 "):
        return Scan(state="damaged", reason="the file is empty")
    try:
        document = _document(data)
        header = _header(msgspec.convert(document, _HeaderLine))
        numbered = [{**message, "seq": seq} for seq, message in enumerate(document["messages"], start=1)]
        messages = [_in_utc(message_of(message)) for message in numbered]
        extra = unknown_of_session(document)
    except (*_NO_JSON, KeyError, TypeError) as error:
        return Scan(state="damaged", reason=f"not a session file: {_first_words(error)}")
    return Scan(state="loose", reason="another layout", header=header, messages=messages, extra=extra)


def _document(data: bytes) -> Json:
    """Return what bytes in another layout say; editors may have put a mark of their encoding in front."""
    return msgspec.json.decode(data.removeprefix(_BOM))


def _first_words(error: Exception) -> str:
    """Return what is wrong without any of the file's content."""
    return str(error) if isinstance(error, msgspec.ValidationError) else "it is no JSON of this form"
