"""The labels of a text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatkeep.core.search.stems import stem
from chatkeep.core.search.words import GAP, indexed, rows_of, spaced, tokens_of
from chatkeep.store.sets.terms import (
    FIRST_PAIR,
    MARKED,
    bigram,
    codes_in,
    indexed_of,
    is_word,
    key_labels,
    key_part,
    pair,
)
from chatkeep.testing import NASTY_TEXTS


@given(st.text())
@example("\n".join(text for text in NASTY_TEXTS if len(text) < 1000))
@example("İI ıi ΣΑΣ ᎠꭰꮿᏰ Ǆ ǆ Ⓐ ⓐ ﬀ Ԥ ӾӾ ẞ Ꞌ ꝏ 𐐀𐐨 𞤀 Ა ა ᲀ в")
@example("a🎉b 👍🏽 🇩🇪 ①½ ² ٣ ५ 東京 나 เ ๑")
@example("\ue001 \ue0021 \ue002tool 東\ue001京 \ue000000041 \ue003x \ue005y")
def test_words_of_a_text(text: str) -> None:
    """The words are those of the core and nothing else; each has the label of its stem, if that is another."""
    words = {indexed(token.text) for token in tokens_of(text)} | {
        word for row in rows_of(text).split(GAP) for word in row.split()
    }
    labels = {label for label in indexed_of(text).texts.split() if label[0] != MARKED}
    assert words == {label for label in labels if is_word(label)}
    assert {stem(word) for word in words if stem(word) != word} == {label[1:] for label in labels if not is_word(label)}


@pytest.mark.parametrize("unit", ["東京", "東、京。", "getUserName v1.2.3 ", "plain words "])
def test_long_text_has_the_words_and_pairs_of_its_rows(unit: str) -> None:
    """A text of many slices has no other labels than all of its rows, read whole; slices lose no pair between them."""
    text = "".join(f"{unit}{chr(0x4E00 + number % 20_000)}" for number in range(40_000))
    found = indexed_of(text)
    tokens, *parts = [row.split() for row in (spaced(text), *rows_of(text).split(GAP))]
    rows = [tokens, *parts]
    pairs = {pair(*both) for both in pairwise(tokens) if bigram(*both) is None}
    pairs |= {pair(*both) for row in parts for both in pairwise(row)}
    assert {word for row in rows for word in row} == {label for label in found.texts.split() if is_word(label)}
    assert pairs == {FIRST_PAIR + code for code in codes_in(found.pairs)}


def test_pairs_have_an_order() -> None:
    """Two words the other way round are another pair, also of words of one length."""
    words = [f"{first}{second}ab" for first in "abcdefgh" for second in "ijklmnop"]
    same = sum(pair(one, other) == pair(other, one) for one in words for other in words if one != other)
    assert same < len(words) ** 2 / 100


def test_parts_of_a_key() -> None:
    """A key has a label for each part up to a colon or slash; a prefix that ends elsewhere has none."""
    labels = key_labels("user:alice/plans", "web")
    assert ["user:", "user:alice/"] == [label[1:] for label in labels[1:]]
    assert (labels[2], None, None) == (key_part("user:alice/"), key_part("user:al"), key_part(""))
