"""The JSON values of an answer: chunks of a stream, whole answers, errors."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Final

import msgspec

from chatkeep.core.history.completions import END
from chatkeep.core.history.folding import ERROR_WORDS
from chatkeep.core.history.protocols.speaking import AnswerFold, ModelProtocol
from chatkeep.core.history.tape.judgement import UTF8_MARK, Judgement
from chatkeep.core.history.tape.long_json import SHORT_JSON_BYTES, decoded_json
from chatkeep.core.model import Json

_FAILED: Final = "error"
_ESCAPE_BYTES_MAX: Final = 12  # of a character written as two escapes
_TEXT: Final = rb'"%b"\s*+:\s*+"((?:[^"\\]++|\\.)*+)'
_BETWEEN: Final = re.compile(r"\s*(?:data:\s*)?")  # between two values of a body
_LISTED: Final = re.compile(r"[\s,]*\]?\s*")  # between two values of a list


class AnswerValues:
    """The values of an answer, as a protocol reads them."""

    def __init__(
        self, protocol: ModelProtocol, answer: AnswerFold, judgement: Judgement, read_bytes_max: int | None = None
    ) -> None:
        """Begin without a value; the answer and the judgement take up each. Longer events are left out."""
        self.event_count = 0
        self.protocol = protocol
        self.has_left_out = False
        """Whether an event was too long to be read here."""
        self._read_bytes_max = read_bytes_max
        self._answer = answer
        self._judgement = judgement

    def take_event(self, name: str, data: bytes, *, is_last: bool) -> None:
        """Take an event, unless the answer is over or the event is empty; `is_last`: the bytes end with it."""
        if self._judgement.is_over or not data.strip():
            return
        self.event_count += 1
        if data.strip() == END:
            self._answer.end()
            self._judgement.is_over = True
            return
        if self._read_bytes_max is not None and len(data) > self._read_bytes_max:
            self.has_left_out = True
            return
        try:
            value = decoded_json(data)
        except (ValueError, RecursionError):
            if is_last and data.lstrip().startswith(b"{"):
                self._judgement.cut_off("it ends in the middle of an event")
            elif name == _FAILED:
                self._judgement.reported(data.decode(errors="replace"))
            else:
                self._judgement.unreadable(data)
            return
        if value is not None:
            self._take(value, data, is_error=name == _FAILED)

    def take_body(self, body: bytes) -> None:
        """Take a JSON body: one value, or several, perhaps with a stream's end behind them."""
        is_list = self.protocol.takes_lists and body.startswith(b"[")
        if (value := _whole_of(body)) is not None:
            for one in value if is_list and isinstance(value, list) else (value,):
                self._take(one, body, is_error=False)
            self._end(body)
            return
        text, place, decoder = body.decode(errors="replace"), int(is_list), json.JSONDecoder()
        between = _LISTED if is_list else _BETWEEN
        while (start := between.match(text, place).end()) < len(text) and not self._judgement.is_over:  # type: ignore[union-attr]
            if text.startswith(END.decode(), start):
                self._judgement.is_over = True
                break
            try:
                value, place = decoder.raw_decode(text, start)
            except (ValueError, RecursionError) as error:
                self._broken(error, text, body)
                if not self._answer.is_known:
                    self.take_beginning(body)
                return
            self._take(value, body, is_error=False)
        if is_list and not text.rstrip().endswith("]"):
            self._judgement.cut_off("its JSON ends in the middle")
        else:
            self._end(body)

    def take_beginning(self, body: bytes | bytearray) -> None:
        """Take the first words of a JSON body that was cut."""
        self._answer.add_beginning(_beginning_of(body, self.protocol.text_field))

    def _end(self, body: bytes) -> None:
        if not (self._answer.is_known or self._judgement.is_over):
            self._judgement.unreadable(body)
        self._answer.end()

    def _broken(self, error: Exception, text: str, body: bytes) -> None:
        if isinstance(error, json.JSONDecodeError) and (
            error.msg.startswith("Unterminated") or not text[error.pos :].strip()
        ):
            self._judgement.cut_off("its JSON ends in the middle")
        else:
            self._judgement.unreadable(body)

    def _take(self, value: Json, data: bytes, *, is_error: bool) -> None:
        """Take a chunk, a whole answer or an error; Google's servers put an error into a list of one."""
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and "error" in value[0]:
            value = value[0]
        if not isinstance(value, dict):
            self._judgement.unreadable(data)
            return
        self._answer.add(value)
        complaint = self._answer.complaint(value, is_error=is_error)
        if complaint is not None:
            self._judgement.reported(error_words(complaint.error), is_last=complaint.is_last)


def _whole_of(body: bytes) -> Json:
    """Return the JSON value of a whole body, None if the body is not one."""
    body = body.removeprefix(UTF8_MARK)
    try:
        return decoded_json(body) if len(body) > SHORT_JSON_BYTES else msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None


def error_words(error: Json) -> str:
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


def _beginning_of(body: bytes | bytearray, field: bytes) -> str:
    """Return the words in a cut JSON answer, from its first text in the field."""
    found = re.search(_TEXT % field, body, re.DOTALL)
    text = found[1] if found else b""
    for end in range(len(text), max(0, len(text) - _ESCAPE_BYTES_MAX) - 1, -1):  # the cut may be within a character
        with suppress(ValueError):
            return str(msgspec.json.decode(b'"%b"' % text[:end]))
    return ""
