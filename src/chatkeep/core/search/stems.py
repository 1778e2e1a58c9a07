"""Stems of words, equal for all inflections of a word, and stop words.

Stems are those of the Snowball project (snowballstem.org), by its own library; irregular forms of English have the stem
of their word. The script of a word decides the
language: Latin letters are taken for English, Cyrillic ones for Russian, and so on.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from Stemmer import Stemmer

from chatkeep.core.search.irregular import BASES, FORMS

_BY_SCRIPT: Final = tuple(
    (first, last, Stemmer(language))
    for first, last, language in (
        ("a", "z", "english"),
        ("\u0370", "\u03ff", "greek"),
        ("\u0400", "\u04ff", "russian"),
        ("\u0531", "\u058f", "armenian"),
        ("\u0620", "\u06ff", "arabic"),
        ("\u0900", "\u097f", "hindi"),
        ("\u0b80", "\u0bff", "tamil"),
    )
)
_SHORTEST: Final = 3  # characters; a shorter token is its own stem
_SURE: Final = 3  # letters; in a longer stem, all but the last two begin each of its words
_LONGEST: Final = 40  # characters; a longer token is no word

_QUESTIONS: Final = (
    "what when where which who whom whose why how did do does is are was were can could would should has have "
    "had will may might tell "
)
_OTHERS: Final = (
    "a about above after again all also am an and any anyone anything as at be because been before being below "
    "between both but by doing down during each ever few for from further having he her here hers him his i if "
    "in into it its itself just me more most much must my no nor not now of off on once only or other our ours "
    "out over own please same shall she so some such than that the their theirs them then there these they "
    "this those through to too under until up us very we while with you your yours don didn doesn isn aren "
    "wasn weren couldn wouldn shouldn hasn haven hadn won "
)
QUESTION_WORDS: Final = frozenset(_QUESTIONS.split())
STOP_WORDS: Final = QUESTION_WORDS | frozenset(_OTHERS.split())
"""English words left out of a query with other words."""


@lru_cache(maxsize=1 << 17)
def stem(token: str) -> str:
    """Return the stem of a word, or any other token unchanged; a word needs a stemmer for its script."""
    token = BASES.get(token, token)
    if _SHORTEST <= len(token) <= _LONGEST:
        for first, last, stemmer in _BY_SCRIPT:
            if first <= token[0] <= last:
                return str(stemmer.stemWord(token))
    return token


def common_beginning(word: str) -> str:
    """Return a regular expression for the beginning of all words with this word's stem.

    The word has only ASCII letters and digits. The second letter of English words stays, but for `y` and `i`
    (`dying`, `die`), unless only one is left (`aed`). An irregular word has a beginning for each form.
    """
    forms = _FORMS_OF_STEM.get(stem(word), (word,))
    return "|".join(sorted(set(map(_beginning, forms))))


def _beginning(word: str) -> str:
    if len(word) == 1 or len(stem(word)) == 1:
        return word[0]
    return f"{word[0]}[iy]" if word[1] in "iy" else word[:2]


def stem_prefix(word: str) -> str:
    """Return the sure common prefix of all words with this word's stem, empty if unknown.

    English words have one, but for some irregular ones (`go`, `went`). A word of a script without a stemmer is its own
    prefix. Other stemmers give none.
    """
    language = next((first for first, last, _ in _BY_SCRIPT if first <= word[0] <= last), None)
    if language is None:
        return word
    if language != _BY_SCRIPT[0][0]:
        return ""
    of_stem = stem(word)
    prefix = of_stem[:-2] if len(of_stem) > _SURE else of_stem[0]
    while not all(form.startswith(prefix) for form in _FORMS_OF_STEM.get(of_stem, ())):
        prefix = prefix[:-1]
    return prefix


_FORMS_OF_STEM: Final = {stem(base): forms for base, forms in FORMS.items()}
