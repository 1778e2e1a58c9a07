"""The media type of bytes by how they begin, whatever their sender says: a browser shows only types named here."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

TYPE_HEAD_BYTES: Final = 64
"""The first bytes of a file, enough to tell its type."""


class MediaType(NamedTuple):
    """A media type, the usual end of a file's name, and whether a browser may show such bytes by themselves."""

    name: str
    suffix: str
    is_shown: bool


UNKNOWN: Final = MediaType("application/octet-stream", ".bin", is_shown=False)
_KNOWN: Final = (
    (rb"\x89PNG\r\n\x1a\n", MediaType("image/png", ".png", is_shown=True)),
    (rb"\xff\xd8\xff", MediaType("image/jpeg", ".jpg", is_shown=True)),
    (rb"GIF8[79]a", MediaType("image/gif", ".gif", is_shown=True)),
    (rb"RIFF....WEBP", MediaType("image/webp", ".webp", is_shown=True)),
    (rb"....ftyp(avif|avis)", MediaType("image/avif", ".avif", is_shown=True)),
    (rb"....ftyp(heic|heix|mif1)", MediaType("image/heic", ".heic", is_shown=False)),
    (rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00", MediaType("image/bmp", ".bmp", is_shown=True)),
    (rb"RIFF....WAVE", MediaType("audio/wav", ".wav", is_shown=True)),
    (rb"ID3|\xff[\xf2\xf3\xfa\xfb]", MediaType("audio/mpeg", ".mp3", is_shown=True)),
    (rb"\xff[\xf0\xf1\xf8\xf9]", MediaType("audio/aac", ".aac", is_shown=True)),
    (rb"fLaC", MediaType("audio/flac", ".flac", is_shown=True)),
    (rb"OggS", MediaType("audio/ogg", ".ogg", is_shown=True)),
    (rb"....ftypM4A", MediaType("audio/mp4", ".m4a", is_shown=True)),
    (rb"....ftyp", MediaType("video/mp4", ".mp4", is_shown=True)),
    (rb"\x1aE\xdf\xa3", MediaType("video/webm", ".webm", is_shown=True)),
    (rb"%PDF-", MediaType("application/pdf", ".pdf", is_shown=False)),
    (rb"PK\x03\x04", MediaType("application/zip", ".zip", is_shown=False)),
)
SAFE_TYPES: Final = (UNKNOWN.name, *dict.fromkeys(known.name for _, known in _KNOWN))
"""The names of all these types."""
_PATTERNS: Final = tuple((re.compile(pattern, re.DOTALL), known) for pattern, known in _KNOWN)


def media_type(head: bytes) -> MediaType:
    """Return the type of bytes by the first of them."""
    return next((known for pattern, known in _PATTERNS if pattern.match(head)), UNKNOWN)
