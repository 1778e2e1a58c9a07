"""A model server's answer, byte by byte, and the one judgement whether it is whole.

Chat and the recording proxy both read answers through this class, so they agree. An answer is *whole* under three
conditions. It has content. The server has ended it: a finish reason for each choice, `[DONE]`, or JSON that closes.
And no part of it was an error or unreadable. Any other answer has a reason (`Tape.fault`), which quotes the server's
words.

An answer need not match the request or its media type: its first bytes decide what it is, and the media type only
where they leave it open. Events are read as events, and JSON as JSON. A reported error ends an answer; an unreadable
event does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

import msgspec
from msgspec import to_builtins

from chatkeep.core.history.completions import END
from chatkeep.core.history.folding import ERROR_WORDS
from chatkeep.core.history.masking import Mask, MaskedPieces
from chatkeep.core.history.protocols.chat_completions import COMPLETIONS
from chatkeep.core.history.protocols.speaking import AnswerFold, ModelProtocol
from chatkeep.core.model import Draft, Json
from chatkeep.core.sse import EVENT_STREAM_TYPE, EventReader
from chatkeep.core.text.quoting import page_words, quoted
from chatkeep.core.text.reasoning import PieceKind, TextPiece
from chatkeep.core.usage.token_counts import TOKENS, token_counts
from chatkeep.errors import (
    BrokenInputError,
    ModelCutOffError,
    ModelError,
    ModelReportedError,
    ModelSilentError,
    ModelUnreadableError,
)

ANSWER_BYTES_MAX: Final = 64 << 20  # 64 MiB; the rest of a longer answer is not kept
_QUOTED_BYTES: Final = 1 << 13  # of an unreadable answer: more than `quoted` ever returns
_COST: Final = 8  # bytes of memory for a byte of an answer parsed at once
_EVENT_COST: Final = 96  # bytes of memory for an event with one token
_USUAL_BYTES: Final = 256  # of an event with one token, on the wire
_USUAL_VALUES: Final = 32  # JSON values in such an event
_VALUE_COST: Final = 64  # bytes of memory for each further JSON value
_ESCAPE_BYTES_MAX: Final = 12  # of a character written as two escapes
_TEXT: Final = rb'"%b"\s*+:\s*+"((?:[^"\\]++|\\.)*+)'
_MARK: Final = b"\xef\xbb\xbf"
_FIELD: Final = re.compile(rb"(?:data|event|id|retry|error)?[ \t]*:")
_BEGINNING_BYTES: Final = 16  # the longest field name of an event ends within these
_BLANKS: Final = b" \t\r\n"
_BETWEEN: Final = re.compile(r"\s*(?:data:\s*)?")  # between two values of a body
_LISTED: Final = re.compile(r"[\s,]*\]?\s*")  # between two values of a list
_FAILED: Final = "error"

NOTHING_MASKED: Final = Mask("")

AnswerShape = Literal["", "events", "json", "other"]


TakeRoom = Callable[[int], bool]
"""Asks for bytes of memory, and tells whether they are available."""

Clock = Callable[[], float]
"""Returns monotonic seconds."""


class _Thinking:
    """The time that a model thinks: from its first reasoning to its first words of the answer, or calls."""

    def __init__(self, clock: Clock | None) -> None:
        self.ms: int | None = None
        """Milliseconds; None until known, and when both arrived in one piece."""
        self._clock = clock
        self._began: float | None = None
        self._is_over = False

    def measure(self, answer: AnswerFold) -> None:
        """Read the clock after a piece of the answer."""
        if self._clock is None or self._is_over:
            return
        if answer.has_spoken:
            self._is_over = True
            if self._began is not None:
                self.ms = round((self._clock() - self._began) * 1000)
        elif self._began is None and answer.has_thought:
            self._began = self._clock()


class Tape:
    """An answer as far as it has arrived. No input is too odd for it."""

    def __init__(
        self,
        content_type: str = "",
        *,
        protocol: ModelProtocol = COMPLETIONS,
        mask: Mask = NOTHING_MASKED,
        take_room: TakeRoom | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Begin before the first byte of an answer of this media type; the mask hides its secret in all results.

        `take_room` reserves memory; when it refuses, the tape cuts the answer. With a clock the tape measures how
        long the model thinks.
        """
        self._thinking = _Thinking(clock)
        self._take_room = take_room
        self._protocol = protocol
        self.answer = protocol.answer()
        self.is_over = False
        """Whether the server sent an end or an error; later bytes are ignored."""
        self.declare(content_type)
        self._mask = mask
        self._told = {"text": MaskedPieces(mask), "reasoning": MaskedPieces(mask)}
        self._shape: AnswerShape = ""
        self._events = EventReader(bytes_max=ANSWER_BYTES_MAX)
        self._body = bytearray()
        self._head = b""
        self._size = 0
        self._event_count = 0
        self._is_closed = self._is_cut = False
        self._fault: ModelError | None = None

    def declare(self, content_type: str) -> None:
        """Set the media type, before the first byte."""
        self._is_declared = content_type.strip().lower().startswith(EVENT_STREAM_TYPE)

    @property
    def is_complete(self) -> bool:
        """Whether the answer is whole by now."""
        return self._fault is None and self.answer.has_ended and self.answer.has_said

    @property
    def waiting_bytes(self) -> int:
        """Bytes buffered of an event without its end yet; the reader parses it once it is whole."""
        return 0 if self.is_over or self._is_cut else self._events.held_bytes

    @property
    def unread_bytes(self) -> int:
        """Bytes that `close` has to parse at once."""
        return self._events.held_bytes + len(self._body)

    @property
    def flaw(self) -> ModelError | None:
        """The fault in the bytes so far, whatever may follow; None if there is none."""
        return self._fault

    @property
    def fault(self) -> ModelError | None:
        """The reason why the answer is not whole, if no more comes; None if it is whole."""
        if self._fault is not None or self.is_complete:
            return self._fault
        if self.answer.has_ended and not self.answer.has_said:
            return ModelSilentError(quoted(self.answer.finish_reason))
        if self.answer.has_begun:
            return ModelCutOffError(f"the model's server ended it without {self._protocol.missing_end}")
        return ModelSilentError("", is_ended=False)

    def add(self, piece: bytes) -> None:
        """Add the next bytes."""
        self._size += len(piece)
        if self.is_over:
            return
        if self._is_cut:
            return
        if self._size > ANSWER_BYTES_MAX or not self._has_room(piece):
            self._is_cut = True
            self._fail(ModelCutOffError("it is longer than what is kept of one"))
            return
        if len(self._head) < _QUOTED_BYTES:
            self._head += piece[: _QUOTED_BYTES - len(self._head)]
        if not self._shape:
            self._body = (self._body + piece).removeprefix(_MARK).lstrip(_BLANKS)
            self._shape = _shape_of(bytes(self._body[:_BEGINNING_BYTES]), is_declared=self._is_declared)
            if self._shape != "events":
                return
            piece, self._body = bytes(self._body), bytearray()
        if self._shape == "events":
            self._read(piece)
            self._thinking.measure(self.answer)
        elif self._shape == "json":
            self._body += piece

    def close(self) -> None:
        """Note the end of the bytes, and take the buffered body."""
        if self._is_closed:
            return
        self._is_closed = True
        if not self._shape and self._body:
            self._shape = "other"
        if self._shape == "events":
            self._read(b"", is_last=True)
            is_known = self.answer.is_known or self.answer.has_ended
            if not is_known and (self._event_count or _says_something(self._head)):
                self._fail(self._unreadable(self._head))
        elif self._shape == "json" and self._is_cut:
            self.answer.add_beginning(_beginning_of(self._body, self._protocol.text_field))
        elif self._shape == "json" and not self._fault:
            self._take_json(bytes(self._body))
        elif self._shape == "other":
            self._fail(self._unreadable(self._head))
        self.answer.close()

    def take(self) -> list[TextPiece]:
        """Return the text and thinking since the last call, masked."""
        said = self.answer.take()
        masked = [TextPiece(piece.kind, self._told[piece.kind].take(piece.text.encode()).decode()) for piece in said]
        if self._is_closed:
            kinds: tuple[PieceKind, ...] = ("reasoning", "text")
            masked += [TextPiece(kind, self._told[kind].end().decode()) for kind in kinds]
        return [piece for piece in masked if piece.text]

    def draft(self, latency_ms: int, cut: str | None = None) -> Draft | None:
        """Return the answer as a message, None if it has no content.

        `cut` is the code of the outside event that ended it, if any. It is the reason of an incomplete answer, unless
        the server gave another reason before.
        """
        facts: dict[str, Json] = {"latency_ms": latency_ms}
        if not self.is_complete:
            fault = self._fault if cut is not None else self.fault
            facts |= {"partial": True, "reason": cut if fault is None else fault.code}
            if fault is not None:
                facts["detail"] = str(fault)
        if self._thinking.ms is not None:
            facts["reasoning_ms"] = self._thinking.ms
        draft = self.answer.draft(facts)
        if draft is None:
            return None
        counts = token_counts((draft.metadata or {}).get("usage"))
        if counts is not None:
            draft = msgspec.structs.replace(draft, metadata={**(draft.metadata or {}), TOKENS: to_builtins(counts)})
        content, calls, metadata = map(self._mask.value, (draft.content, draft.tool_calls, draft.metadata))
        return msgspec.structs.replace(draft, content=content, tool_calls=calls, metadata=metadata)

    def _has_room(self, piece: bytes) -> bool:
        if self._take_room is None:
            return True
        return self._take_room(_cost_of(piece) if self._shape == "events" else len(piece) * _COST)

    def _fail(self, fault: ModelError) -> None:
        self._fault = self._fault or fault

    def _read(self, piece: bytes, *, is_last: bool = False) -> None:
        try:
            for event in self._events.end() if is_last else self._events.read(piece):
                if not self.is_over and event.data.strip():
                    self._event_count += 1
                    self._take(event.name, event.data, is_last=is_last)
        except BrokenInputError:
            self._fail(self._unreadable(self._head))

    def _take(self, name: str, data: bytes, *, is_last: bool) -> None:
        """Take an event."""
        if data.strip() == END:
            self.answer.end()
            self.is_over = True
            return
        try:
            value = _decoded(data)
        except (ValueError, RecursionError):
            if is_last and data.lstrip().startswith(b"{"):
                self._fail(ModelCutOffError("it ends in the middle of an event"))
            elif name == _FAILED:
                self._report(data.decode(errors="replace"))
            else:
                self._fail(self._unreadable(data))
            return
        if value is not None:
            self._take_value(value, data, is_error=name == _FAILED)

    def _take_json(self, body: bytes) -> None:
        """Take a JSON body: one value, or several, perhaps with a stream's end behind them."""
        is_list = self._protocol.takes_lists and body.startswith(b"[")
        if (value := _whole_of(body)) is not None:
            for one in value if is_list and isinstance(value, list) else (value,):
                self._take_value(one, body, is_error=False)
            self._end_json(body)
            return
        text, place, decoder = body.decode(errors="replace"), int(is_list), json.JSONDecoder()
        between = _LISTED if is_list else _BETWEEN
        while (start := between.match(text, place).end()) < len(text) and not self.is_over:  # type: ignore[union-attr]
            if text.startswith(END.decode(), start):
                self.is_over = True
                break
            try:
                value, place = decoder.raw_decode(text, start)
            except (ValueError, RecursionError) as error:
                self._fail(self._broken_json(error, text, body))
                if not self.answer.is_known:
                    self.answer.add_beginning(_beginning_of(body, self._protocol.text_field))
                return
            self._take_value(value, body, is_error=False)
        if is_list and not text.rstrip().endswith("]"):
            self._fail(ModelCutOffError("its JSON ends in the middle"))
        else:
            self._end_json(body)

    def _end_json(self, body: bytes) -> None:
        if not (self.answer.is_known or self.is_over):
            self._fail(self._unreadable(body))
        self.answer.end()

    def _broken_json(self, error: Exception, text: str, body: bytes) -> ModelError:
        is_at_end = isinstance(error, json.JSONDecodeError) and (
            error.msg.startswith("Unterminated") or not text[error.pos :].strip()
        )
        return ModelCutOffError("its JSON ends in the middle") if is_at_end else self._unreadable(body)

    def _take_value(self, value: Json, data: bytes, *, is_error: bool) -> None:
        """Take a chunk, a whole answer or an error; Google's servers put an error into a list of one."""
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and "error" in value[0]:
            value = value[0]
        if not isinstance(value, dict):
            self._fail(self._unreadable(data))
            return
        self.answer.add(value)
        complaint = self.answer.complaint(value, is_error=is_error)
        if complaint is not None:
            self._fail(self._reported(_words_of(complaint.error)))
            self.is_over = self.is_over or complaint.is_last

    def _report(self, words: str) -> None:
        """Record an error from the server, which ends the answer."""
        self._fail(self._reported(words))
        self.is_over = True

    def _reported(self, words: str) -> ModelReportedError:
        return ModelReportedError(quoted(self._mask.text(words[:_QUOTED_BYTES])))

    def _unreadable(self, data: bytes) -> ModelError:
        text = data[:_QUOTED_BYTES].removeprefix(_MARK).decode(errors="replace")
        is_page = text.lstrip().startswith("<")
        return ModelUnreadableError(quoted(self._mask.text(page_words(text) if is_page else text)), is_page=is_page)


def _shape_of(begun: bytes, *, is_declared: bool) -> AnswerShape:
    """Return the shape of an answer with this beginning; empty while that is open."""
    if not begun or _MARK.startswith(begun):
        return ""
    if begun[:1] in b"{[":
        return "json"
    if begun[:1] == b"<":
        return "other"
    if is_declared or _FIELD.match(begun):
        return "events"
    return "" if len(begun) < _BEGINNING_BYTES and not re.search(rb"[\r\n]", begun) else "other"


def _says_something(head: bytes) -> bool:
    """Tell whether a line is neither blank nor a comment nor an empty field."""
    lines = head.removeprefix(_MARK).replace(b"\r", b"\n").split(b"\n")
    return any(line.strip() and not re.fullmatch(rb"(?::.*|(?:data|event|id|retry)[ \t]*:?.*)", line) for line in lines)


def _decoded(data: bytes) -> Json:
    """Return an event's JSON.

    Raises:
        ValueError: when it is not JSON.
        RecursionError: when it is nested without end.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):  # json takes lone surrogates, msgspec does not: keep the answer
        return json.loads(data.decode())


def _whole_of(body: bytes) -> Json:
    """Return the JSON value of a whole body, None if the body is not one."""
    try:
        return msgspec.json.decode(body.removeprefix(_MARK))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _words_of(error: Json) -> str:
    """Return the words of an error, as the server wrote them."""
    for _ in range(4):
        if isinstance(error, list) and error:
            error = error[0]
        elif isinstance(error, dict):
            told = next((error[name] for name in ERROR_WORDS if error.get(name)), None)
            if told is None:
                break
            error = told
        else:
            break
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)


def _cost_of(piece: bytes) -> int:
    """Return a bound on the memory for a piece's events: little for a token, more for many values."""
    count = piece.count(b"\n\n")
    values = sum(map(piece.count, (b",", b"[", b"{")))
    many_bytes, many_values = len(piece) - count * _USUAL_BYTES, values - (count + 1) * _USUAL_VALUES
    return _EVENT_COST * count + 2 * max(0, many_bytes) + _VALUE_COST * max(0, many_values)


def _beginning_of(body: bytes | bytearray, field: bytes) -> str:
    """Return the words in a cut JSON answer, from its first text in the field."""
    found = re.search(_TEXT % field, body, re.DOTALL)
    text = found[1] if found else b""
    for end in range(len(text), max(0, len(text) - _ESCAPE_BYTES_MAX) - 1, -1):  # the cut may be within a character
        with suppress(ValueError):
            return str(msgspec.json.decode(b'"%b"' % text[:end]))
    return ""
