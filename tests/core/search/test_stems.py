"""Other forms of a word have its stem; words that say nothing are known."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.search.irregular import BASES, FORMS
from chatkeep.core.search.stems import QUESTION_WORDS, STOP_WORDS, common_beginning, stem, stem_prefix

ENDINGS = "s es ed ing ly er ies ied y e ness ment ation al ive ize ous ful est eed eedly edly ingly"


@pytest.mark.parametrize(
    "word,other",
    [
        ("books", "book"),
        ("running", "runs"),
        ("parties", "party"),
        ("книги", "книга"),
        ("книгами", "книга"),
        ("δρομοι", "δρομος"),
        ("कमरे", "कमरा"),
        ("bought", "buying"),
        ("gone", "goes"),
        ("children", "child"),
    ],
)
def test_stem_of_other_forms(word: str, other: str) -> None:
    """Endings do not matter in the languages that have a stemmer here."""
    assert stem(other) == stem(word)


@pytest.mark.parametrize("word", ["is", "as", "go", "東", "ส", "🎉", "404", "x" * 41, "4th", ""])
def test_stem_of_what_has_none(word: str) -> None:
    """Short words, very long ones, numbers and what is of no such script stay as they are."""
    assert word == stem(word)


@pytest.mark.parametrize("one,other", [("universal", "book"), ("news", "nest"), ("книга", "комната")])
def test_stem_of_other_words(one: str, other: str) -> None:
    """Other words have other stems."""
    assert stem(one) != stem(other)


@given(st.text(max_size=60))
def test_stem_of_any_text(token: str) -> None:
    """No text fails, and the same one has the same stem each time."""
    assert stem(token) == stem(token)


def test_irregular_forms() -> None:
    """A form belongs to one word; what is more often another word has its own stem."""
    forms = [form for forms in FORMS.values() for form in forms]
    assert sorted(set(forms)) == sorted(forms)
    assert ["left", "saw", "leav"] == list(map(stem, ("left", "saw", "leaves")))
    assert stem("persons") == stem("people") != stem("personal")


def test_stop_words() -> None:
    """Question words are stop words; all are lower case; words with a meaning of their own are none."""
    assert QUESTION_WORDS < STOP_WORDS
    assert {word for word in STOP_WORDS if word == word.casefold() and word.isalpha()} == STOP_WORDS
    assert not {"room", "prime", "or not", "error", "none", "null", "true", "next", "like"} & STOP_WORDS


def test_common_beginning() -> None:
    """All words of a stem begin alike, the irregular and the very short ones too."""
    letters = "abcdefghijklmnopqrstuvwxyz0"
    beginnings = [*letters, *map("".join, product(letters, repeat=2)), "sky", "ski", "dy", "ly", "ty", "tie", "lie"]
    words = {beginning + ending for beginning in beginnings for ending in ("", *ENDINGS.split())}
    words |= {*BASES, *(form + ending for form in FORMS for ending in ("", *ENDINGS.split()))}
    of_stem = defaultdict(list)
    for word in words:
        of_stem[stem(word)].append(word)
    for alike in of_stem.values():
        for word in alike:
            begins = re.compile(common_beginning(word)).match
            assert [] == [other for other in alike if not (begins(other) and other.startswith(stem_prefix(word)))], word
    assert common_beginning("meeting") == "me"
    assert ["me", "nighto", "d", "404", "東", ""] == [
        *map(stem_prefix, ["meetings", "nightowls", "dying", "404", "東", "книга"])
    ]
