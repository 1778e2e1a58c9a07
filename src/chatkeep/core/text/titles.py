"""Short text out of long: a session's title and preview, never cutting a visible character.

Both come from a message's words for people, as `openings` finds them, without the marks of Markdown. A message without
such words gives a description instead. It gives way to any message with words.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from chatkeep.core.text.openings import SCAN_CHARS, opening_of
from chatkeep.core.text.patterns import PLAIN_LINE, LazyPattern
from chatkeep.core.text.unmarked import unmarked

MADE_TITLE_CHARS_MAX: Final = 80  # visible characters: grapheme clusters
PREVIEW_CHARS_MAX: Final = 120  # visible characters: grapheme clusters
NO_TITLE: Final = "New Chat"
_GRAPHEME: Final = LazyPattern(r"\X")
_SPACE: Final = LazyPattern(r"[\s\p{Cc}]+")
_LINE: Final = LazyPattern(r"[\s\p{Cc}]*+([^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]*+)")


class Short(NamedTuple):
    """A message in few words: its words for people, or else its description; both may be blank."""

    said: str
    described: str


def title(text: str, content: object) -> Short:
    """Return a message's title: its first line for people, at most 80 characters."""
    opening = opening_of(text, content)
    return Short(first_line(opening.text) or "", first_line(opening.description) or "")


def preview(text: str, content: object) -> Short:
    """Return the beginning of a message on one line, at most 120 characters."""
    opening = opening_of(text, content)
    return Short(_beginning(opening.text), opening.description and _beginning(opening.description))


def first_line(text: str) -> str | None:
    """Return the first non-blank line as a title of at most 80 characters, or None for blank text."""
    line = text[:SCAN_CHARS] if PLAIN_LINE.fullmatch(text) else _LINE.match(text)[1][:SCAN_CHARS]
    folded = _folded(unmarked(line))
    return _cut(folded, MADE_TITLE_CHARS_MAX) if folded else None


def _beginning(text: str) -> str:
    return _cut(_folded(unmarked(text[:SCAN_CHARS])), PREVIEW_CHARS_MAX)


def _folded(text: str) -> str:
    """Return a text with a space for each run of white space and control characters, and none at its ends."""
    folded = " ".join(text.split())
    return folded if folded.isprintable() else _SPACE.sub(" ", text).strip()


def _cut(text: str, chars_max: int) -> str:
    if len(text) <= chars_max or text.isascii():  # without line ends, each character of ASCII is visible by itself
        return text[:chars_max]
    end = 0
    for count, cluster in enumerate(_GRAPHEME.finditer(text), start=1):
        if count > chars_max:
            break
        end = cluster.end()
    return text[:end]
