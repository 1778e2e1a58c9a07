"""Short text out of long: a session's title and preview, never cutting a character that people see."""

from __future__ import annotations

import regex

TITLE_CHARS_MAX = 80
PREVIEW_CHARS_MAX = 120
NO_TITLE = "New Chat"
_SCAN_CHARS = 4096  # a grapheme cluster can be long, 80 of them are never longer than this in any script
_GRAPHEME = regex.compile(r"\X")
_SPACE = regex.compile(r"[\s\p{Cc}]+")
_SEEN = regex.compile(r"[^\s\p{Cc}]")


def first_line(text: str) -> str | None:
    """Return the first non-blank line as a title of at most 80 characters, or None for blank text."""
    begun = _SEEN.search(text)
    if begun is None:
        return None
    line = text[begun.start() : begun.start() + _SCAN_CHARS].splitlines()[0]
    return _cut(_SPACE.sub(" ", line).strip(), TITLE_CHARS_MAX)


def preview(text: str) -> str:
    """Return the beginning of the text on one line, at most 120 characters."""
    return _cut(_SPACE.sub(" ", text[:_SCAN_CHARS]).strip(), PREVIEW_CHARS_MAX)


def _cut(text: str, chars_max: int) -> str:
    if len(text) <= chars_max:
        return text
    end = 0
    for count, cluster in enumerate(_GRAPHEME.finditer(text), start=1):
        if count > chars_max:
            break
        end = cluster.end()
    return text[:end]
