"""A model server's answer, byte by byte.

Chat and the recording proxy both read answers through this class, so they agree on what is whole (`Judgement`).

An answer need not match the request or its media type: its first bytes decide what it is, and the media type only
where they leave it open. Events are read as events, and JSON as JSON. A reported error ends an answer; an unreadable
event does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, Literal, cast

import msgspec
from msgspec import to_builtins

from chatkeep.core.history.masking import Mask, MaskedPieces
from chatkeep.core.history.protocols.chat_completions import COMPLETIONS
from chatkeep.core.history.protocols.speaking import AnswerFold, ModelProtocol
from chatkeep.core.history.tape.answer_values import AnswerValues
from chatkeep.core.history.tape.judgement import QUOTED_BYTES, UTF8_MARK, Judgement
from chatkeep.core.model import Draft, Json
from chatkeep.core.sse import EVENT_STREAM_TYPE, EventReader
from chatkeep.core.text.reasoning import PieceKind, TextPiece
from chatkeep.core.usage.token_counts import TOKENS, token_counts
from chatkeep.errors import BrokenInputError, ModelError

ANSWER_BYTES_MAX: Final = 64 << 20  # 64 MiB; the rest of a longer answer is not kept
_COST: Final = 8  # bytes of memory for a byte of an answer parsed at once
_EVENT_COST: Final = 96  # bytes of memory for an event with one token
_USUAL_BYTES: Final = 256  # of an event with one token, on the wire
_USUAL_VALUES: Final = 32  # JSON values in such an event
_VALUE_COST: Final = 64  # bytes of memory for each further JSON value
_FIELD: Final = re.compile(rb"(?:data|event|id|retry|error)?[ \t]*:")
_BEGINNING_BYTES: Final = 16  # the longest field name of an event ends within these
_BLANKS: Final = b" \t\r\n"
_STEP_BYTES: Final = 1 << 16  # of kept bytes, read at once
_PART_CHARS: Final = 1 << 15  # of a text, masked at once: 1 ms

NOTHING_MASKED: Final = Mask("")

AnswerShape = Literal["", "events", "json", "other"]


TakeRoom = Callable[[int], bool]
"""Asks for bytes of memory, and tells whether they are available."""

Clock = Callable[[], float]
"""Returns monotonic seconds."""


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
        read_bytes_max: int | None = None,
    ) -> None:
        """Begin before the first byte of an answer of this media type; the mask hides its secret in all results.

        `take_room` reserves memory; when it refuses, the tape cuts the answer. With a clock the tape measures how
        long the model thinks. With `read_bytes_max` the tape keeps the bytes, and leaves events longer than that to
        another tape, as one in another process.
        """
        self.answer = protocol.answer()
        self._judgement = Judgement(self.answer, protocol.missing_end, mask)
        self._values = AnswerValues(protocol, self.answer, self._judgement, read_bytes_max)
        self._allowance = _Allowance(take_room, is_kept=read_bytes_max is not None)
        self._beginning = _Beginning()
        self._events = EventReader(bytes_max=ANSWER_BYTES_MAX)
        self._body = bytearray()
        self._thinking = _Thinking(clock)
        self._words = _MaskedWords(mask)
        self._is_closed = False
        self.declare(content_type)

    def declare(self, content_type: str) -> None:
        """Set the media type, before the first byte."""
        self._beginning.media_type = content_type.strip().lower()

    @property
    def is_over(self) -> bool:
        """Whether the server sent an end or an error; later bytes are ignored."""
        return self._judgement.is_over

    @property
    def is_complete(self) -> bool:
        """Whether the answer is whole by now; an event that was left out counts as content."""
        if self.has_left_out:
            return self.flaw is None and self.answer.has_ended
        return self._judgement.is_complete

    @property
    def has_left_out(self) -> bool:
        """Whether an event was too long to be read here."""
        return self._values.has_left_out

    @property
    def media_type(self) -> str:
        """The media type of the answer."""
        return self._beginning.media_type

    @property
    def kept(self) -> bytes:
        """The bytes of the answer so far, if they are kept; call this behind the last one."""
        return cast("bytes", self._body)  # a bytearray, but nobody changes it any more

    @property
    def is_cut(self) -> bool:
        """Whether the answer is longer than what is kept of it."""
        return self._allowance.is_used_up

    @property
    def thought_ms(self) -> int | None:
        """The milliseconds that the model thought, None if not known."""
        return self._thinking.ms

    @property
    def flaw(self) -> ModelError | None:
        """The fault in the bytes so far, whatever may follow; None if there is none."""
        return self._judgement.flaw

    @property
    def fault(self) -> ModelError | None:
        """The reason why the answer is not whole, if no more comes; None if it is whole."""
        return self._judgement.fault

    @property
    def waiting_bytes(self) -> int:
        """Bytes buffered of an event without its end yet; the reader parses it once it is whole."""
        return 0 if self.is_over or self._allowance.is_used_up else self._events.held_bytes

    @property
    def unread_bytes(self) -> int:
        """Bytes that `close` has to parse at once."""
        return self._events.held_bytes + len(self._body)

    def add(self, piece: bytes) -> None:
        """Add the next bytes."""
        if self.is_over or self._allowance.is_used_up:
            return
        if not self._allowance.covers(piece, self._beginning.shape):
            self.cut()
            return
        piece = self._beginning.add(piece)
        if self._beginning.shape == "events":
            if self._allowance.is_kept:
                self._body += piece
            self._read(piece)
            self._thinking.measure(self.answer)
        elif self._beginning.shape == "json":
            self._body += piece

    def add_kept(self, data: bytes, thought_ms: int | None, *, is_cut: bool) -> None:
        """Add the kept bytes of another tape, with the time that it measured; close behind them."""
        for start in range(0, len(data), _STEP_BYTES):
            self.add(data[start : start + _STEP_BYTES])
        if is_cut:
            self.cut()
        self.close()
        self._thinking.ms = thought_ms

    def read_again(self) -> Tape:
        """Return another tape that has read all that this one kept, long events too."""
        whole = Tape(self.media_type, protocol=self._values.protocol, mask=self._words.mask)
        whole.add_kept(bytes(self._body), self.thought_ms, is_cut=self.is_cut)
        return whole

    def cut(self) -> None:
        """Note that the answer is longer than what is kept of it: the bytes to come are left out."""
        self._allowance.is_used_up = True
        self._judgement.cut_off("it is longer than what is kept of one")

    def close(self) -> None:
        """Note the end of the bytes, and take the buffered body."""
        if self._is_closed:
            return
        self._is_closed = True
        self._beginning.close()
        shape, head = self._beginning.shape, self._beginning.head
        if shape == "events":
            self._read(b"", is_last=True)
            is_known = self.answer.is_known or self.answer.has_ended
            if not is_known and (self._values.event_count or _says_something(head)):
                self._judgement.unreadable(head)
        elif shape == "json" and self._allowance.is_used_up:
            self._values.take_beginning(self._body)
        elif shape == "json" and not self.flaw:
            self._values.take_body(bytes(self._body))
        elif shape == "other":
            self._judgement.unreadable(head)
        self.answer.close()

    def take(self) -> list[TextPiece]:
        """Return the text and thinking since the last call, masked."""
        return self._words.pieces(self.answer.take(), is_end=self._is_closed)

    def draft(self, latency_ms: int, cut: str | None = None) -> Draft | None:
        """Return the answer as a message, None if it has no content.

        `cut` is the code of the outside event that ended it, if any. It is the reason of an incomplete answer, unless
        the server gave another reason before.
        """
        facts: dict[str, Json] = {"latency_ms": latency_ms}
        if not self.is_complete:
            fault = self.flaw if cut is not None else self.fault
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
        return self._words.masked(draft)

    def _read(self, piece: bytes, *, is_last: bool = False) -> None:
        try:
            for event in self._events.end() if is_last else self._events.read(piece):
                self._values.take_event(event.name, event.data, is_last=is_last)
        except BrokenInputError:
            self._judgement.unreadable(self._beginning.head)


class _Beginning:
    """The first bytes of an answer. They decide its shape, and are quoted when nothing in it can be read."""

    def __init__(self) -> None:
        self.media_type = ""
        self.shape: AnswerShape = ""
        self.head = b""
        self._undecided = b""

    def add(self, piece: bytes) -> bytes:
        """Return the bytes that can be read by now: none while the shape is open."""
        if len(self.head) < QUOTED_BYTES:
            self.head += piece[: QUOTED_BYTES - len(self.head)]
        if self.shape:
            return piece
        self._undecided = (self._undecided + piece).removeprefix(UTF8_MARK).lstrip(_BLANKS)
        self.shape = _shape_of(
            self._undecided[:_BEGINNING_BYTES], is_declared=self.media_type.startswith(EVENT_STREAM_TYPE)
        )
        if not self.shape:
            return b""
        piece, self._undecided = self._undecided, b""
        return piece

    def close(self) -> None:
        """Decide: nothing follows."""
        if self._undecided:
            self.shape = "other"


class _Allowance:
    """The memory that an answer may take; it is used up at the first piece that it does not cover."""

    def __init__(self, take_room: TakeRoom | None, *, is_kept: bool) -> None:
        self.is_used_up = False
        self.is_kept = is_kept
        """Whether the bytes of events are kept beside what is read of them."""
        self._take_room = take_room
        self._size = 0

    def covers(self, piece: bytes, shape: AnswerShape) -> bool:
        """Reserve the memory for a piece; return whether it is available."""
        self._size += len(piece)
        self.is_used_up = self._size > ANSWER_BYTES_MAX or not self._has_room(piece, shape)
        return not self.is_used_up

    def _has_room(self, piece: bytes, shape: AnswerShape) -> bool:
        if self._take_room is None:
            return True
        kept = len(piece) if self.is_kept else 0
        return self._take_room(kept + _cost_of(piece) if shape == "events" else len(piece) * _COST)


class _MaskedWords:
    """The words of an answer without the secret of the mask."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self._masked: dict[PieceKind, MaskedPieces] = {"text": MaskedPieces(mask), "reasoning": MaskedPieces(mask)}

    def pieces(self, spoken: list[TextPiece], *, is_end: bool) -> list[TextPiece]:
        """Return new words masked; what may begin the secret waits for the next, or the end."""
        masked = [
            TextPiece(one.kind, self._masked[one.kind].take(part.encode()).decode())
            for one in spoken
            for part in _parts_of(one.text)
        ]
        if is_end:
            kinds: tuple[PieceKind, ...] = ("reasoning", "text")
            masked += [TextPiece(kind, self._masked[kind].end().decode()) for kind in kinds]
        return [piece for piece in masked if piece.text]

    def masked(self, draft: Draft) -> Draft:
        """Return a message without the secret."""
        content, calls, metadata = map(self.mask.value, (draft.content, draft.tool_calls, draft.metadata))
        return msgspec.structs.replace(draft, content=content, tool_calls=calls, metadata=metadata)


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


def _parts_of(text: str) -> Iterator[str]:
    """Yield the parts of a text that are masked at once; other threads run between two of them."""
    for start in range(0, len(text), _PART_CHARS):
        yield text[start : start + _PART_CHARS]


def _shape_of(begun: bytes, *, is_declared: bool) -> AnswerShape:
    """Return the shape of an answer with this beginning; empty while that is open."""
    if not begun or UTF8_MARK.startswith(begun):
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
    lines = head.removeprefix(UTF8_MARK).replace(b"\r", b"\n").split(b"\n")
    return any(line.strip() and not re.fullmatch(rb"(?::.*|(?:data|event|id|retry)[ \t]*:?.*)", line) for line in lines)


def _cost_of(piece: bytes) -> int:
    """Return a bound on the memory for a piece's events: little for a token, more for many values."""
    count = piece.count(b"\n\n")
    values = sum(map(piece.count, (b",", b"[", b"{")))
    many_bytes, many_values = len(piece) - count * _USUAL_BYTES, values - (count + 1) * _USUAL_VALUES
    return _EVENT_COST * count + 2 * max(0, many_bytes) + _VALUE_COST * max(0, many_values)
