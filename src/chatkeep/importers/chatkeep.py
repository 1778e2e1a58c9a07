"""Chatkeep's own formats: what `exporters` writes, session files copied out of a workspace, and their kin.

A record needs a key and messages with a role and content; everything else may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import BinaryIO, Final, Literal

import msgspec

from chatkeep.core.bounds import check_depth
from chatkeep.core.model import Session
from chatkeep.errors import BrokenInputError, ChatkeepError, TooLargeError
from chatkeep.importers.records import BOM, RECORD_BYTES_MAX, RECORD_DEPTH_MAX, Record, document_in, session_of, why
from chatkeep.importers.reports import Flaw
from chatkeep.sessions import now_utc

Fmt = Literal["json", "jsonl"]

RECORDS_MAX: Final = 10_000_000


class _Document(Record, frozen=True, kw_only=True):
    """A record that may say which version of the format it is."""

    format: Literal[1] = 1


_decode_record = msgspec.json.Decoder(_Document).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


def read(stream: BinaryIO, fmt: Fmt, *, now: Callable[[], datetime] = now_utc) -> Iterator[Session | Flaw]:
    """Yield the sessions of a file, and a flaw for each record that is none; JSON lines are read one by one.

    Raises:
        BrokenInputError: when a JSON document does not parse, or is nested too deep.
        TooLargeError: when it is larger than 256 MiB.
    """
    records = _lines(stream) if fmt == "jsonl" else _documents(stream)
    for place, data in records:
        yield data if isinstance(data, Flaw) else _session(place, data, now)


def _session(place: str, data: bytes, now: Callable[[], datetime]) -> Session | Flaw:
    try:
        check_depth(data, RECORD_DEPTH_MAX)
        return session_of(_decode_record(data), now=now)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ChatkeepError) as error:
        return Flaw(place, why(error))


def _documents(stream: BinaryIO) -> Iterator[tuple[str, bytes]]:
    data = document_in(stream)
    try:
        records = [bytes(record) for record in _decode_array(data)] if data.startswith(b"[") else [_json(data)]
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BrokenInputError(why(error)) from error
    for number, record in enumerate(records, start=1):
        yield f"session {number}", record


def _json(data: bytes) -> bytes:
    msgspec.json.decode(data, type=msgspec.Raw)
    return data


def _lines(stream: BinaryIO) -> Iterator[tuple[str, bytes | Flaw]]:
    number = 0
    while line := stream.readline(RECORD_BYTES_MAX + 1):
        number += 1
        place = f"line {number}"
        if number > RECORDS_MAX:
            yield place, Flaw(place, f"Only {RECORDS_MAX} lines are read from one file.")
            return
        if len(line) > RECORD_BYTES_MAX:
            _skip_line(stream)
            yield place, Flaw(place, str(TooLargeError("line", RECORD_BYTES_MAX)))
        elif stripped := (line.removeprefix(BOM) if number == 1 else line).strip():
            yield place, stripped


def _skip_line(stream: BinaryIO) -> None:
    while (piece := stream.readline(1 << 20)) and not piece.endswith(b"\n"):
        pass
