"""Markdown without its marks: one line of plain text for people, as for a title.

Only marks that certainly are Markdown's go: headings, quotes, list signs, fences, pairs around a text, links, code
ticks. Products, globs, names with underscores and other signs of the text stay.
"""

from __future__ import annotations

from typing import Final

from chatkeep.core.text.patterns import LazyPattern

_PASSES: Final = 4  # marks within marks, as in `**[_x_](y)**`
_SIGNS: Final = frozenset("*_`[#>~<")
_BEGINNINGS: Final = frozenset("-+")
_LINE: Final = LazyPattern(
    r"(?m)^[ \t]*(?:(?:`{3,}|~{3,})[^\n`]*$|(?:(?:\#{1,6}|[-*+](?:[ \t]+\[[ xX]\])?)[ \t]+(?=\S)|>[ \t]?)+)"
)
_CODE: Final = LazyPattern(r"(?<!`)(`{1,3})(?!`)[ \t]?([^\n]*?[^`\n])[ \t]?(?<!`)\1(?!`)")
_LINK: Final = LazyPattern(
    r"!?\[((?:[^\[\]\n]|\[[^\[\]\n]*\]){1,300})\]"
    r"(?:\((?:<[^<>\n]*>|[^\s()<>]*(?:\([^\s()]*\)[^\s()]*)*)(?:[ \t]+(?:\"[^\"\n]*\"|'[^'\n]*'))?\)"
    r"|\[[^\[\]\n]{1,100}\])"
)
_ADDRESS: Final = LazyPattern(r"<((?:https?|ftp|mailto):[^\s<>]+)>")
_PAIRS: Final = tuple(
    map(
        LazyPattern,
        (
            r"(?<![\w*\\/)])\*\*\*(?=[^\s*.,/)])([^*\n]*[^\s*\\(/])\*\*\*(?![A-Za-z0-9*/(])",
            r"(?<![A-Za-z0-9*\\/)])\*\*(?=[^\s*.,/)])((?:[^*\n]|\*(?!\*))*[^\s\\(/])\*\*(?![A-Za-z0-9*/(])",
            r"(?<![\w\\])__(?=[^\s_])(?![a-z0-9_]*__)((?:[^_\n]|_(?!_))*[^\s_\\])__(?!\w)",
            r"~~(?=[^\s~])([^~\n]*[^\s~])~~",
            r"(?<![A-Za-z0-9*\\/)])\*(?=[^\s*.,/)])(?![\d.]+\*)([^*\n]*[^\s*\\(/])\*(?![A-Za-z0-9*/(])",
            r"(?<![\w\\/])_(?=[^\s_])([^_\n]*[^\s_\\])_(?![\w/])",
        ),
    )
)


def unmarked(text: str) -> str:
    """Return a text without Markdown's marks; a text of marks alone stays. Cost: a few looks at the text."""
    if _SIGNS.isdisjoint(text) and _BEGINNINGS.isdisjoint(text):
        return text
    plain: str = _LINE.sub("", text)
    pieces: list[str] = _CODE.split(plain)  # text, ticks, code, text, ticks, code, ... text
    if len(pieces) > 1 or not _SIGNS.isdisjoint(plain):
        codes = pieces[2::3]
        plain = _without_pairs("\0".join(pieces[::3]))
        for code in codes:
            plain = plain.replace("\0", code, 1)
    return plain if plain.strip() else text


def _without_pairs(text: str) -> str:
    """Return a text without the marks around its parts; NUL stands for code."""
    for _ in range(_PASSES):
        before = text
        text = _ADDRESS.sub(r"\1", _LINK.sub(r"\1", text))
        for pair in _PAIRS:
            text = pair.sub(r"\1", text)
        if text == before:
            break
    return text
