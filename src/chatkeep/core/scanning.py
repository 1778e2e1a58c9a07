"""JSON values out of a stream, one by one: the largest kept value bounds the memory, never the stream.

A `Scanner` finds the end of a value without parsing it. It cuts a long text while reading, and leaves a mark with the
length of the cut. Behind broken JSON it finds the next object again, for inside a string every quotation mark has a
backslash.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import BinaryIO, Final, cast

import msgspec

from chatkeep.core.bounds import MESSAGE_BYTES_MAX

BOM: Final = b"\xef\xbb\xbf"
_PIECE_BYTES: Final = 1 << 16
_ESCAPED: Final = 3  # bytes of input for a byte of text, as escapes are longer
_VALUE_BYTES_MAX: Final = _ESCAPED * MESSAGE_BYTES_MAX
_HANDED_BYTES: Final = 1 << 18  # a longer value is handed over, not copied
_COUNTED_BYTES: Final = 1 << 20  # counted at once, to bound the memory of a copy
_NAME_BYTES_MAX: Final = 1 << 20  # of a field's name
_SHORTENED: Final = 5  # bytes: the most by which an escape is longer than its character
_SHORT_BYTES: Final = 1 << 10  # shorter texts are never cut
_OVER_BYTES: Final = 1 << 20  # beyond its bound, before a value of many small parts is given up
_LEVELS_MAX: Final = 10_000
_WASTE_BYTES_MAX: Final = 16 << 20  # read without finding a value, before the stream is given up as too broken
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_ATOM: Final = (
    rb"""[ \t\r,:]++|\n(?!,)|"(?:[^"\\\n]++|\\[^\n])*+"(?=[ \t\r\n]*+[,:\]}])"""
    rb"""|-?[0-9][-+.eE0-9]*+(?=[ \t\r\n,\]}])|true|false|null|NaN|-?Infinity"""
)
_NESTED: Final = rb"[\[{](?:%b)*+[\]}]" % _ATOM
_FLAT: Final = re.compile(rb"(?:%b|%b|[\[{](?:%b|%b)*+[\]}])*+" % (_ATOM, _NESTED, _ATOM, _NESTED))
_SCALAR: Final = re.compile(rb"[-+.\w]*+")
_INNER: Final = re.compile(rb'(?:[^"\\\n]++|\\[^\n])*+')
_WHOLE: Final = re.compile(rb"(?:[^\\]++|\\(?:u[0-9a-fA-F]{4}|[^u]))*+", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)
_CONTINUATIONS: Final = bytes(range(0x80, 0xC0))
_LITERAL_BYTES: Final = 400  # of the longest number
_OBJECT: Final = re.compile(rb'[,\n\[]\s*+(?=\{\s*+")')
_LIST_END: Final = re.compile(rb'\](?=\s*+,\s*+"message_count"\s*+:)')
_RECORD: Final = re.compile(rb'\{\s*+"(?:format|key|session_id)"')
_QUOTE: Final = ord('"')
_OPEN: Final = b"[{"
_PAIRS: Final = {ord("["): ord("]"), ord("{"): ord("}")}


class BrokenValueError(Exception):
    """The data here are not JSON, or not whole; the text says why."""


class LongValueError(Exception):
    """A value was too long to keep, but has no long text to cut; the scanner has passed it."""


class Cut(msgspec.Struct, frozen=True):
    """A text that was cut: the characters kept, and all it had."""

    kept: int
    count: int


class Scanner:
    """A reader of JSON values, with its place in a stream."""

    def __init__(self, stream: BinaryIO, *, bytes_max: int = _VALUE_BYTES_MAX, levels_max: int = _LEVELS_MAX) -> None:
        """Begin at the stream's next byte; a kept value has at most `levels_max` levels and about `bytes_max` bytes."""
        self.cuts: list[Cut] = []
        self._levels_max = levels_max
        self._stream = stream
        self._bytes_max = bytes_max
        self._data = bytearray()
        self._at = 0
        self._is_fresh_line = True
        self._has_ended = False
        self._wasted = 0

    def peek(self) -> bytes:
        """Return the next byte that is not white space, nothing at the end."""
        while True:
            end = _end_of(_SPACE, self._data, self._at)
            self._is_fresh_line |= self._data.find(b"\n", self._at, end) >= 0
            self._at = end
            if self._at < len(self._data):
                return bytes(self._data[self._at : self._at + 1])
            if not self._fill():
                return b""

    def skip(self, mark: bytes) -> bool:
        """Pass a byte if it is the next one, and tell whether it was."""
        is_next = self.peek() == mark
        self._at += is_next
        return is_next

    def name(self) -> str:
        """Return the name of a field, and pass it with its colon.

        Raises:
            BrokenValueError: when there is none.
        """
        raw = self.value(_NAME_BYTES_MAX)
        if not (raw.startswith(b'"') and self.skip(b":")):
            raise BrokenValueError("It is not JSON.")
        return _text_of(raw)

    def line(self) -> bytes | None:
        """Return the rest of this line if it is an object on its own, and pass it, but not a comma behind it.

        After None, the next value is still unknown: it may be an object of several lines, or of a very long line.
        """
        if self.peek() != b"{" or not self._is_fresh_line:
            return None
        self._is_fresh_line = False
        end = self._data.find(b"\n", self._at)
        if end < 0 and len(self._data) - self._at < _PIECE_BYTES:
            self._fill()
            end = self._data.find(b"\n", self._at)
        whole = bytes(self._data[self._at : end]).rstrip(b", \t\r") if end >= 0 else b""
        if not whole.endswith(b"}"):
            return None
        try:
            msgspec.json.decode(whole, type=msgspec.Raw)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        self._at += len(whole)
        return whole

    def value(self, bytes_max: int | None = None) -> bytes:
        """Return the next value and pass it; texts in a value that is too long are cut, and `cuts` lists them.

        The value is kept up to `bytes_max`, else to the bound of the scanner.

        Raises:
            BrokenValueError: when the next value is missing or not whole; the place stays.
            LongValueError: when it is too long to keep; it is passed.
        """
        self.peek()
        self._let_go()
        self.cuts = []
        usual, self._bytes_max = self._bytes_max, bytes_max or self._bytes_max
        try:
            end, is_kept = self._end_of_value()
        except BrokenValueError:
            self._wasted += len(self._data)
            raise
        finally:
            self._bytes_max = usual
        value = self._taken(end)
        if not is_kept:
            raise LongValueError
        return value

    def _taken(self, end: int) -> bytes:
        """Return the data up to `end`, and pass them; a long value is handed over, so memory never holds it twice."""
        if end <= _HANDED_BYTES:
            self._at = end
            return bytes(self._data[:end])
        value, self._data, self._at = self._data, self._data[end:], 0
        del value[end:]
        return cast("bytes", value)  # a bytearray, but nobody changes it

    def next_object(self, is_wanted: Callable[[bytes], bool]) -> bytes | None:
        """Return the next wanted object behind the broken data here, and pass it.

        None means the end of the list, the beginning of a record, a value too long to keep, or nothing more to find.
        """
        while self._wasted <= _WASTE_BYTES_MAX and self._find_object() and not self.begins_record():
            if self.peek() == b"]":
                return None
            try:
                raw = self.value()
            except BrokenValueError:
                continue
            except LongValueError:
                return None
            if is_wanted(raw):
                return raw
        return None

    def find_object(self, is_wanted: Callable[[bytes], bool]) -> bytes | None:
        """Return the next wanted object behind the broken data here, and pass it; None when there is nothing more.

        Unlike `next_object`, the search takes no end of a list and no record of ours for its end.
        """
        while self._wasted <= _WASTE_BYTES_MAX and self._find_object():
            if self.skip(b"]"):
                continue
            try:
                raw = self.value()
            except (BrokenValueError, LongValueError):
                continue
            if is_wanted(raw):
                return raw
        return None

    def find_record(self) -> bool:
        """Go on to the beginning of the next session, behind the broken data here."""
        while not self.begins_record():
            if self._wasted > _WASTE_BYTES_MAX or not self._find_object():
                return False
        return True

    def _find_object(self) -> bool:
        """Go on to the next object of a list, or to the end of a list of messages."""
        self._at += self._at < len(self._data)
        while True:
            found = _OBJECT.search(self._data, max(self._at - 1, 0))
            ended = _LIST_END.search(self._data, self._at)
            if found and (ended is None or found.start() < ended.start()):
                self._at = found.end()
                return True
            if ended:
                self._at = ended.start()
                return True
            self._at = max(self._at, len(self._data) - _LITERAL_BYTES)  # keep a pattern cut by the end of the data
            if not self._fill():
                self._at = len(self._data)
                return False

    def begins_record(self) -> bool:
        """Tell whether a session stands here, not a message."""
        if self.peek() != b"{":
            return False
        if len(self._data) - self._at < _LITERAL_BYTES:
            self._fill()
        return _RECORD.match(self._data, self._at) is not None

    def _fill(self) -> bool:
        """Read on; False at the end."""
        if self._has_ended:
            return False
        if self._at > _PIECE_BYTES:
            self._let_go()
        piece = self._stream.read(_PIECE_BYTES)
        self._data += piece
        self._has_ended = not piece
        return bool(piece)

    def _let_go(self) -> None:
        """Drop the passed data."""
        del self._data[: self._at]
        self._at = 0

    def _end_of_value(self) -> tuple[int, bool]:
        """Return the end of the value at the beginning of the data, and whether all of it was kept."""
        data = self._data
        if data.startswith(b'"'):
            return self._end_of_string(0, is_top=True), True
        if not data.startswith((b"[", b"{")):
            return self._end_of_scalar(), True
        at, levels, is_kept = 1, bytearray((_PAIRS[data[0]],)), True
        while True:
            at = _end_of(_FLAT, data, at)
            if not is_kept or at > self._bytes_max + _OVER_BYTES:
                is_kept = False
                del data[:at]
                at = 0
            at = self._behind_mark(at, levels)
            if not levels:
                return at, is_kept

    def _behind_mark(self, at: int, levels: bytearray) -> int:
        """Return the place behind a bracket or a string; `levels` are the closing brackets to come."""
        data = self._data
        byte = data[at] if at < len(data) else 0
        if byte == _QUOTE:
            return self._end_of_string(at, is_top=False)
        if levels and levels[-1] == byte:
            levels.pop()
            return at + 1
        if byte in _OPEN:
            if len(levels) == self._levels_max:
                raise BrokenValueError("It is nested too deep.")
            levels.append(_PAIRS[byte])
            return at + 1
        if data.startswith(b"\n,{", at):  # the next message of a session file begins here
            raise BrokenValueError("It ends with its line.")
        if data.startswith(b"\n,", at) and len(data) > at + len(b"\n,"):
            return at + 1
        if len(data) - at > _LITERAL_BYTES or not self._fill_behind():
            raise BrokenValueError("It is not JSON." if at < len(data) else "It ends too early.")
        return at

    def _end_of_scalar(self) -> int:
        while (end := _end_of(_SCALAR, self._data, 0)) == len(self._data) <= _LITERAL_BYTES and self._fill_behind():
            pass
        if not 0 < end <= _LITERAL_BYTES:
            raise BrokenValueError("It is not JSON.")
        return end

    def _fill_behind(self) -> bool:
        """Read on behind an unfinished value; False at the end."""
        if self._has_ended:
            return False
        piece = self._stream.read(_PIECE_BYTES)
        self._data += piece
        self._has_ended = not piece
        return bool(piece)

    def _end_of_string(self, start: int, *, is_top: bool) -> int:
        """Return the end of the string at `start`; in a value too long, a mark replaces the tail of the string."""
        data = self._data
        at, kept_to, dropped, escapes = start + 1, 0, 0, 0
        text_max = self._bytes_max // _ESCAPED
        while True:
            before, at = at, _end_of(_INNER, data, at)
            escapes += data.count(b"\\", before, at)
            is_too_long = at > self._bytes_max or at - start - _SHORTENED * escapes > text_max
            if kept_to:
                dropped += _count_of(data, kept_to, at)
                del data[kept_to:at]
                at = kept_to
            elif is_too_long and at - start > _SHORT_BYTES:
                until = max(text_max // 2, start + _SHORT_BYTES)
                kept_to = at = _whole_character(data, _end_of(_INNER, data, start + 1, until))
                continue  # the end of the string may be here already, and the stream at its own
            if data.startswith((b'"', b"\n", b"\\\n"), at):
                break
            if not self._fill_behind():
                raise BrokenValueError("It ends within a text.")
        if data[at] != _QUOTE:
            raise BrokenValueError("A line ends within a text.")
        if kept_to:
            kept = _count_of(data, start + 1, kept_to)
            self.cuts.append(Cut(kept, kept + dropped))
            mark = b" [cut: %d of %d characters]" % (kept, kept + dropped)
            data[at:at] = mark
            at += len(mark)
        return at + 1 if is_top else self._checked_end(at + 1)

    def _checked_end(self, at: int) -> int:
        """Return the place behind a string, after a check of the next character."""
        while (end := _end_of(_SPACE, self._data, at)) == len(self._data):
            if not self._fill_behind():
                raise BrokenValueError("It ends too early.")
        if self._data[end] not in b",:]}":
            raise BrokenValueError("It is not JSON.")
        return at


def _text_of(raw: bytes) -> str:
    """Return the text of a JSON string; a lone surrogate stays."""
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return str(json.loads(raw.decode(errors="replace"), strict=False))


def _end_of(pattern: re.Pattern[bytes], data: bytearray, at: int, until: int = sys.maxsize) -> int:
    found = pattern.match(data, at, until)
    return at if found is None else found.end()


def _count_of(data: bytearray, start: int, end: int) -> int:
    """Return the number of characters inside a JSON string; a surrogate pair of escapes counts as two."""
    count = 0
    while start < end:
        until = min(start + _COUNTED_BYTES, end)
        if until < end:  # cut no escape in two
            until = max(_end_of(_WHOLE, data, start, until), start + 1)
        count += len(_ESCAPE.sub(b"x", data[start:until]).translate(None, _CONTINUATIONS))
        start = until
    return count


def _whole_character(data: bytearray, at: int) -> int:
    """Return the last place up to `at` that does not cut a character."""
    while at and data[at - 1] & 0xC0 == 0x80:  # noqa: PLR2004 - a continuation byte of UTF-8
        at -= 1
    return at - 1 if at and data[at - 1] >= 0xC0 else at  # noqa: PLR2004 - the first byte of a character
