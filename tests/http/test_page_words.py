"""The words of the page come from one catalogue for each language; the views hold none of their own."""

from __future__ import annotations

import re
from typing import Final

import pytest

from chatkeep.http.routes.page import edition

CATALOGUES: Final = ("text/words-en.js", "text/words-de.js")
NAMES: Final = {"Chatkeep", "API", "ck_…", "ck_", "chatkeep doctor", "kB", "MB", "GB", "TB"}
"""Words that are the same in every language."""
_ENTRY: Final = re.compile(r"^  (\w+): ", re.MULTILINE)
_USED: Final = re.compile(r"\bwords\.(?!js\b)(\w+)")
_TEMPLATE: Final = re.compile(r"html`")
_TEXT: Final = re.compile(r">([^<>]*)<|(?:aria-label|title|placeholder|alt)=\"([^\"]*)\"")
_LETTERS: Final = re.compile(r"[^\W\d_]{2,}")


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    """Our scripts by name."""
    plain = edition().files.items()
    return {path: file.plain.decode() for path, file in plain if path.endswith(".js") and "vendor/" not in path}


def templates(script: str) -> list[str]:
    """Return the templates of a script without what is computed in them."""
    found = []
    for begin in _TEMPLATE.finditer(script):
        kept, at, depth = [], begin.end(), 0
        while depth or script[at] != "`":
            if script.startswith("${", at):
                at, depth = at + 2, depth + 1
            elif depth and script[at] in "{}":
                depth += 1 if script[at] == "{" else -1
                at += 1
            elif depth and script[at] == "`":  # a template in it is one of its own
                at = end_of_template(script, at)
            else:
                kept += [] if depth else [script[at]]
                at += 1
        found.append("".join(kept))
    return found


def end_of_template(script: str, at: int) -> int:
    """Return the place behind a template that begins at a backtick."""
    at, depth = at + 1, 0
    while depth or script[at] != "`":
        if script.startswith("${", at):
            at, depth = at + 2, depth + 1
            continue
        if depth and script[at] == "`":
            at = end_of_template(script, at)
            continue
        depth -= 1 if depth and script[at] == "}" else 0
        depth += 1 if depth and script[at] == "{" else 0
        at += 1
    return at + 1


def own_words(script: str) -> list[str]:
    """Return the words that stand in the templates of a script themselves."""
    texts = [text or label for one in templates(script) for text, label in _TEXT.findall(one)]
    return [text.strip() for text in texts if _LETTERS.search(text) and text.strip() not in NAMES]


def test_every_language_has_every_word(scripts: dict[str, str]) -> None:
    """Catalogues have the same entries, in the same order; `make lint` compares the types of each."""
    english, german = (_ENTRY.findall(scripts[path]) for path in CATALOGUES)
    assert english == german
    assert len(english) > 150


def test_every_word_is_used_and_known(scripts: dict[str, str]) -> None:
    """Scripts ask for no word that is missing, and no catalogue holds one that nobody asks for."""
    known = {*_ENTRY.findall(scripts[CATALOGUES[0]])}
    used = {name for path, script in scripts.items() if path not in CATALOGUES for name in _USED.findall(script)}
    assert (set(), set()) == (used - known, known - used)


def test_views_have_no_words_of_their_own(scripts: dict[str, str]) -> None:
    """What a reader can read or hear in a template comes from the catalogue."""
    found = {path: own_words(script) for path, script in scripts.items() if path == "main.js" or "views/" in path}
    assert {} == {path: words for path, words in found.items() if words}


def test_check_sees_words_in_a_template() -> None:
    """The check above is none if it would not see this: a text, a label, and a template in a template."""
    script = 'html`<b title="Close it">${a ? html`<i>Go on</i>` : `x ${y}`} is here</b><p>${words.x}</p>`'
    assert ["Close it", "is here", "Go on"] == own_words(script)
