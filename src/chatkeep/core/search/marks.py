"""Words with the marks beside them: `c++`, `--force`, `#urgent`, `@alice`, `.env`, `__init__`.

To a search, a word is its letters and digits. Its *marked form* is an extra: the word with the marks that stand right
before and behind it. A message with a marked form of the query ranks above one with the bare word. Marks between two
words (`well-known`), and those that only end a sentence, make no form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from chatkeep.core.search.words import folded, is_unspaced, stretches, tokens_of

_BEFORE: Final = r"#@.$%~!&/\\:+\-_\uff03\uff20"
_BEHIND: Final = r"+#%$_"
_MARKS_BEFORE: Final = frozenset("#@.$%~!&/\\:+-_\uff03\uff20")
_MARKS_MAX: Final = 16  # on one side of a word; a longer row of marks is a line, not a name
_WORD_CHARS_MAX: Final = 64  # a longer word is no name
_LEADS: Final = re.compile(rf"[{_BEFORE}](?<![\w{_BEFORE}][{_BEFORE}])[{_BEFORE}]*+(?=[^\W_])")
_TRAILS: Final = re.compile(rf"[{_BEHIND}](?<=[^\W_][{_BEHIND}])(?:(?<=[+#])[+#]++|[{_BEHIND}]*+(?![^\W_]))")
_WORD: Final = re.compile(rf"[^\W_]{{1,{_WORD_CHARS_MAX}}}")
_LAST_WORD: Final = re.compile(r"[^\W_]+\Z")


def marked_forms(text: str) -> Iterator[str]:
    """Yield the marked forms in a text, folded."""
    for piece in stretches(text):  # so that other threads run between two of them
        yield from _forms_in(piece)


def _forms_in(text: str) -> Iterator[str]:
    for lead in _LEADS.finditer(text):
        word = _WORD.match(text, lead.end())
        if word is not None:
            trail = _TRAILS.match(text, word.end())
            yield from _forms(lead.group(), word.group(), trail.group() if trail else "")
    for trail in _TRAILS.finditer(text):
        start = max(0, trail.start() - _WORD_CHARS_MAX - 1)
        last = _LAST_WORD.search(text, start, trail.start())
        if last is not None and not _is_led(text, last.start()):
            yield from _forms("", last.group()[-_WORD_CHARS_MAX:], trail.group())


def _is_led(text: str, start: int) -> bool:
    """Tell whether marks lead to the word at a place: then the form with these is yielded already."""
    before = start
    while before and text[before - 1] in _MARKS_BEFORE:
        before -= 1
    return before < start and not (before and text[before - 1].isalnum())


def _forms(lead: str, word: str, trail: str) -> Iterator[str]:
    tokens = [token.text for token in tokens_of(word)]
    if not tokens or max(len(lead), len(trail)) > _MARKS_MAX:
        return
    if len(tokens) == 1 and not (lead and trail and is_unspaced(tokens[0])):
        yield f"{folded(lead)}{tokens[0]}{folded(trail)}"
        return
    if lead:
        yield f"{folded(lead)}{tokens[0]}"
    if trail:
        yield f"{tokens[-1]}{folded(trail)}"
