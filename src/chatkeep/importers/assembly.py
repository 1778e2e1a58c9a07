"""Sessions assembled from a stream, in parts: the largest message bounds the memory, not the session.

The messages wait in a spool file until the end of the record: its key and times may follow them. A small spool stays
in memory. Then the session is yielded in parts, stored one by one. Each part has the whole header, and the messages
are numbered through. A message with drops begins a part.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import IO, Final

import msgspec
from msgspec import Struct

from chatkeep.core.bounds import BATCH_MAX, MESSAGE_BYTES_MAX, has_more_values
from chatkeep.core.model import Json, Message, Session, text_of
from chatkeep.core.scanning import BrokenValueError, LongValueError, Scanner
from chatkeep.core.standing import Moved, add_move, moved_drops
from chatkeep.errors import BrokenInputError, ChatkeepError
from chatkeep.importers.records import (
    Head,
    ImportedMessage,
    ReadRecord,
    head_of,
    imported_message,
    lenient_json,
    made_id,
    why,
)
from chatkeep.importers.reports import Flaw
from chatkeep.sessions.message_ids import now_utc

_WAITING_BYTES: Final = 1 << 20  # bytes of spooled messages in memory; more go to disk
PART_BYTES: Final = 4 << 20  # bytes of messages stored at once
ALTERED: Final = "altered"  # the code of a flaw about a change, not a loss
_ASKED_CHARS: Final = 10_000  # characters of the first question, for the title
_FIELD_BYTES_MAX: Final = 1 << 20  # bytes of a field besides `messages`
_FIELD_COST_BYTES: Final = 100  # overhead of a field, added to its name and value
_HEADER_BYTES_MAX: Final = 4 << 20  # bytes of all fields besides `messages`

ToHead = Callable[[dict[str, Json], str], ReadRecord]
"""Makes a head from the fields of a record and the beginning of its first question."""

_decode_said = msgspec.json.Decoder(ImportedMessage).decode
_encode = msgspec.json.Encoder().encode


class RecordShape(Struct, frozen=True):
    """The conventions of a program: the meaning of its fields, and the zone of its times without an offset.

    `is_message` tells a message, found behind broken bytes, from a part of one.
    """

    to_message: Callable[[dict[str, Json]], dict[str, Json]]
    to_head: ToHead
    zone: tzinfo | None = UTC
    is_message: Callable[[dict[str, Json]], bool] = lambda fields: "role" in fields


def _own_head(fields: dict[str, Json], _: str) -> ReadRecord:
    return head_of(fields)


OWN: Final = RecordShape(lambda fields: fields, _own_head)


def assembled(
    record: Mapping[str, Json], place: str, *, now: Callable[[], datetime] = now_utc
) -> Iterator[Session | Flaw]:
    """Yield the session in a record with the fields of our `json` format, mended where needed, and its flaws."""
    yield from Assembly(OWN, place, now).record(Scanner(io.BytesIO(msgspec.json.encode(record))))


class _HeaderFields:
    """The fields of a record besides its messages, within bounds."""

    def __init__(self, values: dict[str, Json]) -> None:
        self.values = values
        self.left_out_count = 0
        self.changes: list[str] = []
        self._size = 0

    def take(self, name: str, scanner: Scanner) -> None:
        """Take the value of a field; leave it out when there are too many."""
        try:
            raw = scanner.value(_FIELD_BYTES_MAX)
        except LongValueError:
            raw = b'"(too large)"'
        if len(raw) > _FIELD_BYTES_MAX or scanner.cuts:
            raw = b'"(too large)"'
        self._size += len(name) + len(raw) + _FIELD_COST_BYTES
        if self._size > _HEADER_BYTES_MAX:
            self.left_out_count += 1
        else:
            self.values[name], told = lenient_json(raw)
            self.changes += told and ["characters of its header that cannot be stored were replaced by U+FFFD"]


class _Waiting:
    """The messages of a record in a file, and the facts of them that its header may lack."""

    def __init__(self, file: IO[bytes]) -> None:
        self.earliest_at: datetime | None = None
        self.asked = ""
        """The beginning of the first question."""
        self._file = file

    def add(self, message: ImportedMessage) -> None:
        """Add a message at the end."""
        at = message.timestamp
        if self.earliest_at is None or (at and at < self.earliest_at):
            self.earliest_at = at
        if not self.asked and message.role == "user":
            self.asked = text_of(message.content)[:_ASKED_CHARS]
        self._file.write(_encode(message) + b"\n")

    def messages(self) -> Iterator[tuple[ImportedMessage, int]]:
        """Yield each message with its size in bytes."""
        self._file.seek(0)
        for line in self._file:
            yield _decode_said(line), len(line)


class Assembly:
    """One record on its way to becoming a session."""

    def __init__(
        self, shape: RecordShape, place: str, now: Callable[[], datetime], fields: dict[str, Json] | None = None
    ) -> None:
        """Begin empty; `place` names the record in flaws. `fields` takes up the fields of the record as they come."""
        self._shape = shape
        self._place = place
        self._now = now
        self._fields = _HeaderFields({} if fields is None else fields)
        self._waiting = _Waiting(io.BytesIO())
        self._count = self._lost = 0
        self._has_messages = False
        self.is_broken = False

    def record(self, scanner: Scanner) -> Iterator[Session | Flaw]:
        """Yield the session of an object, in parts, and its flaws."""
        with self._place_to_wait():
            self.is_broken = not (yield from self._object(scanner))
            yield from self._parts()

    def messages(self, scanner: Scanner, fields: dict[str, Json]) -> Iterator[Session | Flaw]:
        """Yield the session of these fields and a list of messages, in parts, and its flaws."""
        with self._place_to_wait():
            self._fields = _HeaderFields(fields)
            self.is_broken = not (yield from self._list(scanner))
            yield from self._parts()

    @contextlib.contextmanager
    def _place_to_wait(self) -> Iterator[None]:
        with tempfile.SpooledTemporaryFile(_WAITING_BYTES) as file:
            self._waiting = _Waiting(file)
            yield

    def _object(self, scanner: Scanner) -> Generator[Flaw, None, bool]:
        """Read an object; return whether we reached its end."""
        try:
            scanner.skip(b"{")
            while not scanner.skip(b"}"):
                name = scanner.name()
                if name == "messages" and scanner.peek() == b"[":
                    if not (yield from self._list(scanner)):
                        return False
                else:
                    self._fields.take(str(name), scanner)
                scanner.skip(b",")
        except (BrokenValueError, BrokenInputError) as error:
            yield Flaw(self._place, str(error))
            return False
        return True

    def _list(self, scanner: Scanner) -> Generator[Flaw, None, bool]:
        """Read a list of messages; return whether we reached its end."""
        self._has_messages = True
        scanner.skip(b"[")
        while not scanner.skip(b"]"):
            if not scanner.peek():
                yield Flaw(self._place, "It ends too early; what came before was taken.")
                return False
            self._count += 1
            raw: bytes | None = None
            try:
                raw = scanner.line() or scanner.value()
            except LongValueError:
                yield self._flaw(f"It is larger than {MESSAGE_BYTES_MAX} bytes in many small parts.")
            except BrokenValueError as error:
                yield self._flaw(str(error))
                raw = scanner.next_object(self._is_message)
                if raw is None and scanner.peek() != b"]":
                    return False
                self._count += raw is not None
            if raw is not None:
                yield from self._take_message(raw, scanner)
            scanner.skip(b",")
        return True

    def _is_message(self, raw: bytes) -> bool:
        """Tell whether an object found after broken bytes is a message, and not a part of one."""
        try:
            value = None if has_more_values(raw) else lenient_json(raw).value
        except BrokenInputError:
            return False
        return isinstance(value, dict) and self._shape.is_message(value)

    def _take_message(self, raw: bytes, scanner: Scanner) -> Iterator[Flaw]:
        try:
            said, told = imported_message(raw, self._shape.to_message, self._shape.zone)
        except (ChatkeepError, RecursionError) as error:
            yield self._flaw(why(error))
            return
        cuts = tuple(f"a text of {cut.count} characters was cut to {cut.kept}" for cut in scanner.cuts)
        if told or cuts:
            yield Flaw(self._message_place(), sentence((*cuts, *told)), ALTERED)
        self._waiting.add(said)

    def _message_place(self) -> str:
        return f"{self._place}, message {self._count}"

    def _flaw(self, reason: str) -> Flaw:
        self._lost += 1
        return Flaw(self._message_place(), f"It was left out: {reason.removesuffix('.')}.")

    def _parts(self) -> Iterator[Session | Flaw]:
        try:
            if not self._has_messages:
                if not self.is_broken:
                    yield Flaw(self._place, "It has no `messages`.")
                return
            head, told = self._shape.to_head(self._fields.values, self._waiting.asked)
            told = tuple(dict.fromkeys((*self._fields.changes, *told)))
        except ChatkeepError as error:
            yield Flaw(self._place, str(error), error.code)
            return
        if count := self._fields.left_out_count:
            told = (*told, f"{count} fields beside the messages were left out, as there are too many")
        if told:
            yield Flaw(self._place, sentence(told), ALTERED)
        if self._lost and self._lost == self._count:
            return  # a session of nothing but flaws is not made
        yield from self._numbered(head)

    def _numbered(self, head: Head) -> Iterator[Session]:
        begun = head.created_at or self._waiting.earliest_at or self._now()
        header, met = head.header(begun), dict[int, int]()
        kept = self._count - self._lost
        part: list[Message] = []
        moves: list[Moved] = []
        size, latest = 0, begun
        seq = 0
        for seq, (said, said_bytes) in enumerate(self._waiting.messages(), start=1):
            latest = said.timestamp or latest
            sent_at = head.last_at if head.last_at and seq == kept and head.last_at >= begun else latest
            if said.drops and part:  # it begins a part, so all that it drops is stored by then
                yield Session(header=header, messages=tuple(part), extra=head.extra)
                part, size = [], 0
            fields = msgspec.structs.asdict(said)
            del fields["timestamp"]
            fields["id"] = said.id or made_id(head.key, said, met)
            fields["drops"] = moved_drops(said.drops or (), moves) or None
            add_move(moves, said.seq or seq, seq)
            part.append(Message(**{**fields, "seq": seq, "sent_at": sent_at}))
            size += said_bytes
            if len(part) == BATCH_MAX or size >= PART_BYTES:
                yield Session(header=header, messages=tuple(part), extra=head.extra)
                part, size = [], 0
        if part or not seq:
            yield Session(header=header, messages=tuple(part), extra=head.extra)


def sentence(told: Sequence[str]) -> str:
    """Return the changes made to a record, as one sentence."""
    text = "; ".join(told)
    return f"{text[:1].upper()}{text[1:]}."
