"""What has come of an answer of a model's server, byte by byte, and the one judgement of whether it is whole.

Chat and the recording proxy listen through this alone, so they agree. An answer is *whole* when something was
said, its end was told (a finish reason for each choice, `[DONE]`, or JSON that closes), and nothing of it was an
error or could not be read. Whatever else comes has its reason (`Tape.fault`), which quotes the server's words.

What comes need not be what was asked for, nor what its media type says: it is taken for what it looks like. Events
are read as events, and JSON as JSON. An error that is told ends an answer; an event that cannot be read does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

import msgspec

from chatkeep.core.history.completions import END
from chatkeep.core.history.folding import ModelAnswer
from chatkeep.core.masking import Mask, MaskedPieces
from chatkeep.core.model import Draft, Json
from chatkeep.core.sse import EVENT_STREAM_TYPE, EventReader
from chatkeep.core.text.quoting import page_words, quoted
from chatkeep.core.text.reasoning import PieceKind, TextPiece
from chatkeep.errors import (
    BrokenInputError,
    ModelCutOffError,
    ModelError,
    ModelReportedError,
    ModelSilentError,
    ModelUnreadableError,
)

ANSWER_BYTES_MAX: Final = 64 << 20
_QUOTED_BYTES: Final = 1 << 13  # of an answer that cannot be read: more than is ever quoted
_COST: Final = 8  # bytes of memory for a byte of an answer that is taken whole
_EVENT_COST: Final = 96  # bytes, of a token
_USUAL_BYTES: Final = 256  # of an event with one token
_USUAL_VALUES: Final = 32
_VALUE_COST: Final = 64
_ESCAPE_BYTES_MAX: Final = 12  # of a character of two escapes
_CONTENT: Final = re.compile(rb'"content"\s*+:\s*+"((?:[^"\\]++|\\.)*+)', re.DOTALL)
_MARK: Final = b"\xef\xbb\xbf"
_FIELD: Final = re.compile(rb"(?:data|event|id|retry)?[ \t]*:")
_BEGINNING_BYTES: Final = 16  # in which the name of a field ends, if it is one
_BLANKS: Final = b" \t\r\n"
_BETWEEN: Final = re.compile(r"\s*(?:data:\s*)?")  # two values of a body
_ERROR_WORDS: Final = ("message", "msg", "detail", "error", "errors")
_FAILED: Final = "error"

NOTHING_MASKED: Final = Mask("")

AnswerShape = Literal["", "events", "json", "other"]


TakeRoom = Callable[[int], bool]
"""Is asked for bytes of memory, and tells whether they are there."""

Clock = Callable[[], float]
"""Returns seconds that only grow."""


class _Thinking:
    """How long a model thinks: from the first piece with reasoning to the first with words of the answer, or calls."""

    def __init__(self, clock: Clock | None) -> None:
        self.ms: int | None = None
        """Milliseconds; None while nobody knows, and where both came in one piece."""
        self._clock = clock
        self._began: float | None = None
        self._is_over = False

    def measure(self, answer: ModelAnswer) -> None:
        """Look at the clock after a piece of the answer."""
        if self._clock is None or self._is_over:
            return
        if answer.has_spoken:
            self._is_over = True
            if self._began is not None:
                self.ms = round((self._clock() - self._began) * 1000)
        elif self._began is None and answer.has_thought:
            self._began = self._clock()


class Tape:
    """What has passed of an answer. Nothing that passes is too odd for it."""

    def __init__(
        self,
        content_type: str = "",
        *,
        mask: Mask = NOTHING_MASKED,
        take_room: TakeRoom | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Begin before the first byte of an answer of this media type; what is told of it is masked.

        An answer ends for us where there is no more room. With a clock the tape measures how long the model thinks.
        """
        self._thinking = _Thinking(clock)
        self._take_room = take_room
        self.answer = ModelAnswer()
        self.is_over = False
        """Whether its end was told, or an error: what follows is no part of it."""
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
        """Take note of the media type, before the first byte."""
        self._is_declared = content_type.strip().lower().startswith(EVENT_STREAM_TYPE)

    @property
    def is_complete(self) -> bool:
        """Whether the answer is whole by now."""
        return self._fault is None and self.answer.has_ended and self.answer.has_said

    @property
    def waiting_bytes(self) -> int:
        """How much is held of an event that has not come to its end, and is read as a whole then."""
        return self._events.held_bytes

    @property
    def flaw(self) -> ModelError | None:
        """What is wrong with what has come, whatever may follow; None when nothing is."""
        return self._fault

    @property
    def fault(self) -> ModelError | None:
        """Why the answer is not whole, if no more comes of it; None when it is."""
        if self._fault is not None or self.is_complete:
            return self._fault
        if self.answer.has_ended and not self.answer.has_said:
            return ModelSilentError(quoted(self.answer.finish_reason))
        if self.answer.has_begun:
            return ModelCutOffError("the model's server ended it without a finish reason and without [DONE]")
        return ModelSilentError("", is_ended=False)

    def add(self, piece: bytes) -> None:
        """Take in what has passed."""
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
        """Take note that no more comes: what is whole by itself is complete."""
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
            self.answer.add(_beginning_of(self._body))
        elif self._shape == "json" and not self._fault:
            self._take_json(bytes(self._body))
        elif self._shape == "other":
            self._fail(self._unreadable(self._head))
        self.answer.close()

    def take(self) -> list[TextPiece]:
        """Return what was said since this was last asked, text and thinking."""
        said = self.answer.take()
        masked = [TextPiece(piece.kind, self._told[piece.kind].take(piece.text.encode()).decode()) for piece in said]
        if self._is_closed:
            kinds: tuple[PieceKind, ...] = ("reasoning", "text")
            masked += [TextPiece(kind, self._told[kind].end().decode()) for kind in kinds]
        return [piece for piece in masked if piece.text]

    def draft(self, latency_ms: int, cut: str | None = None) -> Draft | None:
        """Return the answer as a message, None when nothing was said.

        `cut` is the code of what ended it from outside, if anything did. It is why the answer is not complete, unless
        the server itself has told another reason before.
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
        """Take in an event."""
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
        """Take in a body that is JSON: one value, or several, and perhaps an end of a stream behind them."""
        if (value := _whole_of(body)) is not None:
            self._take_value(value, body, is_error=False)
            self.answer.end()
            return
        text, place, decoder = body.decode(errors="replace"), 0, json.JSONDecoder()
        while (start := _BETWEEN.match(text, place).end()) < len(text) and not self.is_over:  # type: ignore[union-attr]
            if text.startswith(END.decode(), start):
                self.is_over = True
                break
            try:
                value, place = decoder.raw_decode(text, start)
            except (ValueError, RecursionError) as error:
                self._fail(self._broken_json(error, text, body))
                return
            self._take_value(value, body, is_error=False)
        self.answer.end()

    def _broken_json(self, error: Exception, text: str, body: bytes) -> ModelError:
        is_at_end = isinstance(error, json.JSONDecodeError) and (
            error.msg.startswith("Unterminated") or not text[error.pos :].strip()
        )
        return ModelCutOffError("its JSON ends in the middle") if is_at_end else self._unreadable(body)

    def _take_value(self, value: Json, data: bytes, *, is_error: bool) -> None:
        """Take in a chunk, a whole answer or an error."""
        if not isinstance(value, dict):
            self._fail(self._unreadable(data))
            return
        self.answer.add(value)
        error = _error_in(value, is_error=is_error, is_whole=self._shape == "json")
        if error is not None:
            self._report(_words_of(error))
        elif self.answer.finish_reason == _FAILED:
            self._report("")
        elif self._shape == "json" and not isinstance(value.get("choices"), list):
            self._fail(self._unreadable(data))

    def _report(self, words: str) -> None:
        """Take note of an error that the server tells: it ends the answer."""
        self._fail(ModelReportedError(quoted(self._mask.text(words[:_QUOTED_BYTES]))))
        self.is_over = True

    def _unreadable(self, data: bytes) -> ModelError:
        text = data[:_QUOTED_BYTES].removeprefix(_MARK).decode(errors="replace")
        is_page = text.lstrip().startswith("<")
        return ModelUnreadableError(quoted(self._mask.text(page_words(text) if is_page else text)), is_page=is_page)


def _shape_of(begun: bytes, *, is_declared: bool) -> AnswerShape:
    """Return what an answer that begins so is; nothing as long as that is open."""
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
    """Tell whether there is a line that is neither blank nor a comment nor an empty field."""
    lines = head.removeprefix(_MARK).replace(b"\r", b"\n").split(b"\n")
    return any(line.strip() and not re.fullmatch(rb"(?::.*|(?:data|event|id|retry)[ \t]*:?.*)", line) for line in lines)


def _decoded(data: bytes) -> Json:
    """Return an event's JSON.

    Raises:
        ValueError: when it is none.
        RecursionError: when it is nested without end.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):  # half a character is JSON, too, and no reason to lose an answer
        return json.loads(data.decode())


def _whole_of(body: bytes) -> Json:
    """Return the value of a body that is one, None when it is not."""
    try:
        return msgspec.json.decode(body.removeprefix(_MARK))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _error_in(value: dict[str, Json], *, is_error: bool, is_whole: bool) -> Json | None:
    """Return the error that a piece tells, None when it tells none."""
    if value.get("error"):
        return value["error"]
    choices = value.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("error"):
            return choice["error"]
    is_told = is_error or "error" in (value.get("object"), value.get("type"))
    if is_told or (is_whole and choices is None and any(isinstance(value.get(name), str) for name in _ERROR_WORDS)):
        return value
    return None


def _words_of(error: Json) -> str:
    """Return what an error says, in the server's words."""
    for _ in range(4):
        if isinstance(error, list) and error:
            error = error[0]
        elif isinstance(error, dict):
            told = next((error[name] for name in _ERROR_WORDS if error.get(name)), None)
            if told is None:
                break
            error = told
        else:
            break
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)


def _cost_of(piece: bytes) -> int:
    """Return how much memory what events add may take: a token little, many values more than their bytes."""
    count = piece.count(b"\n\n")
    values = sum(map(piece.count, (b",", b"[", b"{")))
    many_bytes, many_values = len(piece) - count * _USUAL_BYTES, values - (count + 1) * _USUAL_VALUES
    return _EVENT_COST * count + 2 * max(0, many_bytes) + _VALUE_COST * max(0, many_values)


def _beginning_of(body: bytearray) -> dict[str, Json]:
    """Return the answer that a cut one begins with: the text that has come."""
    found = _CONTENT.search(body)
    text = found[1] if found else b""
    for end in range(len(text), max(0, len(text) - _ESCAPE_BYTES_MAX) - 1, -1):  # it may end within a character
        with suppress(ValueError):
            content = msgspec.json.decode(b'"%b"' % text[:end])
            return {"choices": [{"message": {"role": "assistant", "content": content}}]}
    return {}
