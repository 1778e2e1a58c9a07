"""Where the last event of a stream begins, found while the stream arrives in pieces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_LINE_BYTES_MAX: Final = 256  # of an unfinished line; a longer one shows how it begins
_LINE_END: Final = re.compile(rb"[\r\n]")
_BLANK: Final = rb"[ \t]*"


class LastEvent:
    """Parts a stream at the first line of its last event; all that follows belongs to the ending."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        """Take the beginnings of the first line of a last event, without spaces."""
        self._lines = lines
        spelled = (_BLANK.join(re.escape(line[at : at + 1]) for at in range(len(line))) for line in lines)
        self._begins = re.compile(rb"(?:\A|(?<=[\r\n]))(?:%b)" % rb"|".join(spelled))
        self._rest = b""
        self._is_at_line = True
        self._is_there = False

    def part(self, came: bytes) -> tuple[bytes, bytes]:
        """Return the bytes before the last event, and those of it; a line that may begin it is kept for later."""
        piece, self._rest = self._rest + came, b""
        if self._is_there:
            return b"", piece
        found = self._begins.search(piece, 0 if self._is_at_line else _next_line(piece))
        if found:
            self._is_there = True
            return piece[: found.start()], piece[found.start() :]
        start = _last_line(piece) if self._is_at_line or _LINE_END.search(piece) else len(piece)
        if self._may_begin(piece[start:]):
            piece, self._rest = piece[:start], piece[start:]
            self._is_at_line = True
        elif piece:
            self._is_at_line = piece[-1:] in b"\r\n"
        return piece, b""

    def end(self) -> bytes:
        """Return the kept line; no more comes."""
        rest, self._rest = self._rest, b""
        return rest

    def _may_begin(self, line: bytes) -> bool:
        plain = line.replace(b" ", b"").replace(b"\t", b"")
        return 0 < len(line) <= _LINE_BYTES_MAX and any(one.startswith(plain) for one in self._lines)


def _next_line(piece: bytes) -> int:
    found = _LINE_END.search(piece)
    return found.end() if found else len(piece)


def _last_line(piece: bytes) -> int:
    """Return the place where the last line begins, the end if the piece ends with one."""
    return max(piece.rfind(b"\n"), piece.rfind(b"\r")) + 1
