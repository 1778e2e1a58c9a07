"""Texts in styles, and their form for a terminal: a list of pieces with ANSI codes around them.

Most commands draw nothing more. So they do without Rich, whose modules take longer to load than a list takes to read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final, Literal, Self, TextIO

from chatkeep.core.text import quoting

Rendering = Literal["plain", "weights", "colours"]
"""How a stream shows styles: not at all, without colours, or in full."""
_WEIGHTS: Final[Mapping[str, str]] = {"bold": "1", "dim": "2"}
_COLOURS: Final[Mapping[str, str]] = {
    "red": "31",
    "green": "32",
    "yellow": "33",
    "magenta": "35",
    "cyan": "36",
}
"""The codes of the styles (ECMA-48, Select Graphic Rendition)."""
_END: Final = "\x1b[0m"


class Styled:
    """A text in pieces, each with a style such as `bold red`; an empty style is that of the terminal."""

    __slots__ = ("pieces",)

    def __init__(self, text: str = "", style: str = "") -> None:
        """Begin with a piece; controls in it become visible when it is drawn."""
        self.pieces = [(text, style)]

    def append(self, more: str | Styled, style: str = "") -> Self:
        """Add a text, or the pieces of another one, and return this text."""
        self.pieces += more.pieces if isinstance(more, Styled) else [(more, style)]
        return self

    @property
    def plain(self) -> str:
        """The text without styles."""
        return "".join(text for text, _ in self.pieces)

    def on_one_line(self, cut: slice = slice(None)) -> Styled:
        """Return the words of the text with single spaces between them, cut, in the style of its first piece."""
        return Styled(" ".join(quoting.visible(self.plain).split())[cut], self.pieces[0][1])

    def drawn(self, rendering: Rendering) -> str:
        """Return the text for a terminal, with visible escapes in place of all controls but ours."""
        return "".join(_drawn(quoting.visible(text), style, rendering) for text, style in self.pieces)


def rendering_of(stream: TextIO) -> Rendering:
    """Return how a stream shows styles.

    A terminal shows all of them, `NO_COLOR` takes the colours away, and `TERM=dumb` everything. `FORCE_COLOR` makes
    a stream count as a terminal.
    """
    is_terminal = stream.isatty() or bool(os.environ.get("FORCE_COLOR"))
    if not is_terminal or os.environ.get("TERM", "").lower() in {"dumb", "unknown"}:
        return "plain"
    return "weights" if os.environ.get("NO_COLOR") else "colours"


def _drawn(text: str, style: str, rendering: Rendering) -> str:
    codes = ";".join(_codes(style.split(), rendering))
    return f"\x1b[{codes}m{text}{_END}" if codes and text else text


def _codes(words: Iterable[str], rendering: Rendering) -> Iterable[str]:
    for word in words:
        if rendering != "plain" and word in _WEIGHTS:
            yield _WEIGHTS[word]
        elif rendering == "colours" and word not in _WEIGHTS:
            yield _COLOURS[word]
