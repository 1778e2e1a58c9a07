r"""Masking: stars in place of a secret in an answer, even when it arrives in two pieces.

Servers write text into JSON and addresses in several ways. So each character of the secret matches as it is, as
`\u0041`, as `%41`, and behind a backslash where JSON has that. Each replaced byte becomes one star.
"""

from __future__ import annotations

import re
from typing import Final

from chatkeep.core.model import Json

SECRET_CHARS_MIN: Final = 8  # a shorter secret may be an ordinary word such as `none`, common in answers
_SLICE_BYTES: Final = 1 << 16  # masked at once; other threads run between two slices
_ESCAPED: Final = '/"\\'


class Mask:
    """Masks a secret of printable ASCII; one too short to be a secret is not masked."""

    def __init__(self, secret: str) -> None:
        """Take the secret."""
        self.secret = secret if len(secret) >= SECRET_CHARS_MIN else ""
        self._forms = tuple(map(_forms_of, self.secret))
        self._secret = re.compile(b"".join(b"(?:%b)" % b"|".join(map(re.escape, forms)) for forms in self._forms))
        self._longest = sum(max(map(len, forms)) for forms in self._forms)
        first = {bytes((form[0],)) for forms in self._forms[:1] for form in forms}
        self._first = re.compile(b"[%b]" % re.escape(b"".join(sorted(first)))) if first else None

    def data(self, data: bytes) -> bytes:
        """Return the data without the secret."""
        if not self._forms or len(data) <= _SLICE_BYTES:
            return self.once(data)
        pieces = MaskedPieces(self)
        starts = range(0, len(data), _SLICE_BYTES)
        return b"".join([*(pieces.take(data[start : start + _SLICE_BYTES]) for start in starts), pieces.end()])

    def once(self, data: bytes) -> bytes:
        """Return the data without the secret, looked through in one step: for short data."""
        return self._secret.sub(_stars, data) if self._forms else data

    def text(self, text: str) -> str:
        """Return the text without the secret."""
        if not self._forms:
            return text
        if len(text) <= _SLICE_BYTES:
            return self.once(text.encode(errors="surrogatepass")).decode(errors="surrogatepass")
        pieces = MaskedPieces(self)
        starts = range(0, len(text), _SLICE_BYTES)
        data = (pieces.take(text[start : start + _SLICE_BYTES].encode(errors="surrogatepass")) for start in starts)
        told = [piece.decode(errors="surrogatepass") for piece in data]
        return "".join([*told, pieces.end().decode(errors="surrogatepass")])

    def value(self, value: Json) -> Json:
        """Return a JSON value without the secret in its texts and names."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self.value(inner) for name, inner in value.items()}
        return [self.value(inner) for inner in value] if isinstance(value, list) else value

    def begun_at(self, data: bytes) -> int:
        """Return the offset of an unfinished secret at the end of the data, their length if there is none."""
        if self._first is None:
            return len(data)
        starts = self._first.finditer(data, max(0, len(data) - self._longest))
        return next((found.start() for found in starts if self._may_begin(data[found.start() :])), len(data))

    def _may_begin(self, rest: bytes) -> bool:
        """Tell whether these bytes are a beginning of the secret.

        A backslash may be a character of it or half of one, so there may be several ways to go on.
        """
        rests = {rest}
        for forms in self._forms:
            if any(form.startswith(one) for form in forms for one in rests):
                return True
            rests = {one[len(form) :] for form in forms for one in rests if one.startswith(form)}
        return False


class MaskedPieces:
    """Masks data in pieces; it buffers only a possible beginning of the secret."""

    def __init__(self, mask: Mask) -> None:
        """Begin before the first piece."""
        self._mask = mask
        self._held = b""

    def take(self, piece: bytes) -> bytes:
        """Add a piece, and return the data now safe to pass on."""
        known = self._mask.once(self._held + piece)
        begun_at = self._mask.begun_at(known)
        self._held = known[begun_at:]
        return known[:begun_at]

    def end(self) -> bytes:
        """Return the buffered rest; no more comes."""
        held, self._held = self._held, b""
        return held


def _forms_of(character: str) -> tuple[bytes, ...]:
    """Return the spellings of a character."""
    code = ord(character)
    escapes = {f"\\u{code:04x}", f"\\u{code:04X}", f"%{code:02x}", f"%{code:02X}"}
    behind = {f"\\{character}"} if character in _ESCAPED else set()
    return tuple(form.encode() for form in (character, *sorted(escapes | behind)))


def _stars(found: re.Match[bytes]) -> bytes:
    return b"*" * len(found[0])
